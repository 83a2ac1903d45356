"""TIoU and TIoR of networks with refined maps, collected batch by batch."""

import numpy as np

from kerasloc.data.masks import box_masks
from kerasloc.metrics import attention_overlaps, center_gaussian, overlap_accuracy
from kerasloc.metrics.overlap import ATTENDED, TIOR, TIOU

OVERLAPS = ("tiou", "center_tiou", "tior", "center_tior")
CENTER_ATTENDED = 0.47  # of a bump in [0, 1]: where a soft mask of it is attended


class Overlaps:
    """The overlaps of attention, and of a bump in the middle, with the boxes.

    Args:
        network: Its size and classes.
    """

    def __init__(self, network):
        bump = center_gaussian(network.im_size) >= CENTER_ATTENDED
        self._parts, self._bump = [], bump[None, :, :, None]
        self._size, self._classes = network.im_size, network.num_classes

    def add(self, refined, boxes, places):
        """Takes some places of a batch.

        Args:
            refined: Refined maps (n, rows, cols, classes).
            boxes: Padded boxes (n, most, 5).
            places: Which of the n.
        """
        masks = box_masks(boxes, self._size, self._classes).numpy()[places]
        attended = np.asarray(refined)[places] >= ATTENDED
        iou, ior = attention_overlaps(attended, masks)
        middle = np.broadcast_to(self._bump, masks.shape)
        center_iou, center_ior = attention_overlaps(middle, masks)
        self._parts.append((iou, center_iou, ior, center_ior))

    def found(self) -> dict[str, np.ndarray]:
        """Values (images with boxes, classes) by name; none without an image."""
        together = map(np.concatenate, zip(*self._parts, strict=True))
        return dict(zip(OVERLAPS, together, strict=False))


def overlap_figures(overlaps: dict) -> dict:
    """The figures of :func:`kerasloc.metrics.overlap_accuracy` by name.

    Args:
        overlaps: As found.
    """
    return {
        key: overlap_accuracy(values, TIOU if key.endswith("tiou") else TIOR)
        for key, values in overlaps.items()
    }


def overlap_row(key: str, figure: dict, place) -> dict:
    """The mean over thresholds with its interval, as columns of a row.

    Args:
        key: Name of the figure.
        figure: One of :func:`overlap_figures`.
        place: Number of a class, or ``macro``, ``micro`` or ``weighted``; the last two
            are over all pairs of an image and a class.
    """
    around = figure["intervals"]
    if isinstance(place, str):
        name = "mean" if place == "macro" else "weighted_mean"
        value, (low, high) = figure[name], around[name]
    else:
        value = figure["mean_per_class"][place]
        low, high = around["mean_per_class"][place]
    names = (key, f"{key}_low", f"{key}_high")
    return dict(zip(names, map(float, (value, low, high)), strict=True))
