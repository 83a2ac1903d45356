"""Figures of maps, of the post-processing's steps and of scores; a page of results.

No figure is registered with pyplot: save it (``figure.savefig``) or return it as the
last value of a notebook's cell; nothing has to be closed.
"""

from kerasloc.plotting.curves import (
    history,
    morf_figure,
    phases_figure,
    precision_recall_figure,
    roc_figure,
)
from kerasloc.plotting.html import (
    ReportClass,
    ReportConfig,
    ReportImage,
    write_report,
)
from kerasloc.plotting.pages import (
    ExplanationRow,
    HeatmapRow,
    explanation_page,
    heatmap_page,
    method_page,
)
from kerasloc.plotting.panels import overlay, overlay_image, paint_classes
from kerasloc.plotting.pipeline import pipeline
from kerasloc.plotting.scores import confusion_matrix, method_bars
from kerasloc.plotting.show import show
from kerasloc.plotting.style import class_colors

__all__ = [
    "ExplanationRow",
    "HeatmapRow",
    "ReportClass",
    "ReportConfig",
    "ReportImage",
    "class_colors",
    "confusion_matrix",
    "explanation_page",
    "heatmap_page",
    "history",
    "method_bars",
    "method_page",
    "morf_figure",
    "overlay",
    "overlay_image",
    "paint_classes",
    "phases_figure",
    "pipeline",
    "precision_recall_figure",
    "roc_figure",
    "show",
    "write_report",
]
