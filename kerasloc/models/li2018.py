"""Li 2018: multiple-instance learning on a grid of patches.

Reference:
    Li et al., Thoracic Disease Identification and Localization with Limited
    Supervision, CVPR 2018; as PYLON compares with it (iScience 25(3), 2022).
"""

import functools
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

    Options as for :class:`~kerasloc.models.options.Li2018Options`;
    ``input_shape`` is (rows, cols, channels), both sides multiples of 32.

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


def _options(kernels):
    return {"decoder_channels": int(kernels["out_1"][-1])}


describe = functools.partial(blocks.describe, last="out_4", options_of=_options)
