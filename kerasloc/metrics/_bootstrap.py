"""Averages over classes and percentile bootstrap intervals over samples."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from kerasloc.metrics._inputs import chunks

RESAMPLES = 1000
LEVEL = 0.95
Statistic = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Value, its percentile interval, and the number of samples with a value.

    Examples:
        >>> estimate = Estimate.of_mean([1, 0, 1, 1])
        >>> print(estimate, estimate.count)
        0.750 [0.250, 1.000] 4
    """

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @classmethod
    def of_mean(
        cls,
        values: ArrayLike,
        *,
        resamples: int = RESAMPLES,
        seed: int = 0,
        level: float = LEVEL,
    ) -> "Estimate":
        """Estimate the mean of one value per sample; all NaN without a single value.

        Args:
            values: Values (n,); NaN (no mask, no label) is left out.
            resamples: Number of resamples, each as large as the sample.
            seed: Seed of the resamples.
            level: Share of the resampled means inside the interval, in (0, 1).

        Raises:
            ValueError: If the values are not (n,), or an option is out of its range.

        Reference:
            Efron, Tibshirani: An Introduction to the Bootstrap, 1993, section 13.3.

        Examples:
            >>> Estimate.of_mean([2.0, 2.0, np.nan])
            Estimate(value=2.0, low=2.0, high=2.0, count=2)
        """
        defined = _as_values(values)
        if resamples < 1 or not 0 < level < 1:
            raise ValueError(
                "Expected at least one resample and a level between 0 and 1. "
                f"Received: resamples={resamples}, level={level}."
            )
        defined = defined[~np.isnan(defined)]
        if not defined.size:
            return cls(np.nan, np.nan, np.nan, 0)
        drawn = resample_indices(len(defined), resamples=resamples, seed=seed)
        means = np.concatenate([defined[rows].mean(axis=1) for rows in drawn])
        low, high = percentile_interval(means, level)
        return cls(float(defined.mean()), float(low), float(high), len(defined))

    @classmethod
    def from_report(
        cls, report: Mapping, name: str = "weighted", index: int | tuple[int, ...] = ()
    ) -> "Estimate":
        """Take a value, its interval and its count out of a metric's report.

        Args:
            report: Report with ``intervals`` and ``count`` (per class).
            name: Key of the value: ``per_class``, ``macro``, ``weighted``, ...
            index: Position in an array: class, threshold, or (threshold, class).

        Returns:
            The estimate; counts of values that are not per class are of all classes.

        Examples:
            >>> from kerasloc.metrics import auroc
            >>> report = auroc([[1, 0], [0, 1], [1, 0]], [[3, 1], [2, 2], [4, 1]])
            >>> print(Estimate.from_report(report, "per_class", 1))
            1.000 [1.000, 1.000]
        """
        count = np.asarray(report["count"])
        if name.endswith("per_class"):
            count = count[np.atleast_1d(index)[-1]]
        low, high = np.asarray(report["intervals"][name])[index]
        return cls(
            float(np.asarray(report[name])[index]),
            float(low),
            float(high),
            int(count.sum()),
        )


