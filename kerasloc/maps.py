"""Maps scaled to [0, 1] and resized bilinearly, in NumPy."""

import numpy as np
import numpy.typing as npt

from kerasloc.checks import as_float, as_maps, as_size


def min_max(maps: npt.ArrayLike) -> np.ndarray:
    """Scale every map to [0, 1] by its minimum and maximum.

    Args:
        maps: Maps (n, rows, cols), any range; a flat map becomes zeros.

    Returns:
        Heat maps of the same shape.

    Raises:
        ValueError: If the shape does not fit or a value is NaN or infinite.

    Examples:
        >>> min_max([[[-2, 0], [2, 6]]])
        array([[[0.  , 0.25],
                [0.5 , 1.  ]]], dtype=float32)
    """
    return scale_to_unit(as_maps(maps), axis=(1, 2))


def scale_to_unit(
    values: np.ndarray, axis: tuple[int, ...] | None = None
) -> np.ndarray:
    """Scale values to [0, 1] by their minimum and maximum; equal values become 0.

    Args:
        values: Finite floats of any shape.
        axis: Axes that share a minimum and a maximum; all axes when None.

    Examples:
        >>> scale_to_unit(np.array([2.0, 4.0, 3.0]))
        array([0. , 1. , 0.5])
    """
    low = values.min(axis=axis, keepdims=True)
    span = values.max(axis=axis, keepdims=True) - low
    return (values - low) / np.where(span == 0, 1, span)


def is_flat(values: np.ndarray) -> bool:
    """Tell whether all values are equal.

    Args:
        values: Numbers of any shape, at least one.

    Examples:
        >>> is_flat(np.ones((2, 2)))
        True
    """
    return bool(values.min() == values.max())


def resize_maps(maps: npt.ArrayLike, size: int | tuple[int, int]) -> np.ndarray:
    """Resize maps bilinearly with half-pixel centers.

    Args:
        maps: Maps (..., rows, cols), any range; float64 stays, other types become
            float32.
        size: (rows, cols), or one number for both.

    Returns:
        Maps (..., size rows, size cols), in memory.

    Raises:
        ValueError: If there are fewer than two axes, a map has no pixel, or the size
            is not positive.

    Notes:
        The result is that of ``tf.image.resize(method="bilinear", antialias=False)``:
        the edge is repeated beyond the outer pixel centers, and a smaller size samples
        without averaging. A flat map stays exactly flat.

    Examples:
        >>> resize_maps([[0, 1]], (1, 4))
        array([[0.  , 0.25, 0.75, 1.  ]], dtype=float32)
    """
    maps = as_float(maps)
    rows, cols = as_size(size)
    if maps.ndim < 2 or 0 in maps.shape[-2:]:
        raise ValueError(
            "Expected maps of shape (..., rows, cols) with at least a pixel each. "
            f"Received: shape {maps.shape}."
        )
    return _interpolate(_interpolate(maps, cols, axis=-1), rows, axis=-2)


def _interpolate(maps: np.ndarray, length: int, axis: int) -> np.ndarray:
    """Interpolate one of the last two axes to ``length`` pixels."""
    old = maps.shape[axis]
    if old == length:
        return maps
    centers = (np.arange(length) + 0.5) * (old / length) - 0.5
    centers = centers.clip(0, old - 1)
    before = centers.astype(int)
    after = np.minimum(before + 1, old - 1)
    fraction = (centers - before).astype(maps.dtype)
    fraction = fraction if axis == -1 else fraction[:, None]
    # a + (b - a) * t, not (1 - t) * a + t * b: equal neighbors stay exactly equal, so
    # that rounding moves no maximum
    start = maps.take(before, axis=axis)
    return start + (maps.take(after, axis=axis) - start) * fraction
