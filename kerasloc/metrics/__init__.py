"""Numbers that say how good answers and maps are, as plain functions on arrays.

Functions about images answer with one value per image, NaN where there is nothing to
measure; ``interval`` turns these into a mean with its confidence interval. Functions
about classes answer with a dict: the number of every class, NaN where there is nothing
to measure, its averages, how much they rest on, and the intervals.
"""

from kerasloc.maps import min_max, resize_maps
from kerasloc.metrics._bootstrap import Estimate, interval, paired_difference
from kerasloc.metrics.attention import (
    attention_overlaps,
    overlap_accuracy,
    tior,
    tiou,
)
from kerasloc.metrics.classification import classification_report, multi_label_report
from kerasloc.metrics.curves import Curve, precision_recall_curve, roc_curve
from kerasloc.metrics.explanations import (
    AopcConfig,
    aopc,
    aopc_by_steps,
    curve_interval,
    morf_curves,
    pompom,
    random_relevance,
)
from kerasloc.metrics.localization import (
    iobb_accuracy,
    iou_accuracy,
    locate_point,
    peak_points,
    point_hits,
    point_localization,
    points_in_boxes,
)
from kerasloc.metrics.overlap import best_threshold, iou_curve, ious
from kerasloc.metrics.pixels import energy_in_boxes, pxap
from kerasloc.metrics.ranking import auroc, average_precision
from kerasloc.metrics.thresholds import best_thresholds
from kerasloc.metrics.wsol import (
    BoxOverlaps,
    box_overlaps,
    center_gaussian,
    max_box_acc,
    max_box_acc_v2,
)

__all__ = [
    "AopcConfig",
    "BoxOverlaps",
    "Curve",
    "Estimate",
    "aopc",
    "aopc_by_steps",
    "attention_overlaps",
    "auroc",
    "average_precision",
    "best_threshold",
    "best_thresholds",
    "box_overlaps",
    "center_gaussian",
    "classification_report",
    "curve_interval",
    "energy_in_boxes",
    "interval",
    "iobb_accuracy",
    "iou_accuracy",
    "iou_curve",
    "ious",
    "locate_point",
    "max_box_acc",
    "max_box_acc_v2",
    "min_max",
    "morf_curves",
    "multi_label_report",
    "overlap_accuracy",
    "paired_difference",
    "peak_points",
    "point_hits",
    "point_localization",
    "points_in_boxes",
    "pompom",
    "precision_recall_curve",
    "pxap",
    "random_relevance",
    "resize_maps",
    "roc_curve",
    "tior",
    "tiou",
]
