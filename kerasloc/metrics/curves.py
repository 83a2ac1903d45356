"""ROC and precision-recall curves of every class, and their averages."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from kerasloc.metrics._inputs import as_indices, as_labels, as_probabilities


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """One curve, from left to right.

    Attributes:
        x: False positive rate, or recall, ascending, (points,).
        y: True positive rate, or precision, (points,). A precision-recall curve is one
            of steps: y holds from the x before (exclusive) to its own. It has a point
            for every score of a positive.
        thresholds: The score from which on an image counts as positive at this point,
            (points,), infinite at the first; None for ``macro``, which has none.
        area: Under the curve: AUROC, or average precision.
    """

    x: np.ndarray
    y: np.ndarray
    thresholds: np.ndarray | None
    area: float


def roc_curve(labels, scores, class_names: Sequence[str] | None = None) -> dict:
    """True by false positive rate, of every class, as one, and on the average.

    The areas are those of :func:`kerasloc.metrics.auroc`.

    Args:
        labels: 1, 0, or NaN where unknown (left out), (n, classes); or the index of
            the one class of each image, (n,). Of a single class (n,) like the scores.
        scores: Probabilities, logits, anything that grows with them, (n, classes), or
            (n,) of a single class.
        class_names: One per column, each another.

    Returns:
        A dict of ``per_class``: a :class:`Curve` each, None for a class without a
        positive or without a negative; ``micro``: of all known labels as if they were
        of one class; ``macro``: mean of the classes' true positive rates at every
        false positive rate, ``classes_counted`` of them; both None if there is none;
        and ``class_names``.

    Raises:
        ValueError: If the shapes do not fit, there is no image, a score is NaN or
            infinite, or a label is neither 0, 1 nor NaN, or no class.
    """
    return _curves(_roc, _mean_of_lines, _checked(labels, scores, class_names))


def precision_recall_curve(
    labels, scores, class_names: Sequence[str] | None = None
) -> dict:
    """Precision by recall, of every class, as one, and on the average.

    The areas are those of :func:`kerasloc.metrics.average_precision`, without
    interpolation. A class without a negative has precision 1 everywhere.

    Args:
        labels: As for :func:`roc_curve`.
        scores: As for :func:`roc_curve`.
        class_names: As for :func:`roc_curve`.

    Returns:
        The same keys as :func:`roc_curve`; None for a class without a positive.

    Raises:
        ValueError: As for :func:`roc_curve`.
    """
    checked = _checked(labels, scores, class_names)
    return _curves(_precision_recall, _mean_of_steps, checked)


def _checked(labels, scores, class_names) -> tuple[np.ndarray, np.ndarray, list]:
    """Labels and scores, both (n, classes), and names."""
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.ndim == 1 and scores.ndim == 1:
        labels, scores = labels[:, None], scores[:, None]
    columns = scores.shape[-1] if scores.ndim else 0
    names = list(range(columns) if class_names is None else class_names)
    scores = as_probabilities(scores, names)
    if labels.ndim == 1:
        labels = np.eye(columns)[as_indices(labels, *scores.shape)]
    return as_labels(labels, scores.shape), scores, names


def _curves(trace: Callable, average: Callable, data: tuple) -> dict:
    """The answer of ``roc_curve`` for a way to trace a curve and one to average."""
    labels, scores, names = data
    each = [trace(*pair) for pair in zip(labels.T, scores.T, strict=True)]
    defined = [curve for curve in each if curve is not None]
    return {
        "per_class": each,
        "macro": average(defined) if defined else None,
        "micro": trace(labels.ravel(), scores.ravel()),
        "classes_counted": len(defined),
        "class_names": names,
    }


def _counts(labels: np.ndarray, scores: np.ndarray):
    """Scores, descending, each once, and how many right and wrong ones are no lower."""
    known = ~np.isnan(labels)
    levels, place = np.unique(-scores[known], return_inverse=True)
    right = np.bincount(place, labels[known], minlength=len(levels)).cumsum()
    every = np.bincount(place, minlength=len(levels)).cumsum()
    return -levels, right, every - right


def _roc(labels: np.ndarray, scores: np.ndarray) -> Curve | None:
    """The curve of labels and scores (m,)."""
    levels, right, wrong = _counts(labels, scores)
    if not len(levels) or not right[-1] or not wrong[-1]:
        return None
    x, y = np.append(0, wrong / wrong[-1]), np.append(0, right / right[-1])
    return Curve(x, y, np.append(np.inf, levels), float(np.trapezoid(y, x)))


def _precision_recall(labels: np.ndarray, scores: np.ndarray) -> Curve | None:
    """As ``_roc``."""
    levels, right, wrong = _counts(labels, scores)
    if not len(levels) or not right[-1]:
        return None
    more = np.diff(right, prepend=0) > 0  # other scores only lower the precision
    levels, right, wrong = levels[more], right[more], wrong[more]
    x, y = np.append(0, right / right[-1]), right / (right + wrong)
    y = np.append(y[0], y)
    return Curve(x, y, np.append(np.inf, levels), _area_of_steps(x, y))


def _area_of_steps(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.sum(np.diff(x) * y[1:]))


def _mean_of_lines(curves: list[Curve]) -> Curve:
    """Mean of the heights; where curves rise, from below and from above."""
    grid = np.unique(np.concatenate([curve.x for curve in curves]))
    ends = [[_height(c, grid, side) for c in curves] for side in ("left", "right")]
    y = np.mean(ends, axis=1).T.ravel()  # (points, from below and from above)
    x = grid.repeat(2)
    return Curve(x, y, None, float(np.trapezoid(y, x)))


def _height(curve: Curve, grid: np.ndarray, side: str) -> np.ndarray:
    """Height of a curve at the points of a grid, coming from one side."""
    place = np.searchsorted(curve.x, grid, side) - (side == "right")
    met = curve.x[place] == grid
    return np.where(met, curve.y[place], np.interp(grid, curve.x, curve.y))


def _mean_of_steps(curves: list[Curve]) -> Curve:
    """Mean of the heights of curves made of steps."""
    x = np.unique(np.concatenate([curve.x for curve in curves]))
    heights = [curve.y[np.searchsorted(curve.x, x)] for curve in curves]
    y = np.mean(heights, axis=0)
    return Curve(x, y, None, _area_of_steps(x, y))
