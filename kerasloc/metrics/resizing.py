"""Maps at another size, bilinearly, in NumPy."""

import numpy as np

from kerasloc.checks import as_size
from kerasloc.metrics.stacks import as_float


def resize_maps(maps, size) -> np.ndarray:
    """Maps (..., rows, cols) at another size, bilinearly with half-pixel centers.

    The same as ``tf.image.resize(method="bilinear", antialias=False)``: the edge is
    repeated beyond the outer pixel centers, and a smaller size samples, it does not
    average. A flat map stays exactly flat. The whole answer is held in memory.

    Args:
        maps: Array-like, (..., rows, cols), any range; float64 stays, everything
            else becomes float32.
        size: (rows, cols) of the answer, or one number for both.

    Raises:
        ValueError: If there are fewer than two axes, a map has no pixel, or the size
            is none.
    """
    maps = as_float(maps)
    rows, cols = as_size(size)
    if maps.ndim < 2 or 0 in maps.shape[-2:]:
        raise ValueError(
            "Maps are (..., rows, cols), at least a pixel each. "
            f"Received: shape {maps.shape}."
        )
    return _stretch(_stretch(maps, cols, axis=-1), rows, axis=-2)


def _stretch(maps: np.ndarray, length: int, axis: int) -> np.ndarray:
    """The maps with one of their last two axes interpolated to ``length``."""
    old = maps.shape[axis]
    if old == length:
        return maps
    centers = (np.arange(length) + 0.5) * (old / length) - 0.5
    centers = centers.clip(0, old - 1)
    before = centers.astype(int)
    after = np.minimum(before + 1, old - 1)
    share = (centers - before).astype(maps.dtype)
    share = share if axis == -1 else share[:, None]
    # a + (b - a) * t, not (1 - t) * a + t * b: equal neighbors give themselves, so
    # that rounding moves no maximum
    start = maps.take(before, axis=axis)
    return start + (maps.take(after, axis=axis) - start) * share
