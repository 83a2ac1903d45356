"""The segment that grows from the focal points, the merged map, and the crop."""

from collections.abc import Sequence

import numpy as np

from kerasloc.maps import is_flat, scale_to_unit


def grow(edges: np.ndarray, points: np.ndarray, bounds: Sequence[float]) -> np.ndarray:
    """Return the mask of pixels within the bounds that are connected to a focal point.

    SimpleITK's ConnectedThreshold: neighbors are above, below, left and right.

    Args:
        edges: Edge strength (rows, cols), in [0, 1].
        points: Integer rows x, y; points outside the bounds grow nothing.
        bounds: Lowest and highest strength, both included.

    Examples:
        >>> grow(np.array([[0.2, 0.3, 0.9, 0.3]]), np.array([[0, 0]]), (0.2, 0.7))
        array([[ True, True, False, False]])
    """
    import SimpleITK as sitk  # noqa: N813

    lower, upper = map(float, bounds)  # float32 is refused
    strength = edges[points[:, 1], points[:, 0]]
    seeds = points[(strength >= lower) & (strength <= upper)].tolist()
    if not seeds:  # SimpleITK refuses an empty list
        return np.zeros(edges.shape, bool)
    image = sitk.GetImageFromArray(edges)
    grown = sitk.ConnectedThreshold(image, seeds, lower, upper, replaceValue=1)
    return sitk.GetArrayFromImage(grown).astype(bool)


def fill_holes(mask: np.ndarray, hole_size: int) -> np.ndarray:
    """Fill the holes of fewer than ``hole_size`` pixels.

    A hole is a component of the background, at the border of the image, too; its pixels
    are connected by their sides.

    Examples:
        >>> fill_holes(np.array([[True, False, True, False, False]]), 2)
        array([[ True, True, True, False, False]])
    """
    from skimage.morphology import remove_small_holes

    if hole_size <= 1:
        return mask
    return remove_small_holes(mask, max_size=hole_size - 1)  # max_size is inclusive


def merge(
    segment: np.ndarray, low: np.ndarray, merge_type: str, alpha: float
) -> np.ndarray:
    """Blend or multiply the segment and the low map, both scaled to [0, 1].

    Where one of the two is flat, the result is the other one.

    Args:
        segment: Boolean mask or map (rows, cols).
        low: Map of the same shape.
        merge_type: "blend" or "multiply".
        alpha: Weight of the segment when blending, in [0, 1].

    Raises:
        ValueError: If both are flat.

    Examples:
        >>> segment, low = np.array([[False, True]]), np.array([[4.0, 2.0]])
        >>> merge(segment, low, "blend", 0.25)
        array([[0.75, 0.25]])
    """
    maps = [scale_to_unit(m, dtype=float) for m in (segment, low) if not is_flat(m)]
    if not maps:
        raise ValueError(
            "Expected a segment or a low map with more than one value to merge. "
            "Received: two flat maps. Use another low CAM or a larger high CAM."
        )
    if len(maps) == 1:
        return maps[0]
    if merge_type == "multiply":
        return maps[0] * maps[1]
    return alpha * maps[0] + (1 - alpha) * maps[1]


def top_percentage(merged: np.ndarray, percentage: float) -> np.ndarray:
    """Return the mask of the highest pixels, at most a percentage of all.

    Equal pixels that do not all fit are left out: the mask may hold fewer, never more.

    Examples:
        >>> top_percentage(np.array([[1.0, 4.0, 3.0, 3.0]]), 50)
        array([[False, True, False, False]])
    """
    count = int(merged.size * percentage / 100)
    if count >= merged.size:
        return np.ones(merged.shape, bool)
    first_left_out = merged.size - count - 1
    return merged > np.partition(merged, first_left_out, axis=None)[first_left_out]


def crop(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Set the image (rows, cols) or (rows, cols, channels) to 0 outside the mask.

    Examples:
        >>> crop(np.array([[0.5, 0.7]]), np.array([[True, False]]))
        array([[0.5, 0. ]])
    """
    return image * mask.reshape(mask.shape + (1,) * (image.ndim - 2))
