"""Logits of a classifier, before softmax, sigmoid and their relatives."""

import warnings

import keras
import numpy as np
from keras import ops

from kerasloc.cams.backend import call_errors
from kerasloc.cams.graph import Alias, call_of, unwrap

SCORES = [ops.softmax, ops.sigmoid, ops.log_softmax, ops.log_sigmoid]
SCORES += [ops.hard_sigmoid, ops.sparsemax]
PROBES = 8  # rows of numbers that a function is probed with
TOLERANCE = 1e-2  # functions may compute in half precision


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


def before_activation(output: keras.KerasTensor) -> keras.KerasTensor:
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
        return before_activation(before)
    deeper = before_activation(before) if _keeps_values(call, before) else before
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
