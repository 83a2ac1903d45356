"""Logits of a classifier, before softmax, sigmoid and their relatives."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import numpy.typing as npt
from keras import ops
from scipy.spatial import KDTree

from kerasloc.cams.backend import call_errors
from kerasloc.cams.graph import Alias, call_of, unwrap

ELEMENTWISE = [ops.sigmoid, ops.hard_sigmoid]  # p(-x) = 1 - p(x)
SCORES = [*ELEMENTWISE, ops.softmax, ops.log_softmax, ops.log_sigmoid, ops.sparsemax]
PROBES = 8  # rows of numbers that a function is probed with
MOST = 2**15  # values of an image that may be scores
TOLERANCE = 1e-2  # of the largest; functions may compute in half precision


class BeforeActivation(Alias):
    """A layer's output before its activation; the layer itself stays as it is.

    Args:
        inner: Layer with an ``activation``, or a wrapper of one; its weights are
            shared.

    Examples:
        >>> dense = keras.layers.Dense(1, "sigmoid", kernel_initializer="ones")
        >>> dense.build((None, 2))
        >>> BeforeActivation(dense)(np.array([[2.0, 3.0]])).numpy()
        array([[5.]], dtype=float32)
    """

    def call(self, *args, **kwargs):
        """Call a copy of the layer with a linear activation."""
        return _linear(self.inner)(*args, **kwargs)


class SignedLogits(keras.layers.Layer):
    """Logits of scores that are joined, reordered, or subtracted from 1.

    Args:
        index: Index of every logit among the values of all inputs, (classes,).
        signs: 1, or -1 for the logit of 1 - p, (classes,).

    Examples:
        >>> two_classes = SignedLogits([0, 0], [-1, 1])  # of [1 - p, p]
        >>> two_classes([np.array([[3.0]])]).numpy()
        array([[-3.,  3.]], dtype=float32)
    """

    def __init__(self, index: npt.ArrayLike, signs: npt.ArrayLike):
        super().__init__(dtype="float32")
        self.index, self.signs = np.asarray(index), np.asarray(signs, "float32")
        self.built = True

    def call(self, inputs):
        """Take the logits out of a list of tensors."""
        flat = [ops.reshape(x, (-1, int(np.prod(x.shape[1:])))) for x in inputs]
        logits = ops.take(ops.concatenate(flat, axis=-1), self.index, axis=-1)
        return ops.multiply(logits, self.signs)


class _Scores(NamedTuple):
    """Scores in a graph, the function that they are like, and their logits.

    Where ``tensor`` is the logits, a later function may contain the sigmoid.
    """

    tensor: keras.KerasTensor
    function: Callable
    logits: keras.KerasTensor


def before_activation(output: keras.KerasTensor) -> keras.KerasTensor:
    """Find the logits that softmax, sigmoid and the like are taken of.

    These functions are recognized by their values, as they come in many forms: a
    layer or its activation, an operation, a function of the user. Scores may be cast,
    reshaped, joined or reordered behind them, or subtracted from 1.
    """
    scores = _scores_of(output)
    if not scores:
        return output
    if scores[0].tensor is output:
        return scores[0].logits
    picks = _picks(scores, output)
    if picks is None:
        return output
    return SignedLogits(*picks)([score.logits for score in scores])


def _scores_of(output) -> list[_Scores]:
    """Scores that an output is made of without weights; none if of large tensors."""
    scores, queue, seen = [], [output], set()
    while queue:
        tensor = queue.pop(0)
        node = call_of(tensor)
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if node.is_input or not 0 < _size(tensor) <= MOST:
            return []
        score = _score(node, tensor)
        if score is not None:
            scores.append(score)
        elif getattr(node.operation, "weights", None):
            scores.append(_Scores(tensor, ops.sigmoid, tensor))
        else:
            queue += node.input_tensors
    return scores


def _score(node, tensor) -> _Scores | None:
    """The scores that a call computes, or None."""
    operation = unwrap(node.operation)
    if len(node.input_tensors) != 1 or len(node.outputs) != 1:
        return None
    (before,) = node.input_tensors

    def call(values):
        args, kwargs = node.arguments.fill_in({id(before): values})
        return operation(*args, **kwargs)

    if not getattr(operation, "weights", None):
        like = _like(call, before) if _size(before) == _size(tensor) else None
        if like is None or (like is ops.softmax and tensor.shape[-1] == 1):
            return None  # a softmax over one class is a constant
        return _Scores(tensor, like, before_activation(before))
    activation = _activation(operation)
    like = activation and _like(activation, tensor)
    if like is None or not _is_last(activation, operation, call, before):
        return None
    args, kwargs = node.arguments.args, node.arguments.kwargs
    return _Scores(tensor, like, BeforeActivation(operation)(*args, **kwargs))


def _activation(layer) -> Callable | None:
    """The activation of a layer, or of the layer in a wrapper; None without."""
    if isinstance(layer, keras.layers.Wrapper):
        return _activation(layer.layer)
    activation = getattr(layer, "activation", None)
    try:
        return None if activation is None else keras.activations.get(activation)
    except ValueError:  # an attribute of the user's that only has the name
        return None


def _linear(layer):
    """Shallow copy of a layer, with the same variables, without activation."""
    copy = object.__new__(type(layer))
    vars(copy).update(vars(layer))
    if isinstance(layer, keras.layers.Wrapper):
        object.__setattr__(copy, "layer", _linear(layer.layer))
    else:
        object.__setattr__(copy, "activation", keras.activations.linear)
    return copy


def _is_last(activation, layer, call, before) -> bool:
    """Test if a layer's activation is what it computes last."""
    inputs = _normal(before, 1)
    outputs = _called(call, inputs)
    expected = _called(lambda values: activation(_linear(layer)(values)), inputs)
    return outputs is not None and expected is not None and _equal(outputs, expected)


