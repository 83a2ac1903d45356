import pathlib

import numpy as np
import pytest

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"


@pytest.fixture(scope="session")
def goldens():
    """Published numbers by the name of their file."""
    names = ("pylon", "tiou", "pompom")
    return {name: np.load(GOLDENS / f"metrics_{name}.npz") for name in names}


@pytest.fixture
def tied():
    """Labels, some missing, and scores of which many are equal, (90, 3)."""
    rng = np.random.default_rng(0)
    labels = (rng.random((90, 3)) < [0.5, 0.2, 0.1]).astype(float)
    scores = np.round(2 * (labels + rng.normal(size=labels.shape)))
    labels[rng.random(labels.shape) < 0.2] = np.nan
    return labels, scores


@pytest.fixture
def random():
    """Maps of 12 images and 4 classes, the last without a box; several of a class."""
    rng = np.random.default_rng(0)
    maps = 3 * rng.standard_normal((12, 5, 4, 4))
    image, classes = rng.integers(12, size=40), rng.integers(3, size=40)
    corner, extent = rng.uniform(-1, 8, (40, 2)), rng.uniform(1.5, 6, (40, 2))
    return maps, np.column_stack([image, corner, extent, classes]), (13, 10)
