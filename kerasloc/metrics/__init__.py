"""Metrics of classifications and maps, as functions on arrays.

Functions of images return a value per image, NaN where undefined; ``Estimate.of_mean``
averages them. Functions of classes return a report, a dict of values per class, NaN
where undefined, averages, counts and intervals, read by ``Estimate.from_report``.
"""

from kerasloc.maps import center_gaussian, min_max, resize_maps
from kerasloc.metrics._bootstrap import Estimate, interval, paired_difference
from kerasloc.metrics.classification import (
    best_thresholds,
    classification_report,
    multi_label_report,
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
from kerasloc.metrics.overlap import (
    attention_overlaps,
    best_threshold,
    iou_curve,
    ious,
    overlap_accuracy,
    tior,
    tiou,
)
from kerasloc.metrics.perturbation import (
    AopcConfig,
    aopc,
    aopc_by_steps,
    curve_interval,
    morf_curves,
    random_relevance,
)
from kerasloc.metrics.pixels import energy_in_boxes, pompom, pxap
from kerasloc.metrics.ranking import (
    Curve,
    auroc,
    average_precision,
    precision_recall_curve,
    roc_curve,
)
from kerasloc.metrics.wsol import BoxOverlaps, box_overlaps, max_box_acc, max_box_acc_v2

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
