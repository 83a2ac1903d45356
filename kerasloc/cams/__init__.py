"""Maps from a trained network's features and gradients, on every backend."""

from kerasloc.cams.gradcam import grad_cam
from kerasloc.cams.gradients import FeatureGradient

__all__ = ["FeatureGradient", "grad_cam"]
