"""The graph of a model: nested models opened, layers by name.

The only file with private Keras API, checked on Keras 3.15.1: ``_nodes_by_depth`` and
``_run_through_graph`` of models, ``_keras_history`` of tensors, ``_inbound_nodes``.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import keras

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
    """A model with one image and one output, nested models opened.

    Examples:
        >>> image = keras.Input((8, 8, 1))
        >>> conv = keras.layers.Conv2D(4, 3, name="conv")
        >>> base = keras.Model(image, conv(image), name="base")
        >>> pooled = keras.layers.GlobalAveragePooling2D()(base(image))
        >>> list(open_graph(keras.Model(image, pooled), pooled).spatial())
        ['base/conv']
    """

    image: keras.KerasTensor
    output: keras.KerasTensor
    paths: Mapping[int, str]  # by id of operations in nested models: base/conv1_relu
    nested: Mapping[str, keras.KerasTensor]  # outputs of nested models by path

    @functools.cached_property
    def nodes(self) -> list:
        """Calls that the output needs, in the order of execution."""
        return calls(keras.Model(self.image, self.output))

    def path(self, node) -> str:
        """Return the path of a call's operation."""
        return self.paths.get(id(node.operation), node.operation.name)

    def spatial(self) -> dict[str, keras.KerasTensor]:
        """Collect the last outputs of layers with rows and columns by path."""
        tensors: dict[str, keras.KerasTensor] = {}
        for node in self.nodes:
            if not node.is_input and _is_spatial(node.outputs):
                tensors.pop(self.path(node), None)
                tensors[self.path(node)] = node.outputs[0]
        return tensors

    def deepest(self) -> keras.KerasTensor | None:
        """Return the last tensor with rows and columns that all of the output needs.

        The last of any where branches are joined without rows and columns; or None.
        """
        last_use = {id(self.output): len(self.nodes)}
        for index, node in enumerate(self.nodes):
            last_use |= {id(tensor): index for tensor in node.input_tensors}
        last, bottleneck, live, convolved = None, None, set(), False
        for index, node in enumerate(self.nodes):
            live |= {id(tensor) for tensor in node.outputs}
            live = {key for key in live if last_use.get(key, -1) > index}
            weights = getattr(node.operation, "weights", ())
            convolved |= any(len(weight.shape) == DIMENSIONS for weight in weights)
            if not node.is_input and _is_spatial(node.outputs):
                last = node.outputs[0]
                bottleneck = last if convolved and live == {id(last)} else bottleneck
        return last if bottleneck is None else bottleneck

    def features(self, layer: str | None) -> keras.KerasTensor:
        """Return the symbolic output of a layer.

        Args:
            layer: Name of the layer or nested model, or the end of its path;
                :meth:`deepest` by default.

        Raises:
            ValueError: If no layer with rows and columns has the name, or several have.
        """
        deepest = self.deepest()
        if deepest is None:
            raise ValueError(
                "A map needs a layer with rows and columns, (n, rows, cols, channels), "
                "between image and logits. Received: a model without one."
            )
        if layer is None:
            return deepest
        spatial = self.spatial()
        inside = {id(tensor) for tensor in spatial.values()}
        nested = {key: out for key, out in self.nested.items() if id(out) in inside}
        candidates = nested | spatial
        matches = _matching(layer, candidates)
        if len(matches) == 1:
            return candidates[matches[0]]
        outputs = {self.path(node): node.outputs for node in self.nodes}
        shapes = [str(outputs[name][0].shape) for name in _matching(layer, outputs)]
        problem = f", whose output is {shapes[0]}" if shapes and not matches else ""
        if len(matches) > 1:
            problem = f", which matches {' and '.join(matches)}"
        raise ValueError(
            "Expected the name of a layer whose output has rows and columns. "
            f"Received: {layer!r}{problem}. Use one of: {', '.join(spatial)}."
        )


def open_graph(model: keras.Model, output: keras.KerasTensor) -> Graph:
    """Open the nested models of a model with one input, up to a symbolic output.

    Examples:
        >>> model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.ReLU()])
        >>> output = model.outputs[0]
        >>> open_graph(model, output).output is output  # nothing nested
        True
    """
    image = model.inputs[0]
    if not any(isinstance(layer, keras.Model) for layer in model.layers):
        return Graph(image, output, {}, {})
    plain = keras.Model(image, output)
    image = keras.Input(batch_shape=image.shape, dtype=image.dtype)
    opener = _Opener((type(plain).call, keras.Sequential.call))
    output = opener.run(plain, [image], "")
    return Graph(image, output, opener.paths, opener.nested)


class _Opener:
    """Calls the layers of a model on new tensors, those of nested models one by one."""

    def __init__(self, opened_calls: tuple[Callable, ...]):
        self.opened_calls = opened_calls  # ``call`` of the model classes to open
        self.paths: dict[int, str] = {}
        self.nested: dict[str, keras.KerasTensor] = {}
        self._called: dict[str, keras.Operation] = {}  # by name

    def run(self, model, tensors, prefix):
        """Call a model on tensors, layer by layer."""
        call = functools.partial(self._call, prefix)
        return model._run_through_graph(tensors, call_fn=call)

    def _call(self, prefix, layer, *args, **kwargs):
        path = f"{prefix}{layer.name}"
        if isinstance(layer, keras.Model) and type(layer).call in self.opened_calls:
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


def _is_spatial(outputs) -> bool:
    if len(outputs) != 1 or len(outputs[0].shape) != DIMENSIONS:
        return False
    return tuple(outputs[0].shape[1:3]) != (1, 1)


def _matching(layer: str, paths) -> list[str]:
    """Paths that a name stands for: itself, or those that end in it."""
    ends = [path for path in paths if path.endswith(f"/{layer}")]
    return [layer] if layer in paths else ends
