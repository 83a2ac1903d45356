"""Published PyTorch parameters into networks, matched by name, all or none.

A layer has the name of its published path, dots as underscores, without what holds the
network (``net.``, ``encoder.``, ...): ``net.decoder.pa.mid.0.conv.weight`` is the
``kernel`` of the layer ``pa_mid_0_conv``. The explainer-classifier has its names for
the blocks of its ResNet: ``sb1.block0`` is ``layer1.0``.
"""

import collections
import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kerasloc.weights.files import assign_all
from kerasloc.weights.torch_files import read_torch, state_of

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


ADVICE = (
    "Build the network with the backbone, options, class count and channel count that "
    "these weights were trained with."
)


@dataclasses.dataclass(frozen=True)
class Matched:
    """Number of a network's arrays, which all match, and names that it does not use.

    Examples:
        >>> print(Matched(8, ("fc.weight", "fc.bias")))
        8 of 8 arrays matched; 2 entries left aside (fc)
    """

    matched: int
    ignored: tuple[str, ...] = ()

    def __str__(self):
        text = f"{self.matched} of {self.matched} arrays matched"
        if not self.ignored:
            return text
        kinds = sorted({kind_of(name) for name in self.ignored})
        listed = ", ".join(kinds[:4] + ["..."] * (len(kinds) > 4))
        entries = "entry" if len(self.ignored) == 1 else "entries"
        return f"{text}; {len(self.ignored)} {entries} left aside ({listed})"


@dataclasses.dataclass
class Matches:
    """Variables with their arrays, surplus names, and names that do not fit."""

    pairs: list[tuple[Any, np.ndarray]] = dataclasses.field(default_factory=list)
    ignored: list[str] = dataclasses.field(default_factory=list)
    problems: dict[str, list[str]] = dataclasses.field(
        default_factory=lambda: collections.defaultdict(list)
    )

    def fill(self, title: str) -> Matched:
        """Assign the arrays; a ValueError with the source's title on problems."""
        assign_all(self.pairs, self.problems, title, ADVICE)
        return Matched(len(self.pairs), tuple(self.ignored))


def load_torch(model: Any, source: Any) -> Matched:
    """Fill a network with published arrays.

    Args:
        model: Keras model, or a wrapper with one as ``model``.
        source: Path of a `.pt`, `.pth`, `.bin`, `.ckpt` or `.safetensors` file, or a
            mapping of published parameter names to arrays (or PyTorch tensors).

    Returns:
        Number of arrays that matched, and ignored names: counters of batch
        normalization and the classifier ``fc`` of a ResNet.

    Raises:
        TypeError: If the model or the source is of another type.
        ValueError: If a name or shape does not fit, or is missing; nothing changes.

    Examples:
        >>> dense = keras.layers.Dense(1, use_bias=False, name="head_0")
        >>> model = keras.Sequential([keras.Input((2,)), dense])
        >>> print(load_torch(model, {"net.head.0.weight": [[1.0, 2.0]]}))
        1 of 1 arrays matched
        >>> dense.kernel.numpy().ravel()
        array([1., 2.], dtype=float32)
    """
    layers = layers_of(network_of(model))
    return match(layers, arrays_of(source)).fill(title_of(source))


def network_of(model: Any) -> keras.Model:
    """Return the Keras model itself, or a wrapper's; a TypeError without one."""
    network = model if isinstance(model, keras.Model) else getattr(model, "model", None)
    if not isinstance(network, keras.Model):
        raise TypeError(
            "Expected a Keras model, or a wrapper with one as its .model. "
            f"Received: {type(model).__name__}."
        )
    return network


def layers_of(network: keras.Model) -> dict[str, keras.layers.Layer]:
    """Collect the layers with weights by name, also those of nested models."""
    layers: dict[str, keras.layers.Layer] = {}
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            layers.update(layers_of(layer))
        elif layer.weights:
            layers[layer.name] = layer
    return layers


def arrays_of(source: Any) -> dict[str, Any]:
    """Return the arrays of a path or a mapping by published name."""
    if isinstance(source, str | os.PathLike):
        return read_torch(source)
    if isinstance(source, Mapping):
        return state_of(source) or dict(source)
    raise TypeError(
        "Expected weights from a path or a mapping of names to arrays. "
        f"Received: {type(source).__name__}."
    )


def title_of(source: Any) -> str:
    """Name a source in errors."""
    return "the mapping" if isinstance(source, Mapping) else str(source)


def match(layers: Mapping[str, Any], arrays: Mapping[str, Any]) -> Matches:
    """Match arrays by published name with all variables of layers by name."""
    matches, targets = Matches(), set()
    origins: dict[str, str] = {}  # of layers
    problems = matches.problems
    for name, array in arrays.items():
        path, _, parameter = name.rpartition(".")
        layer = find_layer(path, layers)
        variable = layer and find_variable(layer, parameter)
        if variable is None and is_surplus(name):
            matches.ignored.append(name)
        elif variable is None:
            problems["unknown to the network"].append(name)
        elif origins.setdefault(layer.name, path) != path:
            label = f"{name} (as {origins[layer.name]} is)"
            problems["for a layer that has another"].append(label)
        else:
            targets.add(id(variable))
            values = to_keras(layer, variable, as_numpy(array))
            if tuple(values.shape) == tuple(variable.shape):
                matches.pairs.append((variable, values))
            else:
                expected = published_shape(layer, variable)
                shapes = f"{name} {np.shape(array)} for {expected}"
                problems["of another shape"].append(shapes)
    problems["of the network that got nothing"] = [
        f"{layer.name}/{variable.name}"
        for layer in layers.values()
        for variable in layer.weights
        if id(variable) not in targets
    ]
    return matches
