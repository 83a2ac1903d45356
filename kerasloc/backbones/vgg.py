"""The small VGG of the explainer-classifier: four stages of two convolutions.

Reference:
    Rio-Torto, Fernandes, Teixeira, Understanding the decisions of CNNs: an in-model
    approach, Pattern Recognition Letters 133, 2020; after Simonyan, Zisserman, Very
    Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015.
"""

from collections.abc import Callable

from keras import layers

from kerasloc.backbones.blocks import conv, relu

WIDTHS = (32, 64, 128, 256)


def vgg(image, after_block: Callable | None = None):
    """The deepest features, (n, rows / 16, cols / 16, 256).

    Args:
        image: Images (n, rows, cols, channels); both sides multiples of 16.
        after_block: Function ``(features, name) -> features`` behind every stage
            (``conv_mod0``, ...) and before its pooling, or None.
    """
    x = image
    for stage, width in enumerate(WIDTHS):
        name = f"conv_mod{stage}"
        x = conv_relu_twice(x, width, name)
        x = x if after_block is None else after_block(x, name)
        x = layers.MaxPooling2D(2, name=f"{name}_pool")(x)
    return x


def conv_relu_twice(x, filters: int, name: str):
    """Two 3 x 3 convolutions, each with a ReLU: ``NAME_conv0``, ``NAME_conv1``.

    Args:
        x: Features.
        filters: Channels of the answer.
        name: Prefix of the layers.
    """
    for number in (0, 1):
        part = f"{name}_conv{number}"
        x = relu(conv(x, filters, 3, part), part)
    return x
