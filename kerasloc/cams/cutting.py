"""A classifier cut at one of its layers, into an encoder and a head."""

import dataclasses
import functools
import threading
import weakref
from collections.abc import Mapping

import keras
import numpy as np

from kerasloc.cams.backend import FeatureGradient, run
from kerasloc.cams.graph import DIMENSIONS, Graph, calls, open_graph
from kerasloc.cams.logits import before_activation
from kerasloc.processes import check_process

# The last graph and cuts of a model, as making them compiles; they go with the model.
_CUTS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_LOCK = threading.RLock()  # Keras numbers the calls of a layer without one


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

    def __reduce__(self):
        """Raise: models that share layers cannot be pickled."""
        raise TypeError(
            "Expected an object that can be pickled. Received: a Cut. Pickle the "
            "model, or an explainer such as kerasloc.cams.GradCAM(model)."
        )

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
    check_process(keras.backend.backend())
    output = _checked_output(model)
    with _LOCK:
        if model not in _CUTS or _CUTS[model][0] is not output:  # or changed layers
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
    graph = dataclasses.replace(graph, output=before_activation(graph.output))
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
