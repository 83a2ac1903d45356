"""Fitting over a table: what a run that goes on has to have kept."""

import logging

import keras
import numpy as np
import pytest

from kerasloc.data import read_folders
from kerasloc.data.pipeline import PipelineConfig
from kerasloc.runs import Run, seeded
from kerasloc.training import fitting
from kerasloc.training.fitting import fit, jit_compile

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture
def feed(shapes):
    table = read_folders(shapes)
    config = PipelineConfig(size=(4, 4), batch_size=12, seed=3)
    return {
        "train": table.split("train"),
        "val": table.split("test"),
        "train_config": config,
        "val_config": config,
        "target": lambda element: (element["image"], element["labels"]),
    }


@pytest.fixture
def impatient(monkeypatch):
    """The learning rate falls whenever an epoch brings less than a lot."""
    real = fitting.ReduceLROnPlateau

    def make(**options):
        return real(**{**options, "patience": 2, "min_delta": 9.0})

    monkeypatch.setattr(fitting, "ReduceLROnPlateau", make)


def train(folder, feed, epochs, maker=keras.optimizers.Adam, **more):
    """Rows of the history, and the network."""
    with Run(folder, {}) as run, seeded(0):
        x = keras.Input((4, 4, 3))
        y = keras.layers.BatchNormalization()(keras.layers.Flatten()(x))
        network = keras.Model(x, keras.layers.Dense(3, activation="softmax")(y))
        network.compile(maker(0.05), "categorical_crossentropy", metrics=["accuracy"])
        settings = {
            "epochs": epochs,
            "monitor": ("val_accuracy", "max"),
            "callbacks": [],
            **more,
        }
        return fit(run, network, network, feed, settings), network


def without_seconds(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def assert_equal_runs(first, second):
    for a, b in zip(*map(without_seconds, (first[0], second[0])), strict=True):
        assert a == pytest.approx(b, rel=1e-5)
    for a, b in zip(first[1].get_weights(), second[1].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_a_run_that_goes_on_equals_one_that_never_stopped(tmp_path, feed):
    maker = keras.optimizers.Adadelta
    whole = train(tmp_path / "whole", feed, 5, maker)
    for epochs in (2, 4):
        train(tmp_path / "parts", feed, epochs, maker)
    parts = train(tmp_path / "parts", feed, 5, maker)
    assert [row["epoch"] for row in parts[0]] == [1, 2, 3, 4, 5]
    rates = [row["learning_rate"] for row in whole[0]]
    assert rates[2] > rates[3]  # it fell, and fell once more at the end
    assert float(parts[1].optimizer.learning_rate) < rates[-1]
    assert_equal_runs(whole, parts)


@pytest.mark.usefixtures("impatient")
def test_history_has_the_rate_that_an_epoch_was_trained_with(tmp_path, feed):
    rows, network = train(tmp_path, feed, 3)
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.05, 0.05, 0.05])
    assert float(network.optimizer.learning_rate) == pytest.approx(0.05 * 0.1**0.5)


PATIENT = {"monitor": "loss", "factor": 0.1, "patience": 1, "min_delta": 9.0}


def test_a_training_ends_with_the_epoch_after_which_the_rate_is_reached(tmp_path, feed):
    rows, network = train(tmp_path, feed, 9, plateau=PATIENT, stop_rate=0.001)
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.05, 0.05, 0.005])
    assert float(network.optimizer.learning_rate) == pytest.approx(0.0005)
    with Run(tmp_path, {}) as run:
        assert run.read_state()["epoch"] == 3  # the last one is kept, too


def test_a_run_whose_rate_is_reached_does_not_go_on(tmp_path, feed, caplog):
    how = {"plateau": PATIENT, "stop_rate": 0.001}
    rows, _ = train(tmp_path, feed, 9, **how)
    with caplog.at_level(logging.INFO):
        again, _ = train(tmp_path, feed, 20, **how)
    assert again == rows
    assert "has ended: its learning rate fell far enough" in caplog.text


def test_without_a_last_rate_a_training_has_all_its_epochs(tmp_path, feed):
    rows, _ = train(tmp_path, feed, 4, plateau={**PATIENT, "min_lr": 0})
    assert len(rows) == 4


def test_the_same_seed_gives_the_same_run(tmp_path, feed):
    first, second = (train(tmp_path / name, feed, 2) for name in "ab")
    assert_equal_runs(first, second)


