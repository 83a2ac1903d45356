"""Trains PYLON: a classifier of image labels with accurate, high-resolution maps."""

from kerasloc.training import arguments, map_arguments

EXAMPLE = """\
examples:
  python scripts/train_pylon.py
      on synthetic images made on the spot; a few minutes on a laptop
  python scripts/train_pylon.py --config scripts/configs/pylon_nih14_256.toml \\
      --data-dir NIH
      the published experiment: five seeds, their AUROC and point localization
  python scripts/train_pylon.py --data-dir mine.csv --start imagenet --epochs 20
      your own images; the backbone starts from ImageNet's weights (fetched once)

A run lands in results/pylon/NAME: history.csv, the best and the last weights,
TensorBoard logs, evaluation/. The same command goes on where it was stopped.
"""


def parse(words=None):
    """The options of the command line."""
    parser = arguments.Parser(__doc__, EXAMPLE)
    arguments.add_data_options(parser)
    arguments.add_training_options(parser)
    map_arguments.add_map_options(parser, "pylon")
    return parser.parse_args(words)


def main(words=None):
    """Trains and measures one run, or one a seed."""
    options = parse(words)
    from kerasloc.training.experiments import run_experiment

    run_experiment("pylon", options)


if __name__ == "__main__":
    arguments.run_main(main)
