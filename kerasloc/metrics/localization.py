"""Point localization, IoBB and IoU accuracy of maps against boxes or masks.

Reference:
    Preechakul et al.: Improved image classification explainability with high-accuracy
    heatmaps (PYLON), iScience 25(3), 2022: point localization, IoBB accuracy.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kerasloc.checks import Size, as_maps, as_size
from kerasloc.metrics._inputs import as_masks, as_thresholds, chunks
from kerasloc.metrics._pairs import Pairs, as_pairs, resized

THRESHOLDS = (0.1, 0.25, 0.5)
PREDICTED = 0.5


def peak_points(maps: ArrayLike, image_size: Size | None = None) -> np.ndarray:
    """Locate the maximum x, y (n, 2) of every map, in integer pixels of the image.

    Of equal maxima the first counts, row by row.

    Args:
        maps: Raw maps (n, rows, cols), any range; resized bilinearly to the image.
        image_size: (rows, cols), or one number for both; the maps' size when None.

    Raises:
        ValueError: If the shape does not fit or a map has NaN or infinite values.

    Examples:
        >>> peak_points([[[0, 0, 9], [0, 0, 0]]], (4, 6))
        array([[5, 0]])
    """
    maps = as_maps(maps)
    size = maps.shape[1:] if image_size is None else as_size(image_size)
    peaks = np.zeros(len(maps), int)
    for chunk in chunks(len(maps), size[0] * size[1]):
        peaks[chunk] = resized(maps[chunk], size).argmax(axis=1)
    y, x = np.divmod(peaks, size[1])
    return np.stack([x, y], axis=1)


def points_in_boxes(x: Any, y: Any, boxes: Sequence | np.ndarray) -> Any:
    """Tell whether points lie in boxes, borders included, as an array or tensor.

    Args:
        x: Columns of the points, numbers, arrays or tensors.
        y: Rows of the points, of the same shape.
        boxes: Sequence x, y, w, h of numbers whose shapes broadcast with the points.

    Examples:
        >>> points_in_boxes(np.array([2, 5]), np.array([3, 3]), (2, 1, 2, 2))
        array([ True, False])
    """
    left, top, width, height = boxes
    in_columns = (left <= x) & (x <= left + width)
    return in_columns & (top <= y) & (y <= top + height)


def locate_point(
    raw_map: ArrayLike, boxes: ArrayLike, image_size: Size | None = None
) -> tuple[tuple[int, int], bool | None]:
    """Locate the maximum (x, y) of a single map; True in a box, None without a box.

    Args:
        raw_map: Raw map (rows, cols), any range; resized bilinearly to the image.
        boxes: Rows x, y, w, h (m, 4) in pixels of the image, borders included.
        image_size: (rows, cols), or one number for both; the map's size when None.

    Examples:
        >>> locate_point([[0, 0, 9], [0, 0, 0]], [[4, 0, 2, 2]], (4, 6))
        ((5, 0), True)
    """
    ((x, y),) = peak_points(np.asarray(raw_map)[None], image_size).tolist()
    columns = np.reshape(boxes, (-1, 4)).T
    hit = bool(points_in_boxes(x, y, columns).any()) if columns.size else None
    return (x, y), hit


def point_hits(maps: ArrayLike, masks: ArrayLike) -> np.ndarray:
    """Point localization against masks: 1 for a hit, 0 for a miss, NaN without a mask.

    Args:
        maps: Raw maps (n, rows, cols), any range; resized bilinearly to the masks.
        masks: Boolean masks (n, rows, cols) at the size of the image.

    Raises:
        TypeError: If the masks are not boolean.
        ValueError: If a shape or a map does not fit.

    Reference:
        Zhang et al.: Top-down Neural Attention by Excitation Backprop, ECCV 2016,
        section 4.1 (pointing game, here without its tolerance of 15 pixels).

    Examples:
        >>> mask = np.array([[False, True], [False, False]])
        >>> point_hits([[[0, 9], [1, 2]], [[5, 1], [1, 1]]], [mask, mask])
        array([1., 0.])
    """
    maps = as_maps(maps)
    masks = as_masks(masks, len(maps))
    x, y = peak_points(maps, masks.shape[1:]).T
    hits = masks[np.arange(len(maps)), y, x]
    return np.where(masks.any(axis=(1, 2)), hits, np.nan)


def point_localization(
    logits_or_maps: ArrayLike, boxes: ArrayLike, image_size: Size, *, seed: int = 0
) -> dict:
    """Point localization: share of maps whose maximum lies in a box of the class.

    Maps are resized bilinearly to the image (the sigmoid would not move the maximum);
    of equal maxima the first counts, row by row. The borders of a box belong to it.

    Args:
        logits_or_maps: Raw maps (n, rows, cols, classes); without boxes ignored.
        boxes: Rows image, x, y, w, h, class in pixels of the image.
        image_size: (rows, cols), or one number for both.
        seed: Seed of the bootstrap over images with boxes.

    Returns:
        A dict of

        - ``per_class`` (classes,), NaN where a class has no box;
        - ``count`` (classes,), pairs of an image and the class;
        - ``macro``, mean of the classes that are not NaN, ``classes_counted`` of them,
          and ``weighted``, mean over pairs;
        - ``intervals`` (low, high; 95 %): ``per_class`` (classes, 2), ``macro`` and
          ``weighted`` (2,);
        - ``pairs`` (pairs, 2), image and class, and ``hits`` (pairs,), boolean, for
          paired comparisons.

    Raises:
        ValueError: If a shape, an index, a box or a map with boxes does not fit.

    Examples:
        >>> maps = np.zeros((1, 4, 4, 1))
        >>> maps[0, 1, 2] = 9
        >>> point_localization(maps, [[0, 4, 2, 2, 2, 0]], 8)["weighted"]
        1.0
    """
    pairs = as_pairs(logits_or_maps, boxes, image_size)
    hits = np.zeros(len(pairs.images), bool)
    for chunk, rows in pairs.chunks():
        points = peak_points(pairs.raw_maps(chunk), pairs.size)
        owner = pairs.owner[rows] - chunk.start
        x, y = points[owner].T  # of every box
        inside = points_in_boxes(x, y, pairs.boxes[rows].T)
        hits[chunk] = np.bincount(owner, inside, minlength=len(points)) > 0
    return {**pairs.summary(hits, seed), "hits": hits}


def iobb_accuracy(
    maps: ArrayLike,
    boxes: ArrayLike,
    image_size: Size,
    thresholds: ArrayLike = THRESHOLDS,
    *,
    seed: int = 0,
) -> dict:
    """IoBB accuracy: share of predicted areas with enough of them inside the boxes.

    Predicted is where the map, through the sigmoid and resized bilinearly to the image,
    exceeds half its maximum. IoBB is intersection / predicted area, with each of x, y,
    w, h truncated to an integer, ends excluded; a pair is a hit if IoBB > T. IoU never
    exceeds IoBB, so the published "IoBB or IoU" is the same number.

    Args:
        maps: Raw maps before the sigmoid, (n, rows, cols, classes).
        boxes: Rows image, x, y, w, h, class in pixels of the image.
        image_size: (rows, cols), or one number for both.
        thresholds: Thresholds T (thresholds,), or one number, which drops that axis.
        seed: Seed of the bootstrap over images with boxes.

    Returns:
        The report of ``point_localization``, where ``per_class`` is (thresholds,
        classes), ``macro`` and ``weighted`` are (thresholds,), their intervals have
        one more axis of 2, and ``values`` (pairs,), the IoBB, replaces ``hits``.

    Examples:
        >>> maps = np.zeros((1, 4, 4, 1))  # predicts the whole image
        >>> iobb_accuracy(maps, [[0, 0, 0, 4, 2, 0]], 4)["weighted"]
        array([1., 1., 0.])
    """
    pairs = as_pairs(maps, boxes, image_size)
    intersection, predicted, _ = _areas(pairs)
    return _accuracy(pairs, intersection / np.maximum(predicted, 1), thresholds, seed)


def iou_accuracy(
    maps: ArrayLike,
    boxes: ArrayLike,
    image_size: Size,
    thresholds: ArrayLike = THRESHOLDS,
    *,
    seed: int = 0,
) -> dict:
    """IoU accuracy: share of predicted areas that overlap enough with the boxes.

    Unlike ``iobb_accuracy``, a map that predicts too small an area is a miss. The
    arguments and the report are those of ``iobb_accuracy``; ``values`` are the IoU.

    Examples:
        >>> maps = np.zeros((1, 4, 4, 1))  # predicts the whole image
        >>> iou_accuracy(maps, [[0, 0, 0, 4, 1, 0]], 4, 0.25)["values"]
        array([0.25])
    """
    pairs = as_pairs(maps, boxes, image_size)
    intersection, predicted, boxed = _areas(pairs)
    iou = intersection / np.maximum(predicted + boxed - intersection, 1)
    return _accuracy(pairs, iou, thresholds, seed)


def _accuracy(
    pairs: Pairs, values: np.ndarray, thresholds: ArrayLike, seed: int
) -> dict:
    """Report of the overlaps (pairs,) that exceed each threshold."""
    hits = np.greater.outer(values, as_thresholds(thresholds, scalar=True))
    return {**pairs.summary(hits, seed), "values": values}


def _areas(pairs: Pairs) -> np.ndarray:
    """Intersection, predicted area and boxes' area of all pairs, (3, pairs), pixels."""
    areas = np.zeros((3, len(pairs.images)), int)
    for chunk, rows in pairs.chunks():
        # Logarithms, as the sigmoid of a very negative map underflows to 0.
        logits = pairs.raw_maps(chunk)
        heat = np.minimum(logits, 0) - np.log1p(np.exp(-np.abs(logits)))
        heat = np.exp(heat - heat.max(axis=(1, 2), keepdims=True))
        heat = resized(heat, pairs.size)
        predicted = heat > PREDICTED * heat.max(axis=1, keepdims=True)
        masks = pairs.masks(chunk, rows)
        for row, area in enumerate((predicted & masks, predicted, masks)):
            areas[row, chunk] = np.count_nonzero(area, axis=1)
    return areas
