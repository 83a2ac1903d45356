"""The small VGG of the explainer-classifier: four stages of two convolutions.

Reference:
    Rio-Torto, Fernandes, Teixeira, Understanding the decisions of CNNs: an in-model
    approach, Pattern Recognition Letters 133, 2020; after Simonyan, Zisserman, Very
    Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from kerasloc.backbones.blocks import conv, relu

WIDTHS = (32, 64, 128, 256)


def vgg(
    image: keras.KerasTensor, after_block: Callable[..., Any] | None = None
) -> keras.KerasTensor:
    """Build the network; returns the deepest features, (n, rows / 16, cols / 16, 256).

    ``after_block``, ``(features, name) -> features``, is called behind every stage
    (``conv_mod0``, ...) and before its pooling.

    Examples:
        >>> vgg(keras.Input((32, 48, 3))).shape
        (None, 2, 3, 256)
    """
    x = image
    for stage, width in enumerate(WIDTHS):
        name = f"conv_mod{stage}"
        x = conv_relu_twice(x, width, name)
        x = x if after_block is None else after_block(x, name)
        x = layers.MaxPooling2D(2, name=f"{name}_pool")(x)
    return x


def conv_relu_twice(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    """Apply two 3 x 3 convolutions with ReLU: ``NAME_conv0``, ``NAME_conv1``."""
    for number in (0, 1):
        layer = f"{name}_conv{number}"
        x = relu(conv(x, filters, 3, layer), layer)
    return x
