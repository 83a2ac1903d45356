"""A classifier cut at one of its layers, into an encoder and a head."""

import dataclasses
import functools
import threading
import weakref
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from kerasloc.cams.backend import FeatureGradient, run
from kerasloc.cams.choice import Layers
from kerasloc.cams.graph import (
    DIMENSIONS,
    Graph,
    call_of,
    has_graph,
    open_graph,
    submodel,
)
from kerasloc.cams.logits import before_activation
from kerasloc.cams.opaque import OPAQUE, opacity
from kerasloc.cams.tokens import Reshape
from kerasloc.checks import as_size
from kerasloc.processes import check_process

# The last graph and cuts of a model, as making them compiles; they go with the model.
_CUTS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_LOCK = threading.RLock()  # Keras numbers the calls of a layer without one


class Cut:
    """A model in two: ``encoder``, from inputs to features, and ``head``.

    Args:
        layers: Layers of a graph from inputs to logits.
        features: Symbolic output of one of them.
        outputs: Further symbolic outputs of the graph by name.
        held: Outputs of layers that are explained beside it: they do not follow it.

    Attributes:
        image: Input that the features are computed from.
        encoder: Model from the image and the other inputs to a list: the features
            (n, rows, cols, channels), the tokens besides those of patches, the
            other inputs, and the tensors besides them that the logits need.
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
        layers: Layers,
        features: keras.KerasTensor,
        outputs: Mapping[str, keras.KerasTensor] | None = None,
        held: Sequence[keras.KerasTensor] = (),
    ):
        graph = self.graph = layers.graph
        self.features, self.image = features, _image_of(graph, features)
        tables = [x for x in graph.inputs if x is not self.image]
        outputs = {"logits": graph.output, **(outputs or {})}
        self.held = held
        bypasses = graph.bypasses(features, outputs.values(), held)
        if bypasses is None:  # the held tensors follow the features alone
            self.held = ()
            bypasses = graph.bypasses(features, outputs.values()) or []
        rest = [x for x in bypasses if not any(x is table for table in tables)]
        core = submodel([features, *tables, *rest], outputs)
        layout = layers.layout(features)
        laid = [features] if layout is None else layout.lay(features)
        self.inputs = [self.image, *tables] if tables else self.image
        self.encoder = keras.Model(self.inputs, [*laid, *tables, *rest])
        self.head = core if layout is None else _on_grid(core, layout, laid)
        self.classes = int(graph.output.shape[-1])
        self._tables = slice(len(laid), len(laid) + len(tables))

    def encode(self, images: np.ndarray, *tables: np.ndarray) -> list[np.ndarray]:
        """Compute the encoder's outputs for inputs as the model takes them."""
        return keras.tree.flatten(run(self.encoder, images, *tables))

    def tables(self, features: Sequence) -> list[np.ndarray]:
        """Return the inputs besides the image among the encoder's outputs."""
        return list(features[self._tables])

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
        """The model from the image, and the other inputs, to logits."""
        return keras.Model(self.inputs, self.graph.output)


