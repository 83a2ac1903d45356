"""What happens at the end of every epoch."""

import math

import keras
import numpy as np
import pytest

from kerasloc.plotting import class_colors
from kerasloc.runs import Run
from kerasloc.training import callbacks
from kerasloc.training.callbacks import (
    AttentionImages,
    EpochDraws,
    EpochEnd,
    FiniteLoss,
    ReduceLROnPlateau,
    StopAtRate,
    draw_maps,
)


class Training:
    """Epochs with made-up scores; the weight after epoch n is n."""

    def __init__(self, run, monitor=("val_accuracy", "max"), others=(), **more):
        self.model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        self.model.compile("sgd", "mse")
        self.end = EpochEnd(run, self.model, monitor, others, **more)
        self.monitor = monitor[0]
        for callback in (self.end, *others):
            callback.set_model(self.model)
            callback.on_train_begin()

    def epoch(self, number, score):
        self.model.set_weights([np.full((1, 1), float(number)), np.zeros(1)])
        logs = {self.monitor: score}
        self.end.on_epoch_begin(number - 1)
        self.end.on_epoch_end(number - 1, logs)

    def epochs(self, scores):
        for number, score in enumerate(scores, start=1):
            self.epoch(number, score)


@pytest.fixture
def run(tmp_path):
    with Run(tmp_path / "run", {}) as run:
        yield run


