"""Losses that Keras lacks, with a value per image."""

import keras
from keras import ops

from kerasloc.processes import check_process

OUTSIDE = 1e-6  # keeps the mean outside of a full mask finite


@keras.saving.register_keras_serializable(package="kerasloc")
class MaskedBinaryCrossentropy(keras.losses.Loss):
    """Binary cross-entropy from logits, averaged over the labels that are not missing.

    Labels (n, classes) are 1, 0 or NaN (missing); an image without a label has loss 0.

    Examples:
        >>> loss = MaskedBinaryCrossentropy(reduction=None)
        >>> loss([[1.0, float("nan")]], [[0.0, 5.0]]).numpy()  # log 2
        array([0.693], dtype=float32)
    """

    def call(
        self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor
    ) -> keras.KerasTensor:
        """Compute the loss of each image, (n,)."""
        check_process(keras.backend.backend())
        labeled = ops.logical_not(ops.isnan(y_true))
        truth = ops.where(labeled, y_true, ops.zeros_like(y_true))
        losses = ops.binary_crossentropy(truth, y_pred, from_logits=True)
        weight = ops.cast(labeled, losses.dtype)
        count = ops.maximum(ops.sum(weight, axis=-1), 1.0)
        return ops.sum(losses * weight, axis=-1) / count


def explanation_loss(
    explanation: keras.KerasTensor,
    mask: keras.KerasTensor | None = None,
    beta: float = 0.9,
    gamma: float = 1.0,
    budget: float = 0.0,
) -> keras.KerasTensor:
    """Compute the loss (n,) of explanations: sparsity, smoothness, focus on the mask.

    ``beta * mean(e) + (1 - beta) * TV(e)`` (unsupervised), with the total variation TV
    the mean absolute difference of neighboring rows plus that of columns; with a mask
    (hybrid) plus ``gamma`` times the mean of the explanation outside of it.

    Args:
        explanation: Explanations in [0, 1], (n, rows, cols, 1) or (n, rows, cols).
        mask: Masks of the target, 1 or 0, of the same shape; None if unsupervised.
        beta: Weight of the sparsity term, in [0, 1].
        gamma: Weight of the mask term, at least 0.
        budget: Share of the pixels without a sparsity loss, in [0, 1).

    Raises:
        ValueError: If a shape or a number does not fit.

    Reference:
        Rio-Torto, Fernandes, Teixeira: Understanding the decisions of CNNs: an in-model
        approach, Pattern Recognition Letters 133, 2020, section 3.

    Examples:
        >>> explanation = ops.array([[[1.0, 0.0], [0.0, 0.0]]])
        >>> explanation_loss(explanation, beta=1.0).numpy()
        array([0.25], dtype=float32)
    """
    mask_shape = None if mask is None else tuple(mask.shape)
    _check_shapes(tuple(explanation.shape), mask_shape)
    if not (0 <= beta <= 1 and gamma >= 0 and 0 <= budget < 1):
        raise ValueError(
            "Expected beta in [0, 1], gamma >= 0 and budget in [0, 1). "
            f"Received: beta={beta}, gamma={gamma}, budget={budget}."
        )
    check_process(keras.backend.backend())
    explanation = _pixels(explanation)
    rows = ops.mean(ops.abs(explanation[:, 1:] - explanation[:, :-1]), axis=(1, 2))
    columns = explanation[:, :, 1:] - explanation[:, :, :-1]
    columns = ops.mean(ops.abs(columns), axis=(1, 2))
    marked = ops.mean(ops.abs(explanation), axis=(1, 2))
    loss = beta * ops.relu(marked - budget) + (1.0 - beta) * (rows + columns)
    if mask is None:
        return loss
    outside = 1.0 - _pixels(mask)
    total = ops.sum(outside * explanation, axis=(1, 2))
    return loss + gamma * ops.abs(total / (ops.sum(outside, axis=(1, 2)) + OUTSIDE))


def _pixels(values: keras.KerasTensor) -> keras.KerasTensor:
    """Cast to float32, (n, rows, cols)."""
    values = ops.cast(values, "float32")
    return values[..., 0] if len(values.shape) == 4 else values


def _check_shapes(shape: tuple, mask_shape: tuple | None) -> None:
    """Check the shapes as far as a graph defines them."""
    if len(shape) < 3 or shape[3:] not in ((), (1,)) or 1 in shape[1:3]:
        raise ValueError(
            "Expected explanations (n, rows, cols, 1) or (n, rows, cols), at least two "
            f"rows and columns. Received: explanation of shape {shape}."
        )
    received = shape if mask_shape is None else mask_shape
    counts = {shape[0], received[0]} - {None}  # None in a graph
    if received[1:] != shape[1:] or len(counts) > 1:
        raise ValueError(
            "Expected a mask of the explanation's shape. "
            f"Received: mask of shape {received}, explanation of {shape}."
        )
