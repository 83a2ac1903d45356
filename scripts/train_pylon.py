"""Train PYLON: a classifier of image labels with accurate, high-resolution maps."""

from kerasloc.training import cli

EXAMPLE = """\
examples:
  python scripts/train_pylon.py
      on synthetic images made on the spot; a few minutes on a laptop
  python scripts/train_pylon.py --config scripts/configs/pylon_nih14_256.toml \\
      --data-dir NIH
      the published experiment: five seeds, their AUROC and point localization
  python scripts/train_pylon.py --data-dir mine.csv --start imagenet --epochs 20
      images of a csv file; the backbone starts from ImageNet's weights (fetched once)

A run lands in results/pylon/NAME: history.csv, the best and the last weights,
TensorBoard logs, evaluation/. The same command resumes it.
"""


def parse(words=None):
    """Parse the options of the command line."""
    return cli.training_parser("pylon", __doc__, EXAMPLE).parse_args(words)


def main(words=None):
    """Train and evaluate one run, or one per seed."""
    options = parse(words)
    from kerasloc.training.experiment import run_experiment

    run_experiment("pylon", options)


if __name__ == "__main__":
    cli.run_main(main)
