"""The high map blurred, and the strength of its edges."""

import numpy as np
from scipy import ndimage

from kerasloc.postprocess.normalize import min_max


def blur(high: np.ndarray, window: int = 5) -> np.ndarray:
    """The map in [0, 1] after a mean filter, the border's pixels repeated outside.

    Args:
        high: Raw map (rows, cols), any finite range.
        window: Side of the filter, pixels.
    """
    return ndimage.uniform_filter(min_max(high), window, mode="reflect")


def edge_strength(blurred: np.ndarray) -> np.ndarray:
    """Sobel magnitude in [0, 1]; all 0 for a flat map.

    Args:
        blurred: Map (rows, cols).
    """
    from skimage.filters import sobel

    return min_max(sobel(blurred))
