"""Matplotlib figures of maps, of the post-processing's steps and of scores.

No figure is registered with pyplot: save it (``figure.savefig``) or return it as the
last value of a notebook's cell; nothing has to be closed.
"""

from kerasloc.plotting.figures import pipeline
from kerasloc.plotting.overlays import overlay, overlay_image
from kerasloc.plotting.pages import HeatmapRow, heatmap_page
from kerasloc.plotting.scores import confusion_matrix, history

__all__ = [
    "HeatmapRow",
    "confusion_matrix",
    "heatmap_page",
    "history",
    "overlay",
    "overlay_image",
    "pipeline",
]
