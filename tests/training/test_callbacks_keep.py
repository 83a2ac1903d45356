"""Weights that were best by one more value, beside the best."""

import math

import keras
import numpy as np
import pytest

from kerasloc.runs import Run
from kerasloc.training.callbacks import EpochEnd, KeepBest


@pytest.fixture
def run(tmp_path):
    with Run(tmp_path / "run", {}) as run:
        yield run


def kept(run, name="best"):
    """In which epoch the weights of a file were made."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.load_weights(run.folder / f"{name}.weights.h5")
    return int(model.get_weights()[0][0, 0])


class Scored:
    """Epochs with two made-up scores; the weight after epoch n is n."""

    def __init__(self, run):
        self.model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        self.model.compile("sgd", "mse")
        self.keep = KeepBest(run, self.model, "best-tiou", "val_tiou")
        self.end = EpochEnd(run, self.model, ("val_auroc", "max"), (self.keep,))
        self.end.set_model(self.model)

    def epoch(self, number, auroc, tiou):
        self.model.set_weights([np.full((1, 1), float(number)), np.zeros(1)])
        logs = {"val_auroc": auroc, "val_tiou": tiou}
        self.keep.on_epoch_end(number - 1, logs)
        self.end.on_epoch_end(number - 1, logs)


@pytest.mark.parametrize(
    ("tious", "best"),
    [
        ([0.1, 0.3, 0.2], 2),
        ([0.3, 0.3, 0.3], 1),
        ([0.0, 0.0, 0.0], 1),
        ([math.nan, 0.2, math.nan], 2),
        ([0.2, math.nan, 0.1], 1),
    ],
)
def test_the_best_by_another_value_are_kept_beside_the_best(run, tious, best):
    scored = Scored(run)
    for number, tiou in enumerate(tious, start=1):
        scored.epoch(number, number / 10, tiou)
    assert kept(run, "best-tiou") == best
    assert kept(run) == kept(run, "last") == 3


def test_nan_is_no_best_by_another_value(run):
    Scored(run).epoch(1, 0.5, math.nan)
    assert not (run.folder / "best-tiou.weights.h5").exists()
    assert kept(run) == 1


def test_a_resumed_run_knows_the_best_by_another_value_so_far(run):
    Scored(run).epoch(1, 0.5, 0.4)
    resumed = Scored(run)
    resumed.epoch(2, 0.6, 0.3)
    assert (kept(run, "best-tiou"), kept(run)) == (1, 2)
    resumed.epoch(3, 0.4, 0.5)
    assert (kept(run, "best-tiou"), kept(run)) == (3, 2)


def test_a_resumed_run_without_a_best_yet_takes_the_first(run):
    Scored(run).epoch(1, 0.5, math.nan)
    Scored(run).epoch(2, 0.4, 0.0)
    assert kept(run, "best-tiou") == 2