def _picks(scores, output) -> tuple[np.ndarray, np.ndarray] | None:
    """Index and signs for :class:`SignedLogits` if an output is scores; or None."""
    rng = np.random.default_rng(0)
    draws = -(-PROBES // (output.shape[0] or PROBES))
    samples = [_sample(scores, output, rng) for _ in range(draws)]
    if any(outputs is None for _, outputs in samples):
        return None
    values, outputs = (np.concatenate(arrays) for arrays in zip(*samples, strict=True))
    elementwise = [
        [score.function in ELEMENTWISE] * _size(score.tensor) for score in scores
    ]
    flipped = np.flatnonzero(np.concatenate(elementwise))
    columns = np.concatenate([values, 1 - values[:, flipped]], axis=1)
    nearest = KDTree(columns.T).query(outputs.T)[1]
    if not _equal(columns[:, nearest], outputs):
        return None
    index = np.concatenate([np.arange(values.shape[1]), flipped])[nearest]
    return index, np.where(nearest < values.shape[1], 1, -1)


def _sample(scores, output, rng) -> tuple[np.ndarray, np.ndarray | None]:
    """Random values (rows, values) of scores, and the output of these or None."""
    tensors, flat = {}, []
    for score in scores:
        logits = _normal(score.tensor, 2, rng)
        values = ops.convert_to_numpy(score.function(logits))
        start = logits if score.logits is score.tensor else values
        tensors[id(score.tensor)] = ops.convert_to_tensor(start, score.tensor.dtype)
        flat.append(values.reshape(len(values), -1))
    values = np.concatenate(flat, axis=1)
    outputs = _called(lambda _: _computed(output, tensors), values)
    if outputs is None or outputs.size != len(values) * _size(output):
        return values, None
    outputs = outputs.reshape(len(values), -1)
    return values, outputs if np.isfinite(outputs).all() else None


def _computed(tensor, tensors):
    """Compute a symbolic tensor from the values of others by id."""
    if id(tensor) not in tensors:
        node = call_of(tensor)
        for before in node.input_tensors:
            _computed(before, tensors)
        args, kwargs = node.arguments.fill_in(tensors)
        results = keras.tree.flatten(node.operation(*args, **kwargs))
        tensors.update(zip(map(id, node.outputs), results, strict=True))
    return tensors[id(tensor)]


def _like(function, tensor) -> Callable | None:
    """The one of SCORES that a function is on such tensors, or None."""
    inputs = _normal(tensor, 2)
    outputs = _called(function, inputs)
    for score in SCORES if outputs is not None else ():
        alone = score is ops.softmax and tensor.shape[-1] == 1  # Keras warns of it
        expected = _called(ops.ones_like if alone else score, inputs)
        if expected is not None and _equal(outputs, expected):
            return score
    return None


def _normal(tensor, scale, rng=None) -> np.ndarray:
    """Normally distributed numbers in the shape of a symbolic tensor."""
    shape = [side or PROBES for side in tensor.shape]
    return (rng or np.random.default_rng(0)).normal(0, scale, shape).astype("float32")


def _called(function, inputs) -> np.ndarray | None:
    """A function's outputs, float32, or None if it does not take the inputs."""
    try:
        outputs = function(ops.convert_to_tensor(inputs))
        return ops.convert_to_numpy(ops.cast(outputs, "float32"))
    except call_errors():  # a function of the user that does not take these numbers
        return None


def _equal(values, expected) -> bool:
    if values.size != expected.size:
        return False
    atol = TOLERANCE * np.abs(expected).max()
    return np.allclose(values.reshape(expected.shape), expected, rtol=0, atol=atol)


def _size(tensor) -> int:
    """Number of values per image; 0 where a side is unknown."""
    return 0 if None in tensor.shape[1:] else int(np.prod(tensor.shape[1:]))
