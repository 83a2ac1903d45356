"""Blur and edges of the high resolution CAM."""

import numpy as np
from scipy import ndimage

from kerasloc.maps import scale_to_unit


def blur(high: np.ndarray, window: int = 5) -> np.ndarray:
    """Scale a map to [0, 1] and apply a mean filter, repeating the border's pixels.

    Examples:
        >>> blur(np.array([[0, 0, 3.0]]), window=3)
        array([[0.   , 0.333, 0.667]])
    """
    return ndimage.uniform_filter(scale_to_unit(high, dtype=float), window)


def edge_strength(blurred: np.ndarray) -> np.ndarray:
    """Compute the Sobel magnitude, scaled to [0, 1]; all 0 for a flat map.

    Examples:
        >>> edge_strength(np.array([[0, 0, 1.0, 1.0]] * 3))[1]
        array([0., 1., 1., 0.])
    """
    from skimage.filters import sobel

    return scale_to_unit(sobel(blurred), dtype=float)
