"""The plain classifier: a 1 x 1 convolution on the deepest features, pooled.

Reference:
    The baseline of Preechakul et al., Improved image classification explainability with
    high-accuracy heatmaps, iScience 25(3), 2022; Zhou et al., Learning Deep Features
    for Discriminative Localization, CVPR 2016.
"""

import keras
from keras import layers

from kerasloc.backbones import blocks
from kerasloc.backbones.blocks import check, head, start
from kerasloc.backbones.resnet import resnet

POOLINGS = {
    "max": layers.GlobalMaxPooling2D,
    "avg": layers.GlobalAveragePooling2D,
}


def baseline(
    input_shape, classes: int, backbone: str = "resnet50", pooling: str = "max"
) -> keras.Model:
    """The network: `logits` (n, classes) and `maps` (n, rows / 32, cols / 32, classes).

    Args:
        input_shape: Rows, columns, channels; both sides multiples of 32.
        classes: How many.
        backbone: One of :data:`kerasloc.backbones.resnet.ARCHITECTURES`.
        pooling: ``max`` or ``avg``: what makes a logit of a map.

    Raises:
        ValueError: If a size or an option does not fit.
    """
    check({"pooling is 'max' or 'avg'": pooling in POOLINGS}, repr(pooling))
    image = start(input_shape, classes)
    maps = head(resnet(image, backbone)["stage5"], classes, 1, "out")
    logits = POOLINGS[pooling](dtype="float32", name="logits")(maps)
    return keras.Model(image, {"logits": logits, "maps": maps}, name="baseline")


def describe(arrays) -> dict:
    """What shapes tell (not ``pooling``); see :mod:`kerasloc.backbones.blocks`."""
    return blocks.describe(arrays, "out", lambda kernels: {})
