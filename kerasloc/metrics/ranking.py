"""How well scores put images with a class before those without, at any threshold."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from kerasloc.metrics._bootstrap import (
    RESAMPLES,
    macro_mean,
    percentile_interval,
    ratio,
    sample_counts,
    weighted_mean,
)
from kerasloc.metrics._inputs import as_labels, as_probabilities


def auroc(
    labels,
    scores,
    class_names: Sequence[str] | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict:
    """Area under the ROC curve of every class, and its averages.

    It is the share of pairs of a positive and a negative image in which the positive
    one has the higher score; equal scores count half.

    Args:
        labels: 1, 0, or NaN where unknown, (n, classes).
        scores: Probabilities, logits, anything that grows with them, (n, classes).
        class_names: One per column, each another.
        seed: Of the bootstrap over images.
        resamples: Of the bootstrap.

    Returns:
        A dict of ``per_class`` (classes,), NaN where a class has no positive or no
        negative; ``count`` and ``positives`` (classes,), images whose label is known
        and those that have the class; ``macro`` (mean of the classes that are not
        NaN, ``classes_counted`` of them), ``weighted`` (by their positives), ``micro``
        (all known labels as if they were of one class); ``intervals`` (low, high;
        95 %): ``per_class`` (classes, 2), ``macro``, ``micro`` and ``weighted`` (2,),
        draws where a class is undefined left out; and ``class_names`` as given.

    Raises:
        ValueError: If the shapes do not fit, there is no image, a score is NaN or
            infinite, or a label is neither 0, 1 nor NaN.

    Reference:
        Hanley, McNeil: The Meaning and Use of the Area under a Receiver Operating
        Characteristic (ROC) Curve, Radiology 1982.
    """
    return _ranked(_auroc, _checked(labels, scores, class_names), seed, resamples)


def average_precision(
    labels,
    scores,
    class_names: Sequence[str] | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict:
    """Average precision of every class, and its averages.

    It is the mean over positive images of the precision at their score, without
    interpolation. A class without a positive has NaN; one without a negative has 1.

    Args:
        labels: As for ``auroc``.
        scores: As for ``auroc``.
        class_names: As for ``auroc``.
        seed: As for ``auroc``.
        resamples: As for ``auroc``.

    Returns:
        The same keys as ``auroc``.

    Raises:
        ValueError: As for ``auroc``.
    """
    checked = _checked(labels, scores, class_names)
    return _ranked(_average_precision, checked, seed, resamples)


@dataclasses.dataclass(frozen=True)
class _Ranking:
    """Positives and negatives of one class, by ascending score.

    Attributes:
        positives: Image of each, (p,).
        negatives: Image of each, (q,).
        below: How many negatives score lower than each positive, (p,).
        up_to: How many negatives score at most as high, (p,).
        first: How many positives score lower, (p,).
    """

    positives: np.ndarray
    negatives: np.ndarray
    below: np.ndarray
    up_to: np.ndarray
    first: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Checked:
    labels: np.ndarray
    scores: np.ndarray
    names: list


def _checked(labels, scores, class_names) -> _Checked:
    columns = np.shape(scores)[-1] if np.ndim(scores) else 0
    names = list(range(columns) if class_names is None else class_names)
    scores = as_probabilities(scores, names)
    return _Checked(as_labels(labels, scores.shape), scores, names)


def _ranked(statistic: Callable, data: _Checked, seed: int, resamples: int) -> dict:
    """The answer of ``auroc`` for another statistic of (counts, ranking)."""
    labels, scores = data.labels, data.scores
    count, classes = labels.shape
    images, _ = np.indices(labels.shape, sparse=True)
    images = np.broadcast_to(images, labels.shape)
    columns = [np.s_[:, c] for c in range(classes)]
    parts = [_ranking(labels[at], scores[at], images[at]) for at in columns]
    parts.append(_ranking(labels.ravel(), scores.ravel(), images.ravel()))
    has = (labels == 1).astype(float)

    def summarize(counts):
        values = np.stack([statistic(counts, part) for part in parts], axis=-1)
        each = values[:, :-1]
        means = macro_mean(each), values[:, -1], weighted_mean(each, counts @ has)
        return np.column_stack([each, *means])  # (draws, classes + 3)

    (found,) = summarize(np.ones((1, count)))
    draws = sample_counts(count, resamples=resamples, seed=seed, width=classes)
    drawn = np.concatenate([summarize(counts) for counts in draws])
    around = percentile_interval(drawn)
    return {
        **_named(found, classes),
        "count": (~np.isnan(labels)).sum(axis=0),
        "positives": has.sum(axis=0).astype(int),
        "classes_counted": int((~np.isnan(found[:classes])).sum()),
        "intervals": _named(around, classes),
        "class_names": data.names,
    }


def _named(values: np.ndarray, classes: int) -> dict:
    """Per class, macro, micro and weighted by name, from one after the other."""
    macro, micro, weighted = values[classes:]
    if values.ndim == 1:
        macro, micro, weighted = float(macro), float(micro), float(weighted)
    return {
        "per_class": values[:classes],
        "macro": macro,
        "micro": micro,
        "weighted": weighted,
    }


def _ranking(labels: np.ndarray, scores: np.ndarray, images: np.ndarray) -> _Ranking:
    """Known labels (m,) in the order of their scores (m,)."""
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
    """AUROC (draws,) where every image counts so often, (draws, images)."""
    positives = counts.take(ranking.positives, axis=1)
    lower = _running(counts.take(ranking.negatives, axis=1))
    won = lower.take(ranking.below, axis=1) + lower.take(ranking.up_to, axis=1)
    won = np.einsum("dp,dp->d", positives, won) / 2
    return ratio(won, positives.sum(axis=1) * lower[:, -1])


def _average_precision(counts: np.ndarray, ranking: _Ranking) -> np.ndarray:
    """Average precision (draws,), as for ``_auroc``."""
    positives = counts.take(ranking.positives, axis=1)
    right = _running(positives)
    right = right[:, -1:] - right.take(ranking.first, axis=1)
    wrong = _running(counts.take(ranking.negatives, axis=1))
    wrong = wrong[:, -1:] - wrong.take(ranking.below, axis=1)
    # A positive that a draw lacks may have nothing above it; it does not count there.
    precision = right / np.maximum(right + wrong, 1)
    return ratio((positives * precision).sum(axis=1), positives.sum(axis=1))


def _running(values: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, ... columns, (draws, columns + 1)."""
    sums = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums
