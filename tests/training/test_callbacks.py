"""Callbacks: what an epoch writes, rates that fall, ends, pictures."""

import json
import logging
import math
import types

import keras
import numpy as np
import pytest

from kerasloc.plotting import class_colors
from kerasloc.runs import Run
from kerasloc.training.callbacks import (
    Collapse,
    EarlyStop,
    EpochDraws,
    EpochEnd,
    FiniteLoss,
    FitConfig,
    KeepBest,
    LossFell,
    ReduceLROnPlateau,
    StopAtRate,
)
from kerasloc.training.compiling import AttentionImages, draw_maps
from tests.training.helpers import events_of


def dense():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


class Training:
    """Epochs with made-up scores; the weight after epoch n is n."""

    def __init__(self, run, monitor="val_accuracy", mode="max", stateful=(), **options):
        self.model, self.monitor = dense(), monitor
        self.callbacks = [*stateful]
        self.end = EpochEnd(
            run, self.model, FitConfig(9, monitor, mode, stateful, **options)
        )
        for callback in (self.end, *stateful):
            callback.set_model(self.model)
            callback.on_train_begin()

    def epoch(self, number, score, **logs):
        self.model.set_weights([np.full((1, 1), float(number)), np.zeros(1)])
        logs = {self.monitor: score, **logs}
        self.end.on_epoch_begin(number - 1)
        for callback in (*self.callbacks, self.end):
            callback.on_epoch_end(number - 1, logs)

    def epochs(self, scores):
        for number, score in enumerate(scores, start=1):
            self.epoch(number, score)


@pytest.fixture
def run(tmp_path):
    with Run(tmp_path / "run", {}) as run:
        yield run


def kept(run, name="best"):
    """Return the epoch in which the weights of a file were made."""
    model = dense()
    model.load_weights(run.folder / f"{name}.weights.h5")
    return int(model.get_weights()[0][0, 0])


def epochs_in(run):
    return [row["epoch"] for row in run.history]


# History, best and last


@pytest.mark.parametrize(
    ("mode", "scores", "best"),
    [
        ("max", [0.5, 0.8, 0.6], 2),
        ("max", [0.5, 0.8, 0.8], 2),  # of equals the first
        ("max", [0.0, 0.0], 1),
        ("min", [0.5, 0.2, 0.3], 2),
        ("min", [-1.0, -2.0], 2),
    ],
)
def test_best_weights_are_those_of_the_best_score(run, mode, scores, best):
    Training(run, "score", mode).epochs(scores)
    assert kept(run) == best
    assert kept(run, "last") == len(scores)
    assert [row["score"] for row in run.history] == scores
    assert 0 <= run.history[0]["seconds"] < 60


def test_every_epoch_ends_with_loadable_files(run):
    training = Training(run)
    for number, score in enumerate([0.1, 0.3, 0.2], start=1):
        training.epoch(number, score)
        assert kept(run, "last") == run.read_state()["epoch"] == number
        assert kept(run) == min(number, 2)
        assert epochs_in(run) == list(range(1, number + 1))


def test_a_resumed_run_remembers_the_best_score(run):
    Training(run).epochs([0.5, 0.8])
    resumed = Training(run)
    assert resumed.end.first_epoch == 2
    resumed.epoch(3, 0.7)
    assert kept(run) == 2
    resumed.epoch(4, 0.9)
    assert kept(run) == 4
    assert epochs_in(run) == [1, 2, 3, 4]


class DyingRun(Run):
    """A run whose process dies in one of the writes of an epoch, or just after it."""

    step = ""

    def _write(self, name, *values):
        if name != "save_state" or self.step != name:
            getattr(super(), name)(*values)
        if self.step == name:
            raise KeyboardInterrupt

    def write_history(self, rows):
        self._write("write_history", rows)

    def save_best(self, *values):
        self._write("save_best", *values)

    def save_state(self, *values):
        self._write("save_state", *values)


@pytest.mark.parametrize("step", ["write_history", "save_best", "save_state"])
def test_a_process_that_dies_between_two_writes_loses_one_epoch(tmp_path, step):
    with DyingRun(tmp_path / "run", {}) as run:
        Training(run).epochs([0.5])
        run.step = step
        with pytest.raises(KeyboardInterrupt):
            Training(run).epoch(2, 0.8)
        run.step = ""
        assert run.read_state()["epoch"] == 1
        assert kept(run) in (1, 2)
        resumed = Training(run)
        assert resumed.end.first_epoch == 1
        resumed.epoch(2, 0.8)
        resumed.epoch(3, 0.6)
        assert epochs_in(run) == [1, 2, 3]
        assert kept(run) == 2


def test_a_first_score_of_nan_does_not_block_later_ones(run):
    training = Training(run)
    training.epoch(1, math.nan)
    assert kept(run) == 1
    training.epochs([math.nan, 0.3, 0.2])
    assert kept(run) == 2


def limited(run):
    """Only scores up to 0.8 are eligible."""
    return Training(run, eligible=lambda logs: logs["val_accuracy"] <= 0.8)


