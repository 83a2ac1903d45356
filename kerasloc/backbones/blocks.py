"""Blocks of the decoders over a ResNet: convolutions, attention, head, image."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import layers

from kerasloc.backbones import resnet
from kerasloc.backbones.resnet import norm
from kerasloc.checks import as_size
from kerasloc.configs import check_rules
from kerasloc.layers import AlignedResize

HEAD = "segmentation_head_0"
Arrays = Mapping[str, Mapping[str, np.ndarray]]  # by layer and variable
Tensor: TypeAlias = keras.KerasTensor


def start(input_shape: Sequence[int], classes: int, multiple: int = 32) -> Tensor:
    """Return the symbolic image of a checked shape (rows, cols, channels).

    Raises:
        ValueError: If a side is no multiple, or a number is below 1.

    Examples:
        >>> start((64, 32, 1), classes=3).shape
        (None, 64, 32, 1)
    """
    rule = "input_shape (rows, cols, channels)"
    check_rules({rule: len(input_shape) == 3}, repr(input_shape))
    size = as_size(input_shape[:2], multiple=multiple)
    counts = (classes, input_shape[2])
    if any(int(count) != count or count < 1 for count in counts):
        raise ValueError(
            "Expected at least one class and one channel. "
            f"Received: {classes!r} classes, {input_shape[2]!r} channels."
        )
    return keras.Input((*size, int(input_shape[2])), name="image")


def conv(
    x: Tensor,
    filters: int,
    size: int,
    name: str,
    *,
    bias: bool = True,
    kernel_initializer: Any = "he_uniform",
    dtype: str | None = None,
) -> Tensor:
    """Apply a convolution with same padding; a bias is zero at first.

    Examples:
        >>> conv(keras.Input((8, 8, 4)), 5, 3, "conv").shape
        (None, 8, 8, 5)
    """
    return layers.Conv2D(
        filters,
        size,
        padding="same",
        use_bias=bias,
        kernel_initializer=kernel_initializer,
        dtype=dtype,
        name=name,
    )(x)


def relu(x: Tensor, name: str) -> Tensor:
    """Apply ReLU as layer ``NAME_relu``."""
    return layers.Activation("relu", name=f"{name}_relu")(x)


def conv_bn(x: Tensor, filters: int, size: int, name: str) -> Tensor:
    """Apply a convolution with bias ``NAME_conv`` and batch normalization ``NAME_bn``.

    Examples:
        >>> conv_bn(keras.Input((8, 8, 4)), 5, 1, "gate").shape
        (None, 8, 8, 5)
    """
    return norm(conv(x, filters, size, f"{name}_conv"), f"{name}_bn")


def conv_bn_relu(x: Tensor, filters: int, size: int, name: str) -> Tensor:
    """Apply a convolution with bias, batch normalization and ReLU."""
    return relu(conv_bn(x, filters, size, name), name)


def resize_like(x: Tensor, partner: Tensor, name: str) -> Tensor:
    """Resize features to the size of a partner with aligned corners.

    Examples:
        >>> resize_like(keras.Input((2, 3, 4)), keras.Input((7, 5, 1)), "up").shape
        (None, 7, 5, 4)
    """
    return AlignedResize(name=name)(x, partner)


def pyramid_attention(
    x: Tensor, filters: int, name: str, deepest: str = "conv3"
) -> Tensor:
    """Apply a 1 x 1 convolution, times an attention of three coarser sizes.

    ``deepest`` is the name of the convolution at the coarsest size.

    Examples:
        >>> pyramid_attention(keras.Input((8, 8, 16)), 6, "pa").shape
        (None, 8, 8, 6)

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
    names = (deepest, "conv2", "conv1")
    for (level, size), step in zip(reversed(levels), names, strict=True):
        finer = conv_bn_relu(level, 1, size, f"{name}_{step}")
        if attention is not None:
            up = resize_like(attention, finer, f"{name}_{step}_up")
            finer = layers.Add(name=f"{name}_{step}_add")([finer, up])
        attention = finer
    attention = resize_like(attention, mid, f"{name}_up")
    return layers.Multiply(name=f"{name}_multiply")([mid, attention])


def norm_relu(x: Tensor, name: str) -> Tensor:
    """Apply batch normalization ``NAME`` and ReLU."""
    return relu(norm(x, name), name)


def separable(
    x: Tensor, filters: int, size: int, name: str, dilation: int = 1
) -> Tensor:
    """Apply a depthwise convolution ``NAME_0``, then 1 x 1 ``NAME_1``; no bias.

    Examples:
        >>> separable(keras.Input((8, 8, 4)), 6, 3, "aspp", dilation=2).shape
        (None, 8, 8, 6)
    """
    x = layers.DepthwiseConv2D(
        size,
        padding="same",
        dilation_rate=dilation,
        use_bias=False,
        depthwise_initializer="he_uniform",
        name=f"{name}_0",
    )(x)
    return conv(x, filters, 1, f"{name}_1", bias=False)


def global_mean(x: Tensor, name: str) -> Tensor:
    """Average features over the image, (n, 1, 1, channels)."""
    return layers.GlobalAveragePooling2D(keepdims=True, name=name)(x)


def head(x: Tensor, classes: int, size: int, name: str = HEAD) -> Tensor:
    """Compute raw maps (n, rows, cols, classes) in float32."""
    return conv(
        x, classes, size, name, dtype="float32", kernel_initializer="glorot_uniform"
    )


def kernel_shapes(arrays: Arrays) -> dict[str, Any]:
    """Return the shapes of kernels by layer: (rows, cols, in, out), or (in, out)."""
    shapes: dict[str, Any] = {}
    for name, values in arrays.items():
        kernels = [a.shape for a in values.values() if a.ndim in (2, 4)]
        shapes |= {name: kernels[0]} if kernels else {}
    return shapes


def description(classes: int, channels: int, options: Mapping) -> dict[str, Any]:
    """Return ``class_names`` (numbered), ``channels`` and ``options`` of a network."""
    names = [f"class {index}" for index in range(classes)]
    return {"class_names": names, "channels": channels, "options": dict(options)}


def describe(
    arrays: Arrays, options_of: Callable[[dict], dict], last: str = HEAD
) -> dict[str, Any]:
    """Describe the network of weights by :func:`kernel_shapes`.

    Args:
        arrays: Arrays by layer and variable.
        options_of: Function from kernel shapes by layer name to the options of the
            builder; a missing layer is a KeyError.
        last: Name of the layer that outputs the maps.

    Returns:
        :func:`description`; empty if the layers are not those of the family.
    """
    kernels = kernel_shapes(arrays)
    encoder = resnet.describe(kernels)
    if not encoder or last not in kernels:
        return {}
    try:
        options = options_of(kernels)
    except KeyError:
        return {}
    options = {"backbone": encoder["backbone"], **options}
    return description(kernels[last][-1], encoder["channels"], options)


def max_pooled(image: Tensor, maps: Tensor, name: str) -> keras.Model:
    """Build the model whose logits are the maxima of maps (n, rows, cols, classes).

    Examples:
        >>> image = keras.Input((8, 8, 3))
        >>> model = max_pooled(image, head(image, classes=2, size=1), "tiny")
        >>> {name: output.shape for name, output in model.output.items()}
        {'logits': (None, 2), 'maps': (None, 8, 8, 2)}
    """
    logits = layers.GlobalMaxPooling2D(dtype="float32", name="logits")(maps)
    return keras.Model(image, {"logits": logits, "maps": maps}, name=name)
