"""What the decoders over a ResNet have in common: blocks, attention, head, start."""

from collections.abc import Mapping

import keras
import numpy as np
from keras import layers

from kerasloc.backbones import resnet
from kerasloc.backbones.resnet import norm
from kerasloc.checks import as_size
from kerasloc.layers import AlignedResize

HEAD = "segmentation_head_0"
Arrays = Mapping[str, Mapping[str, np.ndarray]]  # by layer and variable


def start(input_shape, classes: int, multiple: int = 32):
    """The symbolic image of a checked shape.

    Args:
        input_shape: Rows, columns, channels.
        classes: How many; at least 1.
        multiple: What both sides are a multiple of.

    Raises:
        ValueError: If the shape or the number does not fit.
    """
    if len(input_shape) != 3:
        raise ValueError(
            f"input_shape is (rows, cols, channels). Received: {input_shape!r}."
        )
    size = as_size(input_shape[:2], multiple=multiple)
    counts = (classes, input_shape[2])
    if any(int(count) != count or count < 1 for count in counts):
        raise ValueError(
            "There is at least one class and one channel. "
            f"Received: {classes!r} classes, {input_shape[2]!r} channels."
        )
    return keras.Input((*size, int(input_shape[2])), name="image")


def conv(x, filters: int, size: int, name: str, bias: bool = True, **options):
    """Convolution with same padding; He-uniform kernel, zero bias.

    Args:
        x: Features.
        filters: Channels of the answer.
        size: Of the kernel; odd.
        name: Of the layer.
        bias: Whether it has one.
        **options: Of ``keras.layers.Conv2D``.
    """
    options = {"kernel_initializer": "he_uniform", **options}
    return layers.Conv2D(
        filters, size, padding="same", use_bias=bias, name=name, **options
    )(x)


def relu(x, name: str):
    """The features, 0 where they were below."""
    return layers.Activation("relu", name=f"{name}_relu")(x)


def conv_bn(x, filters: int, size: int, name: str):
    """Convolution with bias and batch normalization: ``NAME_conv``, ``NAME_bn``."""
    return norm(conv(x, filters, size, f"{name}_conv"), f"{name}_bn")


def conv_bn_relu(x, filters: int, size: int, name: str):
    """Convolution with bias, batch normalization, ReLU."""
    return relu(conv_bn(x, filters, size, name), name)


def resize_like(x, partner, name: str):
    """Features at the size of others, align_corners."""
    return AlignedResize(name=name)(x, partner)


def pyramid_attention(x, filters: int, name: str, deepest: str = "conv3"):
    """The features through 1 x 1, times an attention from three coarser sizes.

    Args:
        x: The deepest features.
        filters: Width of the answer.
        name: Prefix of the layers.
        deepest: Name of the convolution on the coarsest size.

    Reference:
        Li et al., Pyramid Attention Network for Semantic Segmentation, BMVC 2018.
    """
    mid = conv_bn_relu(x, filters, 1, f"{name}_mid_0")
    levels = []
    for level, size in enumerate((7, 5, 3), start=1):
        # same padding keeps an odd last row, which the published pooling drops
        x = layers.MaxPooling2D(2, padding="same", name=f"{name}_down{level}_0")(x)
        x = conv_bn_relu(x, 1, size, f"{name}_down{level}_1")
        levels.append((x, size))
    attention = None
    for (level, size), part in zip(
        reversed(levels), (deepest, "conv2", "conv1"), strict=True
    ):
        finer = conv_bn_relu(level, 1, size, f"{name}_{part}")
        if attention is not None:
            up = resize_like(attention, finer, f"{name}_{part}_up")
            finer = layers.Add(name=f"{name}_{part}_add")([finer, up])
        attention = finer
    attention = resize_like(attention, mid, f"{name}_up")
    return layers.Multiply(name=f"{name}_multiply")([mid, attention])


def norm_relu(x, name: str):
    """Batch normalization ``NAME`` and ReLU."""
    return relu(norm(x, name), name)


def separable(x, filters: int, size: int, name: str, dilation: int = 1):
    """Depthwise convolution ``NAME_0``, then 1 x 1 ``NAME_1``; no bias."""
    x = layers.DepthwiseConv2D(
        size,
        padding="same",
        dilation_rate=dilation,
        use_bias=False,
        depthwise_initializer="he_uniform",
        name=f"{name}_0",
    )(x)
    return conv(x, filters, 1, f"{name}_1", bias=False)


def global_mean(x, name: str):
    """The mean over the image, (n, 1, 1, channels)."""
    return layers.GlobalAveragePooling2D(keepdims=True, name=name)(x)


def head(x, classes: int, size: int, name: str = HEAD):
    """Raw maps (n, rows, cols, classes), float32."""
    return conv(
        x, classes, size, name, dtype="float32", kernel_initializer="glorot_uniform"
    )


def describe(arrays, last: str, options_of) -> dict:
    """What the shapes of weights tell about the network they were made for.

    Args:
        arrays: Every layer's arrays by layer name.
        last: Name of the layer that gives the maps.
        options_of: Function from kernel shapes (rows, cols, in, out) or, of a Dense
            layer, (in, out), by layer name to the options of the builder; a missing
            layer is a KeyError.

    Returns:
        ``class_names`` (numbered), ``channels`` and ``options``; empty if the layers
        are not those of the family.
    """
    kernels = {
        name: next(a.shape for a in values.values() if a.ndim in (2, 4))
        for name, values in arrays.items()
        if any(a.ndim in (2, 4) for a in values.values())
    }
    encoder = resnet.describe(kernels)
    if not encoder or last not in kernels:
        return {}
    try:
        options = options_of(kernels)
    except KeyError:
        return {}
    return {
        "class_names": [f"class {index}" for index in range(kernels[last][-1])],
        "channels": encoder["channels"],
        "options": {"backbone": encoder["backbone"], **options},
    }


def max_pooled(image, maps, name: str) -> keras.Model:
    """The model whose logits are the maxima of its maps.

    Args:
        image: The symbolic image.
        maps: (n, rows, cols, classes).
        name: Of the model.
    """
    logits = layers.GlobalMaxPooling2D(dtype="float32", name="logits")(maps)
    return keras.Model(image, {"logits": logits, "maps": maps}, name=name)
