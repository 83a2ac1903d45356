"""HRCAM: the half model classifies, the full model draws at the image's resolution.

Both end in the same 16 channels weighed by the same classifier column: averaged they
are the score of a class, unaveraged its class activation map.

Reference:
    Tagaris, Sdraka, Stafylopatis: High Resolution Class Activation Mapping for
    Discriminative Feature Localization, ICIP 2019.
"""

import re
from collections.abc import Sequence

import keras
from keras import layers

from kerasloc.backbones.blocks import Arrays, description, kernel_shapes, start
from kerasloc.backbones.configs import DenseNetConfig
from kerasloc.backbones.densenet_fcn import conv, encode, expand

CLASSIFIER = "aux_output"
# With he_normal at full scale the reconstruction starts at an error of 6 to 7 and
# falls to the zero image; a twentieth of it starts close to there and leaves.
RECONSTRUCTION_SCALE = 0.05


def half_densenet(
    input_shape: Sequence[int],
    classes: int,
    *,
    growth: int = 16,
    blocks: int = 4,
    layers_per_block: int = 4,
    initial_filters: int = 48,
    momentum: float = 0.99,
    weight_decay: float = 1e-4,
) -> keras.Model:
    """Build the classifier with a low-resolution map: `logits`, `low_features`.

    Options as for :class:`~kerasloc.backbones.configs.DenseNetConfig`; ``input_shape``
    is (rows, cols, channels), both sides multiples of ``2 ** (blocks + 1)``, 32.

    Returns:
        Model of images in [0, 1] with float32 outputs ``logits`` (n, classes) and
        ``low_features`` (n, rows / 16, cols / 16, growth).

    Raises:
        ValueError: If a size is not allowed.
    """
    config = DenseNetConfig(
        growth, blocks, layers_per_block, initial_filters, momentum, weight_decay
    )
    image = start(input_shape, classes, config.stride)
    features, _ = encode(image, config)
    outputs = _classify(features, classes, config)
    return keras.Model(image, outputs, name="half_densenet")


def full_densenet(
    input_shape: Sequence[int],
    classes: int,
    *,
    growth: int = 16,
    blocks: int = 4,
    layers_per_block: int = 4,
    initial_filters: int = 48,
    momentum: float = 0.99,
    weight_decay: float = 1e-4,
) -> keras.Model:
    """Build the half model with an expansion network: two maps, a reconstruction.

    Arguments as for :func:`half_densenet`.

    Returns:
        The outputs of :func:`half_densenet`, ``high_features`` (n, rows, cols, growth)
        and ``reconstruction`` (n, rows, cols, channels).

    Raises:
        ValueError: If a size is not allowed.
    """
    config = DenseNetConfig(
        growth, blocks, layers_per_block, initial_filters, momentum, weight_decay
    )
    image = start(input_shape, classes, config.stride)
    features, skips = encode(image, config)
    outputs = _classify(features, classes, config)
    high = expand(features, skips, config)
    outputs["high_features"] = _float32(high, "high_features")
    outputs["reconstruction"] = _reconstruct(outputs["high_features"], image)
    return keras.Model(image, outputs, name="full_densenet")


def _classify(features, classes, config):
    """Head: `conv_aux`, averaged over the image, weighed for every class."""
    low = conv(features, config.growth, 1, "conv_aux")  # (n, rows/16, cols/16, growth)
    low = _float32(low, "low_features")
    pooled = layers.GlobalAveragePooling2D(dtype="float32", name="gap")(low)
    logits = layers.Dense(
        classes, kernel_regularizer=config.l2(), dtype="float32", name=CLASSIFIER
    )(pooled)
    return {"logits": logits, "low_features": low}


def _float32(features, name):
    return layers.Activation("linear", dtype="float32", name=name)(features)


def _reconstruct(high, image):
    """Reconstruct the image from the features of the high-resolution map."""
    return layers.Conv2D(
        image.shape[-1],
        1,
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(
            2.0 * RECONSTRUCTION_SCALE**2  # he_normal has 2
        ),
        dtype="float32",
        name="main_output",
    )(high)


def add_alignment(model: keras.Model) -> keras.Model:
    """Add the output `alignment` to the full model: zero where the CAMs agree.

    ``alignment`` is the high features averaged to the size of the low ones, minus the
    low ones. Trained towards zero it makes one classifier column mean the same in
    both maps. Not in the paper.
    """
    high, low = model.output["high_features"], model.output["low_features"]
    step = high.shape[1] // low.shape[1]
    pooled = layers.AveragePooling2D(step, dtype="float32", name="high_pooled")(high)
    difference = layers.Subtract(dtype="float32", name="alignment")([pooled, low])
    outputs = {**model.output, "alignment": difference}
    return keras.Model(model.input, outputs, name=f"{model.name}_aligned")


def expansion_of(model: keras.Model) -> tuple[list[layers.Layer], list[layers.Layer]]:
    """Split a full model's layers into the half model's and the expansion's."""
    half = keras.Model(model.input, model.output["logits"])
    names = {layer.name for layer in half.layers}
    shared = [layer for layer in model.layers if layer.name in names]
    return shared, [layer for layer in model.layers if layer.name not in names]


def describe(arrays: Arrays) -> dict:
    """Describe the network of weights; see :mod:`kerasloc.backbones.blocks`."""
    shapes = kernel_shapes(arrays)
    if not {"initial_conv2D", "conv_aux", CLASSIFIER} <= set(shapes):
        return {}
    first, classes = shapes["initial_conv2D"], shapes[CLASSIFIER][-1]
    options = {
        "growth": int(shapes["conv_aux"][-1]),
        "blocks": sum(bool(re.fullmatch(r"tr_\d+_conv2D", x)) for x in shapes),
        "layers_per_block": sum(name.startswith("dense_0_") for name in shapes),
        "initial_filters": int(first[-1]),
    }
    if options["blocks"] * options["layers_per_block"] > len(shapes):
        return {}  # layers that the file does not have
    return description(classes, int(first[2]), options)
