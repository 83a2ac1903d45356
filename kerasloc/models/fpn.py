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

    Options as for :class:`~kerasloc.models.options.FPNOptions`;
    ``input_shape`` is (rows, cols, channels), both sides multiples of 32.

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
    """Describe the network of weights; see :func:`kerasloc.backbones.blocks`."""
    norm = "groupnorm" if len(arrays.get(NORM, ())) == 2 else "batchnorm"

    def options(kernels):
        pyramid, decoder = map(int, kernels["seg_blocks_0_block_0_block_0"][2:])
        return {"pyramid_channels": pyramid, "decoder_channels": decoder, "norm": norm}

    return blocks.describe(arrays, options)


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
    epsilon = resnet.EPSILON
    return layers.GroupNormalization(options.groups, epsilon=epsilon, name=name)(x)
