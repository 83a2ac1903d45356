"""The one box convention of the package, and the ways between boxes and masks.

Boxes are float rows ``image, x, y, w, h, class`` in pixels: ``x`` to the right,
``y`` down, ``(x, y)`` the upper left corner, extent ``[x, x + w)`` by ``[y, y + h)``.
``image`` and ``class`` are indices from 0. Functions about the boxes of one image
take and give the four middle columns.
"""

import numpy as np

COLUMNS = ("image", "x", "y", "w", "h", "class")


def as_rows(boxes) -> np.ndarray:
    """Float rows ``image, x, y, w, h, class``; none at all gives shape (0, 6).

    Args:
        boxes: Anything array-like of shape (m, 6), pixels.

    Raises:
        ValueError: If the rows have another length or hold NaN.
    """
    rows = np.asarray(boxes, dtype=np.float32)
    if rows.size == 0:
        return np.zeros((0, len(COLUMNS)), np.float32)
    if rows.ndim != 2 or rows.shape[1] != len(COLUMNS):
        raise ValueError(
            f"Boxes are rows {', '.join(COLUMNS)}. Received: shape {rows.shape}."
        )
    if not np.isfinite(rows).all():
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        raise ValueError(
            f"Boxes are finite numbers. Received: NaN or infinite in rows {bad[:10]}."
        )
    return rows


def to_mask(boxes, size: tuple[int, int]) -> np.ndarray:
    """Boolean mask (rows, cols) of what one image's boxes cover.

    Each of x, y, w, h is cut to an integer; the ends are excluded.

    Args:
        boxes: Rows x, y, w, h of one image, pixels, shape (k, 4).
        size: Rows and columns of the mask.
    """
    mask = np.zeros(size, bool)
    for x, y, w, h in np.asarray(boxes, float).reshape(-1, 4).astype(int):
        mask[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = True
    return mask


def from_mask(mask) -> np.ndarray:
    """Rows x, y, w, h around the connected parts of a mask, the largest first.

    Args:
        mask: Boolean, (rows, cols); parts that touch at a corner are one.

    Returns:
        Float array (parts, 4), pixels; (0, 4) for an empty mask.
    """
    from skimage.measure import label, regionprops

    parts = sorted(regionprops(label(np.asarray(mask, bool))), key=lambda p: -p.area)
    corners = np.array([part.bbox for part in parts], float).reshape(-1, 4)
    top, left, bottom, right = corners.T
    return np.stack([left, top, right - left, bottom - top], axis=1)
