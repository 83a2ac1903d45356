"""Options of scripts/train_explainer.py.

Names and values stand here so that ``--help`` need not load a deep-learning library.
"""

import argparse

from kerasloc.training.arguments import add_experiment_options
from kerasloc.training.configs import LOSSES, PHASE_DECAYS, PHASES, ExplainerTraining

CLASSIFIERS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "vgg")


class OneOrThree(argparse.Action):
    """Takes ``10,10,60`` or ``10 10 60``, and one value for all phases."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Keeps the values as a tuple of the option's kind."""
        words = [word for value in values for word in value.split(",") if word]
        kind = {"epochs": int, "patience": int, "optimizer": str, "decay": str}
        try:
            answer = tuple(map(kind.get(self.dest, float), words))
        except ValueError:
            parser.error(f"{option_string} takes numbers. Received: {' '.join(values)}")
        setattr(namespace, self.dest, answer)


def add_explainer_options(parser):
    """The network, its loss and its three phases, with the published spellings."""
    parser.add_argument(
        "--config", help="toml file of options, such as scripts/configs/*.toml"
    )
    group = parser.add_argument_group("network")
    group.add_argument(
        "--classifier", "--clf", "-clf", choices=CLASSIFIERS, help="published: resnet18"
    )
    group.add_argument(
        "--init-bias",
        type=float,
        help="what the explanation's last bias starts from: large for white first "
        "explanations (published: 3)",
    )
    group.add_argument(
        "--start",
        help="weights to start from: imagenet (of the classifier; fetched once), a run "
        "folder ({seed} stands for the seed), or a weight file",
    )
    _add_phases(parser)
    _add_loss(parser)
    group = add_experiment_options(parser)
    group.add_argument(
        "--aug-prob",
        type=float,
        help="probability of each change of the strong augmentation (published: 0.2)",
    )


def _add_phases(parser):
    """What every phase has for itself."""
    group = parser.add_argument_group(
        f"phases: {', '.join(PHASES)}",
        "one value for all three, or one for each: --epochs 10,10,60",
    )
    published = ExplainerTraining()
    texts = {
        "epochs": (("--nr-epochs",), "until which epoch of the phase"),
        "alpha": ((), "share of the cross-entropy in the loss"),
        "classifier_rate": (
            ("--lr-clf", "-lr_clf"),
            "learning rate of the classifier; 0 in the second phase",
        ),
        "explainer_rate": (
            ("--lr-expl", "-lr_expl"),
            "that of the explainer; 0 in the first phase",
        ),
        "optimizer": (("--opt",), "adadelta, adam or sgd"),
        "decay": ((), f"how the rates fall: {', '.join(PHASE_DECAYS)}"),
        "patience": (
            ("--early-patience",),
            "epochs without a better validation loss before the phase ends",
        ),
    }
    for name, (others, text) in texts.items():
        usual = ",".join(f"{value}" for value in getattr(published, name))
        flag = f"--{name.replace('_', '-')}"
        group.add_argument(
            flag,
            *others,
            dest=name,
            nargs="+",
            action=OneOrThree,
            metavar="VALUE",
            help=f"{text} (published: {usual})",
        )
    group.add_argument(
        "--min-delta",
        "--early-delta",
        type=float,
        help="what counts as a better validation loss (published: 1e-4)",
    )
    group.add_argument(
        "--auto-stop",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="end the first phase when the classification loss has fallen to a "
        "quarter, the second when the explanation loss is below a fifth of the first",
    )
    group.add_argument(
        "--accuracy-drop",
        type=float,
        help="share of the validation accuracy that the later phases may lose "
        "(default 0.1)",
    )


def _add_loss(parser):
    """What the loss is made of."""
    group = parser.add_argument_group("loss")
    group.add_argument(
        "--loss",
        choices=LOSSES,
        help="hybrid: with masks or boxes of the training images (published); "
        "unsupervised: labels alone",
    )
    group.add_argument(
        "--beta", type=float, help="sparsity against smoothness (published: 0.9)"
    )
    group.add_argument(
        "--gamma", type=float, help="of what lies outside the masks (published: 1)"
    )
    group.add_argument(
        "--budget",
        type=float,
        help="share of the pixels that may be marked for nothing (default 0)",
    )
    group.add_argument(
        "--weak-everywhere",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="count an image without a mask as one whose mask is empty",
    )
    group.add_argument(
        "--class-weights",
        nargs="+",
        action=ClassWeights,
        help="balanced, or a weight for every class (default: 1 each)",
    )
    group.add_argument("--weight-decay", type=float, help="published: 1e-4")


class ClassWeights(argparse.Action):
    """Takes ``balanced`` or a number for every class."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Keeps the word, or the numbers as a tuple."""
        words = [word for value in values for word in value.split(",") if word]
        try:
            answer = "balanced" if words == ["balanced"] else tuple(map(float, words))
        except ValueError:
            parser.error(f"{option_string} takes 'balanced' or numbers")
        setattr(namespace, self.dest, answer)
