"""The region of interest: where the low map, at full size, is highest."""

import numpy as np
from PIL import Image


def resize(low: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The map at another size, float32, by Pillow's bilinear filter.

    Args:
        low: Raw map (rows, cols).
        size: Rows and columns wanted.
    """
    image = Image.fromarray(low.astype(np.float32))
    return np.array(image.resize(size[::-1], Image.Resampling.BILINEAR))


def region_of_interest(low_resized: np.ndarray, percentile: float) -> np.ndarray:
    """Mask of the pixels above a percentile of the map.

    Where the maximum fills so much of the map that nothing lies above the percentile,
    the pixels at the maximum are the region: it is never empty.

    Args:
        low_resized: Map (rows, cols).
        percentile: In [0, 100).
    """
    above = low_resized > np.percentile(low_resized, percentile)
    return above if above.any() else low_resized == low_resized.max()


def edge_bounds(edges: np.ndarray, roi: np.ndarray) -> tuple[float, float]:
    """25th and 75th percentile of the edges inside the region of interest.

    Args:
        edges: Edge strength (rows, cols), in [0, 1].
        roi: Boolean mask of the same shape, not empty.
    """
    low, high = np.percentile(edges[roi], [25, 75])
    return float(low), float(high)