def interval(
    values: ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> tuple[float, float, float]:
    """Bootstrap interval (mean, low, high) of the mean; see ``Estimate.of_mean``.

    Examples:
        >>> interval([1, 0, 1, 1])
        (0.75, 0.25, 1.0)
    """
    mean = Estimate.of_mean(values, resamples=resamples, seed=seed, level=level)
    return mean.value, mean.low, mean.high


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> tuple[float, float, float]:
    """Bootstrap interval (mean, low, high) of ``first - second`` on the same samples.

    The two differ at this level if the interval does not contain 0. For the options see
    ``Estimate.of_mean``.

    Args:
        first: Values (n,) of one method; samples with NaN in either are left out.
        second: Values (n,) of the compared method, samples in the same order.
        resamples: Number of resamples.
        seed: Seed of the resamples.
        level: Level of the interval.

    Raises:
        ValueError: If the two are not (n,) of the same n.

    Examples:
        >>> paired_difference([3, 4, 5], [1, 2, 3])
        (2.0, 2.0, 2.0)
    """
    first, second = _as_values(first), _as_values(second)
    if first.shape != second.shape:
        raise ValueError(
            "Expected two values of every sample for a paired difference. "
            f"Received: {len(first)} and {len(second)} values. "
            "Use NaN for samples without a value."
        )
    return interval(first - second, resamples=resamples, seed=seed, level=level)


def report_averages(
    statistic: Statistic,
    samples: int,
    names: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    width: int = 1,
) -> dict:
    """Report a statistic ``per_class``, its averages by name, and their ``intervals``.

    The statistic is a function from counts of the samples (draws, samples) to values
    (draws, ..., classes and averages), NaN where undefined. It holds ``width`` numbers
    per sample and draw.

    Examples:
        >>> report_averages(lambda counts: counts @ [[1.0, 1.0]], 1, ["macro"])["macro"]
        1.0
    """
    counts = sample_counts(samples, resamples=resamples, seed=seed, width=width)
    draws = np.concatenate([statistic(chunk) for chunk in counts])
    values = statistic(np.ones((1, samples)))[0]
    axis = values.ndim - 1

    def named(values: np.ndarray) -> dict:
        per_class, *averages = np.split(values, range(-len(names), 0), axis)
        squeezed = (average.squeeze(axis) for average in averages)
        return {"per_class": per_class, **dict(zip(names, squeezed, strict=True))}

    report = named(values)
    report |= {name: float(report[name]) for name in names if axis == 0}
    return {**report, "intervals": named(percentile_interval(draws))}


def sample_counts(
    samples: int, *, resamples: int = RESAMPLES, seed: int = 0, width: int = 1
) -> Iterator[np.ndarray]:
    """Yield the number of times that a resample holds a sample, (draws, samples).

    Examples:
        >>> next(sample_counts(4, resamples=2)).sum(axis=1)
        array([4., 4.])
    """
    for drawn in resample_indices(samples, resamples=resamples, seed=seed, width=width):
        flat = drawn + samples * np.arange(len(drawn))[:, None]
        counts = np.bincount(flat.ravel(), minlength=drawn.size)
        yield counts.reshape(drawn.shape).astype(float)


def resample_indices(
    samples: int, *, resamples: int = RESAMPLES, seed: int = 0, width: int = 1
) -> Iterator[np.ndarray]:
    """Yield indices (draws, samples) of samples drawn with replacement, in chunks.

    Examples:
        >>> next(resample_indices(4, resamples=2)).shape
        (2, 4)
    """
    if resamples < 1:
        raise ValueError(
            f"Expected at least one resample. Received: resamples={resamples}."
        )
    rng = np.random.default_rng(seed)
    for chunk in chunks(resamples, samples * width):
        yield rng.integers(max(samples, 1), size=(chunk.stop - chunk.start, samples))


def percentile_interval(draws: ArrayLike, level: float = LEVEL) -> np.ndarray:
    """Return the percentile interval (..., 2) of draws (resamples, ...) without NaN.

    Examples:
        >>> percentile_interval([0, 1, 2, 3, np.nan, 4], level=0.5)
        array([1., 3.])
    """
    draws = np.asarray(draws, float)
    defined = ~np.isnan(draws).all(axis=0)
    bounds = np.full((*draws.shape[1:], 2), np.nan)
    quantiles = (1 - level) / 2, (1 + level) / 2
    if defined.any():
        bounds[defined] = np.nanquantile(draws[:, defined], quantiles, axis=0).T
    return bounds


def weighted_mean(values: ArrayLike, weights: ArrayLike = 1.0) -> np.ndarray:
    """Return the weighted mean over the last axis without NaN; NaN without a weight.

    Examples:
        >>> weighted_mean([[1, np.nan, 3]], [3, 100, 1])
        array([1.5])
    """
    values = np.asarray(values, float)
    weights = np.where(np.isnan(values), 0.0, weights)
    return ratio((np.nan_to_num(values) * weights).sum(-1), weights.sum(-1))


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> np.ndarray:
    """Divide; NaN where the denominator is 0.

    Examples:
        >>> ratio([1, 0], [2, 0])
        array([0.5, nan])
    """
    top, bottom = np.broadcast_arrays(np.asarray(numerator, float), denominator)
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom != 0)


def _as_values(values: ArrayLike) -> np.ndarray:
    """The values as float64, (n,)."""
    values = np.asarray(values, float)
    if values.ndim != 1:
        raise ValueError(
            f"Expected one value per sample, (n,). Received: shape {values.shape}. "
            "Use the mean over the remaining axes."
        )
    return values
