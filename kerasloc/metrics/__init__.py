"""Numbers that say how good answers and maps are, as plain functions on arrays.

Functions about images answer with one value per image, NaN where there is nothing to
measure; ``interval`` turns these into a mean with its confidence interval.
"""

from kerasloc.metrics.bootstrap import interval, paired_difference
from kerasloc.metrics.classification import classification_report, multi_label_report
from kerasloc.metrics.overlap import best_threshold, iou_curve, ious, min_max
from kerasloc.metrics.pointing import point_hits
from kerasloc.metrics.resizing import resize_maps

__all__ = [
    "best_threshold",
    "classification_report",
    "interval",
    "iou_curve",
    "ious",
    "min_max",
    "multi_label_report",
    "paired_difference",
    "point_hits",
    "resize_maps",
]
