"""FPN for segmentation, its maps max-pooled to logits.

Reference:
    Kirillov et al., Panoptic Feature Pyramid Networks, CVPR 2019; as PYLON compares
    with it (iScience 25(3), 2022).
"""

import keras
from keras import layers

from kerasloc.backbones import blocks
from kerasloc.backbones.blocks import check, conv, head, max_pooled, relu, start
from kerasloc.backbones.resnet import EPSILON, norm, resnet
from kerasloc.layers import AlignedResize

NORM = "seg_blocks_0_block_0_block_1"  # absent where it is folded
LATERALS = {"stage4": "p4", "stage3": "p3", "stage2": "p2"}


def fpn(
    input_shape, classes: int, backbone: str = "resnet50", **options
) -> keras.Model:
    """The network: `logits` (n, classes) and `maps` (n, rows / 4, cols / 4, classes).

    Args:
        input_shape: Rows, columns, channels; both sides multiples of 32.
        classes: How many.
        backbone: One of :data:`kerasloc.backbones.resnet.ARCHITECTURES`.
        **options: ``pyramid_channels`` (256), ``decoder_channels`` (128), ``norm``
            (``batchnorm`` or ``groupnorm``), ``groups`` (32): of the group norm.

    Raises:
        ValueError: If a size or an option does not fit.
        TypeError: If an option is unknown.
    """
    config = settings(**options)
    image = start(input_shape, classes)
    taps = resnet(image, backbone)
    x = conv(taps["stage5"], config["pyramid_channels"], 1, "p5")
    pyramid = [x]  # p5, p4, p3, p2
    for tap, name in LATERALS.items():
        lateral = conv(taps[tap], x.shape[-1], 1, f"{name}_skip_conv")
        up = layers.UpSampling2D(2, interpolation="nearest", name=f"{name}_up")(x)
        x = layers.Add(name=name)([up, lateral])
        pyramid.append(x)
    levels = [_block(x, index, config) for index, x in enumerate(pyramid)]
    x = layers.Add(name="seg_blocks")(levels)  # (n, rows / 4, cols / 4, width)
    return max_pooled(image, head(x, classes, 1), "fpn")


def describe(arrays) -> dict:
    """What shapes tell (not ``groups``); see :mod:`kerasloc.backbones.blocks`."""

    def options(kernels):
        first = kernels["seg_blocks_0_block_0_block_0"]
        kind = "groupnorm" if len(arrays.get(NORM, ())) == 2 else None
        return {
            "pyramid_channels": int(first[2]),
            "decoder_channels": int(first[3]),
            "norm": kind or "batchnorm",
        }

    return blocks.describe(arrays, blocks.HEAD, options)


def _block(x, index: int, config: dict):
    """A level of the pyramid at the size of its finest: 3, 2, 1 and 0 times up."""
    ups = 3 - index
    for step in range(max(1, ups)):
        name = f"seg_blocks_{index}_block_{step}"
        x = conv(x, config["decoder_channels"], 3, f"{name}_block_0", bias=False)
        x = relu(_norm(x, f"{name}_block_1", config), name)
        if ups:
            x = AlignedResize(scale=2, name=f"{name}_up")(x)
    return x


def _norm(x, name: str, config: dict):
    if config["norm"] == "batchnorm":
        return norm(x, name)
    groups = config["groups"]
    return layers.GroupNormalization(groups, epsilon=EPSILON, name=name)(x)


def settings(
    *, pyramid_channels=256, decoder_channels=128, norm="batchnorm", groups=32
) -> dict:
    """The checked options."""
    config = dict(locals())
    rules = {
        "widths are at least 1": min(pyramid_channels, decoder_channels) >= 1,
        "norm is 'batchnorm' or 'groupnorm'": norm in ("batchnorm", "groupnorm"),
        "groups divide decoder_channels": groups >= 1
        and (norm == "batchnorm" or decoder_channels % groups == 0),
    }
    check(rules, config)
    return config
