"""Box convention of the package, and conversions between boxes and masks.

Boxes are float rows ``image, x, y, w, h, class`` in pixels: ``x`` to the right,
``y`` down, ``(x, y)`` the upper left corner, extent ``[x, x + w)`` by ``[y, y + h)``.
``image`` and ``class`` are indices from 0. Functions for the boxes of a single image
use the four columns in the center, ``x, y, w, h``.
"""

import numpy as np
from numpy.typing import ArrayLike

COLUMNS = ("image", "x", "y", "w", "h", "class")


def as_rows(boxes: ArrayLike) -> np.ndarray:
    """Return boxes, rows (m, 6) in pixels, as float32; (0, 6) without a box.

    Raises:
        ValueError: If the rows have another length or hold NaN.

    Examples:
        >>> as_rows([[0, 10, 20, 30, 40, 2]])
        array([[ 0., 10., 20., 30., 40.,  2.]], dtype=float32)
    """
    rows = np.asarray(boxes, dtype=np.float32)
    if rows.size == 0:
        return np.zeros((0, len(COLUMNS)), np.float32)
    if rows.ndim != 2 or rows.shape[1] != len(COLUMNS):
        raise ValueError(
            f"Expected boxes as rows {', '.join(COLUMNS)}. "
            f"Received: shape {rows.shape}."
        )
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if bad.size:
        raise ValueError(
            f"Expected finite boxes. Received: NaN or infinite in rows {bad[:10]}."
        )
    return rows


def to_mask(boxes: ArrayLike, size: tuple[int, int]) -> np.ndarray:
    """Draw the boxes of a single image as a boolean mask (rows, cols).

    Args:
        boxes: Rows x, y, w, h (k, 4), pixels; truncated to integers, ends excluded.
        size: Rows and columns of the mask.

    Examples:
        >>> to_mask([[1, 0, 2, 1]], (2, 4)).astype(int)
        array([[0, 1, 1, 0],
               [0, 0, 0, 0]])
    """
    mask = np.zeros(size, bool)
    for x, y, w, h in np.asarray(boxes, float).reshape(-1, 4).astype(int):
        mask[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = True
    return mask


def from_mask(mask: ArrayLike) -> np.ndarray:
    """Return boxes x, y, w, h (k, 4) around components of a mask, the largest first.

    Args:
        mask: Boolean mask (rows, cols); pixels that touch at a corner are connected.

    Examples:
        >>> from_mask([[0, 1, 1, 0], [0, 0, 0, 0]])
        array([[1., 0., 2., 1.]])
    """
    from skimage.measure import label, regionprops

    components = regionprops(label(np.asarray(mask, bool)))
    components = sorted(components, key=lambda component: -component.area)
    corners = np.array([c.bbox for c in components], float).reshape(-1, 4)
    top, left, bottom, right = corners.T
    return np.stack([left, top, right - left, bottom - top], axis=1)
