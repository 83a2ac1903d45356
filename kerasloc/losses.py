"""Losses that Keras lacks; one value per image."""

import keras
from keras import ops

OUTSIDE = 1e-6  # keeps the mean outside of a full mask finite


@keras.saving.register_keras_serializable(package="kerasloc")
class MaskedBinaryCrossentropy(keras.losses.Loss):
    """Binary cross-entropy from logits, averaged over an image's known labels.

    Labels are 1, 0 or NaN (unknown); an image without a known label counts 0.
    """

    def call(self, y_true, y_pred):
        """One value per image, (n,)."""
        known = ops.logical_not(ops.isnan(y_true))
        truth = ops.where(known, y_true, ops.zeros_like(y_true))
        one_by_one = ops.binary_crossentropy(truth, y_pred, from_logits=True)
        weight = ops.cast(known, one_by_one.dtype)
        count = ops.maximum(ops.sum(weight, axis=-1), 1.0)
        return ops.sum(one_by_one * weight, axis=-1) / count


def explanation_loss(
    explanation,
    mask=None,
    beta: float = 0.9,
    gamma: float = 1.0,
    budget: float = 0.0,
):
    """How much an explanation marks, how raggedly, and how much off the mask, (n,).

    ``beta`` times the mean of the explanation plus ``1 - beta`` times its total
    variation (the mean difference of neighboring rows plus that of columns); with a
    mask (hybrid) also ``gamma`` times the mean of the explanation outside of it.

    Args:
        explanation: In [0, 1], (n, rows, cols, 1) or (n, rows, cols).
        mask: 1 where the target is, else 0, of the same shape; None: unsupervised.
        beta: In [0, 1].
        gamma: At least 0.
        budget: Share of the pixels that may be marked for nothing, in [0, 1).

    Raises:
        ValueError: If a shape or a number does not fit.

    Reference:
        Rio-Torto, Fernandes, Teixeira, Understanding the decisions of CNNs: an in-model
        approach, Pattern Recognition Letters 133, 2020, section 3.
    """
    _check_explanation(explanation, mask, (beta, gamma, budget))
    explanation = _pixels(explanation)
    rows = ops.mean(ops.abs(explanation[:, 1:] - explanation[:, :-1]), axis=(1, 2))
    columns = explanation[:, :, 1:] - explanation[:, :, :-1]
    columns = ops.mean(ops.abs(columns), axis=(1, 2))
    marked = ops.mean(ops.abs(explanation), axis=(1, 2))
    loss = beta * ops.relu(marked - budget) + (1.0 - beta) * (rows + columns)
    if mask is None:
        return loss
    outside = 1.0 - _pixels(mask)
    share = ops.sum(outside * explanation, axis=(1, 2))
    return loss + gamma * ops.abs(share / (ops.sum(outside, axis=(1, 2)) + OUTSIDE))


def _pixels(values):
    """Values as float32, (n, rows, cols)."""
    values = ops.cast(values, "float32")
    return values[..., 0] if len(values.shape) == 4 else values


def _check_explanation(explanation, mask, numbers):
    shapes = [tuple(explanation.shape)]
    shapes += [] if mask is None else [tuple(mask.shape)]
    beta, gamma, budget = numbers
    sides = {(len(shape), *shape[1:]) for shape in shapes}
    counts = {shape[0] for shape in shapes} - {None}  # unknown in a graph
    rules = {
        "an explanation is (n, rows, cols, 1) or (n, rows, cols), of two rows and "
        "columns or more": len(shapes[0]) in (3, 4)
        and min(side or 2 for side in shapes[0][1:3]) > 1
        and shapes[0][3:] in ((), (1,)),
        "a mask is of the explanation's shape": len(sides) == 1 and len(counts) < 2,
        "beta is 0 to 1, gamma at least 0, budget at least 0 and below 1": 0
        <= beta
        <= 1
        and gamma >= 0
        and 0 <= budget < 1,
    }
    broken = [rule for rule, kept in rules.items() if not kept]
    if broken:
        raise ValueError(
            f"{'; '.join(broken)}. Received: shapes {shapes}, beta {beta}, gamma "
            f"{gamma}, budget {budget}."
        )