def test_epochs_that_are_not_eligible_are_never_the_best(run):
    limited(run).epochs([0.5, 0.9, 0.7, 1.0])
    assert (kept(run), kept(run, "last")) == (3, 4)
    assert [row["val_accuracy"] for row in run.history] == [0.5, 0.9, 0.7, 1.0]


def test_existing_best_weights_stay_until_an_epoch_is_eligible(run):
    training = limited(run)
    training.model.set_weights([np.full((1, 1), 7.0), np.zeros(1)])
    training.model.save_weights(run.folder / "best.weights.h5")
    training.epochs([0.9, 0.95])
    assert kept(run) == 7
    assert math.isinf(run.read_state()["best"])
    resumed = limited(run)
    resumed.epoch(3, 1.0)
    assert kept(run) == 7
    resumed.epoch(4, 0.1)
    assert kept(run) == 4


def test_without_best_weights_the_first_are_kept_and_do_not_block_later_ones(run):
    training = limited(run)
    training.epoch(1, 0.9)
    assert kept(run) == 1
    training.epoch(2, 0.2)
    assert kept(run) == 2


# The best by one more value


def with_tiou(run):
    training = Training(run, "val_auroc")
    keep = KeepBest(run, training.model, "best-tiou", "val_tiou")
    training.end = EpochEnd(
        run, training.model, FitConfig(9, "val_auroc", "max", (keep,))
    )
    training.end.set_model(training.model)
    training.callbacks = [keep]
    return training


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
    training = with_tiou(run)
    for number, tiou in enumerate(tious, start=1):
        training.epoch(number, number / 10, val_tiou=tiou)
    assert kept(run, "best-tiou") == best
    assert kept(run) == kept(run, "last") == 3


def test_a_resumed_run_remembers_the_best_by_another_value(run):
    with_tiou(run).epoch(1, 0.5, val_tiou=math.nan)
    assert not (run.folder / "best-tiou.weights.h5").exists()
    assert kept(run) == 1
    with_tiou(run).epoch(2, 0.4, val_tiou=0.0)
    assert kept(run, "best-tiou") == 2
    resumed = with_tiou(run)
    resumed.epoch(3, 0.6, val_tiou=-0.1)
    assert (kept(run, "best-tiou"), kept(run)) == (2, 3)
    resumed.epoch(4, 0.4, val_tiou=0.5)
    assert (kept(run, "best-tiou"), kept(run)) == (4, 3)


# Losses and draws


def test_a_loss_that_is_not_finite_ends_the_training():
    FiniteLoss().on_epoch_end(0, {"loss": 3.0})
    for loss in (math.nan, math.inf):
        with pytest.raises(ValueError, match=f"Received: {loss} in epoch 5.*learning"):
            FiniteLoss().on_epoch_end(4, {"loss": loss})


def test_an_epoch_draws_the_same_after_any_epochs():
    def drawn(epochs):
        keras.utils.set_random_seed(4)
        model = keras.Sequential([keras.Input((40,)), keras.layers.Dropout(0.5)])
        draws = EpochDraws()
        draws.set_model(model)
        for epoch in epochs:
            draws.on_epoch_begin(epoch)
            pair = [np.asarray(model(np.ones((1, 40)), training=True)) for _ in "ab"]
        return np.concatenate(pair)

    through, later, first = drawn([0, 1, 2]), drawn([2]), drawn([0])
    np.testing.assert_array_equal(through, later)
    assert not np.array_equal(through, first)
    assert not np.array_equal(*through)


# Learning rate


def rates(losses, cut=None):
    """Return the rate after every epoch of a run that is resumed at ``cut``."""
    values, plateau = [], None
    for epoch, loss in enumerate(losses):
        if epoch in (0, cut):
            state, rate = plateau and plateau.get_state(), values[-1:] or [1.0]
            model = dense()
            model.optimizer.learning_rate = rate[0]
            plateau = ReduceLROnPlateau(monitor="loss", factor=0.5, patience=2)
            if state is not None:
                plateau.set_state(state)
            plateau.set_model(model)
            plateau.on_train_begin()
        plateau.on_epoch_end(epoch, {"loss": loss})
        values.append(float(model.optimizer.learning_rate))
    return values


def test_rates_of_a_resumed_run_fall_as_without_a_stop():
    losses = [1.0, 0.5, 0.7, 0.6, 0.6, 0.4, 0.4, 0.4]
    expected = [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]
    assert rates(losses) == expected
    for cut in range(1, len(losses)):
        assert rates(losses, cut) == expected


def test_the_state_of_callbacks_is_kept_with_the_run(run):
    def plateau():
        return ReduceLROnPlateau(monitor="val_accuracy", mode="max", patience=9)

    Training(run, stateful=(plateau(),)).epochs([0.5, 0.4, 0.4])
    fresh = plateau()
    Training(run, stateful=(fresh,))
    assert fresh.get_state() == {"best": 0.5, "wait": 2, "cooldown": 0}


