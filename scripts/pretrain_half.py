"""Trains HRCAM's HalfModel: a classifier with a low-resolution class activation map."""

import dataclasses
import logging

from kerasloc.training import arguments

EXAMPLE = """\
examples:
  python scripts/pretrain_half.py
      on synthetic images made on the spot; a minute or two on a laptop
  python scripts/pretrain_half.py --data-dir animals
      on your own folders animals/train/CLASS/*.jpg, as published (224 px, 50 epochs)

The run lands in results/half/NAME: history.csv, the best and the last weights,
TensorBoard logs. The same command goes on where it was stopped.
"""

PUBLISHED = {"im_size": 224, "channels": 3}
# What is trained without --data-dir: small enough for minutes on two CPU cores.
EMBEDDED = {
    "im_size": 96,
    "channels": 3,
    "growth": 8,
    "initial_filters": 24,
    "momentum": 0.9,
    "epochs": 4,
    "batch_size": 32,
    "optimizer": "adam",
    "learning_rate": 2e-3,
    "augmentation": "none",
}


def parse(words=None):
    """The options of the command line."""
    parser = arguments.Parser(__doc__, EXAMPLE)
    arguments.add_data_options(parser)
    arguments.add_training_options(parser)
    arguments.add_network_options(parser)
    return parser.parse_args(words)


def main(words=None):
    """Trains one run, or goes on with it."""
    options = parse(words)
    from kerasloc.data import config as data_config
    from kerasloc.evaluation import figures
    from kerasloc.runs import Run, seeded
    from kerasloc.training import devices
    from kerasloc.training.configs import HrcamTraining
    from kerasloc.training.hrcam import half_network, train_half

    values = {**(PUBLISHED if options.data_dir else EMBEDDED)}
    values |= arguments.given(options)
    if options.data_dir is None:
        values |= data_config.embedded_data()
    data = arguments.make(data_config.DataConfig, values)
    training = arguments.make(HrcamTraining, values)
    strategy = devices.select(options.gpu)
    devices.set_precision(training.precision)
    tables = data_config.training_tables(data, values["channels"])
    data_config.check_class_count(tables["train"], options.num_classes)
    network = half_network(tables["train"], values)
    config = {
        "network": vars(network),
        "data": dataclasses.asdict(data),
        "training": dataclasses.asdict(training),
    }
    logging.info("Training %s (%s) on %s", network.name, training.name, data.name)
    folder = arguments.run_folder(options, "half", data.name)
    with Run(folder, config) as run, seeded(training.seed):
        train_half(run, tables, network, training, strategy=strategy)
        figures.draw_history(run)
    logging.info("%s is trained. Next: python scripts/train_full.py", folder)


if __name__ == "__main__":
    arguments.run_main(main)