def test_every_epoch_sees_every_image_in_its_own_order(tmp_path, feed):
    seen = []

    def target(element):
        import tensorflow as tf

        image = element["image"]

        def note(values):
            seen.extend(values.tolist())
            return values

        sums = tf.numpy_function(note, [tf.reduce_sum(image, (1, 2, 3))], tf.float32)
        with tf.control_dependencies([sums]):
            return tf.identity(image), element["labels"]

    count = len(feed["train"])
    data = fitting.training_batches(feed["train"], feed["train_config"]).map(target)
    for _ in data.take(2 * fitting.steps(feed["train"], feed["train_config"])):
        pass
    first, second = seen[:count], seen[count : 2 * count]
    assert sorted(first) == sorted(second)
    assert first != second


def test_a_complete_run_does_nothing_and_says_so(tmp_path, feed, caplog):
    rows, _ = train(tmp_path, feed, 2)
    files = {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in tmp_path.rglob("*")
        if path.is_file() and path.name not in (".lock", "config.json")
    }
    with caplog.at_level(logging.INFO):
        again, _ = train(tmp_path, feed, 2)
    assert again == rows
    assert "has its 2 epochs already" in caplog.text
    for path, (time, content) in files.items():
        assert (path.stat().st_mtime_ns, path.read_bytes()) == (time, content)


def test_a_training_that_diverges_keeps_the_epochs_before(tmp_path, feed):
    def maker(rate):
        schedules = keras.optimizers.schedules
        return keras.optimizers.SGD(schedules.PiecewiseConstantDecay([1], [rate, 1e30]))

    with pytest.raises(ValueError, match=r"loss is a finite number.*in epoch 2"):
        train(tmp_path, feed, 3, maker)
    with Run(tmp_path, {}) as run:
        assert [row["epoch"] for row in run.history] == [1]
        assert run.read_state()["epoch"] == 1


def test_a_batch_larger_than_the_data_holds_it_all(tmp_path, feed, caplog):
    feed["train_config"] = PipelineConfig(size=(4, 4), batch_size=99)
    rows, network = train(tmp_path, feed, 1)
    assert "batch of 99 is larger than the 24 images" in caplog.text
    assert int(network.optimizer.iterations) == 1
    assert len(rows) == 1


def test_curves_are_in_the_logs_once_an_epoch(tmp_path, feed):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    rows, _ = train(tmp_path, feed, 2)
    for part, key in (("train", "loss"), ("validation", "val_loss")):
        events = EventAccumulator(str(tmp_path / "logs" / part)).Reload()
        found = events.Tensors("epoch_loss")
        assert [event.step for event in found] == [0, 1]
        values = [float(make_ndarray(event.tensor_proto)) for event in found]
        assert values == pytest.approx([row[key] for row in rows], rel=1e-6)


def test_xla_runs_on_a_single_gpu_only(monkeypatch):
    import tensorflow as tf

    assert jit_compile() is False  # these tests run without a GPU or on its CPU
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    assert jit_compile() is True
    assert jit_compile(strategy=object()) is False


def test_without_a_plateau_the_rate_is_the_optimizers(tmp_path, feed):
    rows, network = train(tmp_path, feed, 2, plateau=None)
    assert len(rows) == 2
    assert "learning_rate" not in rows[0]
    assert float(network.optimizer.learning_rate) == pytest.approx(0.05)


def test_images_are_drawn_by_their_weights(tmp_path, feed, monkeypatch):
    seen, real = [], fitting.training_batches

    def batches(*arguments):
        seen.append(arguments[3])
        return real(*arguments)

    monkeypatch.setattr(fitting, "training_batches", batches)
    feed["weights"] = np.arange(1.0, 25.0)
    train(tmp_path, feed, 1)
    assert seen[0] is feed["weights"]


class Counting(keras.callbacks.Callback):
    """A callback with a state: how many epochs it has seen."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def on_epoch_end(self, epoch, logs=None):
        self.count += 1

    def get_state(self):
        return self.count

    def set_state(self, state):
        self.count = state


@pytest.mark.parametrize("plateau", [None, PATIENT])
def test_a_run_that_goes_on_says_from_where_and_has_its_callbacks_state(
    tmp_path, feed, plateau, caplog
):
    first, second = Counting(), Counting()
    train(tmp_path, feed, 2, plateau=plateau, kept=[first])
    with caplog.at_level(logging.INFO):
        train(tmp_path, feed, 3, plateau=plateau, kept=[second])
    assert "goes on after epoch 2" in caplog.text
    assert (first.count, second.count) == (2, 3)
