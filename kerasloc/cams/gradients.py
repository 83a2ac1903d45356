"""Gradients of chosen logits with respect to features: the only backend switch."""

import keras
import numpy as np
from keras import ops


class FeatureGradient:
    """A network behind its features: its outputs, and a logit's gradient, in one pass.

    Args:
        head: Model from a list of features to a dict with ``logits`` (n, classes).
        position: Which of the features the gradient is taken of.
    """

    def __init__(self, head: keras.Model, position: int = -1):
        self._head = head
        self._position = position % len(head.inputs)
        makers = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
        backend = keras.backend.backend()
        if backend not in makers:
            raise ValueError(
                f"Gradients need one of the backends {', '.join(makers)}. "
                f"Received: {backend}."
            )
        self._call = makers[backend](head, self._position)

    def __call__(self, features, classes):
        """Outputs by name and the gradient, as arrays.

        Args:
            features: One array per input of the head.
            classes: The logit of each image, (n,); below 0: the highest.
        """
        features = [ops.convert_to_tensor(one) for one in features]
        classes = ops.convert_to_tensor(np.asarray(classes, np.int32))
        outputs, gradient = self._call(features, classes)
        arrays = {key: _array(value) for key, value in outputs.items()}
        return arrays, _array(gradient)


def _array(tensor) -> np.ndarray:
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def _score(outputs, classes):
    """The sum of the chosen logits: each depends on its own image only."""
    logits = outputs["logits"]
    highest = ops.cast(ops.argmax(logits, axis=-1), "int32")
    chosen = ops.where(classes < 0, highest, classes)
    return ops.sum(ops.take_along_axis(logits, chosen[:, None], axis=-1))


def _tensorflow(head, position):
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


def _jax(head, position):
    import jax

    def score(feature, others, classes, variables):
        features = [*others[:position], feature, *others[position:]]
        outputs, _ = head.stateless_call(*variables, features, training=False)
        return _score(outputs, classes), outputs

    gradient = jax.jit(jax.value_and_grad(score, has_aux=True))

    def call(features, classes):
        others = features[:position] + features[position + 1 :]
        variables = (
            [v.value for v in head.trainable_variables],
            [v.value for v in head.non_trainable_variables],
        )
        (_, outputs), answer = gradient(features[position], others, classes, variables)
        return outputs, answer

    return call


def _torch(head, position):
    import torch

    def call(features, classes):
        with torch.enable_grad():
            features = [one.detach() for one in features]
            features[position].requires_grad_(True)
            outputs = head(features, training=False)
            score = _score(outputs, classes)
            gradient = torch.zeros_like(features[position])
            if score.requires_grad:  # else they are not made of these features
                (gradient,) = torch.autograd.grad(
                    score, features[position], allow_unused=True, materialize_grads=True
                )
        outputs = {key: value.detach() for key, value in outputs.items()}
        return outputs, gradient

    return call
