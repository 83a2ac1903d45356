"""Train HRCAM's HalfModel: a classifier with a low-resolution class activation map."""

import logging

from kerasloc.training import cli

EXAMPLE = """\
examples:
  python scripts/pretrain_half.py
      on synthetic images made on the spot; a minute or two on a laptop
  python scripts/pretrain_half.py --data-dir animals
      on folders animals/train/CLASS/*.jpg, as published (224 px, 50 epochs)

The run lands in results/half/NAME: history.csv, the best and the last weights,
TensorBoard logs. The same command resumes it.
"""


def parse(words=None):
    """Parse the options of the command line."""
    return cli.training_parser("half", __doc__, EXAMPLE).parse_args(words)


def main(words=None):
    """Train one run, or one per seed."""
    options = parse(words)
    from kerasloc.training.experiment import run_experiment

    for folder in run_experiment("half", options):
        logging.info("%s is trained.", folder)
    logging.info("Next: python scripts/train_full.py")


if __name__ == "__main__":
    cli.run_main(main)
