"""Overlap of heat maps and of binary attention with masks: IoU, TIoU and TIoR.

Reference:
    Ouyang et al.: Learning hierarchical attention for weakly-supervised chest X-ray
    abnormality localization and diagnosis, IEEE TMI 40(10), 2021, arXiv 2112.12349
    (TIoU and TIoR of HAM).
"""

import numpy as np
from numpy.typing import ArrayLike

from kerasloc.checks import as_float
from kerasloc.metrics._inputs import (
    as_boolean,
    as_maps_and_masks,
    as_thresholds,
    chunks,
    levels_reached,
)
from kerasloc.metrics._pairs import select_rows, summarize_pairs

THRESHOLDS = tuple(step / 100 for step in range(100))
ATTENDED = 0.999  # least value of a refined map that counts as attention
TIOU = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
MEANS = {"macro": "mean", "weighted": "weighted_mean", "per_class": "mean_per_class"}
TIOR = (0.1, 0.25, 0.5, 0.75, 0.9)


def iou_curve(
    heatmaps: ArrayLike, masks: ArrayLike, thresholds: ArrayLike = THRESHOLDS
) -> np.ndarray:
    """Compute the IoU (n, thresholds) of heat map > threshold with the mask.

    0 where a map nowhere exceeds the threshold, NaN for an image whose mask is empty.

    Args:
        heatmaps: Heat maps (n, rows, cols), usually in [0, 1]; ``resize_maps`` and
            ``min_max`` (in this order) turn raw maps into heat maps.
        masks: Boolean masks of the same shape; ``kerasloc.boxes.to_mask`` draws boxes.
        thresholds: Thresholds (thresholds,), in any order.

    Raises:
        TypeError: If the masks are not boolean.
        ValueError: If the shapes, a value or the thresholds do not fit.

    Examples:
        >>> iou_curve([[[0.1, 0.6, 0.9]]], [[[False, True, True]]], [0.0, 0.5, 0.8])
        array([[0.667, 1.   , 0.5  ]])
    """
    heatmaps, masks = as_maps_and_masks(heatmaps, masks)
    # Thresholds as wide as the heat: 0.1 > 0.1 is false in float32, too.
    thresholds = as_thresholds(thresholds).astype(heatmaps.dtype)
    order = thresholds.argsort()
    curve = np.empty((len(heatmaps), len(thresholds)))
    for chunk in chunks(len(heatmaps), heatmaps[:1].size):
        curve[chunk, order] = _curve(heatmaps[chunk], masks[chunk], thresholds[order])
    return curve


def ious(heatmaps: ArrayLike, masks: ArrayLike, threshold: float) -> np.ndarray:
    """Compute the IoU (n,) of heat map > threshold with the mask; see ``iou_curve``.

    Examples:
        >>> ious([[[0.1, 0.6, 0.9]]], [[[False, True, True]]], 0.8)
        array([0.5])
    """
    return iou_curve(heatmaps, masks, [threshold])[:, 0]


def best_threshold(
    heatmaps: ArrayLike, masks: ArrayLike, thresholds: ArrayLike = THRESHOLDS
) -> float:
    """Find the threshold with the highest mean IoU; of equals the lowest.

    Use validation images: on the images of a report it flatters the map. The arguments
    are those of ``iou_curve``; an empty mask does not count, but not all may be.

    Examples:
        >>> best_threshold([[[0.1, 0.6, 0.9]]], [[[False, True, True]]], [0.0, 0.5])
        0.5
    """
    thresholds = np.sort(as_thresholds(thresholds))
    curve = iou_curve(heatmaps, masks, thresholds)
    counted = ~np.isnan(curve[:, 0])
    if not counted.any():
        raise ValueError(
            "Expected at least one image whose mask is not empty. "
            f"Received: {len(curve)} images with empty masks."
        )
    return float(thresholds[curve[counted].mean(axis=0).argmax()])


def tiou(
    attention: ArrayLike,
    masks: ArrayLike,
    thresholds: ArrayLike = TIOU,
    *,
    seed: int = 0,
) -> dict:
    """Compute TIoU: share of pairs whose attention has IoU >= T with the boxes.

    Args:
        attention: Boolean attention (n, rows, cols, classes).
        masks: Boolean masks of the boxes, of the same shape.
        thresholds: Thresholds T (thresholds,).
        seed: Seed of the bootstrap.

    Returns:
        The report of ``overlap_accuracy`` of ``attention_overlaps``.

    Examples:
        >>> masks = np.array([True, False]).reshape(1, 2, 1, 1)
        >>> tiou(np.ones_like(masks), masks, [0.25, 0.5, 0.75])["macro"]
        array([1., 1., 0.])
    """
    return overlap_accuracy(
        attention_overlaps(attention, masks)[0], thresholds, seed=seed
    )


def tior(
    attention: ArrayLike,
    masks: ArrayLike,
    thresholds: ArrayLike = TIOR,
    *,
    seed: int = 0,
) -> dict:
    """Compute TIoR: share of pairs with at least T of the attention inside the boxes.

    The arguments and the report are those of ``tiou``.

    Examples:
        >>> masks = np.array([True, False]).reshape(1, 2, 1, 1)
        >>> tior(masks, masks)["mean"], tior(~masks, masks)["mean"]
        (1.0, 0.0)
    """
    return overlap_accuracy(
        attention_overlaps(attention, masks)[1], thresholds, seed=seed
    )


