"""Whether maps of classes show where their boxes are, as PYLON was measured."""

from collections.abc import Callable

import numpy as np

from kerasloc.metrics.pairs import Pairs, as_pairs, resized

THRESHOLDS = (0.1, 0.25, 0.5)
PREDICTED = 0.5


def point_localization(logits_or_maps, boxes, image_size, *, seed: int = 0) -> dict:
    """How often the maximum of a map lies in a box of its class.

    Every map of an image and a class that has boxes there is resized bilinearly to
    the image; of equal maxima the first counts, row by row. The borders of a box
    belong to it. Images are drawn for the intervals, among those with boxes.

    Args:
        logits_or_maps: (n, rows, cols, classes), any range; the sigmoid, which grows,
            would alter nothing. Maps without boxes are not looked at.
        boxes: Rows image, x, y, w, h, class in pixels of the image.
        image_size: (rows, cols), or one number for both.
        seed: Of the bootstrap.

    Returns:
        A dict of ``per_class`` (classes,), NaN where a class has no box; ``count``
        (classes,), pairs of an image and the class; ``macro`` (mean of the classes
        that are not NaN, ``classes_counted`` of them) and ``weighted`` (by their
        pairs); ``intervals`` (low, high; 95 %): ``per_class`` (classes, 2), ``macro``
        and ``weighted`` (2,); ``pairs`` (pairs, 2), image and class, and ``hits``
        (pairs,), boolean, for paired comparisons.

    Raises:
        ValueError: If a shape or the size does not fit, a map with boxes has NaN or
            infinite values, or a box is empty, outside of the image, or of an image
            or class that is not there.
    """
    pairs = as_pairs(logits_or_maps, boxes, image_size)
    hits = np.zeros(len(pairs.images), bool)
    for part, own in pairs.parts():
        peaks = resized(pairs.raw_maps(part), pairs.size).argmax(axis=1)
        owner = pairs.owner[own] - part.start
        row, col = np.divmod(peaks[owner], pairs.size[1])  # of every box
        x, y, w, h = pairs.boxes[own].T
        inside = (x <= col) & (col <= x + w) & (y <= row) & (row <= y + h)
        hits[part] = np.bincount(owner, inside, minlength=len(peaks)) > 0
    return {**pairs.summary(hits, seed), "hits": hits}


def iobb_accuracy(
    maps, boxes, image_size, thresholds=THRESHOLDS, *, seed: int = 0
) -> dict:
    """How often enough of what a map predicts lies in the boxes of its class.

    Predicted is where the map, through the sigmoid and resized bilinearly to the
    image, exceeds half its maximum. IoBB is the share of that area inside the boxes
    (each of x, y, w, h cut to an integer, ends excluded); a pair hits if its IoBB
    exceeds the threshold. Intersection over union never exceeds IoBB, so "IoBB or
    IoU" is this number, too.

    Args:
        maps: Raw, before the sigmoid, (n, rows, cols, classes); those without boxes
            are not looked at.
        boxes: As for ``point_localization``.
        image_size: As for ``point_localization``.
        thresholds: (thresholds,), or one number, whose answer lacks that axis.
        seed: Of the bootstrap.

    Returns:
        A dict with the keys of ``point_localization``, where ``per_class`` is
        (thresholds, classes), ``macro`` and ``weighted`` are (thresholds,), their
        intervals have one more axis of 2, and ``values`` (pairs,), the IoBB itself,
        stands for ``hits``.

    Raises:
        ValueError: As for ``point_localization``, or if there is no threshold.
    """
    pairs = as_pairs(maps, boxes, image_size)
    return _accuracy(pairs, _iobb, thresholds, seed)


def iou_accuracy(
    maps, boxes, image_size, thresholds=THRESHOLDS, *, seed: int = 0
) -> dict:
    """How often what a map predicts overlaps enough with the boxes of its class.

    As ``iobb_accuracy``, with intersection over union. A map that predicts too small
    an area fails here and not there.

    Args:
        maps: As for ``iobb_accuracy``.
        boxes: As for ``iobb_accuracy``.
        image_size: As for ``iobb_accuracy``.
        thresholds: As for ``iobb_accuracy``.
        seed: Of the bootstrap.

    Returns:
        As for ``iobb_accuracy``; ``values`` are the IoU.

    Raises:
        ValueError: As for ``iobb_accuracy``.
    """
    pairs = as_pairs(maps, boxes, image_size)
    return _accuracy(pairs, _iou, thresholds, seed)


def _accuracy(pairs: Pairs, overlap: Callable, thresholds, seed: int) -> dict:
    """The answer for an overlap of (intersection, predicted, boxes' area)."""
    thresholds = np.asarray(thresholds, float)
    if thresholds.ndim > 1 or not thresholds.size or np.isnan(thresholds).any():
        raise ValueError(
            "Thresholds are a number or several, (thresholds,), without NaN. "
            f"Received: shape {thresholds.shape}, {thresholds.tolist()}."
        )
    areas = np.zeros((3, len(pairs.images)), int)
    for part, own in pairs.parts():
        predicted = _predicted(resized(_shares(pairs.raw_maps(part)), pairs.size))
        owner = pairs.owner[own] - part.start
        masks = _masks(pairs.boxes[own], owner, pairs.size)
        for row, area in enumerate((predicted & masks, predicted, masks)):
            areas[row, part] = _pixels(area)
    values = overlap(*areas)
    return {
        **pairs.summary(values[(..., *[None] * thresholds.ndim)] > thresholds, seed),
        "values": values,
    }


def _iobb(intersection, predicted, _):
    return intersection / np.maximum(predicted, 1)


def _iou(intersection, predicted, boxed):
    return intersection / np.maximum(predicted + boxed - intersection, 1)


def _shares(maps: np.ndarray) -> np.ndarray:
    """The sigmoid of maps (k, rows, cols), each divided by its maximum.

    By logarithms, as the sigmoid of a very negative map is 0 throughout.
    """
    log_sigmoid = np.minimum(maps, 0) - np.log1p(np.exp(-np.abs(maps)))
    return np.exp(log_sigmoid - log_sigmoid.max(axis=(1, 2), keepdims=True))


def _predicted(heat: np.ndarray) -> np.ndarray:
    """Where flat heat maps (k, pixels) exceed half their maximum."""
    return heat > PREDICTED * heat.max(axis=1, keepdims=True)


def _masks(boxes: np.ndarray, owner: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes of pairs as masks (k, pixels), drawn as ``kerasloc.boxes.to_mask`` does.

    Args:
        boxes: Rows x, y, w, h, (m, 4).
        owner: Index of each box's pair, ascending, every pair at least once, (m,).
        size: Rows and columns.
    """
    x, y, w, h = boxes.astype(int).T[..., None]
    rows, cols = (np.arange(side) for side in size)
    in_rows = ((y <= rows) & (rows < y + h))[:, :, None]  # (m, rows, 1)
    in_cols = ((x <= cols) & (cols < x + w))[:, None]  # (m, 1, cols)
    turn = np.arange(len(owner)) - np.searchsorted(owner, owner)
    first = turn == 0
    masks = in_rows[first] & in_cols[first]
    for more in range(1, turn.max(initial=0) + 1):  # the second boxes, the third, ...
        at = turn == more
        masks[owner[at]] |= in_rows[at] & in_cols[at]
    return masks.reshape(len(masks), -1)


def _pixels(masks: np.ndarray) -> np.ndarray:
    """How many pixels of boolean masks (k, pixels) are true, (k,)."""
    return np.count_nonzero(masks, axis=1)
