"""Region of interest of the low resolution CAM, and the focal points of the segment."""

import numpy as np
from PIL import Image


def resize(low: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a map (rows, cols) by Pillow's bilinear filter, as published; float32.

    Examples:
        >>> resize(np.array([[0.0, 1.0]]), (1, 4))
        array([[0.  , 0.25, 0.75, 1.  ]], dtype=float32)
    """
    image = Image.fromarray(low.astype(np.float32))
    return np.array(image.resize(size[::-1], Image.Resampling.BILINEAR))


def region_of_interest(low_resized: np.ndarray, percentile: float) -> np.ndarray:
    """Return the mask of the pixels above a percentile of the map; never empty.

    Where the maximum fills so much of the map that no pixel lies above the percentile,
    the pixels at the maximum are the region.

    Examples:
        >>> region_of_interest(np.array([[1.0, 2.0, 3.0, 4.0]]), 70)
        array([[False, False, False, True]])
    """
    above = low_resized > np.percentile(low_resized, percentile)
    return above if above.any() else low_resized == low_resized.max()


def global_points(low_resized: np.ndarray) -> np.ndarray:
    """Return the round(sqrt(longer side of the map)) highest pixels, rows x, y.

    Of equal pixels those come that are first in reading order.

    Examples:
        >>> global_points(np.array([[0.0, 9.0, 1.0, 8.0]]))
        array([[1, 0],
               [3, 0]])
    """
    count = min(round(max(low_resized.shape) ** 0.5), low_resized.size)
    values = low_resized.ravel()
    least = np.partition(values, -count)[-count]
    higher, ties = np.flatnonzero(values > least), np.flatnonzero(values == least)
    highest = np.concatenate([higher, ties])[:count]
    y, x = np.unravel_index(highest, low_resized.shape)
    return np.stack([x, y], axis=1)


def local_points(low: np.ndarray, size: tuple[int, int], areas: str) -> np.ndarray:
    """Return the pixels, rows x, y, in cells of the low map that are high local maxima.

    Args:
        low: Raw map (rows, cols), not flat.
        size: Rows and columns of the image; one smaller than the map may skip a cell.
        areas: "large" for all pixels of these cells, "small" for their skeleton.

    Examples:
        >>> local_points(np.array([[0.0, 1.0, 0.0]]), (1, 6), "large")
        array([[2, 0],
               [3, 0]])
    """
    from skimage.morphology import skeletonize

    nearest = [
        (np.arange(n) + 0.5) * m // n for n, m in zip(size, low.shape, strict=True)
    ]
    mask = high_maxima(low)[np.ix_(*(cells.astype(int) for cells in nearest))]
    mask = skeletonize(mask) if areas == "small" else mask
    return np.argwhere(mask)[:, ::-1]


def high_maxima(low: np.ndarray) -> np.ndarray:
    """Return the mask of local maxima >= the mean of the highest and lowest maximum.

    As published, a cell that is not a maximum counts as 0: where that mean is negative
    and the highest maximum is positive, such cells are in the mask, too.

    Examples:
        >>> high_maxima(np.array([[9.0, 0.0, 1.0, 0.0, 6.0]]))
        array([[ True, False, False, False, True]])
    """
    from skimage.morphology import local_maxima

    maxima = local_maxima(low)
    highest, lowest = low[maxima].max(), low[maxima].min()
    level = (highest + lowest) / 2
    chosen = maxima & (low >= level)
    return chosen | ~maxima if level < 0 < highest else chosen
