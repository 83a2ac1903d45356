"""AUROC and average precision of every class, with bootstrap intervals."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from kerasloc.metrics._bootstrap import (
    RESAMPLES,
    bootstrap,
    macro_mean,
    ratio,
    weighted_mean,
)
from kerasloc.metrics._inputs import as_labels, as_scores


def auroc(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    class_names: Sequence[str] | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict:
    """Compute AUROC per class, macro, micro, and weighted by support.

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
        - ``intervals`` (low, high; 95 %): ``per_class`` (classes, 2), ``macro``,
          ``micro`` and ``weighted`` (2,), without draws where a class is undefined;
        - ``class_names``.

    Raises:
        ValueError: If the shapes do not fit, there is no image, a score is NaN or
            infinite, or a label is neither 0, 1 nor NaN.

    Notes:
        AUROC is the share of pairs of a positive and a negative image in which the
        positive image has the higher score; equal scores count half.

    Reference:
        Hanley, McNeil: The Meaning and Use of the Area under a Receiver Operating
        Characteristic (ROC) Curve, Radiology 1982.

    Examples:
        >>> labels = [[1], [0], [1], [0]]
        >>> report = auroc(labels, [[0.9], [0.5], [0.5], [0.6]])
        >>> report["per_class"], report["macro"]
        (array([0.625]), 0.625)
    """
    scores, names = as_scores(scores, class_names)
    labels = as_labels(labels, scores.shape)
    return _report(averages(_auroc, labels, scores), labels, names, seed, resamples)


def average_precision(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    class_names: Sequence[str] | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict:
    """Compute average precision per class, macro, micro, and weighted by support.

    Args:
        labels: Labels (n, classes) 1, 0, or NaN where missing (left out per class).
        scores: Probabilities or logits (n, classes).
        class_names: Distinct names, one per column.
        seed: Seed of the bootstrap over images.
        resamples: Number of resamples.

    Returns:
        The report of ``auroc``. A class without a positive has NaN, a class without a
        negative 1.

    Raises:
        ValueError: See ``auroc``.

    Notes:
        Average precision is the mean over positive images of the precision at their
        score, without interpolation.

    Examples:
        >>> labels = [[1], [0], [1], [0]]
        >>> average_precision(labels, [[0.9], [0.5], [0.5], [0.6]])["per_class"]
        array([0.75])
    """
    scores, names = as_scores(scores, class_names)
    labels = as_labels(labels, scores.shape)
    statistic = averages(_average_precision, labels, scores)
    return _report(statistic, labels, names, seed, resamples)


def averages(
    area: Callable, labels: np.ndarray, scores: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Build the statistic of the bootstrap: per class, macro, micro, weighted.

    Args:
        area: Function of counts and ranking, AUROC or average precision.
        labels: Labels (n, classes) 1, 0 or NaN.
        scores: Scores (n, classes).

    Returns:
        Function from counts of the images (draws, n) to areas (draws, classes + 3).

    Examples:
        >>> labels, scores = np.array([[1.0], [0.0]]), np.array([[3.0], [2.0]])
        >>> averages(_auroc, labels, scores)(np.array([[1.0, 2.0]]))
        array([[1., 1., 1., 1.]])
    """
    images = np.broadcast_to(np.arange(len(labels))[:, None], labels.shape)
    columns = [np.s_[:, c] for c in range(labels.shape[1])]
    rankings = [_ranking(labels[at], scores[at], images[at]) for at in columns]
    pooled = _ranking(labels.ravel(), scores.ravel(), images.ravel())
    positive = (labels == 1).astype(float)

    def statistic(counts: np.ndarray) -> np.ndarray:
        per_class = np.stack([area(counts, r) for r in rankings], axis=-1)
        weighted = weighted_mean(per_class, counts @ positive)
        means = macro_mean(per_class), area(counts, pooled), weighted
        return np.column_stack([per_class, *means])

    return statistic


def _report(
    statistic: Callable, labels: np.ndarray, names: list, seed: int, resamples: int
) -> dict:
    """Report of ``auroc`` for a statistic of ``averages``."""
    count, classes = labels.shape
    values, bounds = bootstrap(
        statistic, count, resamples=resamples, seed=seed, width=classes
    )
    macro, micro, weighted = map(float, values[classes:])
    return {
        "per_class": values[:classes],
        "macro": macro,
        "micro": micro,
        "weighted": weighted,
        "count": (~np.isnan(labels)).sum(axis=0),
        "positives": (labels == 1).sum(axis=0),
        "classes_counted": int((~np.isnan(values[:classes])).sum()),
        "intervals": {
            "per_class": bounds[:classes],
            **dict(zip(("macro", "micro", "weighted"), bounds[classes:], strict=True)),
        },
        "class_names": names,
    }


@dataclasses.dataclass(frozen=True, eq=False)
class _Ranking:
    """Positives and negatives of a class, by ascending score.

    Attributes:
        positives: Image index of each positive, (p,).
        negatives: Image index of each negative, (q,).
        below: Number of negatives that score lower than each positive, (p,).
        up_to: Number of negatives that score at most as high, (p,).
        first: Number of positives that score lower, (p,).
    """

    positives: np.ndarray
    negatives: np.ndarray
    below: np.ndarray
    up_to: np.ndarray
    first: np.ndarray


def _ranking(labels: np.ndarray, scores: np.ndarray, images: np.ndarray) -> _Ranking:
    """Sort labels (m,) by their scores (m,), leaving out missing labels."""
    order = scores.argsort(kind="stable")
    labels, scores, images = labels[order], scores[order], images[order]
    positive, negative = labels == 1, labels == 0
    high, low = scores[positive], scores[negative]
    return _Ranking(
        positives=images[positive],
        negatives=images[negative],
        below=np.searchsorted(low, high, side="left"),
        up_to=np.searchsorted(low, high, side="right"),
        first=np.searchsorted(high, high, side="left"),
    )


def _auroc(counts: np.ndarray, ranking: _Ranking) -> np.ndarray:
    """AUROC (draws,) of images with counts (draws, images)."""
    positives = counts.take(ranking.positives, axis=1)
    lower = _running_sums(counts.take(ranking.negatives, axis=1))
    won = lower.take(ranking.below, axis=1) + lower.take(ranking.up_to, axis=1)
    won = np.einsum("dp,dp->d", positives, won) / 2
    return ratio(won, positives.sum(axis=1) * lower[:, -1])


def _average_precision(counts: np.ndarray, ranking: _Ranking) -> np.ndarray:
    """Average precision (draws,) of images with counts (draws, images)."""
    positives = counts.take(ranking.positives, axis=1)
    right = _running_sums(positives)
    right = right[:, -1:] - right.take(ranking.first, axis=1)
    wrong = _running_sums(counts.take(ranking.negatives, axis=1))
    wrong = wrong[:, -1:] - wrong.take(ranking.below, axis=1)
    # A positive that a draw lacks may have nothing above it; its count is 0.
    precision = right / np.maximum(right + wrong, 1)
    return ratio((positives * precision).sum(axis=1), positives.sum(axis=1))


def _running_sums(values: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, ... columns, (draws, columns + 1)."""
    sums = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums
