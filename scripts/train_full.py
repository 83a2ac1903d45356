"""Trains HRCAM's FullModel: the half model stays, the expansion learns to draw."""

import dataclasses
import logging
import pathlib

from kerasloc.training import arguments

EXAMPLE = """\
examples:
  python scripts/train_full.py
      from the newest half model in results/half, on the data that it was trained on
  python scripts/train_full.py --half-weight-dir results/half/animals --epochs 50

The run lands in results/full/NAME, with a picture of every step from the image to the
refined heat map. The same command goes on where it was stopped.
"""

DEFAULTS = {"epochs": 50, "optimizer": "adam", "learning_rate": 1e-3}
# Why the alignment term: docs/results.md, "How good are HRCAM's maps?"
EMBEDDED = {"epochs": 4, "align_weight": 0.1}


def parse(words=None):
    """The options of the command line."""
    parser = arguments.Parser(__doc__, EXAMPLE)
    parser.add_argument(
        "--half-weight-dir",
        help="run folder of the half model (default: the newest in results/half)",
    )
    parser.add_argument(
        "--align-weight",
        type=float,
        help="of the term that makes high-resolution features average to the "
        "low-resolution ones; 0 is the published training",
    )
    arguments.add_data_options(parser)
    arguments.add_training_options(parser)
    return parser.parse_args(words)


def half_folder(options) -> pathlib.Path:
    """The run folder of the half model to start from."""
    from kerasloc.localizers import HalfModel, newest_run
    from kerasloc.weights import runs_in

    if options.half_weight_dir is not None:
        return pathlib.Path(options.half_weight_dir)
    beside = runs_in(pathlib.Path(options.results_dir) / HalfModel.family)
    return beside[0] if beside else newest_run(HalfModel.family)


def main(words=None):
    """Trains one run, or goes on with it."""
    options = parse(words)
    from kerasloc.data import config as data_config
    from kerasloc.evaluation import figures
    from kerasloc.localizers import HalfModel
    from kerasloc.runs import Run, read_config, seeded
    from kerasloc.training import devices
    from kerasloc.training.configs import HrcamTraining
    from kerasloc.training.hrcam import full_network, train_full

    strategy = devices.select(options.gpu)
    start = half_folder(options)
    half_config = read_config(start)
    half = HalfModel(start)
    data = data_config.data_of_run(half_config["data"], arguments.given(options))
    values = {**half_config["training"], **DEFAULTS}
    values |= EMBEDDED if data_config.is_embedded(data.data_dir) else {}
    values |= arguments.given(options)
    training = arguments.make(HrcamTraining, values)
    devices.set_precision(training.precision)
    network = full_network(half.config, values)
    tables = data_config.training_tables(data, network.channels)
    data_config.check_class_count(tables["train"], options.num_classes)
    data_config.check_same_classes(tables["train"], network.class_names)
    config = {
        "network": vars(network),
        "data": dataclasses.asdict(data),
        "training": dataclasses.asdict(training) | {"half": str(start.resolve())},
    }
    logging.info("Training %s (%s) on %s", network.name, training.name, data.name)
    folder = arguments.run_folder(options, "full", start.name)
    with Run(folder, config) as run, seeded(training.seed):
        how = {"half": half.model, "strategy": strategy}
        train_full(run, tables, network, training, **how)
        figures.draw_history(run)
    logging.info("%s is trained.", folder)
    logging.info("Next: python scripts/evaluate.py --type full")


if __name__ == "__main__":
    arguments.run_main(main)
