"""A classifier cut at one of its layers, into an encoder and a head."""

import dataclasses
import functools
import warnings
import weakref
from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from kerasloc.cams.backend import FeatureGradient, call_errors, run
from kerasloc.cams.graph import (
    DIMENSIONS,
    Alias,
    Graph,
    call_of,
    calls,
    open_graph,
    unwrap,
)

SCORES = [ops.softmax, ops.sigmoid, ops.log_softmax, ops.log_sigmoid]
SCORES += [ops.hard_sigmoid, ops.sparsemax]
PROBES = 8  # rows of numbers that a function is probed with
TOLERANCE = 1e-2  # functions may compute in half precision
# The last graph and cuts of a model, as making them compiles; they go with the model.
_CUTS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


class Cut:
    """A model in two: ``encoder``, from images to features, and ``head``.

    Args:
        graph: Graph from the image to the logits.
        features: Symbolic output of a layer in it.
        outputs: Further symbolic outputs of the graph by name.

    Attributes:
        encoder: Model from images to a list of the features and the tensors besides
            them that the logits need.
        head: Model from such a list to a dict with ``logits`` and the outputs.
        classes: Number of logits.

    Examples:
        >>> image = keras.Input((8, 8, 1))
        >>> conv = keras.layers.Conv2D(4, 3, name="conv")(image)
        >>> pooled = keras.layers.GlobalAveragePooling2D()(conv)
        >>> model = keras.Model(image, keras.layers.Dense(3, "softmax")(pooled))
        >>> halves = cut(model, "conv")
        >>> features = halves.encode(np.ones((2, 8, 8, 1)))
        >>> features[0].shape, halves.gradient(features, [0, 2])[1].shape
        ((2, 6, 6, 4), (2, 6, 6, 4))
    """

    def __init__(
        self,
        graph: Graph,
        features: keras.KerasTensor,
        outputs: Mapping[str, keras.KerasTensor] | None = None,
    ):
        self.graph, self.features = graph, features
        outputs = {"logits": graph.output, **(outputs or {})}
        inputs = [features, *_bypasses(graph.image, features, outputs)]
        self.encoder = keras.Model(graph.image, inputs)
        self.head = keras.Model(inputs, outputs)
        self.classes = int(graph.output.shape[-1])

    def encode(self, images: np.ndarray) -> list[np.ndarray]:
        """Compute the encoder's outputs for images as the model takes them."""
        return keras.tree.flatten(run(self.encoder, images))

    @functools.cached_property
    def gradient(self) -> FeatureGradient:
        """The head's outputs with the gradient of a logit."""
        return FeatureGradient(self.head, 0)

    @functools.cached_property
    def whole(self) -> keras.Model:
        """The model from images to logits."""
        return keras.Model(self.graph.image, self.graph.output)


def cut(
    model: keras.Model,
    layer: str | None = None,
    outputs: Mapping[str, keras.KerasTensor] | None = None,
) -> Cut:
    """Cut a classifier at a layer; a second call returns the same cut.

    Args:
        model: Built model of one image; its output is (n, classes), or a dict with
            such ``logits``.
        layer: Layer as for :class:`~kerasloc.cams.core.Explainer`.
        outputs: Further symbolic outputs of a model without nested models, by name.

    Raises:
        TypeError: If it is not a Keras model.
        ValueError: If it has other inputs or outputs, or no such layer.

    Examples:
        >>> image = keras.Input((8, 8, 1))
        >>> conv = keras.layers.Conv2D(4, 3, name="conv")(image)
        >>> model = keras.Model(image, keras.layers.GlobalMaxPooling2D()(conv))
        >>> cut(model).features is conv
        True
        >>> cut(model) is cut(model, "conv")
        True
    """
    output = _checked_output(model)
    if model not in _CUTS or _CUTS[model][0] is not output:  # or with changed layers
        _CUTS[model] = output, _logit_graph(model, output), {}
    _, graph, cuts = _CUTS[model]
    features = graph.features(layer)
    names = [(name, id(tensor)) for name, tensor in (outputs or {}).items()]
    key = id(features), *names
    if key not in cuts:
        cuts[key] = Cut(graph, features, outputs)
    return cuts[key]


def _bypasses(image, features, outputs) -> list[keras.KerasTensor]:
    """Tensors besides the features that outputs and the layers behind them need."""
    nodes = calls(keras.Model(image, outputs))
    needed, behind = list(outputs.values()), {id(features)}
    for node in nodes:
        if any(id(tensor) in behind for tensor in node.input_tensors):
            behind |= {id(tensor) for tensor in node.outputs}
            needed += node.input_tensors
    return list({id(t): t for t in needed if id(t) not in behind}.values())


