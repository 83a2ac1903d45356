"""Li 2018: multiple-instance learning on a grid of patches.

Reference:
    Li et al., Thoracic Disease Identification and Localization with Limited
    Supervision, CVPR 2018; as PYLON compares with it (iScience 25(3), 2022).
"""

from collections.abc import Sequence

import keras

from kerasloc.backbones import blocks
from kerasloc.backbones.blocks import conv, head, norm_relu, start
from kerasloc.backbones.resnet import resnet
from kerasloc.layers import AlignedResize, MultipleInstancePooling
from kerasloc.models.options import Li2018Options


def li2018(
    input_shape: Sequence[int],
    classes: int,
    backbone: str = "resnet50",
    *,
    decoder_channels: int = 512,
    out_size: int = 20,
    min_val: float = 0.98,
) -> keras.Model:
    """Build the network: `logits` and `maps` (n, out_size, out_size, classes).

    Args:
        input_shape: Rows, columns, channels; both sides multiples of 32.
        classes: Number of classes.
        backbone: Name of one of :data:`kerasloc.backbones.configs.ARCHITECTURES`.
        decoder_channels: Number of channels of the 3 x 3 convolution.
        out_size: Rows and columns of the grid of patches.
        min_val: Lower bound of the factors that
            :class:`kerasloc.layers.MultipleInstancePooling` multiplies, in (0, 1).

    Raises:
        ValueError: If a size or an option is not allowed.
    """
    Li2018Options(backbone, decoder_channels, out_size, min_val)
    image = start(input_shape, classes)
    x = resnet(image, backbone)["stage5"]
    x = AlignedResize(size=(out_size, out_size), name="out_0")(x)
    x = conv(x, decoder_channels, 3, "out_1")
    maps = head(norm_relu(x, "out_2"), classes, 1, "out_4")
    logits = MultipleInstancePooling(min_val, name="logits")(maps)
    return keras.Model(image, {"logits": logits, "maps": maps}, name="li2018")


def describe(arrays: blocks.Arrays) -> dict:
    """Describe the network of weights; see :mod:`kerasloc.backbones.blocks`."""
    return blocks.describe(
        arrays, "out_4", lambda kernels: {"decoder_channels": int(kernels["out_1"][-1])}
    )
