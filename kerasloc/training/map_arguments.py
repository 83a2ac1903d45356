"""Options of the scripts that train networks of maps.

The tables stand here once more so that ``--help`` need not load a deep-learning
library; a test holds them to the builders.
"""

import argparse

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
    group = parser.add_argument_group("experiment")
    group.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        help="several runs, one per seed, collected with mean and deviation",
    )
    group.add_argument(
        "--start",
        help="weights to start from: imagenet (fetched once), a run folder ({seed} "
        "stands for the seed), or a PyTorch file",
    )
    group.add_argument(
        "--phases",
        type=int,
        choices=(1, 2),
        help="2: first with the backbone frozen, then everything (default 1)",
    )
    group.add_argument("--patience", type=int, help="epochs before the rate falls")
    group.add_argument("--factor", type=float, help="by which it falls")
    group.add_argument("--stop-rate", type=float, help="rate at which training ends")
    group.add_argument(
        "--evaluation",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure the runs on the test images at the end (default: yes)",
    )
