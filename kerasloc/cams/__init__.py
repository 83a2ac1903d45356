"""Class activation maps of any classifier from its features and gradients."""

from kerasloc.cams.activation import CAM, EigenCAM
from kerasloc.cams.backend import FeatureGradient, images_at_once, run
from kerasloc.cams.core import Explainer
from kerasloc.cams.cutting import Cut, cut
from kerasloc.cams.gradient import (
    EigenGradCAM,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    XGradCAM,
)
from kerasloc.cams.graph import producer
from kerasloc.cams.methods import METHODS, cam
from kerasloc.cams.perturbation import AblationCAM, ScoreCAM

__all__ = [
    "CAM",
    "METHODS",
    "AblationCAM",
    "Cut",
    "EigenCAM",
    "EigenGradCAM",
    "Explainer",
    "FeatureGradient",
    "GradCAM",
    "GradCAMPlusPlus",
    "HiResCAM",
    "LayerCAM",
    "ScoreCAM",
    "XGradCAM",
    "cam",
    "cut",
    "images_at_once",
    "producer",
    "run",
]
