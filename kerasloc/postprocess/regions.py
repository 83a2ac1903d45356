"""Steps of the pipeline: edges, region of interest, focal points, segment and crop."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

from kerasloc.maps import is_flat, scale_to_unit


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


def resize(low: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a map (rows, cols) by Pillow's bilinear filter, as published; float32.

    Examples:
        >>> resize(np.array([[0.0, 1.0]]), (1, 4))
        array([[0.  , 0.25, 0.75, 1.  ]], dtype=float32)
    """
    image = Image.fromarray(low.astype(np.float32))
    return np.array(image.resize(size[::-1], Image.Resampling.BILINEAR))


def region_of_interest(low_resized: np.ndarray, percentile: float) -> np.ndarray:
    """Return the mask of the pixels above a percentile of the map; never empty.

    Where the maximum fills so much of the map that no pixel lies above the percentile,
    the pixels at the maximum are the region.

    Examples:
        >>> region_of_interest(np.array([[1.0, 2.0, 3.0, 4.0]]), 70)
        array([[False, False, False, True]])
    """
    above = low_resized > np.percentile(low_resized, percentile)
    return above if above.any() else low_resized == low_resized.max()


def global_points(low_resized: np.ndarray) -> np.ndarray:
    """Return the round(sqrt(longer side of the map)) highest pixels, rows x, y.

    Of equal pixels those come that are first in reading order.

    Examples:
        >>> global_points(np.array([[0.0, 9.0, 1.0, 8.0]]))
        array([[1, 0],
               [3, 0]])
    """
    count = min(round(max(low_resized.shape) ** 0.5), low_resized.size)
    values = low_resized.ravel()
    least = np.partition(values, -count)[-count]
    higher, ties = np.flatnonzero(values > least), np.flatnonzero(values == least)
    highest = np.concatenate([higher, ties])[:count]
    y, x = np.unravel_index(highest, low_resized.shape)
    return np.stack([x, y], axis=1)


def local_points(low: np.ndarray, size: tuple[int, int], areas: str) -> np.ndarray:
    """Return the pixels, rows x, y, in cells of the low map that are high local maxima.

    Args:
        low: Raw map (rows, cols), not flat.
        size: Rows and columns of the image; one smaller than the map may skip a cell.
        areas: "large" for all pixels of these cells, "small" for their skeleton.

    Examples:
        >>> local_points(np.array([[0.0, 1.0, 0.0]]), (1, 6), "large")
        array([[2, 0],
               [3, 0]])
    """
    from skimage.morphology import skeletonize

    nearest = [
        (np.arange(n) + 0.5) * m // n for n, m in zip(size, low.shape, strict=True)
    ]
    mask = high_maxima(low)[np.ix_(*(cells.astype(int) for cells in nearest))]
    mask = skeletonize(mask) if areas == "small" else mask
    return np.argwhere(mask)[:, ::-1]


def high_maxima(low: np.ndarray) -> np.ndarray:
    """Return the mask of local maxima >= the mean of the highest and lowest maximum.

    As published, a cell that is not a maximum counts as 0: where that mean is negative
    and the highest maximum is positive, such cells are in the mask, too.

    Examples:
        >>> high_maxima(np.array([[9.0, 0.0, 1.0, 0.0, 6.0]]))
        array([[ True, False, False, False, True]])
    """
    from skimage.morphology import local_maxima

    maxima = local_maxima(low)
    highest, lowest = low[maxima].max(), low[maxima].min()
    level = (highest + lowest) / 2
    chosen = maxima & (low >= level)
    return chosen | ~maxima if level < 0 < highest else chosen


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