def attention_overlaps(
    attention: ArrayLike, masks: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Compute IoU of attention and boxes, and IoR, the share of attention inside them.

    Args:
        attention: Boolean attention (n, rows, cols, classes), refined maps >= ATTENDED.
        masks: Boolean masks of the boxes of each class, of the same shape.

    Returns:
        IoU = intersection / union and IoR = intersection / attended area, (n, classes)
        each: 0 where nothing is attended, NaN where the mask is empty.

    Raises:
        TypeError: If the attention or the masks are not boolean.
        ValueError: If the shapes differ, or there is no pixel or no class.

    Examples:
        >>> masks = np.array([True, False]).reshape(1, 2, 1, 1)
        >>> attention_overlaps(np.ones_like(masks), masks)
        (array([[0.5]]), array([[0.5]]))
    """
    attention, masks = _as_stacks(attention, masks)
    areas = np.zeros((3, len(masks), masks.shape[-1]))
    for chunk in chunks(len(masks), masks[:1].size):
        attended, boxed = attention[chunk], masks[chunk]
        for row, area in enumerate((attended & boxed, attended, boxed)):
            areas[row, chunk] = area.sum(axis=1, dtype=np.uint32).sum(axis=1)
    intersection, attended, boxed = areas
    union = attended + boxed - intersection
    overlaps = intersection / np.maximum([union, attended], 1)
    iou, ior = np.where(boxed > 0, overlaps, np.nan)
    return iou, ior


def overlap_accuracy(
    values: ArrayLike, thresholds: ArrayLike, *, seed: int = 0
) -> dict:
    """Compute the share of overlaps that reach each threshold.

    For data in batches: concatenate the ``attention_overlaps`` of all batches.

    Args:
        values: Overlaps (n, classes) in [0, 1], NaN where the class has no box.
        thresholds: Thresholds T (thresholds,); ``TIOU`` and ``TIOR`` are published.
        seed: Seed of the bootstrap over images with a value.

    Returns:
        The report of ``point_localization`` without ``hits``, with

        - ``per_class`` (thresholds, classes), the share of values of at least T,
          ``macro`` and ``weighted`` (thresholds,);
        - their means over the thresholds: ``mean_per_class`` (classes,), ``mean`` of
          macro, ``weighted_mean``; ``intervals`` of all six;
        - ``values`` (pairs,).

    Raises:
        ValueError: If the values are not (n, classes) in [0, 1], or no threshold is.

    Examples:
        >>> overlap_accuracy([[0.3, np.nan], [0.6, 0.1]], [0.25, 0.5])["per_class"]
        array([[1. , 0. ],
               [0.5, 0. ]])
    """
    values, thresholds = _as_overlaps(values), as_thresholds(thresholds)
    images, classes = np.nonzero(~np.isnan(values))
    defined = values[images, classes]
    # Thresholds as wide as the values: 0.7 >= 0.7 is false in float32, too.
    reached = defined[:, None] >= thresholds.astype(values.dtype)
    # Averages over thresholds and over pairs commute: the mean is one more column.
    columns = np.column_stack([reached, reached.mean(axis=1)])
    report = summarize_pairs(columns, images, classes, values.shape[1], seed=seed)
    named = _with_means(report)
    return {
        **report,
        **named,
        "mean": float(named["mean"]),
        "weighted_mean": float(named["weighted_mean"]),
        "intervals": _with_means(report["intervals"]),
        "values": defined,
    }


def _curve(heat: np.ndarray, masks: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """IoU (n, thresholds) at ascending thresholds."""
    exceeded = np.searchsorted(thresholds, heat)  # number of thresholds
    pixels = levels_reached(exceeded, masks, len(thresholds) + 1)
    area, (outside, inside) = pixels[:, 1, :1], pixels[..., 1:].swapaxes(0, 1)
    return np.where(area == 0, np.nan, inside / np.maximum(area + outside, 1))


def _with_means(values: dict) -> dict:
    """Values of every threshold, and of their mean, which is the last row."""
    means = {MEANS[name]: row for name, row in select_rows(values, -1).items()}
    return {**select_rows(values, slice(-1)), **means}


def _as_stacks(attention: ArrayLike, masks: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Checked attention and masks of the same shape."""
    attention = as_boolean(attention, "attention", "refined_maps >= ATTENDED")
    masks = as_boolean(masks)
    if attention.shape != masks.shape or masks.ndim != 4 or 0 in masks.shape[1:]:
        raise ValueError(
            "Expected attention and masks of one shape (n, rows, cols, classes), at "
            f"least a pixel and a class. Received: {attention.shape} and {masks.shape}."
        )
    return attention, masks


def _as_overlaps(values: ArrayLike) -> np.ndarray:
    """Overlaps (n, classes), floats in [0, 1] or NaN."""
    values = as_float(values)
    if values.ndim != 2 or not values.shape[1]:
        raise ValueError(
            "Expected overlaps (n, classes), at least a class. "
            f"Received: shape {values.shape}."
        )
    bad = np.argwhere((values < 0) | (values > 1))
    if len(bad):
        image, index = bad[0]
        raise ValueError(
            "Expected overlaps in [0, 1], NaN where a class has no box. Received: "
            f"{values[image, index]:g} for image {image}, class {index}."
        )
    return values
