import numpy as np
import pytest


@pytest.fixture
def tied():
    """Labels, some missing, and scores of which many are equal, (90, 3)."""
    rng = np.random.default_rng(0)
    labels = (rng.random((90, 3)) < [0.5, 0.2, 0.1]).astype(float)
    scores = np.round(2 * (labels + rng.normal(size=labels.shape)))
    labels[rng.random(labels.shape) < 0.2] = np.nan
    return labels, scores
