"""The probability above which a class is said to be there."""

import numpy as np

from kerasloc.metrics._inputs import as_labels, as_probabilities

UNTUNED = 0.5


def best_thresholds(labels, probabilities) -> np.ndarray:
    """The threshold with the highest F1 of every class, (classes,).

    It lies in the middle between two neighboring probabilities, yes being above it;
    of equals the lowest. Find it on validation images: on the images of a report it
    flatters the network.

    Args:
        labels: 1, 0, or NaN where unknown (left out), (n, classes).
        probabilities: In [0, 1], (n, classes).

    Returns:
        float64; 0.5 for a class without a positive.

    Raises:
        ValueError: If the shapes do not fit, there is no image, a probability lies
            outside [0, 1] or a label is neither 0, 1 nor NaN.
    """
    columns = np.shape(probabilities)[-1] if np.ndim(probabilities) else 0
    probabilities = as_probabilities(probabilities, range(columns))
    labels = as_labels(labels, probabilities.shape)
    low, high = probabilities.min(initial=0), probabilities.max(initial=0)
    if low < 0 or high > 1:
        raise ValueError(
            f"Probabilities lie in [0, 1]. Received: values from {low:.4g} to "
            f"{high:.4g}. Logits become probabilities by the sigmoid."
        )
    pairs = zip(labels.T, probabilities.T, strict=True)
    return np.array([_best(*pair) for pair in pairs], float)


def _best(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The threshold of one class, whose labels are (n,)."""
    known = ~np.isnan(labels)
    labels, probabilities = labels[known], probabilities[known]
    levels, place = np.unique(probabilities, return_inverse=True)
    # Yes for levels[i] and what is above it; 0 is above no threshold.
    answered = _from_the_top(np.bincount(place, minlength=len(levels)))
    right = _from_the_top(np.bincount(place, labels, minlength=len(levels)))
    f1 = 2 * right / (answered + labels.sum())
    f1[levels == 0] = 0
    if not f1.any():
        return UNTUNED
    best = f1.argmax()
    upper = levels[best]
    lower = levels[best - 1] if best else upper.dtype.type(0)
    between = lower + (upper - lower) / 2
    # Between two neighboring floats there is no third one, and yes is above.
    return float(between if between < upper else lower)


def _from_the_top(counts: np.ndarray) -> np.ndarray:
    """Sums of every count and those behind it."""
    return counts[::-1].cumsum()[::-1]