def _logit_graph(model, output) -> Graph:
    """Graph from the image to the logits of a checked model."""
    graph = open_graph(model, output)
    graph = dataclasses.replace(graph, output=_before_activation(graph.output))
    shape = graph.output.shape
    if len(shape) != 2 or shape[-1] is None:
        raise ValueError(
            "Expected a classifier with logits (n, classes). Received: a model with "
            f"output {shape}. Pool its maps, or use the submodel that classifies."
        )
    formats = {getattr(node.operation, "data_format", None) for node in graph.nodes}
    if "channels_first" in formats:
        raise ValueError(
            "Expected a model with channels last. Received: one with channels first. "
            "Use data_format='channels_last'; the weights are the same."
        )
    return graph


def _checked_output(model) -> keras.KerasTensor:
    """The output of a model with a graph, one image and one output."""
    if not isinstance(model, keras.Model):
        raise TypeError(
            "Expected a Keras model, or a wrapper of this package. "
            f"Received: {type(model).__name__}."
        )
    if not getattr(model, "inputs", None):
        raise ValueError(
            "Expected a functional model, or a built sequential one. Received: "
            f"{type(model).__name__} without inputs. Build a sequential one by a call "
            "on images, another one with keras.Model(inputs, outputs)."
        )
    outputs, named = model.outputs, getattr(model, "output", None)
    if isinstance(named, dict) and "logits" in named:
        outputs = [named["logits"]]
    if len(model.inputs) != 1 or len(outputs) != 1:
        raise ValueError(
            "Expected one input, the image, and one output (or one called 'logits'). "
            f"Received: {len(model.inputs)} inputs, {len(outputs)} outputs. "
            "Make a model with keras.Model(model.inputs[0], the output to explain)."
        )
    if len(model.inputs[0].shape) != DIMENSIONS:
        raise ValueError(
            "Expected a model of images (n, rows, cols, channels). "
            f"Received: a model that takes {model.inputs[0].shape}."
        )
    return outputs[0]


class BeforeActivation(Alias):
    """A layer's output before its activation.

    Args:
        inner: Layer with an ``activation``; its weights are shared.

    Examples:
        >>> dense = keras.layers.Dense(1, "sigmoid", kernel_initializer="ones")
        >>> dense.build((None, 2))
        >>> BeforeActivation(dense)(np.array([[2.0, 3.0]])).numpy()
        array([[5.]], dtype=float32)
    """

    def call(self, inputs):
        """Call the layer with a linear activation."""
        activation = self.inner.activation
        self.inner.activation = keras.activations.linear
        try:
            return self.inner(inputs)
        finally:
            self.inner.activation = activation


def _before_activation(output: keras.KerasTensor) -> keras.KerasTensor:
    """Find the logits that softmax, sigmoid and the like are taken of.

    These functions are recognized by their values, as they come in many forms: a
    layer or its activation, an operation, a function of the user.
    """
    node = call_of(output)
    operation = unwrap(node.operation)
    if len(node.input_tensors) != 1:
        return output
    before = node.input_tensors[0]
    if getattr(operation, "weights", None):
        activation = getattr(operation, "activation", None)
        if activation is None or not _makes_scores(activation, output):
            return output
        return BeforeActivation(operation)(before)

    def call(values):
        args, kwargs = node.arguments.fill_in({id(before): values})
        return operation(*args, **kwargs)

    if _size(before) != _size(output):
        return output
    if _makes_scores(call, before):
        return _before_activation(before)
    deeper = _before_activation(before) if _keeps_values(call, before) else before
    return output if deeper is before else Alias(operation)(deeper)


def _makes_scores(function, tensor) -> bool:
    """Test if a function maps such tensors as softmax or a relative does."""
    outputs = _probed(function, tensor, 2)[1]
    scores = (_probed(score, tensor, 2)[1] for score in SCORES)
    return outputs is not None and any(
        np.allclose(outputs, score, atol=TOLERANCE) for score in scores
    )


def _keeps_values(function, tensor) -> bool:
    """Test if a function changes no more than the shape of such tensors."""
    inputs, outputs = _probed(function, tensor, 1e3)
    return outputs is not None and np.allclose(outputs, inputs, rtol=TOLERANCE)


def _probed(function, tensor, scale):
    """Random inputs shaped as a tensor, and a function's outputs or None."""
    shape = (tensor.shape[0] or PROBES, *tensor.shape[1:])
    inputs = np.random.default_rng(0).normal(0, scale, shape).astype("float32")
    try:
        with warnings.catch_warnings(action="ignore"):  # softmax over one class
            outputs = function(ops.convert_to_tensor(inputs))
        outputs = ops.convert_to_numpy(ops.cast(outputs, "float32"))
    except call_errors():  # a function of the user that does not take these numbers
        return inputs, None
    return inputs, outputs.reshape(shape) if outputs.size == inputs.size else None


def _size(tensor) -> int | None:
    """Number of values per image; None where a side is unknown."""
    return None if None in tensor.shape[1:] else int(np.prod(tensor.shape[1:]))
