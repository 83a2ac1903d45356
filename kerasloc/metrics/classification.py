"""Reports and thresholds of image-level classification."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from kerasloc.metrics._bootstrap import interval
from kerasloc.metrics._inputs import as_indices, as_labels, as_scores, as_thresholds
from kerasloc.metrics.ranking import AVERAGES, auroc, average_precision

SCORES = ("precision", "recall", "f1")
UNTUNED = 0.5
TOP = 5


def classification_report(
    truth: ArrayLike,
    probabilities: ArrayLike,
    class_names: Sequence[str],
    *,
    seed: int = 0,
) -> dict:
    """Report accuracy, precision, recall, F1 and confusions of single-label images.

    Args:
        truth: Class indices (n,).
        probabilities: Probabilities or logits (n, classes); the first of the highest is
            the prediction.
        class_names: Distinct names, one per column.
        seed: Seed of the bootstrap over images.

    Returns:
        A dict of

        - ``count`` (images), ``accuracy``, ``accuracy_interval`` (low, high; 95 %),
          ``top_5``;
        - ``precision_macro``, ``precision_micro``, the same of ``recall`` and ``f1``,
          and ``classes_counted``, the classes with an image that macro rests on;
        - ``per_class`` (name: precision, recall, f1, support), NaN for a class without
          an image, precision 0 for a class that is never predicted;
        - ``confusion`` (classes, classes), int, rows true, columns predicted.

    Raises:
        ValueError: If a shape, a value or an index does not fit, or there is no image.

    Examples:
        >>> report = classification_report([0, 1], [[0.9, 0.1], [0.6, 0.4]], ["a", "b"])
        >>> report["accuracy"], report["per_class"]["a"]["recall"]
        (0.5, 1.0)
    """
    probabilities, names = as_scores(probabilities, class_names)
    truth = as_indices(truth, *probabilities.shape)
    order = (-probabilities).argsort(axis=1, kind="stable")
    predicted = order[:, 0]
    accuracy, *bounds = interval(truth == predicted, seed=seed)
    confusion = np.zeros((len(names), len(names)), int)
    np.add.at(confusion, (truth, predicted), 1)
    counts = confusion.diagonal(), confusion.sum(axis=0), confusion.sum(axis=1)
    return {
        "count": len(truth),
        "accuracy": accuracy,
        "accuracy_interval": tuple(bounds),
        "top_5": float((order[:, :TOP] == truth[:, None]).any(axis=1).mean()),
        **_summary(counts, names),
        "confusion": confusion,
    }


def multi_label_report(
    labels: ArrayLike,
    probabilities: ArrayLike,
    class_names: Sequence[str],
    thresholds: ArrayLike = 0.5,
    *,
    seed: int = 0,
) -> dict:
    """Report accuracy, precision, recall, F1, AUROC and AP of multi-label images.

    Args:
        labels: Labels (n, classes) 0, 1, or NaN where missing (left out).
        probabilities: Probabilities (n, classes).
        class_names: Distinct names, one per column.
        thresholds: One number, or one per class; positive predictions lie above.
        seed: Seed of the bootstrap over images.

    Returns:
        The entries of ``classification_report`` except top_5 and confusion, with
        ``accuracy`` the mean over images of the share of labels predicted right;
        ``auroc_macro``, ``auroc_micro``, ``auroc_weighted``, ``auroc_intervals`` (of
        these three, by name), ``auroc_classes_counted``, ``auroc`` in ``per_class``,
        the same of ``average_precision``. A class without a positive has NaN.

    Raises:
        ValueError: If a shape or a value does not fit, or there is no image.

    Examples:
        >>> labels = [[1, 0], [0, np.nan], [1, 1]]
        >>> probabilities = [[0.9, 0.6], [0.2, 0.5], [0.7, 0.8]]
        >>> multi_label_report(labels, probabilities, ["a", "b"])["accuracy"]
        0.83
    """
    probabilities, names = as_scores(probabilities, class_names)
    labels = as_labels(labels, probabilities.shape)
    labeled, positive = ~np.isnan(labels), labels == 1
    # Thresholds as wide as the probabilities: 0.3 > 0.3 is false in float32, too.
    thresholds = as_thresholds(thresholds, len(names), scalar=True)
    predicted = probabilities > thresholds.astype(probabilities.dtype)
    right = np.ma.array(predicted == positive, mask=~labeled).mean(axis=1)
    accuracy, *bounds = interval(right.filled(np.nan), seed=seed)
    stacks = predicted & positive, predicted & labeled, positive
    report = {
        "count": len(labels),
        "accuracy": accuracy,
        "accuracy_interval": tuple(bounds),
        **_summary([stack.sum(axis=0) for stack in stacks], names),
    }
    for name, metric in (("auroc", auroc), ("average_precision", average_precision)):
        ranking = metric(labels, probabilities, names, seed=seed)
        report |= {f"{name}_{k}": ranking[k] for k in (*AVERAGES, "classes_counted")}
        report[f"{name}_intervals"] = {
            key: tuple(ranking["intervals"][key].tolist()) for key in AVERAGES
        }
        for row, value in zip(names, ranking["per_class"], strict=True):
            report["per_class"][row][name] = float(value)
    return report


def best_thresholds(labels: ArrayLike, probabilities: ArrayLike) -> np.ndarray:
    """Find the threshold (classes,) with the highest F1 of every class.

    Positive predictions lie above. It is halfway between two neighboring probabilities,
    of equals the lowest, and 0.5 for a class without a positive. Use validation images:
    on the images of a report it flatters the network.

    Args:
        labels: Labels (n, classes) 0, 1, or NaN where missing (left out).
        probabilities: Probabilities (n, classes) in [0, 1].

    Raises:
        ValueError: If a shape or a value does not fit, or there is no image.

    Examples:
        >>> best_thresholds([[0], [0], [1]], [[0.1], [0.2], [0.6]])
        array([0.4])
    """
    probabilities, _ = as_scores(probabilities)
    labels = as_labels(labels, probabilities.shape)
    low, high = probabilities.min(initial=0), probabilities.max(initial=0)
    if low < 0 or high > 1:
        raise ValueError(
            f"Expected probabilities in [0, 1]. Received: values from {low:.4g} to "
            f"{high:.4g}. Use the sigmoid of logits."
        )
    pairs = zip(labels.T, probabilities.T, strict=True)
    return np.array([_best_threshold(*pair) for pair in pairs], float)


def _best_threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Threshold of a single class with labels (n,)."""
    labeled = ~np.isnan(labels)
    labels, probabilities = labels[labeled], probabilities[labeled]
    levels, index = np.unique(probabilities, return_inverse=True)
    # Positive predictions are levels[i] and above; 0 is above no threshold.
    predicted, right = (
        np.bincount(index, weights, len(levels))[::-1].cumsum()[::-1]
        for weights in (None, labels)
    )
    f1 = 2 * right / (predicted + labels.sum())
    f1[levels == 0] = 0
    if not f1.any():
        return UNTUNED
    best = f1.argmax()
    upper = levels[best]
    lower = levels[best - 1] if best else upper.dtype.type(0)
    between = lower + (upper - lower) / 2
    # There is no third float between two neighbors; the upper one has to be above.
    return float(between if between < upper else lower)


def _summary(counts: Sequence[np.ndarray], names: Sequence) -> dict:
    """Precision, recall, F1 of hits, predictions, support; NaN where support is 0."""
    counted = counts[-1] > 0
    pooled = np.sum(counts, axis=1)
    hits, predictions, support = np.column_stack([np.stack(counts), pooled])
    precision, recall = (hits / np.maximum(n, 1) for n in (predictions, support))
    f1 = 2 * hits / np.maximum(predictions + support, 1)
    scores = np.where(support > 0, [precision, recall, f1], np.nan)
    macro = scores[:, :-1][:, counted].mean(axis=1) if counted.any() else [np.nan] * 3
    rows = [
        dict(zip(SCORES, map(float, row), strict=True)) for row in [*scores.T, macro]
    ]
    averages = ("macro", rows[-1]), ("micro", rows[-2])
    per_class = zip(names, rows[:-2], support[:-1], strict=True)
    return {
        **{f"{name}_{kind}": row[name] for kind, row in averages for name in SCORES},
        "classes_counted": int(counted.sum()),
        "per_class": {name: {**row, "support": int(n)} for name, row, n in per_class},
    }
