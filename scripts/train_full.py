"""Train HRCAM's FullModel: the half model stays, the expansion learns to draw."""

import dataclasses
import logging

from kerasloc.models.options import HrcamOptions
from kerasloc.training import cli

EXAMPLE = """\
examples:
  python scripts/train_full.py
      from the newest half model in results/half, on the data that it was trained on
  python scripts/train_full.py --half-weight-dir results/half/animals --epochs 50

The run lands in results/full/NAME, with a picture of every step from the image to the
refined heat map. The same command resumes it.
"""


def parse(words=None):
    """Parse the options of the command line; the network is the half model's."""
    network = {field.name for field in dataclasses.fields(HrcamOptions)}
    parser = cli.training_parser(
        "full",
        __doc__,
        EXAMPLE,
        without=network | {"box_share"},
        inherited="the half model",
    )
    return parser.parse_args(words)


def main(words=None):
    """Train one run, or one per seed."""
    options = parse(words)
    from kerasloc.training.experiment import run_experiment

    for folder in run_experiment("full", options):
        logging.info("%s is trained.", folder)
    logging.info("Next: python scripts/evaluate.py --type full")


if __name__ == "__main__":
    cli.run_main(main)
