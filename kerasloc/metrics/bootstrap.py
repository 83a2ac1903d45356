"""Confidence intervals over images by the percentile bootstrap."""

from collections.abc import Iterator

import numpy as np

from kerasloc.metrics.stacks import chunks

RESAMPLES = 1000


def interval(
    values, *, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float, float]:
    """Mean of one value per image, and the interval (mean, low, high) around it.

    Images are drawn with replacement, as many as there are; the interval holds the
    middle ``level`` of the means of these draws.

    Args:
        values: One value per image, (n,); NaN (no mask, no label) is left out. Without
            any value all three are NaN.
        resamples: How many draws.
        seed: Of the draws; the same seed gives the same interval.
        level: Share of the draws inside the interval, between 0 and 1.

    Raises:
        ValueError: If the values are not (n,), or an option is out of its range.

    Reference:
        Efron, Tibshirani: An Introduction to the Bootstrap, 1993, section 13.3.
    """
    values = _as_values(values)
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(
            "A bootstrap takes at least one resample and a level between 0 and 1. "
            f"Received: resamples={resamples}, level={level}."
        )
    values = values[~np.isnan(values)]
    if not values.size:
        return np.nan, np.nan, np.nan
    means = _resampled_means(values, resamples, np.random.default_rng(seed))
    low, high = np.quantile(means, ((1 - level) / 2, (1 + level) / 2))
    return float(values.mean()), float(low), float(high)


def paired_difference(
    first, second, *, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float, float]:
    """Mean of ``first - second`` on the same images, and its interval.

    The two differ at this level if the interval leaves out 0.

    Args:
        first: One value per image, (n,).
        second: The other method's values on the same images, in the same order; an
            image with NaN in either is left out.
        resamples: As for ``interval``.
        seed: As for ``interval``.
        level: As for ``interval``.

    Returns:
        (mean, low, high).

    Raises:
        ValueError: If the two are not (n,) of the same n.
    """
    first, second = _as_values(first), _as_values(second)
    if first.shape != second.shape:
        raise ValueError(
            "A paired difference takes two values of every image. "
            f"Received: {len(first)} and {len(second)} values. "
            "Keep images without a value as NaN."
        )
    return interval(first - second, resamples=resamples, seed=seed, level=level)


def image_counts(
    images: int, *, resamples: int = RESAMPLES, seed: int = 0, each: int = 1
) -> Iterator[np.ndarray]:
    """How often every draw with replacement holds each image, in parts.

    Args:
        images: How many there are; every draw has as many.
        resamples: How many draws.
        seed: Of the draws.
        each: Numbers that the caller holds per image and draw, which bounds a part.

    Yields:
        Whole numbers as float64, (draws of the part, images); every row sums to
        ``images``.

    Raises:
        ValueError: If there is no resample.
    """
    if resamples < 1:
        raise ValueError(
            f"A bootstrap takes at least one resample. Received: resamples={resamples}."
        )
    rng = np.random.default_rng(seed)
    for part in chunks(resamples, images * each):
        draws = part.stop - part.start
        drawn = rng.integers(max(images, 1), size=(draws, images))
        drawn += images * np.arange(draws)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=draws * images)
        yield counts.reshape(draws, images).astype(float)


def middle(draws, level: float = 0.95) -> np.ndarray:
    """The interval (low, high) that holds the middle ``level`` of the draws.

    Args:
        draws: (resamples, ...); NaN is left out.
        level: Share of the draws inside the interval, between 0 and 1.

    Returns:
        Array (..., 2), NaN where every draw is.
    """
    draws = np.asarray(draws, float)
    defined = ~np.isnan(draws).all(axis=0)
    answer = np.full((*draws.shape[1:], 2), np.nan)
    ends = (1 - level) / 2, (1 + level) / 2
    if defined.any():
        answer[defined] = np.nanquantile(draws[:, defined], ends, axis=0).T
    return answer


def _as_values(values) -> np.ndarray:
    """The values as float64, (n,)."""
    values = np.asarray(values, float)
    if values.ndim != 1:
        raise ValueError(
            f"Values are (n,), one per image. Received: shape {values.shape}. "
            "Average over the other axes first."
        )
    return values


def _resampled_means(
    values: np.ndarray, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Means of ``resamples`` draws with replacement, (resamples,)."""
    count = len(values)
    means = np.empty(resamples)
    for part in chunks(resamples, count):
        drawn = rng.integers(count, size=(part.stop - part.start, count))
        means[part] = values[drawn].mean(axis=1)
    return means
