"""The plain classifier: a 1 x 1 convolution on the deepest features, pooled.

Reference:
    The baseline of Preechakul et al., Improved image classification explainability with
    high-accuracy heatmaps, iScience 25(3), 2022; Zhou et al., Learning Deep Features
    for Discriminative Localization, CVPR 2016.
"""

import functools
from collections.abc import Sequence

import keras
from keras import layers

from kerasloc.backbones import blocks
from kerasloc.backbones.blocks import head, start
from kerasloc.backbones.resnet import resnet
from kerasloc.models.options import BaselineOptions

POOLINGS = {"max": layers.GlobalMaxPooling2D, "avg": layers.GlobalAveragePooling2D}


def baseline(
    input_shape: Sequence[int],
    classes: int,
    backbone: str = "resnet50",
    pooling: str = "max",
) -> keras.Model:
    """Build the network: `logits` and `maps` (n, rows / 32, cols / 32, classes).

    Options as for :class:`~kerasloc.models.options.BaselineOptions`;
    ``input_shape`` is (rows, cols, channels), both sides multiples of 32.

    Raises:
        ValueError: If a size or an option is not allowed.
    """
    options = BaselineOptions(backbone, pooling)
    image = start(input_shape, classes)
    maps = head(resnet(image, options.backbone)["stage5"], classes, 1, "out")
    logits = POOLINGS[options.pooling](dtype="float32", name="logits")(maps)
    return keras.Model(image, {"logits": logits, "maps": maps}, name="baseline")


describe = functools.partial(blocks.describe, last="out", options_of=lambda kernels: {})
