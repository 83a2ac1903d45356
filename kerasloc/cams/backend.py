"""Batches, outputs and gradients of models on TensorFlow, JAX and PyTorch."""

import contextlib
import threading
from collections.abc import Callable, Sequence

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from kerasloc.cams.graph import calls, unwrap
from kerasloc.layers import has_accelerator
from kerasloc.processes import check_process

HALF_EXPONENT = 15  # of the largest power of 2 in float16
ENOUGH = 2.0**-8  # peak of a gradient in float16: values down to 1e-5 of it remain
TRIES = 8  # scales of a gradient
# Keras on JAX deletes the memory of the weights while a model predicts.
_IN_TURN = (
    threading.RLock() if keras.backend.backend() == "jax" else contextlib.nullcontext()
)


class FeatureGradient:
    """Outputs of a head and the gradient of a logit, in one pass.

    Gradients in float16 are of logits times a power of 2, which keeps small ones.

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
        self._half = _has_half_precision(head)

    def __reduce__(self):
        """Raise: a compiled function cannot be pickled."""
        raise TypeError(
            "Expected an object that can be pickled. Received: a FeatureGradient. "
            "Pickle its head, or an explainer such as kerasloc.cams.GradCAM(model)."
        )

    def __call__(
        self, features: Sequence, classes: npt.ArrayLike
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Compute outputs by name and the gradient, float32.

        Args:
            features: Arrays, one per input of the head.
            classes: Class index per image, (n,); -1 for the highest logit.
        """
        check_process(keras.backend.backend())
        features = [ops.convert_to_tensor(array) for array in features]
        classes = np.asarray(classes, np.int32)
        if self._half:
            return self._scaled(features, classes)
        return self._run(features, classes, np.zeros_like(classes))

    def _run(self, features, classes, exponents):
        """Outputs, and the gradient of the logits times 2 ** exponents."""
        scales = ops.convert_to_tensor(np.exp2(exponents).astype("float32"))
        with _IN_TURN:
            outputs, gradient = self._call(
                features, ops.convert_to_tensor(classes), scales
            )
        return {key: _array(value) for key, value in outputs.items()}, _array(gradient)

    def _scaled(self, features, classes):
        """Outputs and gradient by the best scale of each image."""
        low = np.full_like(classes, -24)
        high, gradient = np.full_like(classes, 40), None
        exponents = np.full_like(classes, HALF_EXPONENT)
        for _ in range(TRIES):
            outputs, scaled = self._run(features, classes, exponents)
            axes = tuple(range(1, scaled.ndim))
            peaks = np.abs(scaled).max(axis=axes)
            scaled = np.ldexp(scaled, -np.expand_dims(exponents, axes))
            finite = np.isfinite(peaks)
            keep = np.expand_dims(finite, axes)
            gradient = scaled if gradient is None else np.where(keep, scaled, gradient)
            low = np.where(finite, exponents, low)
            high = np.where(finite, high, exponents)
            exponents = _next_exponents(peaks, low, high)
            if (exponents == low).all():
                break
        return outputs, gradient


def _next_exponents(peaks, low, high) -> np.ndarray:
    """Exponents between the last that was finite, if high enough, and too high ones."""
    _, sizes = np.frexp(np.clip(peaks, 2.0**-24, None))
    missing = np.where(peaks < ENOUGH, -3 - sizes, 0)
    lowered = np.maximum(high - 6, (low + high) // 2)
    raised = np.minimum(low + missing, high - 1)
    return np.where(np.isfinite(peaks), raised, lowered).astype(low.dtype)


def _has_half_precision(head) -> bool:
    """Test if anything in a model computes in float16."""
    nodes = calls(head)
    dtypes = {tensor.dtype for node in nodes for tensor in node.outputs}
    operations = (unwrap(node.operation) for node in nodes)
    dtypes |= {getattr(operation, "compute_dtype", None) for operation in operations}
    return "float16" in dtypes


def run(model: keras.Model, images: np.ndarray, *inputs, batch_size: int | None = None):
    """Compute the outputs of a model for all images, a batch at a time.

    Args:
        model: Model with one output, a list or a dict of them.
        images: Array (n, rows, cols, channels).
        *inputs: Further inputs with n entries.
        batch_size: Number of images in a batch; :func:`images_at_once` by default.

    Returns:
        Arrays in the structure of the model's outputs.

    Raises:
        ValueError: If there is no image.

    Examples:
        >>> image = keras.Input((2, 2, 1))
        >>> run(keras.Model(image, {"twice": 2 * image}), np.ones((3, 2, 2, 1)))
        {'twice': array([[[[2.], ...
    """
    check_process(keras.backend.backend())
    if not len(images):
        raise ValueError("Expected at least one image. Received: no images.")
    step = batch_size or images_at_once(images.shape[1:3])
    batches = []
    for start in range(0, len(images), step):
        batch = [array[start : start + step] for array in (images, *inputs)]
        batches.append(predict(model, batch if inputs else batch[0]))
    return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *batches)


