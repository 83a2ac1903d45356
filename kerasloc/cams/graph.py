"""The graph of a model: nested models opened, layers by name.

The only file with private Keras API, checked on Keras 3.15.1: ``_nodes_by_depth`` and
``_run_through_graph`` of models, ``_keras_history`` of tensors, ``_inbound_nodes``,
``_flatten_layers``, the class of functional models.
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence

import keras
from keras.src.models import Functional

DIMENSIONS = 4  # images, rows, columns, channels


class Alias(keras.layers.Layer):
    """A layer or operation under another name, as names in a model are unique.

    Args:
        inner: Layer or operation to call; its weights are shared.

    Examples:
        >>> Alias(keras.layers.ReLU())(keras.ops.array([-1.0, 2.0])).numpy()
        array([0., 2.], dtype=float32)
    """

    def __init__(self, inner: keras.Operation):
        super().__init__(autocast=False)
        self.inner = inner
        self.built = True

    def call(self, *args, **kwargs):
        """Call the layer or operation."""
        return self.inner(*args, **kwargs)


def unwrap(operation: keras.Operation) -> keras.Operation:
    """Return an operation, or the one that an alias stands for.

    Examples:
        >>> relu = keras.layers.ReLU()
        >>> unwrap(Alias(relu)) is unwrap(relu) is relu
        True
    """
    return operation.inner if isinstance(operation, Alias) else operation


def call_of(tensor: keras.KerasTensor):
    """Return the call (Keras' node) that computes a symbolic tensor.

    Examples:
        >>> image = keras.Input((2, 2, 1))
        >>> call_of(keras.ops.relu(image)).input_tensors[0] is image
        True
    """
    operation, index, _ = tensor._keras_history
    return operation._inbound_nodes[index]


def producer(tensor: keras.KerasTensor) -> keras.Operation:
    """Return the layer or operation that computes a symbolic tensor.

    Examples:
        >>> relu = keras.layers.ReLU(name="relu")
        >>> producer(relu(keras.Input((2,)))).name
        'relu'
    """
    return call_of(tensor).operation


def calls(model: keras.Model) -> list:
    """List the calls (Keras' nodes) of a functional model in the order of execution.

    Examples:
        >>> image = keras.Input((2, 2, 1), name="image")
        >>> model = keras.Model(image, keras.layers.ReLU(name="relu")(image))
        >>> [node.operation.name for node in calls(model)]
        ['image', 'relu']
    """
    depths = model._nodes_by_depth
    return [node for depth in sorted(depths, reverse=True) for node in depths[depth]]


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """A model with one output, nested models opened.

    Examples:
        >>> image = keras.Input((8, 8, 1))
        >>> conv = keras.layers.Conv2D(4, 3, name="conv")
        >>> base = keras.Model(image, conv(image), name="base")
        >>> model = keras.Model(image, keras.ops.max(base(image), (1, 2)))
        >>> graph = open_graph(model, model.outputs[0])
        >>> [graph.path(node) for node in graph.nodes][1]
        'base/conv'
    """

    inputs: list[keras.KerasTensor]
    output: keras.KerasTensor
    paths: Mapping[int, str]  # by id of operations in nested models: base/conv1_relu
    nested: Mapping[str, keras.KerasTensor]  # outputs of nested models by path

    @functools.cached_property
    def nodes(self) -> list:
        """Calls that the output needs, in the order of execution."""
        return calls(keras.Model(self.inputs, self.output))

    @functools.cached_property
    def images(self) -> list[keras.KerasTensor]:
        """Inputs (n, rows, cols, channels), not (1, 1), that the output needs."""
        images = [x for x in self.inputs if len(x.shape) == DIMENSIONS]
        images = [x for x in images if tuple(x.shape[1:3]) != (1, 1)]
        return [x for x in images if id(self.output) in self.computed_from([x])]

    def path(self, node) -> str:
        """Return the path of a call's operation."""
        name = unwrap(node.operation).name
        return self.paths.get(id(node.operation), name)

    def computed_from(
        self,
        tensors: Iterable[keras.KerasTensor],
        held: Iterable[keras.KerasTensor] = (),
    ) -> set[int]:
        """Collect the ids of tensors and of what follows them, but not through held."""
        return _computed_from(self.nodes, tensors, held)

    def bypasses(
        self,
        features: keras.KerasTensor,
        outputs: Iterable[keras.KerasTensor],
        held: Iterable[keras.KerasTensor] = (),
    ) -> list[keras.KerasTensor] | None:
        """List the tensors that outputs need besides features, in a stable order.

        Args:
            features: Symbolic output of a layer.
            outputs: Symbolic tensors of the graph.
            held: Tensors that do not follow the features, listed where needed.

        Returns:
            Tensors; None if no output needs the features.
        """
        needed = {id(x): x for x in outputs}
        nodes = calls(keras.Model(self.inputs, list(needed.values())))
        behind = _computed_from(nodes, [features], held) - {id(features)}
        for node in reversed(nodes):
            if any(id(x) in behind and id(x) in needed for x in node.outputs):
                needed |= {id(x): x for x in node.input_tensors}
        if id(features) not in needed:
            return None
        behind.add(id(features))
        return [x for key, x in needed.items() if key not in behind]


def submodel(
    inputs: Sequence[keras.KerasTensor],
    outputs: Sequence[keras.KerasTensor] | Mapping[str, keras.KerasTensor],
) -> keras.Model:
    """Make a model between tensors of a graph.

    Keras moves an input of the graph that stands among them to a new call, after which
    the model that it belongs to could not be saved.

    Examples:
        >>> image = keras.Input((2, 2, 1))
        >>> x = keras.layers.ReLU()(image)
        >>> model = keras.Model(image, keras.ops.add(x, image))
        >>> len(submodel([x, image], model.outputs).inputs)
        2
        >>> call_of(image) is model.layers[0]._inbound_nodes[0]
        True
    """
    histories = [x._keras_history for x in inputs]
    model = keras.Model(list(inputs), outputs)
    for x, history in zip(inputs, histories, strict=True):
        x._keras_history = history
    return model


def open_graph(model: keras.Model, output: keras.KerasTensor) -> Graph:
    """Open the nested models of a model, up to a symbolic output.

    Examples:
        >>> model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.ReLU()])
        >>> output = model.outputs[0]
        >>> open_graph(model, output).output is output  # nothing nested
        True
    """
    inputs = list(model.inputs)
    if not any(isinstance(layer, keras.Model) for layer in model.layers):
        return Graph(inputs, output, {}, {})
    plain = keras.Model(inputs, output)
    inputs = [
        keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name) for x in inputs
    ]
    opener = _Opener()
    output = opener.run(plain, inputs, "")
    return Graph(inputs, output, opener.paths, opener.nested)


def has_graph(model: keras.Operation) -> bool:
    """Test for a functional or built sequential model, whose calls are its graph.

    Examples:
        >>> has_graph(keras.Sequential([keras.Input((2,)), keras.layers.ReLU()]))
        True
    """
    plain = type(model).call in (Functional.call, keras.Sequential.call)
    return (
        isinstance(model, keras.Model)
        and plain
        and bool(getattr(model, "inputs", None))
    )


class _Opener:
    """Calls the layers of a model on new tensors, those of nested models one by one."""

    def __init__(self):
        self.paths: dict[int, str] = {}
        self.nested: dict[str, keras.KerasTensor] = {}
        self._called: dict[str, keras.Operation] = {}  # by name

    def run(self, model, tensors, prefix):
        """Call a model on tensors, layer by layer."""
        call = functools.partial(self._call, prefix)
        return model._run_through_graph(tensors, call_fn=call)

    def _call(self, prefix, layer, *args, **kwargs):
        path = f"{prefix}{layer.name}"
        if has_graph(layer):
            inner = keras.Model(layer.inputs, layer.outputs)
            inputs = keras.tree.flatten(args[0] if args else kwargs["inputs"])
            outputs = keras.tree.flatten(self.run(inner, inputs, f"{path}/"))
            if len(outputs) == 1:
                self.nested[path] = outputs[0]
            return keras.tree.pack_sequence_as(layer.output, outputs)
        called = self._called.setdefault(layer.name, layer)
        if called is not layer:
            called = self._called.setdefault(path, Alias(layer))
        self.paths[id(called)] = path
        return called(*args, **kwargs)


def sublayers(layer: keras.Operation) -> list[keras.layers.Layer]:
    """List the layers that a layer, or the one that an alias stands for, is made of.

    Examples:
        >>> [x.name for x in sublayers(keras.layers.Bidirectional(keras.layers.GRU(2)))]
        ['forward_gru', 'gru_cell', 'backward_gru', 'gru_cell']
    """
    layer = unwrap(layer)
    if not isinstance(layer, keras.layers.Layer):
        return []
    return list(layer._flatten_layers(include_self=False))


def _computed_from(nodes, tensors, held=()) -> set[int]:
    """Ids of tensors and of what is computed from them, but not through held ones."""
    ids, stops = {id(x) for x in tensors}, {id(x) for x in held}
    for node in nodes:
        if any(id(x) in ids for x in node.input_tensors):
            ids |= {id(x) for x in node.outputs} - stops
    return ids
