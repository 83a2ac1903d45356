"""ROC and precision-recall curves, AUROC and average precision of every class."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from kerasloc.metrics._bootstrap import (
    RESAMPLES,
    Statistic,
    ratio,
    report_averages,
    weighted_mean,
)
from kerasloc.metrics._inputs import as_indices, as_labels, as_scores

Side = Literal["left", "right"]
SIDES: tuple[Side, ...] = ("left", "right")


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """ROC or precision-recall curve, from left to right.

    Attributes:
        x: False positive rate, or recall, ascending, (points,).
        y: True positive rate, or precision, (points,). Precision is a step function: y
            holds from the previous x (exclusive) to x.
        thresholds: Least score of a positive prediction at each point, (points,),
            infinite at the first; None for ``macro``.
        area: AUROC, or average precision.

    Examples:
        >>> Curve(np.array([0, 1]), np.array([0, 1]), None, area=0.5).area
        0.5
    """

    x: np.ndarray
    y: np.ndarray
    thresholds: np.ndarray | None
    area: float


def roc_curve(
    labels: ArrayLike, scores: ArrayLike, class_names: Sequence[str] | None = None
) -> dict:
    """Compute the ROC curve per class, micro and macro.

    Args:
        labels: Labels (n, classes) 1, 0, or NaN where missing (left out); or class
            indices (n,). For a single class (n,) like the scores.
        scores: Probabilities or logits (n, classes), or (n,) for a single class.
        class_names: Distinct names, one per column.

    Returns:
        A dict of

        - ``per_class``, a :class:`Curve` each, None for a class without a positive or
          without a negative; ``micro``, all labels as a single class, or None;
        - ``macro``, mean of the classes' true positive rates at every false positive
          rate, ``classes_counted`` of them; None if there is no class;
        - ``class_names``. The areas are those of :func:`auroc`.

    Raises:
        ValueError: If a shape, a label or a score does not fit, or there is no image.

    Examples:
        >>> curve = roc_curve([1, 0, 1, 0], [0.9, 0.5, 0.5, 0.1])["per_class"][0]
        >>> curve.x, curve.y, curve.area
        (array([0. , 0. , 0.5, 1. ]), array([0. , 0.5, 1. , 1. ]), 0.875)
    """
    return _curves(_roc, _mean_of_lines, labels, scores, class_names)


def precision_recall_curve(
    labels: ArrayLike, scores: ArrayLike, class_names: Sequence[str] | None = None
) -> dict:
    """Compute the precision-recall curve per class, micro and macro.

    The arguments and the result are those of :func:`roc_curve`, with None for a class
    without a positive, precision 1 without a negative, and the areas of
    :func:`average_precision`.

    Examples:
        >>> labels, scores = [1, 0, 1, 0], [0.9, 0.6, 0.5, 0.1]
        >>> curve = precision_recall_curve(labels, scores)["per_class"][0]
        >>> curve.x, curve.y
        (array([0. , 0.5, 1. ]), array([1.  , 1.  , 0.67]))
    """
    return _curves(_precision_recall, _mean_of_steps, labels, scores, class_names)


def _curves(
    trace: Callable, average: Callable, labels: Any, scores: Any, class_names: Any
) -> dict:
    """Dict of ``roc_curve`` for a function that traces, and one that averages."""
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.ndim == 1 and scores.ndim == 1:
        labels, scores = labels[:, None], scores[:, None]
    scores, names = as_scores(scores, class_names)
    if labels.ndim == 1:
        labels = np.eye(scores.shape[1])[as_indices(labels, *scores.shape)]
    labels = as_labels(labels, scores.shape)
    curves = [trace(*column) for column in zip(labels.T, scores.T, strict=True)]
    defined = [curve for curve in curves if curve is not None]
    return {
        "per_class": curves,
        "macro": average(defined) if defined else None,
        "micro": trace(labels.ravel(), scores.ravel()),
        "classes_counted": len(defined),
        "class_names": names,
    }


def _roc(labels: np.ndarray, scores: np.ndarray) -> Curve | None:
    """ROC curve of labels and scores (m,), None if undefined."""
    from sklearn import metrics

    if not (labels == 0).any() or not (labels == 1).any():
        return None
    labeled = ~np.isnan(labels)
    x, y, thresholds = metrics.roc_curve(
        labels[labeled], scores[labeled], drop_intermediate=False
    )
    return Curve(x, y, thresholds.astype(float), float(metrics.auc(x, y)))


def _precision_recall(labels: np.ndarray, scores: np.ndarray) -> Curve | None:
    """Precision-recall curve of labels and scores (m,), None if undefined."""
    from sklearn import metrics

    if not (labels == 1).any():
        return None
    labeled = ~np.isnan(labels)
    y, x, levels = (
        values[::-1]
        for values in metrics.precision_recall_curve(labels[labeled], scores[labeled])
    )
    rises = np.diff(x) > 0  # scores of negatives alone only lower the precision
    x, y, levels = x[1:][rises], y[1:][rises], levels[rises]
    x, y = np.append(0, x), np.append(y[0], y)
    return Curve(x, y, np.append(np.inf, levels), _area_of_steps(x, y))


def _area_of_steps(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.sum(np.diff(x) * y[1:]))


def _mean_of_lines(curves: list[Curve]) -> Curve:
    """Mean height of lines; where they are vertical, from the left and the right."""
    grid = np.unique(np.concatenate([curve.x for curve in curves]))
    heights = [[_height(curve, grid, side) for curve in curves] for side in SIDES]
    x, y = grid.repeat(2), np.mean(heights, axis=1).T.ravel()
    return Curve(x, y, None, float(np.trapezoid(y, x)))


def _height(curve: Curve, grid: np.ndarray, side: Side) -> np.ndarray:
    """Height of a curve at the points of a grid, approached from a side."""
    index = curve.x.searchsorted(grid, side) - (side == "right")
    met = curve.x[index] == grid
    return np.where(met, curve.y[index], np.interp(grid, curve.x, curve.y))


def _mean_of_steps(curves: list[Curve]) -> Curve:
    """Mean height of step functions."""
    x = np.unique(np.concatenate([curve.x for curve in curves]))
    y = np.mean([curve.y[np.searchsorted(curve.x, x)] for curve in curves], axis=0)
    return Curve(x, y, None, _area_of_steps(x, y))


AVERAGES = ("macro", "micro", "weighted")


def auroc(
    labels: ArrayLike,
    scores: ArrayLike,
    class_names: Sequence[str] | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict:
    """Compute AUROC per class, macro, micro, and weighted by support.

    AUROC is the share of pairs of a positive and a negative image in which the positive
    image has the higher score; equal scores count half.

    Args:
        labels: Labels (n, classes) 1, 0, or NaN where missing (left out per class).
        scores: Probabilities or logits (n, classes).
        class_names: Distinct names, one per column.
        seed: Seed of the bootstrap over images.
        resamples: Number of resamples.

    Returns:
        A dict of

        - ``per_class`` (classes,), NaN where a class has no positive or no negative;
        - ``count`` and ``positives`` (classes,), images with a label of the class and
          those whose label is 1;
        - ``macro``, mean of the classes that are not NaN, ``classes_counted`` of them;
          ``weighted``, by their positives; ``micro``, all labels as a single class;
        - ``intervals`` (low, high; 95 %) of these four, without draws where a class is
          undefined; ``class_names``.

    Raises:
        ValueError: If a shape, a label or a score does not fit, or there is no image.

    Reference:
        Hanley, McNeil: The Meaning and Use of the Area under a Receiver Operating
        Characteristic (ROC) Curve, Radiology 1982.

    Examples:
        >>> auroc([[1], [0], [1], [0]], [[0.9], [0.5], [0.5], [0.6]])["per_class"]
        array([0.625])
    """
    return _report(_auroc, labels, scores, class_names, seed, resamples)


def average_precision(
    labels: ArrayLike,
    scores: ArrayLike,
    class_names: Sequence[str] | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict:
    """Compute average precision per class, macro, micro, and weighted by support.

    It is the mean over positive images of the precision at their score, without
    interpolation. The arguments and the report are those of ``auroc``; a class without
    a positive has NaN, without a negative 1.

    Examples:
        >>> labels, scores = [[1], [0], [1], [0]], [[0.9], [0.5], [0.5], [0.6]]
        >>> average_precision(labels, scores)["per_class"]
        array([0.75])
    """
    return _report(_average_precision, labels, scores, class_names, seed, resamples)


def averages(area: Callable, labels: np.ndarray, scores: np.ndarray) -> Statistic:
    """Build the statistic (draws, classes + 3): per class, macro, micro, weighted.

    Examples:
        >>> labels, scores = np.array([[1.0], [0.0]]), np.array([[3.0], [2.0]])
        >>> averages(_auroc, labels, scores)(np.array([[1.0, 2.0]]))
        array([[1., 1., 1., 1.]])
    """
    images = np.arange(len(labels))
    areas = [area(*column, images) for column in zip(labels.T, scores.T, strict=True)]
    pooled = area(labels.ravel(), scores.ravel(), images.repeat(labels.shape[1]))
    positive = (labels == 1).astype(float)

    def statistic(counts: np.ndarray) -> np.ndarray:
        per_class = np.stack([of_class(counts) for of_class in areas], axis=-1)
        weighted = weighted_mean(per_class, counts @ positive)
        means = weighted_mean(per_class), pooled(counts), weighted
        return np.column_stack([per_class, *means])

    return statistic


def _report(
    area: Callable, labels: Any, scores: Any, names: Any, seed: int, resamples: int
) -> dict:
    """Report of ``auroc`` for a function of labels, scores and images."""
    scores, names = as_scores(scores, names)
    labels = as_labels(labels, scores.shape)
    draws = {"resamples": resamples, "seed": seed, "width": len(names)}
    statistic = averages(area, labels, scores)
    report = report_averages(statistic, len(labels), AVERAGES, **draws)
    return {
        **report,
        "count": (~np.isnan(labels)).sum(axis=0),
        "positives": (labels == 1).sum(axis=0),
        "classes_counted": int((~np.isnan(report["per_class"])).sum()),
        "class_names": names,
    }


def _auroc(labels: np.ndarray, scores: np.ndarray, images: np.ndarray) -> Statistic:
    """AUROC of labels, scores and image indices (m,), as a function of counts."""
    (positives, high), (negatives, low) = _sorted(labels, scores, images)
    below, up_to = (np.searchsorted(low, high, side) for side in SIDES)

    def statistic(counts: np.ndarray) -> np.ndarray:
        weight = counts.take(positives, axis=1)
        lower = _running_sums(counts.take(negatives, axis=1))
        won = lower.take(below, axis=1) + lower.take(up_to, axis=1)
        won = np.einsum("dp,dp->d", weight, won) / 2
        return ratio(won, weight.sum(axis=1) * lower[:, -1])

    return statistic


def _average_precision(
    labels: np.ndarray, scores: np.ndarray, images: np.ndarray
) -> Statistic:
    """Average precision of labels, scores and images (m,), as a function of counts."""
    (positives, high), (negatives, low) = _sorted(labels, scores, images)
    wrong_below, right_below = np.searchsorted(low, high), np.searchsorted(high, high)

    def statistic(counts: np.ndarray) -> np.ndarray:
        weight = counts.take(positives, axis=1)
        right, wrong = (
            sums[:, -1:] - sums.take(below, axis=1)
            for sums, below in (
                (_running_sums(weight), right_below),
                (_running_sums(counts.take(negatives, axis=1)), wrong_below),
            )
        )
        # A positive that a draw lacks may have nothing above it; its count is 0.
        precision = right / np.maximum(right + wrong, 1)
        return ratio((weight * precision).sum(axis=1), weight.sum(axis=1))

    return statistic


def _sorted(
    labels: np.ndarray, scores: np.ndarray, images: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images and scores of the positives, and of the negatives, by ascending score."""
    for label in (1, 0):
        at = np.flatnonzero(labels == label)
        order = at[scores[at].argsort(kind="stable")]
        yield images[order], scores[order]


def _running_sums(values: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, ... columns, (draws, columns + 1)."""
    return np.pad(values.cumsum(axis=1), [(0, 0), (1, 0)])
