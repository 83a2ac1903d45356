"""Train one of the networks that PYLON is compared with, in the same way."""

from kerasloc.training import cli

MODELS = ("baseline", "li2018", "fpn", "unet", "deeplabv3plus", "pan")
EXAMPLE = """\
examples:
  python scripts/train_baseline.py
      the plain classifier, max-pooled, on synthetic images made on the spot
  python scripts/train_baseline.py --model fpn --norm groupnorm
  python scripts/train_baseline.py --model deeplabv3plus --help
      the options of that network
  python scripts/train_baseline.py --model unet \\
      --config scripts/configs/unet_nih14_256.toml --data-dir NIH
      the published experiment: five seeds, their AUROC and point localization

A run lands in results/MODEL/NAME: history.csv, the best and the last weights,
TensorBoard logs, evaluation/. The same command resumes it.
"""


def parse(words=None):
    """Parse the options of the command line, which depend on the model."""
    finder = cli.Parser(__doc__, EXAMPLE, add_help=False)
    _add_model(finder)
    model = finder.parse_known_args(words)[0].model
    parser = cli.training_parser(model, __doc__, EXAMPLE)
    _add_model(parser)
    return parser.parse_args(words)


def _add_model(parser):
    text = f"Network (default: {MODELS[0]})."
    parser.add_argument("--model", choices=MODELS, default=MODELS[0], help=text)


def main(words=None):
    """Train and evaluate one run, or one per seed."""
    options = parse(words)
    from kerasloc.training.experiment import run_experiment

    run_experiment(options.model, options)


if __name__ == "__main__":
    cli.run_main(main)
