"""Checked labels, probabilities and thresholds of classification."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from kerasloc.metrics.stacks import as_float


def as_probabilities(probabilities, class_names: Sequence[str]) -> np.ndarray:
    """Finite numbers (n, classes), a column for every name, at least one row.

    Args:
        probabilities: Array-like, (n, classes), any range.
        class_names: One per column, each another.

    Raises:
        ValueError: If the shape does not fit, a name comes twice, there is no row,
            or a value is NaN or infinite.
    """
    probabilities = as_float(probabilities)
    if probabilities.ndim != 2 or probabilities.shape[1] != len(class_names):
        raise ValueError(
            f"Probabilities are (n, classes), here (n, {len(class_names)}) for as many "
            f"class names. Received: shape {probabilities.shape}."
        )
    twice = [name for name, times in Counter(class_names).items() if times > 1]
    if twice:
        raise ValueError(
            f"Every class has another name. Received: {twice[:5]} more than once. "
            "Add the folder or synset to the name."
        )
    bad = np.count_nonzero(~np.isfinite(probabilities))
    if not len(probabilities) or bad:
        raise ValueError(
            "A report needs at least one image and finite probabilities. Received: "
            f"{len(probabilities)} images, {bad} NaN or infinite values."
        )
    return probabilities


def as_indices(truth, count: int, classes: int) -> np.ndarray:
    """Class indices (count,), int64 in 0..classes - 1.

    Args:
        truth: Integers, (count,).
        count: Images.
        classes: How many there are.

    Raises:
        ValueError: If the shape or type does not fit or an index is no class.
    """
    truth = np.asarray(truth)
    if truth.shape != (count,) or truth.dtype.kind not in "iu":
        raise ValueError(
            f"The truth is one integer class index per image, here ({count},). "
            f"Received: {truth.dtype} of shape {truth.shape}. "
            "One-hot labels become indices by argmax(axis=1)."
        )
    if truth.min() < 0 or truth.max() >= classes:
        raise ValueError(
            f"Class indices lie in 0..{classes - 1}. "
            f"Received: {truth.min()}..{truth.max()}."
        )
    return truth.astype(np.int64)


def as_labels(labels, shape: tuple[int, int]) -> np.ndarray:
    """Labels 0, 1 or NaN where unknown, float, of this shape.

    Args:
        labels: Array-like, (n, classes).
        shape: (n, classes).

    Raises:
        ValueError: If the shape is another or a label is none of these.
    """
    labels = np.asarray(labels, float)
    if labels.shape != shape:
        raise ValueError(
            f"Labels have the shape of the probabilities, {shape}. "
            f"Received: {labels.shape}."
        )
    other = labels[~np.isin(labels, (0, 1)) & ~np.isnan(labels)]
    if other.size:
        raise ValueError(
            "Labels are 0, 1, or NaN where unknown. "
            f"Received: {np.unique(other)[:5].tolist()}."
        )
    return labels


def as_thresholds(thresholds, classes: int) -> np.ndarray:
    """One threshold for all classes, shape (), or one each, shape (classes,).

    Args:
        thresholds: A number or array-like.
        classes: How many there are.

    Raises:
        ValueError: If there is another number of them or one is NaN.
    """
    thresholds = np.asarray(thresholds, float)
    if thresholds.shape not in ((), (classes,)) or np.isnan(thresholds).any():
        raise ValueError(
            f"Thresholds are one number or one per class, here {classes}, without NaN. "
            f"Received: {thresholds}."
        )
    return thresholds
