"""Checked stacks of maps and masks, and slices that bound the memory of a pass."""

from collections.abc import Iterator

import numpy as np

VALUES_AT_ONCE = 2**17  # what stays in a core's cache; larger passes are slower


def chunks(count: int, each: int) -> Iterator[slice]:
    """Slices that cover 0..count, each over at most ``VALUES_AT_ONCE`` values.

    Args:
        count: Rows, images, resamples: what is cut into slices.
        each: Values that one of them holds; one row is never cut.
    """
    step = max(1, VALUES_AT_ONCE // max(1, each))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def as_float(values) -> np.ndarray:
    """The values as floating numbers: float64 stays, everything else is float32."""
    values = np.asarray(values)
    wide = values.dtype == np.float64
    return values.astype(np.float64 if wide else np.float32, copy=False)


def as_maps(maps, name: str = "maps") -> np.ndarray:
    """Finite maps (n, rows, cols), float32 or float64.

    Args:
        maps: Array-like, (n, rows, cols), any range; ``n`` may be 0.
        name: What errors call them.

    Raises:
        ValueError: If the shape is another or a value is NaN or infinite.
    """
    maps = as_float(maps)
    if maps.ndim != 3 or 0 in maps.shape[1:]:
        raise ValueError(
            f"The {name} are (n, rows, cols), at least a pixel each. "
            f"Received: shape {maps.shape}. One map alone is passed as [map]."
        )
    if not np.isfinite(maps).all():
        bad = np.flatnonzero(~np.isfinite(maps).all(axis=(1, 2)))
        raise ValueError(
            f"The {name} hold finite numbers. Received: NaN or infinite values in "
            f"{len(bad)} of them, first at index {bad[0]}. Leave these images out."
        )
    return maps


def as_masks(masks, count: int) -> np.ndarray:
    """Boolean masks (n, rows, cols), one for each of ``count`` maps.

    Args:
        masks: Boolean array-like, (n, rows, cols).
        count: How many there have to be.

    Raises:
        TypeError: If they are not boolean.
        ValueError: If the shape or the number does not fit.
    """
    masks = np.asarray(masks)
    if masks.dtype != bool:
        raise TypeError(
            f"Masks are boolean. Received: {masks.dtype}. Pass masks > 0, for example."
        )
    if masks.ndim != 3 or 0 in masks.shape[1:] or len(masks) != count:
        raise ValueError(
            f"Masks are (n, rows, cols), one a map, here {count}. "
            f"Received: shape {masks.shape}."
        )
    return masks
