"""The segment: what grows from the focal points along the edges, then filled."""

import numpy as np


def grow(edges: np.ndarray, points: np.ndarray, bounds: tuple[float, float]):
    """Mask of the pixels within the bounds that a focal point reaches through such.

    Steps go up, down, left and right (SimpleITK's ConnectedThreshold). Points outside
    the bounds grow nothing.

    Args:
        edges: Edge strength (rows, cols), in [0, 1].
        points: Integer rows x, y.
        bounds: Lowest and highest strength, both included.
    """
    import SimpleITK as sitk  # noqa: N813

    lower, upper = map(float, bounds)  # float32 is refused
    strength = edges[points[:, 1], points[:, 0]]
    seeds = points[(strength >= lower) & (strength <= upper)].tolist()
    if not seeds:  # as many as none would be an error
        return np.zeros(edges.shape, bool)
    image = sitk.GetImageFromArray(edges)
    grown = sitk.ConnectedThreshold(image, seeds, lower, upper, replaceValue=1)
    return sitk.GetArrayFromImage(grown).astype(bool)


def fill_holes(mask: np.ndarray, hole_size: int) -> np.ndarray:
    """The mask with its holes of fewer than ``hole_size`` pixels filled.

    A hole is a part of the background whose pixels touch by their sides, at the
    border of the image, too.

    Args:
        mask: Boolean (rows, cols).
        hole_size: Pixels; 0 or 1 fills nothing.
    """
    from skimage.morphology import remove_small_holes

    if hole_size <= 1:
        return mask
    return remove_small_holes(mask, max_size=hole_size - 1)  # which is inclusive
