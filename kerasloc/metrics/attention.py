"""How much of what a network attends to lies in the boxes, as HAM was measured.

Reference:
    Ouyang et al.: Learning hierarchical attention for weakly-supervised chest X-ray
    abnormality localization and diagnosis, IEEE TMI 40(10), 2021, arXiv 2112.12349.
"""

import numpy as np

from kerasloc.metrics._inputs import as_float, chunks
from kerasloc.metrics._pairs import Pairs

ATTENDED = 0.999  # a refined map counts as attention from here on
TIOU = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
TIOR = (0.1, 0.25, 0.5, 0.75, 0.9)


def tiou(attention, masks, thresholds=TIOU, *, seed: int = 0) -> dict:
    """How often attention and boxes of a class overlap enough, by their IoU.

    Args:
        attention: As for ``attention_overlaps``.
        masks: As for ``attention_overlaps``.
        thresholds: (thresholds,); a pair reaches one if its IoU is no less.
        seed: Of the bootstrap.

    Returns:
        As for ``overlap_accuracy``.

    Raises:
        TypeError: As for ``attention_overlaps``.
        ValueError: As for ``attention_overlaps`` and ``overlap_accuracy``.
    """
    iou, _ = attention_overlaps(attention, masks)
    return overlap_accuracy(iou, thresholds, seed=seed)


def tior(attention, masks, thresholds=TIOR, *, seed: int = 0) -> dict:
    """How often enough of the attention to a class lies in its boxes.

    As ``tiou``, with the share of the attended area that lies in the boxes.

    Args:
        attention: As for ``attention_overlaps``.
        masks: As for ``attention_overlaps``.
        thresholds: As for ``tiou``.
        seed: Of the bootstrap.

    Returns:
        As for ``overlap_accuracy``.

    Raises:
        TypeError: As for ``tiou``.
        ValueError: As for ``tiou``.
    """
    _, ior = attention_overlaps(attention, masks)
    return overlap_accuracy(ior, thresholds, seed=seed)


def attention_overlaps(attention, masks) -> tuple[np.ndarray, np.ndarray]:
    """IoU of attention and boxes, and the share of the attention inside the boxes.

    Args:
        attention: What is attended, boolean, (n, rows, cols, classes): refined maps
            ``>= ATTENDED``.
        masks: What the boxes of the class cover, boolean, of the same shape.

    Returns:
        IoU and the share, both (n, classes) in [0, 1]: 0 where nothing is attended,
        NaN where the mask of this image and class is empty.

    Raises:
        TypeError: If one of them is not boolean.
        ValueError: If they have not one shape with at least a pixel and a class.
    """
    attention, masks = _as_stacks(attention, masks)
    areas = np.zeros((3, len(masks), masks.shape[-1]))
    for part in chunks(len(masks), masks[:1].size):
        attended, boxed = attention[part], masks[part]
        for row, area in enumerate((attended & boxed, attended, boxed)):
            areas[row, part] = area.sum(axis=1, dtype=np.uint32).sum(axis=1)
    both, attended, boxed = areas
    overlaps = both / np.maximum([attended + boxed - both, attended], 1)
    iou, ior = np.where(boxed > 0, overlaps, np.nan)
    return iou, ior


def overlap_accuracy(values, thresholds, *, seed: int = 0) -> dict:
    """How often overlaps that were measured before reach thresholds.

    For data that is looked at batch by batch: keep ``attention_overlaps`` of every
    batch, and pass what was kept. Images are drawn for the intervals, among those with
    a value.

    Args:
        values: Overlap of each image and class, (n, classes) in [0, 1], NaN where the
            class has no box.
        thresholds: (thresholds,), TIOU or TIOR for the published ones.
        seed: Of the bootstrap.

    Returns:
        A dict of ``per_class`` (thresholds, classes), share of the images with the
        class whose value is at least the threshold, NaN where a class has no box;
        ``macro`` (thresholds,), mean of the classes that are not NaN,
        ``classes_counted`` of them; ``weighted`` (thresholds,), by their pairs;
        ``mean`` of ``macro`` over the thresholds, ``weighted_mean`` of ``weighted``,
        ``mean_per_class`` (classes,) of ``per_class``; ``count`` (classes,), pairs of
        an image and the class; ``intervals`` (low, high; 95 %) of these six, each with
        one more axis of 2;
        ``pairs`` (pairs, 2), image and class, and ``values`` (pairs,), for paired
        comparisons.

    Raises:
        ValueError: If the values are not (n, classes) in [0, 1], or there is no
            threshold.
    """
    values, thresholds = _as_values(values), _as_thresholds(thresholds)
    images, classes = np.nonzero(~np.isnan(values))
    found = values[images, classes]
    # Thresholds as wide as the values: 0.7 >= 0.7 is false in float32, too.
    reached = found[:, None] >= thresholds.astype(values.dtype)
    # Averages over thresholds and over pairs commute: the mean is one more column.
    columns = np.column_stack([reached, reached.mean(axis=1)])
    maps, no_boxes = values[:, None, None], (np.zeros((0, 4)), np.zeros(0, int))
    report = Pairs(maps, (1, 1), images, classes, *no_boxes).summary(columns, seed)
    named = _with_means(report)
    return {
        **report,
        **named,
        "mean": float(named["mean"]),
        "weighted_mean": float(named["weighted_mean"]),
        "intervals": _with_means(report["intervals"]),
        "values": found,
    }


def _with_means(summary: dict) -> dict:
    """The numbers of every threshold, and of their mean, which is the last row."""
    return {
        **{name: summary[name][:-1] for name in ("per_class", "macro", "weighted")},
        "mean": summary["macro"][-1],
        "weighted_mean": summary["weighted"][-1],
        "mean_per_class": summary["per_class"][-1],
    }


def _as_stacks(attention, masks) -> tuple[np.ndarray, np.ndarray]:
    """Checked attention and masks of one shape."""
    stacks = np.asarray(attention), np.asarray(masks)
    for name, stack in zip(("attention", "masks"), stacks, strict=True):
        if stack.dtype != bool:
            raise TypeError(
                f"Attention and masks are boolean. Received: {name} of {stack.dtype}. "
                "Pass refined_maps >= ATTENDED and masks > 0, for example."
            )
    shape = stacks[1].shape
    if stacks[0].shape != shape or len(shape) != 4 or 0 in shape[1:]:
        raise ValueError(
            "Attention and masks have one shape (n, rows, cols, classes), at least a "
            f"pixel and a class. Received: {stacks[0].shape} and {shape}."
        )
    return stacks


def _as_values(values) -> np.ndarray:
    """Overlaps (n, classes), floats in [0, 1] or NaN."""
    values = as_float(values)
    if values.ndim != 2 or not values.shape[1]:
        raise ValueError(
            "Overlaps are (n, classes), at least a class. "
            f"Received: shape {values.shape}."
        )
    bad = np.argwhere((values < 0) | (values > 1))
    if len(bad):
        raise ValueError(
            "Overlaps lie in [0, 1], NaN where a class has no box. Received: "
            f"{values[*bad[0]]:g} for image {bad[0][0]}, class {bad[0][1]}."
        )
    return values


def _as_thresholds(thresholds) -> np.ndarray:
    """Thresholds (thresholds,), float64."""
    thresholds = np.asarray(thresholds, float)
    if thresholds.ndim != 1 or not thresholds.size or np.isnan(thresholds).any():
        raise ValueError(
            "Thresholds are at least one number, (thresholds,), without NaN. "
            f"Received: shape {thresholds.shape}, {thresholds.tolist()}."
        )
    return thresholds
