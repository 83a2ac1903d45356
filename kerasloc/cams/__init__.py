"""Maps from a trained network's features and gradients, on every backend."""

from kerasloc.cams.batches import images_at_once, run
from kerasloc.cams.cutting import Cut, cut, graph
from kerasloc.cams.explainers import (
    CAM,
    METHODS,
    AblationCAM,
    EigenCAM,
    EigenGradCAM,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    ScoreCAM,
    XGradCAM,
)
from kerasloc.cams.front import cam
from kerasloc.cams.gradients import FeatureGradient

__all__ = [
    "CAM",
    "METHODS",
    "AblationCAM",
    "Cut",
    "EigenCAM",
    "EigenGradCAM",
    "FeatureGradient",
    "GradCAM",
    "GradCAMPlusPlus",
    "HiResCAM",
    "LayerCAM",
    "ScoreCAM",
    "XGradCAM",
    "cam",
    "cut",
    "graph",
    "images_at_once",
    "run",
]