@pytest.mark.parametrize(
    ("rate", "last", "ends"),
    [(1e-3, 1e-4, False), (1e-4, 1e-4, True), (1e-5, 1e-4, True), (1e-9, 0.0, False)],
)
def test_training_ends_once_the_rate_has_fallen_far_enough(rate, last, ends):
    model = dense()
    model.optimizer.learning_rate = rate
    model.stop_training = False
    stop = StopAtRate(last)
    stop.set_model(model)
    stop.on_epoch_end(0)
    assert model.stop_training is ends
    assert stop.reached(model.optimizer) is ends


def test_the_published_rates_end_after_three_falls():
    rate, falls, model = 1e-4, 0, dense()
    model.optimizer.learning_rate = rate
    stop = StopAtRate(1e-6)
    while not stop.reached(model.optimizer):
        falls, rate = falls + 1, rate * 0.2
        model.optimizer.learning_rate = rate
    assert falls == 3


# Ends of a phase


def end_of(stop, values, name="val_loss"):
    """Return the number of the epoch after which it ends, or None."""
    stop.set_model(types.SimpleNamespace(stop_training=False))
    for number, value in enumerate(values, start=1):
        stop.on_epoch_end(number - 1, {name: value, "other": 0.0})
        assert stop.ended is stop.model.stop_training
        if stop.ended:
            return number
    return None


def resumed(stop, fresh):
    """Return a fresh callback with the state of another, through a file."""
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
def test_a_phase_ends_when_the_loss_stops_falling(patience, values, end):
    assert end_of(EarlyStop(patience, 0.01), values) == end


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_patience_survives_the_process(cut):
    values = [1.0, 0.8, 0.9, 0.85]
    first = EarlyStop(2, 0.0)
    assert end_of(first, values[:cut]) is None
    assert end_of(resumed(first, EarlyStop(2, 0.0)), values[cut:]) == 4 - cut


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
def test_a_phase_ends_when_the_loss_is_a_share_of_its_first_value(values, end):
    assert end_of(LossFell("loss", 0.25), values, "loss") == end


def test_the_first_value_survives_the_process():
    first = LossFell("loss", 0.25)
    assert end_of(first, [4.0], "loss") is None
    assert end_of(resumed(first, LossFell("loss", 0.25)), [1.5, 1.0], "loss") == 2


@pytest.mark.parametrize(
    ("mean", "color"),
    [(0.0, "black"), (0.001, "black"), (1 - 1e-7, "white"), (1.0, "white")],
)
def test_explanations_of_one_value_end_a_phase_with_a_warning(caplog, mean, color):
    with caplog.at_level(logging.WARNING):
        assert end_of(Collapse(), [0.5, mean, 0.5], "val_explanation_mean") == 2
    assert f"explanations are {color} everywhere" in caplog.text


def test_other_explanations_do_not(caplog):
    values = [0.0011, 0.5, 0.9989]
    assert end_of(Collapse(), values, "val_explanation_mean") is None
    assert not caplog.records
    assert Collapse.flat(math.nan)


# Pictures


@pytest.mark.parametrize("channels", [1, 3])
def test_drawn_maps_are_pictures_of_the_images_size(channels):
    rng = np.random.default_rng(0)
    drawn = draw_maps(rng.random((2, 8, 12, channels)), rng.random((2, 2, 3)))
    assert drawn.shape == (2, 8, 12, 3)
    assert drawn.dtype == np.float32
    assert 0 <= drawn.min() < drawn.max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_maps_of_all_classes_are_painted_in_the_colors_of_the_classes(channels):
    heat = np.zeros((2, 6, 6, 3), "float32")
    heat[0, :3, :3, 1] = heat[1, 3:, 3:, 2] = 1
    images = np.full((2, 6, 6, channels), 0.5, "float32")
    drawn = draw_maps(images, heat)
    assert (drawn.shape, drawn.dtype) == ((2, 6, 6, 3), np.float32)
    colors = class_colors(3)
    np.testing.assert_allclose(drawn[0, 0, 0], (0.5 + colors[1]) / 2, atol=1e-5)
    np.testing.assert_allclose(drawn[1, 5, 5], (0.5 + colors[2]) / 2, atol=1e-5)
    cold = drawn[(heat == 0).all(axis=-1)]
    np.testing.assert_allclose(cold, np.full_like(cold, 0.5), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_attention_images_are_in_the_logs_at_the_steps_of_the_curves(
    tmp_path, channels
):
    images = np.random.default_rng(0).random((3, 8, 8, channels), dtype="float32")
    maps = {"features": images[:, ::2, ::2, 0]}
    pictures = AttentionImages(tmp_path, lambda: maps, images)
    for epoch in range(2):
        pictures.on_epoch_end(epoch)
    events = events_of(tmp_path)
    tags = events.Tags()["tensors"]
    assert sorted(tags) == ["features", "image"]
    for tag in tags:
        tensors = events.Tensors(tag)
        assert [event.step for event in tensors] == [0, 1]
        assert len(tensors[0].tensor_proto.string_val) == 2 + 3  # sizes, then pictures
