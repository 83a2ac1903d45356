"""How far heat maps, cut at a threshold, overlap with masks."""

import numpy as np

from kerasloc.metrics._inputs import as_maps, as_masks, chunks

THRESHOLDS = tuple(step / 100 for step in range(100))


def iou_curve(heatmaps, masks, thresholds=THRESHOLDS) -> np.ndarray:
    """IoU of heat map > threshold with the mask, (n, thresholds).

    A map that nowhere exceeds the threshold has 0; an image whose mask is empty has
    NaN. All thresholds come from one histogram per image, of the heat inside and
    outside of the mask.

    Args:
        heatmaps: Array-like (n, rows, cols), usually in [0, 1]; ``resize_maps`` and
            ``min_max`` (in this order) bring maps there.
        masks: Boolean, of the same shape; ``kerasloc.boxes.to_mask`` draws boxes.
        thresholds: In any order, (thresholds,).

    Raises:
        TypeError: If the masks are not boolean.
        ValueError: If the shapes do not fit, a map has NaN or infinite values, or
            there is no threshold.
    """
    heatmaps, masks = _as_pair(heatmaps, masks)
    # Thresholds as wide as the heat: 0.1 > 0.1 is false in float32, too.
    thresholds = np.asarray(thresholds, heatmaps.dtype)
    if thresholds.ndim != 1 or not thresholds.size or np.isnan(thresholds).any():
        raise ValueError(
            "Thresholds are at least one number, (thresholds,), without NaN. "
            f"Received: shape {thresholds.shape}."
        )
    order = thresholds.argsort()
    curve = np.empty((len(heatmaps), len(thresholds)))
    for part in chunks(len(heatmaps), heatmaps[0].size if len(heatmaps) else 1):
        curve[part, order] = _curve(heatmaps[part], masks[part], thresholds[order])
    return curve


def ious(heatmaps, masks, threshold: float) -> np.ndarray:
    """IoU of heat map > threshold with the mask, per image (n,).

    Args:
        heatmaps: As for ``iou_curve``.
        masks: As for ``iou_curve``; an image whose mask is empty has NaN.
        threshold: One number.

    Raises:
        TypeError: As for ``iou_curve``.
        ValueError: As for ``iou_curve``.
    """
    return iou_curve(heatmaps, masks, [threshold])[:, 0]


def best_threshold(heatmaps, masks, thresholds=THRESHOLDS) -> float:
    """The one threshold with the highest mean IoU over images; of equals the lowest.

    Find it on validation images; on the images of a report it flatters the map.

    Args:
        heatmaps: As for ``iou_curve``.
        masks: As for ``iou_curve``; images whose mask is empty are left out.
        thresholds: Candidates, (thresholds,), any order.

    Raises:
        TypeError: As for ``iou_curve``.
        ValueError: As for ``iou_curve``, or if every mask is empty.
    """
    thresholds = np.sort(np.asarray(thresholds, float))
    curve = iou_curve(heatmaps, masks, thresholds)
    counted = ~np.isnan(curve[:, 0])
    if not counted.any():
        raise ValueError(
            "A threshold is found on images with something in their mask. "
            f"Received: {len(curve)} images, none of them with a mask."
        )
    return float(thresholds[curve[counted].mean(axis=0).argmax()])


def _as_pair(heatmaps, masks) -> tuple[np.ndarray, np.ndarray]:
    """Checked heat maps and masks of one size."""
    heatmaps = as_maps(heatmaps, "heat maps")
    masks = as_masks(masks, len(heatmaps))
    if heatmaps.shape != masks.shape:
        raise ValueError(
            "Heat maps and masks have the same size. "
            f"Received: {heatmaps.shape[1:]} and {masks.shape[1:]}. "
            "Resize the maps first (kerasloc.metrics.resize_maps)."
        )
    return heatmaps, masks


def _curve(heat: np.ndarray, masks: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """IoU at ascending thresholds, (n, thresholds)."""
    count, levels = len(heat), len(thresholds) + 1
    # searchsorted: how many thresholds the pixel exceeds
    bins = np.searchsorted(thresholds, heat)
    bins += levels * masks
    bins += 2 * levels * np.arange(count)[:, None, None]
    pixels = np.bincount(bins.ravel(), minlength=2 * levels * count)
    # (count, outside or inside, pixels that exceed at least this many thresholds)
    above = pixels.reshape(count, 2, levels)[..., ::-1].cumsum(axis=-1)[..., ::-1]
    outside, inside = above[:, 0, 1:], above[:, 1, 1:]
    area = above[:, 1, :1]
    return np.where(area == 0, np.nan, inside / np.maximum(area + outside, 1))