def cut(
    model: keras.Model,
    layer: str | None = None,
    outputs: Mapping[str, keras.KerasTensor] | None = None,
    reshape: Reshape = None,
) -> Cut:
    """Cut a classifier at a layer; a second call returns the same cut.

    Args:
        model: Built model of an image; its output is (n, classes), or a dict with
            such ``logits``.
        layer: Layer as for :class:`~kerasloc.cams.core.Explainer`.
        outputs: Further symbolic outputs of a model without nested models, by name.
        reshape: As for :class:`~kerasloc.cams.core.Explainer`.

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
    with _LOCK:
        layers, made = _cuts_of(model, reshape)
        return _cut(layers, made, layers.features(layer), outputs or {})


def cut_at(
    model: keras.Model, names: Sequence[str | None], reshape: Reshape = None
) -> list[Cut]:
    """Cut a classifier at several layers, each with the features of the rest held.

    Args:
        model: Model as for :func:`cut`.
        names: Names of layers.
        reshape: As for :class:`~kerasloc.cams.core.Explainer`.

    Raises:
        TypeError: If it is not a Keras model, or a name is not a text.
        ValueError: If there are no names, or two of the same layer.

    Examples:
        >>> image = keras.Input((8, 8, 1))
        >>> convs = [keras.layers.Conv2D(2, 3, name=name)(image) for name in "ab"]
        >>> pooled = [keras.ops.mean(x, axis=(1, 2)) for x in convs]
        >>> cuts = cut_at(keras.Model(image, sum(pooled)), ["a", "b"])
        >>> [halves.features is x for halves, x in zip(cuts, convs)]
        [True, True]
    """
    texts = all(isinstance(name, str) for name in names) and len(names)
    if not texts and list(names) != [None]:
        raise (TypeError if len(names) else ValueError)(
            "Expected the name of a layer, or a list of several. "
            f"Received: layer={names!r}. Use layer.name of a layer."
        )
    check_process(keras.backend.backend())
    with _LOCK:
        layers, made = _cuts_of(model, reshape)
        tensors = [layers.features(name) for name in names]
        if len({id(x) for x in tensors}) < len(tensors):
            raise ValueError(
                "Expected every layer once, as their maps are summed. Received: "
                f"layer={list(names)!r}, of which two are the same. Leave one out."
            )
        cuts = []
        for x in tensors:
            held = [y for y in tensors if y is not x]
            cuts.append(_cut(layers, made, x, {}, held))
    if len({id(halves.image) for halves in cuts}) > 1:
        raise ValueError(
            "Expected layers that are computed from one image. Received: "
            f"layer={list(names)!r}, of several. Use those of the image to explain."
        )
    return cuts


def _cuts_of(model, reshape) -> tuple[Layers, dict]:
    """Layers of a model, and the cuts that were made of it."""
    output = checked_output(model)
    if model not in _CUTS or _CUTS[model][0] is not output:  # or with changed layers
        _CUTS[model] = output, _logit_graph(model, output), {}
    _, graph, made = _CUTS[model]
    reshape = _checked_reshape(reshape)
    if reshape not in made:
        made[reshape] = Layers(graph, reshape), {}
    return made[reshape]


def _cut(layers, made, features, outputs, held=()) -> Cut:
    named = [(name, id(x)) for name, x in outputs.items()]
    key = (id(features), *named, *(id(x) for x in held))
    if key not in made:
        made[key] = Cut(layers, features, outputs, held)
    return made[key]


def _image_of(graph, features) -> keras.KerasTensor:
    """The image that features are computed from."""
    images = [x for x in graph.images if id(features) in graph.computed_from([x])]
    if len(images) == 1:
        return images[0]
    raise ValueError(
        "Expected a layer of one image. Received: "
        f"{graph.path(call_of(features))!r}, which is computed from "
        f"{' and '.join(x.name for x in images) or 'none'}."
    )


def _on_grid(core, layout, laid) -> keras.Model:
    """A head of tokens that takes them laid on a grid."""
    rest = core.inputs[1:]
    inputs = [keras.Input(batch_shape=x.shape, dtype=x.dtype) for x in [*laid, *rest]]
    tokens = layout.unlay(inputs[: len(laid)])
    return keras.Model(inputs, core([tokens, *inputs[len(laid) :]]))


def _checked_reshape(reshape) -> Reshape:
    """None, "tokens" or (rows, cols)."""
    if reshape is None or (isinstance(reshape, str) and reshape == "tokens"):
        return reshape
    if isinstance(reshape, (list, tuple, np.ndarray)) and len(reshape) == 2:
        return as_size(tuple(reshape))
    raise ValueError(
        "Expected None, 'tokens', or the grid (rows, cols) of the tokens. "
        f"Received: reshape={reshape!r}."
    )


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


def checked_output(model: keras.Model) -> keras.KerasTensor:
    """Return the output to explain of a model with a graph, an image and one output.

    Raises:
        TypeError: If it is not a Keras model.
        ValueError: If it is opaque, or has other inputs or outputs.

    Examples:
        >>> image = keras.Input((2, 2, 1))
        >>> logits = keras.ops.max(image, axis=(1, 2))
        >>> checked_output(keras.Model(image, {"logits": logits, "x": image})) is logits
        True
    """
    if not isinstance(model, keras.Model):
        layer = isinstance(model, keras.layers.Layer)
        reason = f", an opaque layer: {opacity(model) or OPAQUE}" if layer else ""
        raise TypeError(
            "Expected a Keras model, or a wrapper of this package. "
            f"Received: {type(model).__name__}{reason}."
        )
    if not has_graph(model):
        raise ValueError(
            "Expected a functional model, or a built sequential one. Received: "
            f"{type(model).__name__}, {_no_graph(model)}."
        )
    outputs, named = model.outputs, getattr(model, "output", None)
    if isinstance(named, dict) and "logits" in named:
        outputs = [named["logits"]]
    shapes = [x.shape for x in model.inputs]
    images = [shape for shape in shapes if len(shape) == DIMENSIONS]
    if len(outputs) != 1:
        raise ValueError(
            "Expected one output (or one called 'logits'). "
            f"Received: {len(model.inputs)} inputs, {len(outputs)} outputs. "
            "Make a model with keras.Model(model.inputs, the output to explain)."
        )
    if not images:
        raise ValueError(
            "Expected a model of images (n, rows, cols, channels). "
            f"Received: a model that takes {', '.join(map(str, shapes))}."
        )
    return outputs[0]


def _no_graph(model) -> str:
    """Why a model has no graph, and what to do."""
    if isinstance(model, keras.Sequential):
        return "a sequential one without inputs. Build it by a call on images"
    return f"a subclassed one, which is opaque: {OPAQUE}"
