"""Options of the scripts that train networks of maps.

The tables stand here once more so that ``--help`` need not load a deep-learning
library; a test holds them to the builders.
"""

import argparse

from kerasloc.data.splits import PROTOCOLS
from kerasloc.training.arguments import add_experiment_options
from kerasloc.training.configs import DECAYS, SELECTIONS, HamTraining

BACKBONES = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
)
OPTIONS = {
    "pylon": {
        "decoder_channels": 128,
        "use_pa": True,
        "up_type": "2layer",
        "up_kernel_size": 1,
        "n_up": 3,
        "head_kernel_size": 1,
    },
    "baseline": {"pooling": "max"},
    "li2018": {"decoder_channels": 512, "out_size": 20, "min_val": 0.98},
    "fpn": {
        "pyramid_channels": 256,
        "decoder_channels": 128,
        "norm": "batchnorm",
        "groups": 32,
    },
    "unet": {"decoder_channels": (256, 128, 64, 32, 16)},
    "deeplabv3plus": {
        "decoder_channels": 256,
        "output_stride": 16,
        "atrous_rates": (12, 24, 36),
        "aspp": "original",
    },
    "pan": {"decoder_channels": 128, "use_gap": True},
    "ham": {"downsampling": 8, "using_pooling": True, "using_dilation": True},
}


def add_map_options(parser, family: str):
    """Networks over a ResNet, and their trainings.

    Args:
        parser: To add to.
        family: Whose options to add.
    """
    parser.add_argument(
        "--config", help="toml file of options, such as scripts/configs/*.toml"
    )
    group = parser.add_argument_group(f"network ({family})")
    group.add_argument("--backbone", choices=BACKBONES)
    for name, default in OPTIONS[family].items():
        flag = f"--{name.replace('_', '-')}"
        text = f"published: {default}"
        if isinstance(default, bool):
            action = argparse.BooleanOptionalAction
            group.add_argument(flag, action=action, default=None, help=text)
        elif isinstance(default, tuple):
            group.add_argument(flag, type=int, nargs="+", help=text)
        else:
            group.add_argument(flag, type=type(default), help=text)
    group = add_experiment_options(parser)
    group.add_argument(
        "--start",
        help="weights to start from: imagenet (fetched once), a run folder ({seed} "
        "stands for the seed), or a PyTorch file",
    )
    _add_splits(parser)
    if family == "ham":
        _add_ham(parser)
    else:
        _add_plateau(parser)


def _add_splits(parser):
    """Which images are for what, where the data does not say it or says it twice."""
    group = parser.add_argument_group("splits (default: those of the data)")
    group.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        help="a published way to split: the official lists; five folds of all images; "
        "training on images without boxes; five folds of the images with boxes",
    )
    group.add_argument(
        "--image-sets",
        help="folder of lists train.txt, val.txt, test.txt, annotated.txt, such as "
        "utils/make_splits.py writes (with --folds: of folders fold0, fold1, ...)",
    )
    group.add_argument(
        "--folds", type=int, nargs="+", help="several runs, one per fold (0 to 4)"
    )
    group.add_argument(
        "--uncertain",
        choices=("unknown", "ones", "zeros"),
        help="what CheXpert's uncertain labels become (default unknown)",
    )


def _add_plateau(parser):
    """How the other networks of maps are trained."""
    group = parser.add_argument_group("phases and learning rate")
    group.add_argument(
        "--phases",
        type=int,
        choices=(1, 2),
        help="2: first with the backbone frozen, then everything (default 1)",
    )
    group.add_argument("--patience", type=int, help="epochs before the rate falls")
    group.add_argument("--factor", type=float, help="by which it falls")
    group.add_argument("--stop-rate", type=float, help="rate at which training ends")


def _add_ham(parser):
    """How HAM is trained."""
    group = parser.add_argument_group("boxes")
    group.add_argument(
        "--box-share",
        type=float,
        help="share of the training images with boxes whose boxes are learned from: 0 "
        "for labels alone, 1 for all (default)",
    )
    group.add_argument(
        "--annotated-weight",
        type=float,
        help="how often an image with boxes is drawn beside one without (default 1)",
    )
    group.add_argument(
        "--crf",
        action=argparse.BooleanOptionalAction,
        default=None,
        help='refine box masks on the image first (needs pip install -e ".[crf]")',
    )
    group.add_argument(
        "--select",
        choices=SELECTIONS,
        help="what the best weights are best by on validation (default auroc); the "
        "best by each are kept, too, where validation images have boxes",
    )
    group = parser.add_argument_group("objective and learning rate")
    for name, default in HamTraining().term_weights.items():
        text = f"of this term (published: {default})"
        group.add_argument(f"--{name}-weight", type=float, help=text)
    group.add_argument("--weight-decay", type=float, help="published: 1e-4")
    group.add_argument(
        "--decay", choices=DECAYS, help="of the learning rate (default step)"
    )
    group.add_argument(
        "--decay-epochs",
        type=int,
        help="step: a tenth every so many epochs (10); polynomial: 0 after so many "
        "(all of --epochs)",
    )
