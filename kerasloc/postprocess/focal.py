"""Focal points: the pixels (x, y) from which the segment grows."""

import numpy as np


def global_points(low_resized: np.ndarray) -> np.ndarray:
    """The highest pixels of the map, as many as the root of its longer side.

    Of pixels that are equal, the first in reading order are taken.

    Args:
        low_resized: Map (rows, cols).

    Returns:
        Integer rows x, y, shape (round(sqrt(max(rows, cols))), 2).
    """
    count = min(round(max(low_resized.shape) ** 0.5), low_resized.size)
    values = low_resized.ravel()
    least = np.partition(values, -count)[-count]
    higher, ties = np.flatnonzero(values > least), np.flatnonzero(values == least)
    highest = np.concatenate([higher, ties])[:count]
    y, x = np.unravel_index(highest, low_resized.shape)
    return np.stack([x, y], axis=1)


def local_points(low: np.ndarray, size: tuple[int, int], areas: str) -> np.ndarray:
    """The pixels of the cells of the low map that are high local maxima.

    Args:
        low: Raw map (rows, cols), not flat.
        size: Rows and columns of the image.
        areas: "large" for all pixels of these cells, "small" for their skeleton.

    Returns:
        Integer rows x, y; none where an image smaller than the map skips the cell.
    """
    from skimage.morphology import skeletonize

    nearest = [
        (np.arange(n) + 0.5) * m // n for n, m in zip(size, low.shape, strict=True)
    ]
    mask = high_maxima(low)[np.ix_(*(cells.astype(int) for cells in nearest))]
    mask = skeletonize(mask) if areas == "small" else mask
    return np.argwhere(mask)[:, ::-1]


def high_maxima(low: np.ndarray) -> np.ndarray:
    """Mask of the local maxima at or above the mean of the highest and the lowest one.

    As published, a cell that is no maximum counts as 0: where that mean is negative
    and the highest maximum is not, such cells are in the mask, too.

    Args:
        low: Raw map (rows, cols), not flat.
    """
    from skimage.morphology import local_maxima

    maxima = local_maxima(low)
    highest, lowest = low[maxima].max(), low[maxima].min()
    level = (highest + lowest) / 2
    chosen = maxima & (low >= level)
    return chosen | ~maxima if level < 0 < highest else chosen
