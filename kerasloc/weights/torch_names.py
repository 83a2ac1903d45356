"""Layer, variable and axes of a published PyTorch parameter in Keras.

A layer has the name of its published path, dots as underscores, without what holds the
network (``net.``, ``encoder.``, ...): ``net.decoder.pa.mid.0.conv.weight`` is the
``kernel`` of the layer ``pa_mid_0_conv``. The explainer-classifier has its names for
the blocks of its ResNet: ``sb1.block0`` is ``layer1.0``.
"""

import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

HOLDERS = ("module", "net", "model", "encoder", "decoder", "classifier")
BLOCK = re.compile(r"\bsb([1-4])\.block(\d+)\b")
COUNTER, CLASSIFIER = "num_batches_tracked", "fc"  # the end and the start of a name
NORMALIZATION = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
# published axes in Keras' order, by layer; no kernel is flipped
KERNELS = (
    (keras.layers.DepthwiseConv2D, (2, 3, 0, 1)),
    (keras.layers.Conv2D, (2, 3, 1, 0)),
    (keras.layers.Conv2DTranspose, (2, 3, 1, 0)),
    (keras.layers.Dense, (1, 0)),
)


def find_layer(path: str, layers: Mapping[str, Any]) -> Any:
    """Return the layer of a path such as ``net.encoder.layer1.0.conv1``, or None.

    Leading holders are stripped while the rest is not the name of a layer.

    Examples:
        >>> find_layer("module.net.layer1.0.conv1", {"layer1_0_conv1": "the layer"})
        'the layer'
    """
    words = _usual(path).split(".")
    while words:
        layer = layers.get("_".join(words))
        if layer is not None or words.pop(0) not in HOLDERS:
            return layer
    return None


def find_variable(layer: keras.layers.Layer, parameter: str) -> Any:
    """Return the variable of a published ``weight``, ``running_mean``, ..., or None."""
    variables = {variable.name: variable for variable in layer.weights}
    names = NORMALIZATION if "gamma" in variables else {"weight": "kernel"}
    return variables.get(names.get(parameter, parameter))


def to_keras(layer: keras.layers.Layer, variable: Any, array: np.ndarray) -> np.ndarray:
    """Transpose a published array to the axes of a layer's variable."""
    axes = _axes(layer, variable)
    return array.transpose(axes) if array.ndim == len(axes) else array


def published_shape(layer: keras.layers.Layer, variable: Any) -> tuple[int, ...]:
    """Return the shape of a layer's variable with its axes as published.

    Examples:
        >>> dense = keras.layers.Dense(5)
        >>> dense.build((None, 3))
        >>> published_shape(dense, dense.kernel)
        (5, 3)
    """
    return tuple(np.array(variable.shape)[np.argsort(_axes(layer, variable))].tolist())


def _axes(layer, variable) -> tuple[int, ...]:
    """Return the published axes in Keras' order."""
    same = tuple(range(len(variable.shape)))
    if variable.name != "kernel":
        return same
    return next((axes for kind, axes in KERNELS if isinstance(layer, kind)), same)


def as_numpy(array: Any) -> np.ndarray:
    """Convert an array or PyTorch tensor (bfloat16, with gradients, ...) to NumPy."""
    if hasattr(array, "detach"):
        array = array.detach().cpu()
        if str(array.dtype) == "torch.bfloat16":
            array = array.float()
    return np.asarray(array)


def bare(name: str) -> str:
    """Strip what holds the network from a published name.

    Examples:
        >>> bare("module.classifier.sb1.block0.conv1.weight")
        'layer1.0.conv1.weight'
    """
    words = _usual(name).split(".")
    while len(words) > 1 and words[0] in HOLDERS:
        del words[0]
    return ".".join(words)


def _usual(name: str) -> str:
    return BLOCK.sub(r"layer\1.\2", name)


def is_surplus(name: str) -> bool:
    """Test for an entry of files that networks here may lack.

    Examples:
        >>> is_surplus("net.fc.weight"), is_surplus("net.conv1.weight")
        (True, False)
    """
    return name.endswith(f".{COUNTER}") or bare(name).startswith(f"{CLASSIFIER}.")


def kind_of(name: str) -> str:
    """Name the kind of a surplus entry.

    Examples:
        >>> kind_of("net.fc.weight"), kind_of("bn1.num_batches_tracked")
        ('fc', 'num_batches_tracked')
    """
    last = name.rpartition(".")[2]
    return last if last == COUNTER else bare(name).partition(".")[0]
