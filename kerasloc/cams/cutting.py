"""A model cut at one of its layers: what leads there, and what follows."""

import dataclasses
import functools
import weakref

import keras
import numpy as np

from kerasloc.cams.batches import run
from kerasloc.cams.gradients import FeatureGradient
from kerasloc.cams.opening import before_activation, opened

# What was made of a model last time, as making it compiles; it goes with the model.
_CUTS = weakref.WeakKeyDictionary()
DIMENSIONS = 4  # images, rows, columns, channels


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """A model of one image and one answer, nested models opened.

    Attributes:
        image: The symbolic images.
        logits: The symbolic scores before softmax or sigmoid, (n, classes).
        outputs: What else is wanted besides ``logits``, by name.
        paths: The name of every operation, with those of the models it is nested in:
            ``resnet50/conv1_relu``.
        nests: The answers of nested models, by name.
        answer: The model's own symbolic answer, by which it is known as it was.
    """

    image: keras.KerasTensor
    logits: keras.KerasTensor
    outputs: dict
    paths: dict[int, str]
    nests: dict[str, keras.KerasTensor]
    answer: keras.KerasTensor

    @functools.cached_property
    def nodes(self) -> list:
        """Calls of operations that the logits need, in their order."""
        return _calls(self.image, self.logits)

    def path(self, node) -> str:
        """The name of a node's operation."""
        return self.paths.get(id(node.operation), node.operation.name)

    def spatial(self) -> dict[str, keras.KerasTensor]:
        """The outputs of layers with rows and columns that the logits need, by name.

        Of a layer that is used several times, the last.
        """
        found = {}
        for node in self.nodes:
            if not node.is_input and _is_spatial(node.outputs):
                found.pop(self.path(node), None)
                found[self.path(node)] = node.outputs[0]
        return found

    def deepest(self) -> keras.KerasTensor | None:
        """The last tensor with rows and columns that all logits are made of alone.

        Where there is none behind a convolution, as several branches are only joined
        without rows and columns, the last of any.
        """
        uses = {id(self.logits): len(self.nodes)}
        for place, node in enumerate(self.nodes):
            uses |= {id(one): place for one in node.input_tensors}
        last, alone, needed, convolved = None, None, set(), False
        for place, node in enumerate(self.nodes):
            needed |= {id(one) for one in node.outputs}
            needed = {one for one in needed if uses.get(one, -1) > place}
            kernels = getattr(node.operation, "weights", ())
            convolved |= any(len(one.shape) == DIMENSIONS for one in kernels)
            if not node.is_input and _is_spatial(node.outputs):
                last = node.outputs[0]
                alone = last if convolved and needed == {id(last)} else alone
        return last if alone is None else alone

    def features(self, layer: str | None) -> keras.KerasTensor:
        """The output of a layer.

        Args:
            layer: Its name, or the end of its path, also that of a nested model; None
                for the :meth:`deepest`.

        Raises:
            ValueError: If there is none, several, or it has no rows and columns.
        """
        deepest = self.deepest()
        if deepest is None:
            raise ValueError(
                "A map needs a layer with rows and columns, (n, rows, cols, channels), "
                "between image and logits. Received: a model without one."
            )
        if layer is None:
            return deepest
        known = self.spatial()
        within = {id(one) for one in known.values()}
        nests = {key: one for key, one in self.nests.items() if id(one) in within}
        found = _named(layer, nests | known)
        if len(found) == 1:
            return (nests | known)[found[0]]
        others = {self.path(node): node.outputs for node in self.nodes}
        shapes = [str(others[name][0].shape) for name in _named(layer, others)]
        was = f", whose answer is {shapes[0]}" if shapes and not found else ""
        raise ValueError(
            "A layer is named as the model names it, and its answer has rows and "
            f"columns. Received: {layer!r}{was}{_several(found)}. Those there are: "
            f"{', '.join(known)}."
        )


def graph(model: keras.Model, outputs: dict | None = None) -> Graph:
    """The graph of a classifier.

    Args:
        model: Functional or sequential, built, of one image; its answer is (n,
            classes), or a dict with such ``logits``.
        outputs: Further symbolic outputs of the model, by name.

    Raises:
        TypeError: If it is no such model.
        ValueError: If it has several inputs or outputs, or another answer.
    """
    answer = _checked(model)
    image, seen, paths, nests = opened(model, answer)
    logits = before_activation(seen)
    if len(logits.shape) != 2 or logits.shape[-1] is None:
        raise ValueError(
            "A classifier answers (n, classes). Received: a model that answers "
            f"{logits.shape}. Pool its maps, or take its part that classifies."
        )
    found = Graph(image, logits, outputs or {}, paths, nests, answer)
    formats = {getattr(node.operation, "data_format", None) for node in found.nodes}
    if "channels_first" in formats:
        raise ValueError(
            "The model takes channels last, (n, rows, cols, channels). Received: a "
            "model with channels first. Make it with data_format='channels_last'; its "
            "weights are the same."
        )
    return found


