"""The image with all but what the refined map holds highest set to 0."""

import numpy as np

from kerasloc.postprocess.normalize import min_max


def top_percentage(merged: np.ndarray, percentage: float) -> np.ndarray:
    """Mask of the highest pixels, at most the asked percentage of all.

    Ties are left out: of pixels that are equal either all are in the mask or, where
    they do not all fit, none. So it may hold fewer pixels than asked, never more.

    Args:
        merged: Map (rows, cols).
        percentage: In [0, 100].
    """
    count = int(merged.size * percentage / 100)
    if count >= merged.size:
        return np.ones(merged.shape, bool)
    first_left_out = merged.size - count - 1
    return merged > np.partition(merged, first_left_out, axis=None)[first_left_out]


def above_threshold(merged: np.ndarray, threshold: float) -> np.ndarray:
    """Mask of the pixels whose min-max normalized value is above the threshold.

    Args:
        merged: Map (rows, cols).
        threshold: In [0, 1].
    """
    return min_max(merged) > threshold


def crop(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The image, 0 outside the mask.

    Args:
        image: (rows, cols) or (rows, cols, channels).
        mask: Boolean (rows, cols).
    """
    return image * mask.reshape(mask.shape + (1,) * (image.ndim - 2))
