"""Fixtures of the explainer-classifier's training: a run of a moment."""

import pytest

from kerasloc.runs import seeded
from tests.training.squares import (
    TWO_EPOCHS,
    Impatient,
    small_explaining,
    train_squares,
)


@pytest.fixture
def squares(registered_as):
    """Function that trains a small explainer-classifier on squares."""
    with registered_as("explainer", small_explaining):
        yield train_squares


@pytest.fixture(scope="session")
def explained(registered_as, tmp_path_factory):
    """Folder of a run of two epochs a phase, and its initial weights.

    The first two phases end early; the rates of the third fall after each epoch. To be
    read only.
    """
    folder = tmp_path_factory.mktemp("explained")
    with registered_as("explainer", small_explaining):
        with seeded(0):
            start = small_explaining((16, 16, 3), 2)
        start.save_weights(folder / "start.weights.h5")
        train_squares(folder / "run", Impatient, **TWO_EPOCHS)
    return folder / "run", folder / "start.weights.h5"
