"""Edges of the high resolution CAM, and their bounds in the region of interest."""

import numpy as np
from scipy import ndimage

from kerasloc.maps import scale_to_unit


def blur(high: np.ndarray, window: int = 5) -> np.ndarray:
    """Scale a map to [0, 1] and apply a mean filter, repeating the border's pixels.

    Args:
        high: Raw map (rows, cols), any finite range.
        window: Side of the filter, pixels.

    Examples:
        >>> blur(np.array([[0, 0, 3.0]]), window=3)
        array([[0.   , 0.333, 0.667]])
    """
    high = scale_to_unit(high, dtype=float)
    return ndimage.uniform_filter(high, window, mode="reflect")


def edge_strength(blurred: np.ndarray) -> np.ndarray:
    """Compute the Sobel magnitude, scaled to [0, 1]; all 0 for a flat map.

    Args:
        blurred: Map (rows, cols).

    Examples:
        >>> edge_strength(np.array([[0, 0, 1.0, 1.0]] * 3))[1]
        array([0., 1., 1., 0.])
    """
    from skimage.filters import sobel

    return scale_to_unit(sobel(blurred), dtype=float)


def edge_bounds(edges: np.ndarray, roi: np.ndarray) -> tuple[float, float]:
    """Compute the 25th and 75th percentile of the edges in the region of interest.

    Args:
        edges: Edge strength (rows, cols), in [0, 1].
        roi: Boolean mask of the same shape, not empty.

    Examples:
        >>> edges = np.array([[0.0, 0.1, 0.2], [0.3, 0.4, 1.0]])
        >>> edge_bounds(edges, roi=edges < 1)
        (0.1, 0.3)
    """
    low, high = np.percentile(edges[roi], [25, 75])
    return float(low), float(high)
