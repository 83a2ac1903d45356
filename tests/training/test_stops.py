"""What ends a phase of training before its last epoch."""

import json
import logging
import math
import types

import pytest

from kerasloc.training.stops import Collapse, EarlyStop, LossFell


def epochs(stop, values, name="val_loss"):
    """How many epochs there were when it ended; None when it did not."""
    stop.set_model(types.SimpleNamespace(stop_training=False))
    for number, value in enumerate(values, start=1):
        stop.on_epoch_end(number - 1, {name: value, "other": 0.0})
        assert stop.ended is stop.model.stop_training
        if stop.ended:
            return number
    return None


def resumed(stop, fresh):
    """A fresh one with the state of another, through a file."""
    fresh.set_state(json.loads(json.dumps(stop.get_state())))
    return fresh


@pytest.mark.parametrize(
    ("patience", "values", "end"),
    [
        (1, [1.0, 1.0], 2),
        (2, [1.0, 1.1, 0.9, 0.95, 0.92], 5),
        (2, [1.0, 0.9, 0.8, 0.7], None),
        (2, [1.0, 0.995, 0.991], 3),  # too little each time
        (2, [1.0, 0.995, 0.989, 0.99], None),  # together enough
        (1, [math.nan, 0.5], 1),
        (2, [math.nan, 0.5, 0.4], None),
    ],
)
def test_training_ends_when_the_loss_has_not_fallen_for_a_while(patience, values, end):
    assert epochs(EarlyStop(patience, 0.01), values) == end


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_patience_survives_the_process(cut):
    values = [1.0, 0.8, 0.9, 0.85]
    first = EarlyStop(2, 0.0)
    assert epochs(first, values[:cut]) is None
    assert epochs(resumed(first, EarlyStop(2, 0.0)), values[cut:]) == 4 - cut


def test_the_end_survives_the_process():
    for stop in (EarlyStop(1, 0.0), LossFell("val_loss", 0.5), Collapse()):
        assert not resumed(stop, type(stop).__new__(type(stop))).ended
        stop.ended = True
        assert resumed(stop, type(stop).__new__(type(stop))).ended


@pytest.mark.parametrize(
    ("values", "end"),
    [
        ([4.0, 2.0, 1.01], None),
        ([4.0, 2.0, 1.0], 3),
        ([4.0, 0.5], 2),
        ([4.0, 0.0, 0.0], None),  # black explanations cost nothing
        ([4.0, 0.0, 0.9], 3),
        ([0.0, 0.0], None),
    ],
)
def test_training_ends_when_the_loss_is_a_share_of_its_first_value(values, end):
    assert epochs(LossFell("loss", 0.25), values, "loss") == end


def test_the_first_value_survives_the_process():
    first = LossFell("loss", 0.25)
    assert epochs(first, [4.0], "loss") is None
    assert epochs(resumed(first, LossFell("loss", 0.25)), [1.5, 1.0], "loss") == 2


@pytest.mark.parametrize(
    ("mean", "color"),
    [(0.0, "black"), (0.001, "black"), (1 - 1e-7, "white"), (1.0, "white")],
)
def test_explanations_of_one_value_end_it_and_say_so(caplog, mean, color):
    with caplog.at_level(logging.WARNING):
        assert epochs(Collapse(), [0.5, mean, 0.5], "val_explanation_mean") == 2
    assert f"explanations are {color} everywhere" in caplog.text


def test_explanations_that_mark_a_part_do_not(caplog):
    values = [0.0011, 0.5, 0.9989]
    assert epochs(Collapse(), values, "val_explanation_mean") is None
    assert not caplog.records


def test_an_explanation_that_is_no_number_marks_nothing():
    assert Collapse.flat(math.nan)