class Cut:
    """A model in two parts: ``encoder``, from images to features, and ``head``.

    Args:
        graph: Of the model.
        features: Symbolic, of a layer in it.

    Attributes:
        graph: As given.
        features: As given.
        encoder: From images to a list: the features, and whatever else of what comes
            before them the logits need.
        head: From such a list to a dict with ``logits``, and the graph's outputs.
        classes: How many logits there are.
    """

    def __init__(self, graph: Graph, features):
        self.graph, self.features = graph, features
        outputs = {"logits": graph.logits, **graph.outputs}
        nodes = _calls(graph.image, outputs)
        known, others = {id(features)}, {}
        for node in nodes:
            if any(id(one) in known for one in node.input_tensors):
                known |= {id(one) for one in node.outputs}
        known -= {id(features)}
        for node in nodes:
            if any(id(one) in known for one in node.outputs):
                inputs = {id(one): one for one in node.input_tensors}
                others |= {key: one for key, one in inputs.items() if key not in known}
        for one in keras.tree.flatten(outputs):  # that do not need the features
            if id(one) not in known:
                others[id(one)] = one
        others.pop(id(features), None)
        inputs = [features, *others.values()]
        self.encoder = keras.Model(graph.image, inputs)
        self.head = keras.Model(inputs, outputs)
        self.classes = int(graph.logits.shape[-1])

    def encode(self, images) -> list[np.ndarray]:
        """The encoder's answers about images as the model takes them."""
        found = run(self.encoder, images)
        return found if isinstance(found, list) else [found]

    @functools.cached_property
    def gradient(self) -> FeatureGradient:
        """The head's outputs with the gradient of a logit."""
        return FeatureGradient(self.head, 0)

    @functools.cached_property
    def whole(self) -> keras.Model:
        """From images to logits."""
        return keras.Model(self.graph.image, self.graph.logits)


def cut(model: keras.Model, layer: str | None = None) -> Cut:
    """A model cut at a layer; the cut of before, if there was one.

    Args:
        model: As for :func:`graph`.
        layer: As for :meth:`Graph.features`.
    """
    answer = _checked(model)
    if model not in _CUTS or _CUTS[model][0].answer is not answer:
        _CUTS[model] = graph(model), {}  # new, or with other layers than before
    opened, cuts = _CUTS[model]
    features = opened.features(layer)
    if id(features) not in cuts:
        cuts[id(features)] = Cut(opened, features)
    return cuts[id(features)]


def _checked(model) -> keras.KerasTensor:
    """The one answer of a model that has a graph."""
    if not isinstance(model, keras.Model):
        raise TypeError(
            "The model is a Keras model, or a wrapper of this package. "
            f"Received: {type(model).__name__}."
        )
    if not getattr(model, "inputs", None):
        raise ValueError(
            "The model's layers are known: it is functional, or sequential and built. "
            f"Received: {type(model).__name__} without inputs. Build a sequential one "
            "by a call on images; make another one with keras.Model(inputs, outputs)."
        )
    answer, named = model.outputs, getattr(model, "output", None)
    if isinstance(named, dict) and "logits" in named:
        answer = [named["logits"]]
    if len(model.inputs) != 1 or len(answer) != 1:
        raise ValueError(
            "The model has one input, the image, and one output (or one called "
            f"'logits'). Received: {len(model.inputs)} inputs, {len(answer)} outputs. "
            "Make one with keras.Model(model.inputs[0], the output to explain)."
        )
    if len(model.inputs[0].shape) != DIMENSIONS:
        raise ValueError(
            "The model takes images (n, rows, cols, channels). "
            f"Received: a model that takes {model.inputs[0].shape}."
        )
    return answer[0]


def _calls(image, outputs) -> list:
    """The calls of operations between an image and outputs, in their order."""
    depths = keras.Model(image, outputs)._nodes_by_depth
    return [node for depth in sorted(depths, reverse=True) for node in depths[depth]]


def _is_spatial(outputs) -> bool:
    if len(outputs) != 1 or len(outputs[0].shape) != DIMENSIONS:
        return False
    return tuple(outputs[0].shape[1:3]) != (1, 1)


def _named(layer: str, known) -> list[str]:
    """The paths that a name stands for: itself, or those that end in it."""
    if layer in known:
        return [layer]
    return [name for name in known if name.endswith(f"/{layer}")]


def _several(found) -> str:
    return f", which stands for {' and '.join(found)}" if len(found) > 1 else ""
