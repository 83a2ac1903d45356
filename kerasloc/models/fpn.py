"""FPN for segmentation, its maps max-pooled to logits.

Reference:
    Kirillov et al., Panoptic Feature Pyramid Networks, CVPR 2019; as PYLON compares
    with it (iScience 25(3), 2022).
"""

from collections.abc import Sequence

import keras
from keras import layers

from kerasloc.backbones import blocks, resnet
from kerasloc.backbones.blocks import conv, head, max_pooled, relu, start
from kerasloc.layers import AlignedResize
from kerasloc.models.options import FPNOptions

NORM = "seg_blocks_0_block_0_block_1"  # absent where it is folded
LATERALS = {"stage4": "p4", "stage3": "p3", "stage2": "p2"}


def fpn(
    input_shape: Sequence[int],
    classes: int,
    backbone: str = "resnet50",
    *,
    pyramid_channels: int = 256,
    decoder_channels: int = 128,
    norm: str = "batchnorm",
    groups: int = 32,
) -> keras.Model:
    """Build the network: `logits` and `maps` (n, rows / 4, cols / 4, classes).

    Args:
        input_shape: Rows, columns, channels; both sides multiples of 32.
        classes: Number of classes.
        backbone: Name of one of :data:`kerasloc.backbones.configs.ARCHITECTURES`.
        pyramid_channels: Number of channels of the pyramid.
        decoder_channels: Number of channels of the decoder.
        norm: Normalization of the decoder: ``batchnorm`` or ``groupnorm``.
        groups: Number of groups of the group normalization.

    Raises:
        ValueError: If a size or an option is not allowed.
    """
    options = FPNOptions(backbone, pyramid_channels, decoder_channels, norm, groups)
    image = start(input_shape, classes)
    taps = resnet.resnet(image, backbone)
    x = conv(taps["stage5"], pyramid_channels, 1, "p5")
    pyramid = [x]  # p5, p4, p3, p2
    for tap, name in LATERALS.items():
        lateral = conv(taps[tap], x.shape[-1], 1, f"{name}_skip_conv")
        up = layers.UpSampling2D(2, interpolation="nearest", name=f"{name}_up")(x)
        x = layers.Add(name=name)([up, lateral])
        pyramid.append(x)
    levels = [_block(x, index, options) for index, x in enumerate(pyramid)]
    x = layers.Add(name="seg_blocks")(levels)  # (n, rows / 4, cols / 4, width)
    return max_pooled(image, head(x, classes, 1), "fpn")


def describe(arrays: blocks.Arrays) -> dict:
    """Describe the network of weights, ``groups`` excepted.

    See :func:`kerasloc.backbones.blocks.describe`.
    """

    def options(kernels):
        first = kernels["seg_blocks_0_block_0_block_0"]
        kind = "groupnorm" if len(arrays.get(NORM, ())) == 2 else None
        return {
            "pyramid_channels": int(first[2]),
            "decoder_channels": int(first[3]),
            "norm": kind or "batchnorm",
        }

    return blocks.describe(arrays, blocks.HEAD, options)


def _block(x, index: int, options: FPNOptions):
    """Enlarge a level to the size of the finest: 3, 2, 1 and 0 times up."""
    ups = 3 - index
    for step in range(max(1, ups)):
        name = f"seg_blocks_{index}_block_{step}"
        x = conv(x, options.decoder_channels, 3, f"{name}_block_0", bias=False)
        x = relu(_norm(x, f"{name}_block_1", options), name)
        if ups:
            x = AlignedResize(scale=2, name=f"{name}_up")(x)
    return x


def _norm(x, name: str, options: FPNOptions):
    if options.norm == "batchnorm":
        return resnet.norm(x, name)
    normalize = layers.GroupNormalization(
        options.groups, epsilon=resnet.EPSILON, name=name
    )
    return normalize(x)
