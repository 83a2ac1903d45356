"""DenseNet-FCN: a densely connected encoder with a transposed-convolution decoder.

Layer names are API: published weights load by them.

Reference:
    Jegou et al., The One Hundred Layers Tiramisu, CVPRW 2017; the variant of Tagaris
    et al., High Resolution Class Activation Mapping, ICIP 2019.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import keras
from keras import layers

from kerasloc.backbones.configs import DenseNetConfig
from kerasloc.layers import BatchNormalization

EPSILON = 1.1e-5
Tensor: TypeAlias = keras.KerasTensor


def norm_relu(x: Tensor, name: str, config: DenseNetConfig) -> Tensor:
    """Apply batch normalization and ReLU."""
    x = BatchNormalization(momentum=config.momentum, epsilon=EPSILON, name=name)(x)
    return layers.Activation("relu", name=f"{name}_relu")(x)


def conv(x: Tensor, filters: int, size: int, name: str, penalty: Any = None) -> Tensor:
    """Apply a convolution with same padding and without bias."""
    return layers.Conv2D(
        filters,
        size,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        kernel_regularizer=penalty,
        name=name,
    )(x)


def stem(x: Tensor, config: DenseNetConfig) -> Tensor:
    """Compute features of half the image's size with ``initial_filters`` channels."""
    x = conv(x, config.initial_filters, 3, "initial_conv2D", config.l2())
    x = norm_relu(x, "initial_bn", config)
    return transition_down(x, "early", config)


def transition_down(x: Tensor, index: int | str, config: DenseNetConfig) -> Tensor:
    """Apply a 1 x 1 convolution of as many channels and max-pooling by 2."""
    x = norm_relu(x, f"tr_{index}_bn", config)
    x = conv(x, x.shape[-1], 1, f"tr_{index}_conv2D", config.l2())
    return layers.MaxPooling2D(2, name=f"tr_{index}_pool")(x)


def transition_up(
    x: Tensor, index: int | str, filters: int, config: DenseNetConfig
) -> Tensor:
    """Double the size of features with a transposed convolution."""
    return layers.Conv2DTranspose(
        filters,
        3,
        strides=2,
        padding="same",
        activation="relu",
        kernel_initializer="he_normal",
        kernel_regularizer=config.l2(),
        name=f"tr_up_{index}_conv2DT",
    )(x)


def dense_block(x: Tensor, index: int, config: DenseNetConfig) -> tuple[Tensor, Tensor]:
    """Apply a dense block; returns joined features and the new ones alone.

    Examples:
        >>> config = DenseNetConfig(growth=4, layers_per_block=2)
        >>> joined, new = dense_block(keras.Input((8, 8, 6)), 0, config)
        >>> joined.shape, new.shape
        ((None, 8, 8, 14), (None, 8, 8, 8))
    """
    new = []
    for layer in range(config.layers_per_block):
        name = f"dense_{index}_{layer}"
        y = norm_relu(x, f"{name}_bn", config)
        new.append(conv(y, config.growth, 3, f"{name}_conv2D"))
        x = layers.Concatenate(name=f"{name}_concat")([x, new[-1]])
    if len(new) == 1:
        return x, new[0]
    return x, layers.Concatenate(name=f"dense_{index}_new")(new)


def encode(image: Tensor, config: DenseNetConfig) -> tuple[Tensor, list[Tensor]]:
    """Build the encoder and the first step of the decoder.

    Returns:
        The features (rows / 2**blocks, cols / 2**blocks, up_filters) and the remaining
        skips, the shallowest first.

    Examples:
        >>> config = DenseNetConfig(growth=4, blocks=2, layers_per_block=1)
        >>> features, skips = encode(keras.Input((32, 32, 3)), config)
        >>> features.shape, [skip.shape for skip in skips]
        ((None, 8, 8, 4), [(None, 16, 16, 52)])
        >>> expand(features, skips, config).shape
        (None, 32, 32, 4)
    """
    x, skips = stem(image, config), []
    for index in range(config.blocks):
        joined, _ = dense_block(x, index, config)
        skips.append(joined)
        x = transition_down(joined, index, config)
    _, new = dense_block(x, config.blocks, config)  # the bottleneck
    _, new = decode_step(new, skips.pop(), 0, config)
    return new, skips


def decode_step(
    x: Tensor, skip: Tensor, step: int, config: DenseNetConfig
) -> tuple[Tensor, Tensor]:
    """Upsample, join a skip, apply a dense block; returns joined and new features."""
    x = transition_up(x, step, config.up_filters, config)
    x = layers.Concatenate(name=f"tr_up_{step}_concat")([x, skip])
    return dense_block(x, config.blocks + 1 + step, config)


def expand(x: Tensor, skips: Sequence[Tensor], config: DenseNetConfig) -> Tensor:
    """Build the rest of the decoder after :func:`encode`: (rows, cols, growth)."""
    joined = x
    for step, skip in enumerate(reversed(skips), start=1):
        joined, x = decode_step(x, skip, step, config)
    return transition_up(joined, "early", config.growth, config)
