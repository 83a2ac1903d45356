"""Means over classes that leave out those where nothing is defined."""

import numpy as np


def macro_mean(values) -> np.ndarray:
    """Mean over the last axis of what is not NaN; NaN where all is.

    Args:
        values: One per class, (..., classes); NaN where a class has none.
    """
    values = np.asarray(values, float)
    return weighted_mean(values, np.ones(values.shape[-1]))


def weighted_mean(values, weights) -> np.ndarray:
    """Weighted mean over the last axis of what is not NaN; NaN where nothing weighs.

    Args:
        values: One per class, (..., classes); NaN where a class has none.
        weights: Not negative, a shape that goes with the values.
    """
    values = np.asarray(values, float)
    weights = np.where(np.isnan(values), 0.0, weights)
    return ratio((np.nan_to_num(values) * weights).sum(-1), weights.sum(-1))


def ratio(part, whole) -> np.ndarray:
    """``part / whole``, NaN where the whole is 0.

    Args:
        part: Numbers.
        whole: Numbers of a shape that goes with it.
    """
    part, whole = np.broadcast_arrays(np.asarray(part, float), whole)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0)
