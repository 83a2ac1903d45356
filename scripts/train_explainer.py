"""Train a classifier that explains itself: first it, then its explainer, then both.

From image labels, and from masks or boxes of training images.
"""

from kerasloc.training import cli

EXAMPLE = """\
examples:
  python scripts/train_explainer.py
      on synthetic polygons made on the spot, with their masks; minutes
  python scripts/train_explainer.py --loss unsupervised --results-name labels
      the same from labels alone
  python scripts/train_explainer.py --config scripts/configs/explainer_hvz.toml \\
      --data-dir imagenetHVZ
      a published run
  python scripts/train_explainer.py --data-dir my.csv --epochs 10,10,60 --start imagenet
      a csv file with the columns image, label, and mask or boxes
  python scripts/train_explainer.py --dataset nih14 --data-dir NIH \\
      --classes Cardiomegaly Pneumothorax

A run lands in results/explainer/NAME: history.csv, the best weights, figures/ with the
curves and explanations of every phase, a folder for each phase (phase1-classifier,
phase2-explainer, phase3-both), evaluation/. The same command
resumes it, inside any phase. Then:
  python scripts/generate_heatmaps.py --type explainer --html
  python scripts/compare_explanations.py
"""


def parse(words=None):
    """Parse the options of the command line."""
    parser = cli.training_parser("explainer", __doc__, EXAMPLE, without=())
    return parser.parse_args(words)


def main(words=None):
    """Train and evaluate one run, or one per seed."""
    options = parse(words)
    from kerasloc.training.experiment import run_experiment

    run_experiment("explainer", options)


if __name__ == "__main__":
    cli.run_main(main)
