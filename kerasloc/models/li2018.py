"""Li 2018: multiple-instance learning on a grid of patches.

Reference:
    Li et al., Thoracic Disease Identification and Localization with Limited
    Supervision, CVPR 2018; as PYLON compares with it (iScience 25(3), 2022).
"""

import keras

from kerasloc.backbones import blocks
from kerasloc.backbones.blocks import check, conv, head, norm_relu, start
from kerasloc.backbones.resnet import resnet
from kerasloc.layers import AlignedResize, MultipleInstancePooling


def li2018(
    input_shape,
    classes: int,
    backbone: str = "resnet50",
    *,
    decoder_channels: int = 512,
    out_size: int = 20,
    min_val: float = 0.98,
) -> keras.Model:
    """The network: `logits` (n, classes) and `maps` (n, out_size, out_size, classes).

    Args:
        input_shape: Rows, columns, channels; both sides multiples of 32.
        classes: How many.
        backbone: One of :data:`kerasloc.backbones.resnet.ARCHITECTURES`.
        decoder_channels: Width of the 3 x 3 convolution.
        out_size: Rows and columns of the grid.
        min_val: Of :class:`kerasloc.layers.MultipleInstancePooling`.

    Raises:
        ValueError: If a size or an option does not fit.
    """
    rules = {"decoder_channels is at least 1": decoder_channels >= 1}
    check(rules, decoder_channels)
    image = start(input_shape, classes)
    x = resnet(image, backbone)["stage5"]
    x = AlignedResize(size=(out_size, out_size), name="out_0")(x)
    x = conv(x, decoder_channels, 3, "out_1")
    maps = head(norm_relu(x, "out_2"), classes, 1, "out_4")
    logits = MultipleInstancePooling(min_val, name="logits")(maps)
    return keras.Model(image, {"logits": logits, "maps": maps}, name="li2018")


def describe(arrays) -> dict:
    """What shapes tell; see :mod:`kerasloc.backbones.blocks`."""
    return blocks.describe(
        arrays, "out_4", lambda kernels: {"decoder_channels": int(kernels["out_1"][-1])}
    )
