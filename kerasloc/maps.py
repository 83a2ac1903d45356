"""Tools for maps in NumPy: scale to [0, 1], resize bilinearly, average in tiles."""

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from kerasloc.checks import Size, as_float, as_maps, as_size


def min_max(maps: ArrayLike) -> np.ndarray:
    """Scale every map (n, rows, cols) to [0, 1]; a flat map becomes zeros.

    Raises:
        ValueError: If the shape does not fit or a value is NaN or infinite.

    Examples:
        >>> min_max([[[-2, 0, 6]]])
        array([[[0.  , 0.25, 1.  ]]], dtype=float32)
    """
    return scale_to_unit(as_maps(maps), axis=(1, 2))


def scale_to_unit(
    values: ArrayLike,
    axis: tuple[int, ...] | None = None,
    dtype: DTypeLike | None = None,
) -> np.ndarray:
    """Scale values to [0, 1] by their minimum and maximum; equal values become 0.

    Args:
        values: Finite numbers of any shape.
        axis: Axes that share a minimum and a maximum; all axes when None.
        dtype: Floating type of the result; that of the values when None.

    Examples:
        >>> scale_to_unit([2, 4, 3], dtype=float)
        array([0. , 1. , 0.5])
    """
    values = np.asarray(values, dtype)
    low = values.min(axis=axis, keepdims=True)
    span = values.max(axis=axis, keepdims=True) - low
    return (values - low) / np.where(span == 0, 1, span)


def is_flat(values: np.ndarray) -> bool:
    """Tell whether all values are equal.

    Examples:
        >>> is_flat(np.ones((2, 2)))
        True
    """
    return bool(values.min() == values.max())


def resize_maps(maps: ArrayLike, size: Size) -> np.ndarray:
    """Resize maps bilinearly with half-pixel centers; a flat map stays exactly flat.

    As ``tf.image.resize(method="bilinear", antialias=False)``: the edge is repeated
    beyond the outer pixel centers, and a smaller size samples without averaging.

    Args:
        maps: Maps (..., rows, cols); float64 stays, other types become float32.
        size: (rows, cols), or one number for both.

    Raises:
        ValueError: If a map has no pixel, or the shape or the size does not fit.

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


def center_gaussian(size: Size, spread: float = 0.25) -> np.ndarray:
    """Gaussian (rows, cols), maximum 1 in the center: the baseline map of any image.

    Args:
        size: (rows, cols), or one number for both.
        spread: Standard deviation as a share of each side. Metrics over all thresholds
            hardly depend on it.

    Raises:
        ValueError: If the size is not positive or the spread not above 0.

    Reference:
        Choe et al.: Evaluating weakly supervised object localization methods right,
        CVPR 2020, arXiv 2001.07437.

    Examples:
        >>> center_gaussian((1, 3)).round(2)
        array([[0.14, 1.  , 0.14]], dtype=float32)
    """
    if not 0 < spread < np.inf:
        raise ValueError(f"Expected a spread above 0. Received: spread={spread!r}.")
    y, x = (np.linspace(-0.5, 0.5, side) / spread for side in as_size(size))
    exponent = -0.5 * (y[:, None] ** 2 + x**2)
    return np.exp(exponent - exponent.max()).astype(np.float32)


def check_grid(grid: tuple[int, int], size: tuple[int, int]) -> None:
    """Raise a ValueError unless every tile of a grid holds a pixel of a map.

    Examples:
        >>> check_grid((2, 2), (4, 4))
    """
    if grid[0] > size[0] or grid[1] > size[1]:
        raise ValueError(
            "Expected a pixel in every tile of the grid. Received: a grid of "
            f"{grid[0]} x {grid[1]} over images of {size[0]} x {size[1]}."
        )


def spread_tiles(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Repeat values of tiles (n, down, across) at the pixels of maps (n, rows, cols).

    Where the tiles do not divide the size (rows, cols), tiles differ by a pixel.

    Examples:
        >>> spread_tiles(np.array([[[1, 2]]]), (1, 4))
        array([[[1, 1, 2, 2]]])
    """
    down, across = (
        np.arange(side) * number // side
        for side, number in zip(size, values.shape[1:], strict=True)
    )
    return values[:, down[:, None], across]


def tile_means(maps: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Compute means of tiles (n, down, across) of maps (n, rows, cols), float64.

    Examples:
        >>> tile_means(np.array([[[1, 3, 2, 4]]]), (1, 2))
        array([[[2., 3.]]])
    """
    # float32 in float64: sums of equal values are exact, flat maps tie in every tile
    sums = maps.astype(np.float32).astype(np.float64)
    areas = np.ones(())
    for axis, number in enumerate(grid, start=1):
        side = maps.shape[axis]
        starts = -(-np.arange(number) * side // number)
        sums = np.add.reduceat(sums, starts, axis=axis)
        areas = np.multiply.outer(areas, np.diff(starts, append=side))
    return sums / areas


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
