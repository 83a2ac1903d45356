"""The explainer-classifier: a classifier that sees what its explanation lets through.

A small encoder and decoder, the explainer, outputs an explanation: one value in [0, 1]
per pixel. It multiplies the features of the classifier wherever the classifier pools
them or ends a block, so what the explanation blanks out cannot decide.

Reference:
    Rio-Torto, Fernandes, Teixeira, Understanding the decisions of CNNs: an in-model
    approach, Pattern Recognition Letters 133, 2020.
"""

from collections.abc import Callable, Sequence

import keras
from keras import layers

from kerasloc.backbones import blocks
from kerasloc.backbones.blocks import conv, start
from kerasloc.backbones.configs import ResNetConfig
from kerasloc.backbones.resnet import EPSILON, MOMENTUM, resnet
from kerasloc.backbones.vgg import conv_relu_twice, vgg
from kerasloc.configs import check_rules
from kerasloc.layers import BatchNormalization
from kerasloc.models.options import ExplainerOptions

MULTIPLES = {"vgg": 16}  # divisors of the image's sides; 32 for the ResNets
WIDTHS = (32, 64, 128)
PREFIX = "explainer_"
SMALL = 1e-3


def explainer_classifier(
    input_shape: Sequence[int],
    classes: int,
    classifier: str = "resnet18",
    *,
    init_bias: float = 3.0,
) -> keras.Model:
    """Build the network: `explanation` (n, rows, cols, 1), `logits` (n, classes).

    Explanations lie in [0, 1].

    Options as for :class:`~kerasloc.models.options.ExplainerOptions`;
    ``input_shape`` is (rows, cols, channels), both sides multiples of 32 (VGG: 16).

    Raises:
        ValueError: If a size or an option is not allowed.
    """
    ExplainerOptions(classifier, init_bias)
    image = start(input_shape, classes, MULTIPLES.get(classifier, 32))
    explanation = explainer(image, init_bias)
    if classifier == "vgg":
        logits = _vgg_classifier(image, explanation, classes)
    else:
        hook = multiplied_by(explanation)
        x = resnet(image, classifier, ResNetConfig(after_block=hook))["stage5"]
        x = layers.GlobalAveragePooling2D(name="avgpool")(x)
        logits = layers.Dense(classes, dtype="float32", name="fc")(x)
    outputs = {"explanation": explanation, "logits": logits}
    return keras.Model(image, outputs, name="explainer_classifier")


def explainer(image: keras.KerasTensor, init_bias: float = 3.0) -> keras.KerasTensor:
    """Build the explanation of an image, (n, rows, cols, 1) in [0, 1], float32.

    Raises:
        ValueError: If a side is not a multiple of 8.
    """
    size = tuple(image.shape[1:3])
    rule = "images whose sides are multiples of 8"
    check_rules({rule: all(side % 8 == 0 for side in size)}, size)
    x, encoded = image, []
    for stage, width in enumerate(WIDTHS):
        x = conv_relu_twice(x, width, f"{PREFIX}conv_mod{stage}")
        encoded.append(x)
        x = layers.MaxPooling2D(2, name=f"{PREFIX}pool{stage}")(x)
    for step, width in enumerate(reversed(WIDTHS)):
        enlarge = layers.Conv2DTranspose(
            width, 2, 2, kernel_initializer=SameTaps(), name=f"{PREFIX}tr_conv{step}"
        )
        up = enlarge(x)
        x = layers.Add(name=f"{PREFIX}add{step}")([up, encoded.pop()])
        x = conv_relu_twice(x, width, f"{PREFIX}conv_mod{len(WIDTHS) + step}")
    # small, so that the last bias alone decides the output of an untrained explainer
    small = keras.initializers.VarianceScaling(SMALL)
    x = conv(x, 1, 1, f"{PREFIX}conv_1x1", kernel_initializer=small)
    x = BatchNormalization(
        momentum=MOMENTUM,
        epsilon=EPSILON,
        beta_initializer=keras.initializers.Constant(init_bias),
        dtype="float32",
        name=f"{PREFIX}bn",
    )(x)
    x = layers.Activation("tanh", dtype="float32", name=f"{PREFIX}tanh")(x)
    return layers.Activation("relu", dtype="float32", name="explanation")(x)


@keras.saving.register_keras_serializable(package="kerasloc")
class SameTaps(keras.initializers.Initializer):
    """Kernels of transposed convolutions that at first only enlarge.

    Their taps are drawn alike, so the four pixels that one becomes are equal. With
    other kernels explanations become stripes, which cost half of an area.

    Reference:
        Aitken et al., Checkerboard artifact free sub-pixel convolution, 2017.
    """

    def __call__(self, shape, dtype=None):
        """Draw a kernel (rows, cols, out, in), the same at every tap."""
        rows, cols, width, depth = shape
        draw = keras.initializers.VarianceScaling(2.0, "fan_out", "uniform")
        return keras.ops.tile(draw((1, 1, width, depth), dtype), (rows, cols, 1, 1))


def multiplied_by(explanation: keras.KerasTensor) -> Callable:
    """Make a hook that adds the multiplication layers to any backbone.

    The function ``(features, name) -> features`` multiplies all channels by the
    explanation (n, rows, cols, 1), average-pooled to their size, in the layer
    ``NAME_explained``; a size that does not divide the explanation's is a ValueError.
    """
    pooled = {}

    def hook(features, name):
        size = tuple(features.shape[1:3])
        if size not in pooled:
            pooled[size] = _pooled(explanation, size)
        return layers.Multiply(name=f"{name}_explained")([features, pooled[size]])

    return hook


def _pooled(explanation, size):
    """Pool the explanation to the size of features."""
    full = tuple(explanation.shape[1:3])
    factors, rests = zip(*map(divmod, full, size), strict=True)
    rule = "features whose size divides that of the explanation"
    check_rules({rule: not any(rests)}, f"{full} and {size}")
    if factors == (1, 1):
        return explanation
    name = "explanation_" + "x".join(map(str, size))
    return layers.AveragePooling2D(factors, name=name)(explanation)


def _vgg_classifier(image, explanation, classes):
    """Build the logits of the VGG whose stages are multiplied."""
    x = vgg(image, multiplied_by(explanation))
    x = layers.GlobalMaxPooling2D(name="maxpool")(x)
    for number in (0, 1):
        x = layers.Dense(128, activation="sigmoid", name=f"dense{number}")(x)
        x = layers.Dropout(0.3, name=f"dropout{number}")(x)
    return layers.Dense(classes, dtype="float32", name="last_dense")(x)


def deepest(model: keras.Model) -> str:
    """Return the name of the network's last multiplication layer."""
    return [x.name for x in model.layers if x.name.endswith("_explained")][-1]


def describe(arrays: blocks.Arrays) -> dict:
    """Describe the network of weights; see :mod:`kerasloc.backbones.blocks`."""
    if f"{PREFIX}conv_1x1" not in arrays:  # no other family has it
        return {}
    network = blocks.describe(arrays, lambda kernels: {}, "fc")
    if network:
        return {**network, "options": {"classifier": network["options"]["backbone"]}}
    kernels = blocks.kernel_shapes(arrays)
    first, last = (kernels.get(name) for name in ("conv_mod0_conv0", "last_dense"))
    if not first or not last:
        return {}
    return blocks.description(last[-1], first[2], {"classifier": "vgg"})
