"""Train HAM: a classifier with an attention for "abnormal" and one for every class.

It learns from image labels alone, or also from boxes.
"""

from kerasloc.training import cli

EXAMPLE = """\
examples:
  python scripts/train_ham.py
      on synthetic images made on the spot, with boxes for half of them; minutes
  python scripts/train_ham.py --box-share 0 --results-name labels
      the same from labels alone
  python scripts/train_ham.py --config scripts/configs/ham_nih14_boxes_5fold.toml \\
      --data-dir NIH
      the published experiment: five folds, their AUROC, TIoU and TIoR
  python scripts/train_ham.py --dataset chexpert --data-dir CheXpert --start imagenet

A run lands in results/ham/NAME: history.csv, the best weights by AUROC, TIoU and TIoR,
the last ones, TensorBoard logs with both attentions, evaluation/.
The same command resumes it. Then:
  python scripts/generate_heatmaps.py --type ham --html
"""


def parse(words=None):
    """Parse the options of the command line."""
    return cli.training_parser("ham", __doc__, EXAMPLE, without=()).parse_args(words)


def main(words=None):
    """Train and evaluate one run, or one per fold and seed."""
    options = parse(words)
    from kerasloc.training.experiment import run_experiment

    run_experiment("ham", options)


if __name__ == "__main__":
    cli.run_main(main)
