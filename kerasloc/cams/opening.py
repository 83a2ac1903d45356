"""Nested models opened, and the logits behind softmax and sigmoid found."""

import keras
from keras import layers

SCORES = ("softmax", "sigmoid", "log_softmax", "log_sigmoid", "hard_sigmoid")


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
        Image, answer, and the path of every operation by its ``id``, such as
        ``base/conv``; a model without nested ones is as it was, without paths.
    """
    image, paths = model.inputs[0], {}
    if not any(isinstance(layer, keras.Model) for layer in model.layers):
        return image, answer, paths
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
            found = again(within, keras.tree.flatten(args[0]), f"{path}/")
            return keras.tree.pack_sequence_as(layer.output, keras.tree.flatten(found))

        return one

    def again(model, tensors, prefix):
        return model._run_through_graph(tensors, call_fn=call(prefix))

    image = keras.Input(batch_shape=image.shape, dtype=image.dtype)
    return image, again(plain, [image], ""), paths


def itself(operation):
    """An operation, or what it stands for."""
    return operation.inner if isinstance(operation, Stand) else operation


def before_activation(answer):
    """The tensor that softmax or sigmoid, if there is any, is taken of."""
    node = node_of(answer)
    operation = itself(node.operation)
    name = getattr(getattr(operation, "activation", None), "__name__", None)
    alone = isinstance(operation, layers.Activation)
    if isinstance(operation, layers.Softmax) or (alone and name in SCORES):
        return before_activation(node.input_tensors[0])
    if not isinstance(operation, layers.Layer) and _snake(operation) in SCORES:
        return before_activation(node.input_tensors[0])
    if alone and name == "linear":
        return before_activation(node.input_tensors[0])
    if name in SCORES:
        return BeforeActivation(operation)(node.input_tensors[0])
    return answer


def _snake(operation) -> str:
    """``LogSoftmax`` -> ``log_softmax``."""
    name = type(operation).__name__
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def node_of(tensor):
    """The call that a symbolic tensor comes from."""
    operation, index, _ = tensor._keras_history
    return operation._inbound_nodes[index]
