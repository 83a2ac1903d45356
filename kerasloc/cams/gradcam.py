"""Grad-CAM: features weighed by the mean gradient of a class's logit."""

import numpy as np


def grad_cam(features, gradients) -> np.ndarray:
    """Maps (n, rows, cols), not negative.

    Args:
        features: (n, rows, cols, channels).
        gradients: Of one logit per image with respect to the features, same shape.

    Reference:
        Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via
        Gradient-based Localization, ICCV 2017, equations 1 and 2.
    """
    weights = np.mean(gradients, axis=(1, 2), dtype=np.float32)  # (n, channels)
    features = np.asarray(features, np.float32)
    return np.maximum(np.einsum("nrck,nk->nrc", features, weights), 0)
