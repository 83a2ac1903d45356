"""Published PyTorch parameters into networks, matched by name, all or nothing.

The rules of names and axes are in :mod:`kerasloc.weights.torch_names`.
"""

import collections
import dataclasses
import os
from collections.abc import Mapping

import keras

from kerasloc.weights.files import mismatch
from kerasloc.weights.torch_files import read_torch, state_of
from kerasloc.weights.torch_names import (
    as_numpy,
    axes_of,
    find_layer,
    find_variable,
    is_surplus,
    kind_of,
    to_keras,
)

ADVICE = (
    "Build the network with the backbone, options, class count and channel count that "
    "these weights were trained with."
)


@dataclasses.dataclass(frozen=True)
class Matched:
    """What came of loading weights.

    Attributes:
        matched: How many arrays the network got, which are all of those looked for.
        ignored: Published names that the network has no use for.
    """

    matched: int
    ignored: tuple[str, ...] = ()

    def __str__(self):
        text = f"{self.matched} of {self.matched} arrays matched"
        if self.ignored:
            kinds = sorted({kind_of(name) for name in self.ignored})
            more = ", ..." if len(kinds) > 4 else ""
            entries = "entry" if len(self.ignored) == 1 else "entries"
            text += (
                f"; {len(self.ignored)} {entries} left aside "
                f"({', '.join(kinds[:4])}{more})"
            )
        return text


@dataclasses.dataclass
class Matches:
    """How far published names and a network's layers have been put together.

    Attributes:
        pairs: Variables and their arrays, by the published name.
        ignored: Names that are surplus.
        problems: Names that do not fit, by what is wrong with them.
        found: Identities of the variables that an array was meant for.
    """

    pairs: dict = dataclasses.field(default_factory=dict)
    ignored: list = dataclasses.field(default_factory=list)
    problems: dict = dataclasses.field(
        default_factory=lambda: collections.defaultdict(list)
    )
    found: set = dataclasses.field(default_factory=set)


def load_torch(model, source) -> Matched:
    """Gives a network all of the published arrays.

    Args:
        model: A Keras model, or a wrapper that holds one as ``model``.
        source: Path of a `.pt`, `.pth`, `.bin`, `.ckpt` or `.safetensors` file, or a
            mapping of published parameter names to arrays (PyTorch's tensors, too).

    Returns:
        How many matched, and what was left aside: counters of batch normalization and
        the classifier ``fc`` of a ResNet.

    Raises:
        TypeError: If the model or the source is none of these.
        ValueError: If a name or a shape does not fit, or an array of the network gets
            nothing. The model is then as it was.
    """
    network = network_of(model)
    layers = layers_of(network)
    matches = match(layers, arrays_of(source))
    return fill(matches, layers, title_of(source))


def network_of(model) -> keras.Model:
    """The Keras model itself, or the one that a wrapper holds.

    Raises:
        TypeError: If there is none.
    """
    network = model if isinstance(model, keras.Model) else getattr(model, "model", None)
    if not isinstance(network, keras.Model):
        raise TypeError(
            "Weights go into a Keras model, or into a wrapper with one as its .model. "
            f"Received: {type(model).__name__}."
        )
    return network


def layers_of(network: keras.Model) -> dict[str, keras.layers.Layer]:
    """The layers with weights by name, those of models inside the model included."""
    found = {}
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            found.update(layers_of(layer))
        elif layer.weights:
            found[layer.name] = layer
    return found


def arrays_of(source) -> dict:
    """Arrays by published name, of a path or of a mapping (see :func:`load_torch`).

    Raises:
        TypeError: If the source is neither.
        ValueError: If the file cannot be read.
    """
    if isinstance(source, str | os.PathLike):
        return read_torch(source)
    if isinstance(source, Mapping):
        return state_of(source) or dict(source)
    raise TypeError(
        "Weights come from a path or from a mapping of names to arrays. "
        f"Received: {type(source).__name__}."
    )


def title_of(source) -> str:
    """What errors call a source."""
    return "the mapping" if isinstance(source, Mapping) else str(source)


def match(layers: Mapping, arrays: Mapping) -> Matches:
    """Published arrays beside the variables that they belong to.

    Args:
        layers: Layers by name.
        arrays: Arrays by published name.
    """
    matches, origins = Matches(), {}
    for name, array in arrays.items():
        path, _, parameter = name.rpartition(".")
        layer = find_layer(path, layers)
        variable = None if layer is None else find_variable(layer, parameter)
        if variable is None and is_surplus(name):
            matches.ignored.append(name)
        elif variable is None:
            matches.problems["unknown to the network"].append(name)
        elif origins.setdefault(layer.name, path) != path:
            both = f"{name} (as {origins[layer.name]} is)"
            matches.problems["for a layer that has another"].append(both)
        else:
            _pair(matches, name, (layer, variable), as_numpy(array))
    return matches


def _pair(matches, name, target, array):
    layer, variable = target
    matches.found.add(id(variable))
    kernel = to_keras(layer, variable, array)
    if tuple(kernel.shape) == tuple(variable.shape):
        matches.pairs[name] = (variable, kernel)
        return
    axes = axes_of(layer, variable)
    wanted = tuple(variable.shape)
    if axes:  # as the file has it
        wanted = tuple(wanted[axes.index(axis)] for axis in range(len(axes)))
    matches.problems["of another shape"].append(f"{name} {array.shape} for {wanted}")


def fill(matches: Matches, layers: Mapping, title: str) -> Matched:
    """Assigns what was matched, if all of the layers' variables were.

    Args:
        matches: From :func:`match`.
        layers: Those to fill, by name.
        title: What errors call the source.

    Raises:
        ValueError: If anything does not fit; nothing is then assigned.
    """
    empty = [
        f"{layer.name}/{variable.name}"
        for layer in layers.values()
        for variable in layer.weights
        if id(variable) not in matches.found
    ]
    problems = {**matches.problems, "of the network that got nothing": empty}
    if any(problems.values()):
        text = mismatch(title, len(matches.pairs), problems)
        raise ValueError(f"{text} {ADVICE}")
    for variable, array in matches.pairs.values():
        variable.assign(array)
    return Matched(len(matches.pairs), tuple(matches.ignored))
