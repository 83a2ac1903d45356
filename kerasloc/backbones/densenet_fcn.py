"""DenseNet-FCN: a densely connected encoder with a transposed-convolution decoder.

Layer names are API: published weights load by them, and nothing else looks a layer
up in any other way.

Reference:
    Jegou et al., The One Hundred Layers Tiramisu, CVPRW 2017; the variant of Tagaris
    et al., High Resolution Class Activation Mapping, ICIP 2019.
"""

from keras import layers

from kerasloc.backbones.configs import DenseNetConfig
from kerasloc.layers import BatchNormalization

EPSILON = 1.1e-5


def norm_relu(x, name: str, config: DenseNetConfig):
    """ReLU of the batch-normalized features."""
    x = BatchNormalization(momentum=config.momentum, epsilon=EPSILON, name=name)(x)
    return layers.Activation("relu", name=f"{name}_relu")(x)


def conv(x, filters: int, size: int, name: str, penalty=None):
    """Convolution with same padding and without bias."""
    return layers.Conv2D(
        filters,
        size,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        kernel_regularizer=penalty,
        name=name,
    )(x)


def stem(x, config: DenseNetConfig):
    """Features of half the image's size, (rows / 2, cols / 2, initial_filters)."""
    x = conv(x, config.initial_filters, 3, "initial_conv2D", config.l2())
    x = norm_relu(x, "initial_bn", config)
    return transition_down(x, "early", config)


def transition_down(x, index, config: DenseNetConfig):
    """The features after a 1 x 1 convolution of as many channels, max-pooled by 2."""
    x = norm_relu(x, f"tr_{index}_bn", config)
    x = conv(x, x.shape[-1], 1, f"tr_{index}_conv2D", config.l2())
    return layers.MaxPooling2D(2, name=f"tr_{index}_pool")(x)


def transition_up(x, index, filters: int, config: DenseNetConfig):
    """Features of twice the size."""
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


def dense_block(x, index: int, config: DenseNetConfig):
    """The features joined with every dense layer's, and the new ones alone.

    Returns:
        ``[x, new]`` with ``channels + up_filters`` channels, ``new`` with
        ``up_filters``.
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


def encode(image, config: DenseNetConfig):
    """Features after the first way up, and the skips that are still to be used.

    Returns:
        The features (rows / 2**blocks, cols / 2**blocks, up_filters) and a list of
        the skips, the shallowest first.
    """
    x, skips = stem(image, config), []
    for index in range(config.blocks):
        joined, _ = dense_block(x, index, config)
        skips.append(joined)
        x = transition_down(joined, index, config)
    _, new = dense_block(x, config.blocks, config)  # the bottleneck
    _, new = decode_step(new, skips.pop(), 0, config)
    return new, skips


def decode_step(x, skip, step: int, config: DenseNetConfig):
    """One way up: upsample, join the skip, one dense block; joined and new features."""
    x = transition_up(x, step, config.up_filters, config)
    x = layers.Concatenate(name=f"tr_up_{step}_concat")([x, skip])
    return dense_block(x, config.blocks + 1 + step, config)


def expand(x, skips, config: DenseNetConfig):
    """Features of the image's size, (rows, cols, growth).

    Args:
        x: What :func:`encode` gave.
        skips: The skips it left, the shallowest first.
        config: The same sizes.
    """
    joined = x
    for step, skip in enumerate(reversed(skips), start=1):
        joined, x = decode_step(x, skip, step, config)
    return transition_up(joined, "early", config.growth, config)