def kept(run, name="best"):
    """In which epoch the weights of a file were made."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
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
    Training(run, ("score", mode)).epochs(scores)
    assert kept(run) == best
    assert kept(run, "last") == len(scores)
    assert [row["score"] for row in run.history] == scores


def test_every_epoch_ends_with_loadable_files(run):
    training = Training(run)
    for number, score in enumerate([0.1, 0.3, 0.2], start=1):
        training.epoch(number, score)
        assert kept(run, "last") == run.read_state()["epoch"] == number
        assert kept(run) == min(number, 2)
        assert epochs_in(run) == list(range(1, number + 1))


def test_history_tells_how_long_an_epoch_took(run):
    Training(run).epochs([0.1])
    assert 0 <= run.history[0]["seconds"] < 60


def test_a_resumed_run_knows_the_best_score_so_far(run):
    Training(run).epochs([0.5, 0.8])
    resumed = Training(run)
    assert resumed.end.first_epoch == 2
    resumed.epoch(3, 0.7)
    assert kept(run) == 2
    resumed.epoch(4, 0.9)
    assert kept(run) == 4
    assert epochs_in(run) == [1, 2, 3, 4]


@pytest.mark.parametrize("step", ["write_history", "save_atomically", "save_state"])
def test_a_process_that_dies_between_two_writes_loses_one_epoch(run, monkeypatch, step):
    Training(run).epochs([0.5])
    real = getattr(callbacks if step == "save_atomically" else run, step)

    def dies(*arguments):
        if step != "save_state":
            real(*arguments)  # died just after it
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(callbacks if step == "save_atomically" else run, step, dies)
        with pytest.raises(KeyboardInterrupt):
            Training(run).epoch(2, 0.8)
    assert run.read_state()["epoch"] == 1
    assert kept(run) in (1, 2)
    resumed = Training(run)
    assert resumed.end.first_epoch == 1
    resumed.epoch(2, 0.8)
    resumed.epoch(3, 0.6)
    assert epochs_in(run) == [1, 2, 3]
    assert kept(run) == 2


def test_a_first_score_of_nan_is_no_bar_to_later_ones(run):
    training = Training(run)
    training.epoch(1, math.nan)
    assert kept(run) == 1
    training.epochs([math.nan, 0.3, 0.2])
    assert kept(run) == 2


# Epochs that may not be the best


def limited(run):
    """Only scores up to 0.8 may be the best."""
    return Training(run, eligible=lambda logs: logs["val_accuracy"] <= 0.8)


def test_epochs_that_are_not_eligible_are_never_the_best(run):
    limited(run).epochs([0.5, 0.9, 0.7, 1.0])
    assert (kept(run), kept(run, "last")) == (3, 4)
    assert [row["val_accuracy"] for row in run.history] == [0.5, 0.9, 0.7, 1.0]


def test_weights_that_lie_there_stay_until_an_epoch_is_eligible(run):
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


def test_without_any_the_first_weights_are_there_and_are_no_bar(run):
    training = limited(run)
    training.epoch(1, 0.9)
    assert kept(run) == 1
    training.epoch(2, 0.2)
    assert kept(run) == 2


def test_a_loss_that_is_no_number_ends_the_training():
    FiniteLoss().on_epoch_end(0, {"loss": 3.0})
    for loss in (math.nan, math.inf):
        with pytest.raises(ValueError, match=f"Received: {loss} in epoch 5.*learning"):
            FiniteLoss().on_epoch_end(4, {"loss": loss})


def test_an_epoch_draws_the_same_whatever_was_drawn_before():
    def drawn(epochs):
        keras.utils.set_random_seed(4)
        model = keras.Sequential([keras.Input((40,)), keras.layers.Dropout(0.5)])
        draws = EpochDraws()
        draws.set_model(model)
        for epoch in epochs:
            draws.on_epoch_begin(epoch)
            found = [np.asarray(model(np.ones((1, 40)), training=True)) for _ in "ab"]
        return np.concatenate(found)

    whole, later, first = drawn([0, 1, 2]), drawn([2]), drawn([0])
    np.testing.assert_array_equal(whole, later)
    assert not np.array_equal(whole, first)
    assert not np.array_equal(*whole)


# Learning rate


def rates(losses, cut=None):
    """The learning rate after every epoch, by a run that starts anew at ``cut``."""
    answer, plateau = [], None
    for epoch, loss in enumerate(losses):
        if epoch in (0, cut):
            state, rate = plateau and plateau.get_state(), answer[-1:] or [1.0]
            model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
            model.compile(keras.optimizers.SGD(rate[0]), "mse")
            plateau = ReduceLROnPlateau(monitor="loss", factor=0.5, patience=2)
            if state is not None:
                plateau.set_state(state)
            plateau.set_model(model)
            plateau.on_train_begin()
        plateau.on_epoch_end(epoch, {"loss": loss})
        answer.append(float(model.optimizer.learning_rate))
    return answer


def test_rates_fall_as_if_the_run_had_not_stopped():
    losses = [1.0, 0.5, 0.7, 0.6, 0.6, 0.4, 0.4, 0.4]
    expected = [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]
    assert rates(losses) == expected
    for cut in range(1, len(losses)):
        assert rates(losses, cut) == expected


def test_the_state_of_callbacks_is_kept_with_the_run(run):
    plateau = ReduceLROnPlateau(monitor="val_accuracy", mode="max", patience=9)
    training = Training(run, others=(plateau,))
    for number, score in enumerate([0.5, 0.4, 0.4], start=1):
        plateau.on_epoch_end(number - 1, {"val_accuracy": score})
        training.epoch(number, score)
    fresh = ReduceLROnPlateau(monitor="val_accuracy", mode="max", patience=9)
    Training(run, others=(fresh,))
    assert fresh.get_state() == {"best": 0.5, "wait": 2, "cooldown": 0}


@pytest.mark.parametrize(
    ("rate", "last", "ends"),
    [(1e-3, 1e-4, False), (1e-4, 1e-4, True), (1e-5, 1e-4, True), (1e-9, 0.0, False)],
)
def test_training_ends_once_the_rate_has_fallen_far_enough(rate, last, ends):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(rate), "mse")
    model.stop_training = False
    stop = StopAtRate(last)
    stop.set_model(model)
    stop.on_epoch_end(0)
    assert model.stop_training is ends
    assert stop.reached(model.optimizer) is ends


def test_the_published_rates_end_after_three_falls():
    rate, falls, model = 1e-4, 0, keras.Sequential([keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(rate), "mse")
    stop = StopAtRate(1e-6)
    while not stop.reached(model.optimizer):
        falls, rate = falls + 1, rate * 0.2
        model.optimizer.learning_rate = rate
    assert falls == 3


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
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    images = np.random.default_rng(0).random((3, 8, 8, channels), dtype="float32")
    maps = {"features": images[:, ::2, ::2, 0]}
    pictures = AttentionImages(tmp_path, lambda: maps, images)
    for epoch in range(2):
        pictures.on_epoch_end(epoch)
    events = EventAccumulator(str(tmp_path), {"tensors": 0, "images": 0}).Reload()
    tags = events.Tags()["tensors"]
    assert sorted(tags) == ["features", "image"]
    for tag in tags:
        found = events.Tensors(tag)
        assert [event.step for event in found] == [0, 1]
        assert len(found[0].tensor_proto.string_val) == 2 + 3  # sizes, then pictures
