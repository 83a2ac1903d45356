"""Nested models opened, and the logits behind softmax and sigmoid found."""

import warnings

import keras
import numpy as np
from keras import layers, ops

SCORES = (
    ops.softmax,
    ops.sigmoid,
    ops.log_softmax,
    ops.log_sigmoid,
    ops.hard_sigmoid,
    ops.sparsemax,
)
TRIED = 8  # images' numbers that a function is tried on
TOLERANCE = 1e-2  # functions may compute in half precision


class Stand(layers.Layer):
    """A layer or operation under another name, as those of a model must be unique.

    Args:
        inner: What is called; its weights stay its own.
    """

    def __init__(self, inner):
        super().__init__(autocast=False)
        self.inner = inner
        self.built = True

    def call(self, *args, **kwargs):
        """The answer of what stands behind."""
        return self.inner(*args, **kwargs)


class BeforeActivation(Stand):
    """What a layer with an activation answers before it."""

    def call(self, inputs):
        """The layer's answer with a linear activation."""
        activation = self.inner.activation
        self.inner.activation = keras.activations.linear
        try:
            return self.inner(inputs)
        finally:
            self.inner.activation = activation


def opened(model, answer):
    """The symbolic image and answer of a model whose nested models are opened.

    Args:
        model: Functional or sequential.
        answer: Its symbolic output.

    Returns:
        Image, answer, the path of every operation by its ``id``, such as
        ``base/conv``, and the answer of every nested model by its path; a model
        without nested ones is as it was, without paths.
    """
    image, paths, nests = model.inputs[0], {}, {}
    if not any(isinstance(layer, keras.Model) for layer in model.layers):
        return image, answer, paths, nests
    plain = keras.Model(image, answer)
    known = (type(plain).call, keras.Sequential.call)
    standing = {}  # what is called, by name

    def call(prefix):
        def one(layer, *args, **kwargs):
            path = f"{prefix}{layer.name}"
            nested = isinstance(layer, keras.Model) and type(layer).call in known
            if not nested:
                called = standing.setdefault(layer.name, layer)
                if called is not layer:
                    called = standing.setdefault(path, Stand(layer))
                paths[id(called)] = path
                return called(*args, **kwargs)
            within = keras.Model(layer.inputs, layer.outputs)
            given = args[0] if args else kwargs["inputs"]
            found = again(within, keras.tree.flatten(given), f"{path}/")
            found = keras.tree.flatten(found)
            if len(found) == 1:
                nests[path] = found[0]
            return keras.tree.pack_sequence_as(layer.output, found)

        return one

    def again(model, tensors, prefix):
        return model._run_through_graph(tensors, call_fn=call(prefix))

    image = keras.Input(batch_shape=image.shape, dtype=image.dtype)
    return image, again(plain, [image], ""), paths, nests


def itself(operation):
    """An operation, or what it stands for."""
    return operation.inner if isinstance(operation, Stand) else operation


def before_activation(answer):
    """The tensor that softmax, sigmoid and the like are taken of; else the answer.

    They are known by what they do, as they have many forms: a layer's activation, a
    layer, an operation, a function of somebody else.

    Args:
        answer: Symbolic, (n, classes).
    """
    node = node_of(answer)
    operation = itself(node.operation)
    if len(node.input_tensors) != 1:
        return answer
    before = node.input_tensors[0]
    if getattr(operation, "weights", None):
        activation = getattr(operation, "activation", None)
        if activation is None or not _makes_scores(activation, answer):
            return answer
        return BeforeActivation(operation)(before)

    def call(values):
        args, kwargs = node.arguments.fill_in({id(before): values})
        return operation(*args, **kwargs)

    if _size(before) != _size(answer):
        return answer
    if _makes_scores(call, before):
        return before_activation(before)
    deeper = before_activation(before) if _keeps_values(call, before) else before
    return answer if deeper is before else Stand(operation)(deeper)


def _makes_scores(function, tensor) -> bool:
    """Whether a function does to such tensors what softmax or one of its kin does."""
    found = _tried(function, tensor, 2)[1]
    if found is None:
        return False
    others = (_tried(score, tensor, 2)[1] for score in SCORES)
    return any(np.allclose(found, one, atol=TOLERANCE) for one in others)


def _keeps_values(function, tensor) -> bool:
    """Whether a function does nothing to such tensors but change their shape."""
    given, found = _tried(function, tensor, 1e3)
    return found is not None and np.allclose(found, given, rtol=TOLERANCE)


def _tried(function, tensor, scale):
    """Numbers shaped as a tensor, and a function's answer, or None."""
    shape = (tensor.shape[0] or TRIED, *tensor.shape[1:])
    given = np.random.default_rng(0).normal(0, scale, shape).astype("float32")
    try:
        with warnings.catch_warnings(action="ignore"):  # of softmax over one class
            found = function(ops.convert_to_tensor(given))
        found = ops.convert_to_numpy(ops.cast(found, "float32"))
    except Exception:  # a stranger's function, which does not take these numbers
        return given, None
    return given, found.reshape(shape) if found.size == given.size else None


def _size(tensor) -> int | None:
    """How many numbers an image has; None where that is not known."""
    return None if None in tensor.shape[1:] else int(np.prod(tensor.shape[1:]))


def node_of(tensor):
    """The call that a symbolic tensor comes from."""
    operation, index, _ = tensor._keras_history
    return operation._inbound_nodes[index]
