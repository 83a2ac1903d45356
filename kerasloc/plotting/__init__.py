"""Figures of maps, of the post-processing's steps and of scores; a page of results.

No figure is registered with pyplot: save it (``figure.savefig``) or return it as the
last value of a notebook's cell; nothing has to be closed.
"""

from kerasloc.plotting.figures import pipeline
from kerasloc.plotting.html import (
    ReportClass,
    ReportConfig,
    ReportImage,
    write_report,
)
from kerasloc.plotting.overlays import overlay, overlay_image
from kerasloc.plotting.pages import HeatmapRow, heatmap_page
from kerasloc.plotting.palette import class_colors, paint_classes
from kerasloc.plotting.scores import confusion_matrix, history

__all__ = [
    "HeatmapRow",
    "ReportClass",
    "ReportConfig",
    "ReportImage",
    "class_colors",
    "confusion_matrix",
    "heatmap_page",
    "history",
    "overlay",
    "overlay_image",
    "paint_classes",
    "pipeline",
    "write_report",
]
