"""AUROC and average precision of every class, with bootstrap intervals."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kerasloc.metrics._bootstrap import (
    RESAMPLES,
    Statistic,
    ratio,
    report_averages,
    weighted_mean,
)
from kerasloc.metrics._inputs import as_labels, as_scores
from kerasloc.metrics.curves import SIDES

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