def predict(model: keras.Model, inputs):
    """Compute the outputs of a model for a batch, from any thread.

    Examples:
        >>> image = keras.Input((1,))
        >>> predict(keras.Model(image, 2 * image), np.ones((1, 1)))
        array([[2.]], dtype=float32)
    """
    with _IN_TURN:
        return model.predict_on_batch(inputs)


def images_at_once(
    size: tuple[int, int], pixels: int = 40_000, accelerator: bool | None = None
) -> int:
    """Choose a batch size for images of a size.

    On a CPU features that leave its cache cost more than a larger batch saves.

    Args:
        size: (rows, cols).
        pixels: Approximate number of pixels in a batch on a CPU.
        accelerator: Whether there is a GPU; detected by default.

    Examples:
        >>> images_at_once((96, 96), accelerator=False)
        4
    """
    if has_accelerator() if accelerator is None else accelerator:
        return 32
    return max(2, min(32, pixels // (size[0] * size[1])))


def call_errors() -> tuple[type[Exception], ...]:
    """List the errors of calls on unsuitable tensors.

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


def _score(outputs, classes, scales):
    """Sum of the chosen logits times scales: each depends on its image alone."""
    logits = ops.cast(outputs["logits"], "float32")
    highest = ops.cast(ops.argmax(logits, axis=-1), "int32")
    chosen = ops.where(classes < 0, highest, classes)
    return ops.sum(ops.take_along_axis(logits, chosen[:, None], axis=-1)[:, 0] * scales)


def _tensorflow(head, position) -> Callable:
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def call(features, classes, scales):
        with tf.GradientTape() as tape:
            tape.watch(features[position])
            outputs = head(features, training=False)
            score = _score(outputs, classes, scales)
        zero = tf.UnconnectedGradients.ZERO
        gradient = tape.gradient(score, features[position], unconnected_gradients=zero)
        return outputs, gradient

    return call


def _jax(head, position) -> Callable:
    import jax

    def score(feature, rest, classes, scales, variables):
        features = [*rest[:position], feature, *rest[position:]]
        outputs, _ = head.stateless_call(*variables, features, training=False)
        return _score(outputs, classes, scales), outputs

    differentiate = jax.jit(jax.value_and_grad(score, has_aux=True))

    def call(features, classes, scales):
        rest = features[:position] + features[position + 1 :]
        pair = head.trainable_variables, head.non_trainable_variables
        variables = [[v.value for v in group] for group in pair]
        arguments = features[position], rest, classes, scales, variables
        value, gradient = differentiate(*arguments)
        return value[1], gradient

    return call


def _torch(head, position) -> Callable:
    import torch

    def call(features, classes, scales):
        with torch.enable_grad():
            features = [tensor.detach() for tensor in features]
            features[position].requires_grad_(True)
            outputs = head(features, training=False)
            score = _score(outputs, classes, scales)
            gradient = torch.zeros_like(features[position])
            if score.requires_grad:  # else the logits do not depend on the features
                (gradient,) = torch.autograd.grad(
                    score, features[position], allow_unused=True, materialize_grads=True
                )
        outputs = {key: value.detach() for key, value in outputs.items()}
        return outputs, gradient

    return call
