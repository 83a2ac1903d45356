"""Gradients of logits on every backend: the file with TensorFlow, JAX and PyTorch."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import numpy.typing as npt
from keras import ops


class FeatureGradient:
    """Outputs of a head and the gradient of a logit, in one pass.

    Args:
        head: Model from a list of features to a dict with ``logits`` (n, classes).
        position: Index of the features that the gradient is taken with respect to.

    Raises:
        ValueError: If the backend has no gradients.

    Examples:
        >>> features = keras.Input((2,))
        >>> head = keras.Model([features], {"logits": features * features})
        >>> outputs, gradient = FeatureGradient(head)([np.array([[1.0, 3.0]])], [1])
        >>> gradient  # d logit 1 / d features
        array([[0., 6.]], dtype=float32)
    """

    def __init__(self, head: keras.Model, position: int = -1):
        makers = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
        backend = keras.backend.backend()
        if backend not in makers:
            raise ValueError(
                f"Expected one of the backends {', '.join(makers)}, which have "
                f"gradients. Received: {backend!r}. Set KERAS_BACKEND."
            )
        self._call = makers[backend](head, position % len(head.inputs))

    def __call__(
        self, features: Sequence, classes: npt.ArrayLike
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Compute outputs by name and the gradient, float32.

        Args:
            features: Arrays, one per input of the head.
            classes: Class index per image, (n,); -1 for the highest logit.
        """
        features = [ops.convert_to_tensor(array) for array in features]
        classes = ops.convert_to_tensor(np.asarray(classes, np.int32))
        outputs, gradient = self._call(features, classes)
        return {key: _array(value) for key, value in outputs.items()}, _array(gradient)


def call_errors() -> tuple[type[Exception], ...]:
    """List the errors of calls on unsuitable tensors; TensorFlow has a type for them.

    Examples:
        >>> issubclass(ValueError, call_errors())
        True
    """
    errors = [ArithmeticError, AssertionError, AttributeError, LookupError]
    errors += [RuntimeError, TypeError, ValueError]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        errors.append(tf.errors.OpError)
    return tuple(errors)


def _array(tensor) -> np.ndarray:
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def _score(outputs, classes):
    """Sum of the chosen logits: each depends on its image alone."""
    logits = outputs["logits"]
    highest = ops.cast(ops.argmax(logits, axis=-1), "int32")
    chosen = ops.where(classes < 0, highest, classes)
    return ops.sum(ops.take_along_axis(logits, chosen[:, None], axis=-1))


def _tensorflow(head, position) -> Callable:
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def call(features, classes):
        with tf.GradientTape() as tape:
            tape.watch(features[position])
            outputs = head(features, training=False)
            score = _score(outputs, classes)
        zero = tf.UnconnectedGradients.ZERO
        gradient = tape.gradient(score, features[position], unconnected_gradients=zero)
        return outputs, gradient

    return call


def _jax(head, position) -> Callable:
    import jax

    def score(feature, rest, classes, variables):
        features = [*rest[:position], feature, *rest[position:]]
        outputs, _ = head.stateless_call(*variables, features, training=False)
        return _score(outputs, classes), outputs

    differentiate = jax.jit(jax.value_and_grad(score, has_aux=True))

    def call(features, classes):
        rest = features[:position] + features[position + 1 :]
        variables = (
            [v.value for v in head.trainable_variables],
            [v.value for v in head.non_trainable_variables],
        )
        (_, outputs), gradient = differentiate(
            features[position], rest, classes, variables
        )
        return outputs, gradient

    return call


def _torch(head, position) -> Callable:
    import torch

    def call(features, classes):
        with torch.enable_grad():
            features = [tensor.detach() for tensor in features]
            features[position].requires_grad_(True)
            outputs = head(features, training=False)
            score = _score(outputs, classes)
            gradient = torch.zeros_like(features[position])
            if score.requires_grad:  # else the logits do not depend on the features
                (gradient,) = torch.autograd.grad(
                    score, features[position], allow_unused=True, materialize_grads=True
                )
        outputs = {key: value.detach() for key, value in outputs.items()}
        return outputs, gradient

    return call
