"""Trains one of the networks that PYLON is compared with, in the same way."""

from kerasloc.training import arguments, map_arguments

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
TensorBoard logs, evaluation/. The same command goes on where it was stopped.
"""


def parse(words=None):
    """The options of the command line."""
    finder = arguments.Parser(__doc__, EXAMPLE, add_help=False)
    finder.add_argument("--config")
    finder.add_argument("--model", choices=MODELS, default=MODELS[0])
    model = finder.parse_known_args(words)[0].model
    parser = arguments.Parser(__doc__, EXAMPLE)
    parser.add_argument(
        "--model", choices=MODELS, default=MODELS[0], help="which (default: baseline)"
    )
    arguments.add_data_options(parser)
    arguments.add_training_options(parser)
    map_arguments.add_map_options(parser, model)
    return parser.parse_args(words)


def main(words=None):
    """Trains and measures one run, or one a seed."""
    options = parse(words)
    from kerasloc.training.experiments import run_experiment

    run_experiment(options.model, options)


if __name__ == "__main__":
    arguments.run_main(main)
