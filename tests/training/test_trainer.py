"""Fitting over a table, resumable, and what a fit reads."""

import dataclasses
import logging

import keras
import numpy as np
import pytest

from kerasloc.configs import NetworkConfig
from kerasloc.data import read_folders
from kerasloc.data.config import DataConfig, training_tables
from kerasloc.data.pipeline import PipelineConfig
from kerasloc.runs import Run, seeded
from kerasloc.training.callbacks import ReduceLROnPlateau
from kerasloc.training.compiling import SHOWN, Feed, attention_images, make_feed
from kerasloc.training.configs import MapTraining
from kerasloc.training.hrcam import plateau as hrcam_plateau
from kerasloc.training.trainer import FitConfig, fit, tensorboard
from tests.training.helpers import events_of

pytestmark = pytest.mark.usefixtures("eager")

NAMES = ("circle", "star_3_1", "star_5_2")


@pytest.fixture
def feed(shapes):
    table = read_folders(shapes)
    config = PipelineConfig(size=(4, 4), batch_size=12, seed=3)
    return Feed(table.split("train"), table.split("test"), config, config)


def impatient(**options):
    """A decay in every epoch that improves the loss by less than a lot."""
    options = {"factor": 0.1, "patience": 1, "min_lr": 0, **options}
    return ReduceLROnPlateau("loss", min_delta=9.0, **options)


def train(folder, feed, epochs, optimizer=keras.optimizers.Adam, **options):
    """Return rows of the history, and the network."""
    with Run(folder, {}) as run, seeded(0):
        x = keras.Input((4, 4, 3))
        y = keras.layers.BatchNormalization()(keras.layers.Flatten()(x))
        network = keras.Model(x, keras.layers.Dense(3, activation="softmax")(y))
        loss = "categorical_crossentropy"
        network.compile(optimizer(0.05), loss, metrics=["accuracy"])
        config = FitConfig(epochs, "val_accuracy", "max", **options)
        return fit(run, network, network, feed, config), network


def without_seconds(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def assert_equal_runs(first, second):
    for a, b in zip(*map(without_seconds, (first[0], second[0])), strict=True):
        assert a == pytest.approx(b, rel=1e-5)
    for a, b in zip(first[1].get_weights(), second[1].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


# Resuming


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, feed):
    def run(name, epochs):
        decay = impatient(factor=0.1**0.5, patience=2)
        adadelta = keras.optimizers.Adadelta
        return train(tmp_path / name, feed, epochs, adadelta, stateful=[decay])

    through = run("through", 5)
    for epochs in (2, 4):
        run("resumed", epochs)
    resumed = run("resumed", 5)
    assert [row["epoch"] for row in resumed[0]] == [1, 2, 3, 4, 5]
    rates = [row["learning_rate"] for row in through[0]]
    assert rates[2] > rates[3]  # it fell, and fell once more at the end
    assert float(resumed[1].optimizer.learning_rate) < rates[-1]
    assert_equal_runs(through, resumed)


def test_the_same_seed_gives_the_same_run(tmp_path, feed):
    first, second = (train(tmp_path / name, feed, 2) for name in "ab")
    assert_equal_runs(first, second)


def test_a_complete_run_is_left_alone(tmp_path, feed, caplog):
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


class Counting(keras.callbacks.Callback):
    """A callback whose state is the number of its epochs."""

    count = 0

    def on_epoch_end(self, epoch, logs=None):
        self.count += 1

    def get_state(self):
        return self.count

    def set_state(self, state):
        self.count = state


@pytest.mark.parametrize("decays", [0, 1])
def test_a_resumed_run_restores_the_state_of_its_callbacks(
    tmp_path, feed, decays, caplog
):
    first, second = Counting(), Counting()
    decay = [impatient() for _ in range(decays)]
    train(tmp_path, feed, 2, stateful=[*decay, first])
    with caplog.at_level(logging.INFO):
        train(tmp_path, feed, 3, stateful=[*decay, second])
    assert "resumes after epoch 2" in caplog.text
    assert (first.count, second.count) == (2, 3)


def test_a_training_that_diverges_keeps_the_epochs_before(tmp_path, feed):
    def diverging(rate):
        schedules = keras.optimizers.schedules
        return keras.optimizers.SGD(schedules.PiecewiseConstantDecay([1], [rate, 1e30]))

    with pytest.raises(ValueError, match=r"loss.*in epoch 2"):
        train(tmp_path, feed, 3, diverging)
    with Run(tmp_path, {}) as run:
        assert [row["epoch"] for row in run.history] == [1]
        assert run.read_state()["epoch"] == 1


# Learning rate


def test_history_has_the_rate_that_an_epoch_was_trained_with(tmp_path, feed):
    decay = impatient(factor=0.1**0.5, patience=2)
    rows, network = train(tmp_path, feed, 3, stateful=[decay])
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.05, 0.05, 0.05])
    assert float(network.optimizer.learning_rate) == pytest.approx(0.05 * 0.1**0.5)


def test_training_ends_once_the_rate_is_reached_and_does_not_resume(
    tmp_path, feed, caplog
):
    def run(epochs):
        return train(tmp_path, feed, epochs, stateful=[impatient()], stop_rate=0.001)

    rows, network = run(9)
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.05, 0.05, 0.005])
    assert float(network.optimizer.learning_rate) == pytest.approx(0.0005)
    with Run(tmp_path, {}) as folder:
        assert folder.read_state()["epoch"] == 3  # the last one is kept, too
    with caplog.at_level(logging.INFO):
        assert run(20)[0] == rows
    assert "has ended: its learning rate fell far enough" in caplog.text


def test_without_a_stop_rate_all_epochs_are_trained(tmp_path, feed):
    rows, _ = train(tmp_path, feed, 4, stateful=[impatient()])
    assert len(rows) == 4


def test_without_a_decay_the_rate_is_the_optimizers(tmp_path, feed):
    rows, network = train(tmp_path, feed, 2)
    assert len(rows) == 2
    assert "learning_rate" not in rows[0]
    assert float(network.optimizer.learning_rate) == pytest.approx(0.05)


def test_hrcams_decay_is_the_published_one():
    decay = hrcam_plateau()
    assert (decay.monitor, decay.patience, decay.min_lr) == ("loss", 10, 1e-5)
    assert decay.factor == pytest.approx(0.1**0.5)


# Images


def images_of(feed):
    """Return the sums of the images of two epochs."""
    data = feed.train_batches().take(2 * feed.steps)
    return np.concatenate([x.numpy().sum(axis=(1, 2, 3)) for x, _ in data])


def test_every_epoch_has_every_image_in_another_order(feed):
    first, second = np.split(images_of(feed), 2)
    assert sorted(first) == sorted(second)
    assert first.tolist() != second.tolist()


def test_images_are_drawn_by_their_weights(feed):
    weights = np.where(np.arange(24) == 5, 1e9, 1e-9)
    only = images_of(dataclasses.replace(feed, weights=weights))
    assert len(only) == 48
    assert len(set(only)) == 1


def test_a_batch_larger_than_the_data_holds_all_images(tmp_path, feed, caplog):
    config = PipelineConfig(size=(4, 4), batch_size=99)
    feed = dataclasses.replace(feed, train_config=config)
    rows, network = train(tmp_path, feed, 1)
    assert "batch of 99 is larger than the 24 images" in caplog.text
    assert int(network.optimizer.iterations) == 1
    assert len(rows) == 1


def test_curves_are_in_the_logs_once_an_epoch(tmp_path, feed):
    from tensorboard.util.tensor_util import make_ndarray

    rows, _ = train(tmp_path, feed, 2, callbacks=[tensorboard(Run(tmp_path, {}))])
    for split, key in (("train", "loss"), ("validation", "val_loss")):
        events = events_of(tmp_path / "logs" / split)
        tensors = events.Tensors("epoch_loss")
        assert [event.step for event in tensors] == [0, 1]
        values = [float(make_ndarray(event.tensor_proto)) for event in tensors]
        assert values == pytest.approx([row[key] for row in rows], rel=1e-6)


# Tables and pipelines of a network


@pytest.fixture
def tables(multi_label_data):
    return training_tables(DataConfig(str(multi_label_data), dataset="csv"))


def network(**options):
    return NetworkConfig("pylon", NAMES, (32, 16), multi_label=True, **options)


def config(**changes):
    options = {"batch_size": 4, "seed": 5, "augmentation": "none", **changes}
    return MapTraining(**options)


def test_pipelines_have_the_networks_images_and_the_trainings_batches(tables):
    feed = make_feed(tables, network(), config())
    for pipeline in (feed.train_config, feed.val_config):
        assert pipeline.size == (32, 16)
        assert (pipeline.batch_size, pipeline.seed) == (4, 5)
        assert (pipeline.mean, pipeline.std) == (None, None)
    assert feed.train is tables["train"]
    assert next(iter(feed.val_batches()))[0].shape[1:] == (32, 16, 3)


def test_images_are_normalized_for_the_network(tables):
    plain = make_feed(tables, network(), config())
    normal = make_feed(tables, network(mean=(0.5,), std=(0.25,)), config())
    assert normal.train_config.mean == (0.5, 0.5, 0.5)
    assert normal.val_config.std == (0.25, 0.25, 0.25)
    a, b = (next(iter(f.train_batches()))[0].numpy() for f in (plain, normal))
    np.testing.assert_allclose(b, (a - 0.5) / 0.25, atol=1e-5)


def test_validation_images_are_never_augmented(tables):
    feed = make_feed(tables, network(), config(augmentation="voc"))
    assert feed.train_config.augment is not None
    assert feed.val_config.augment is None


def test_an_augmentation_may_replace_the_named_one(tables):
    def black(example, seed):
        return {**example, "image": 0 * example["image"]}

    feed = make_feed(tables, network(), config(augmentation="voc"), black)
    assert not next(iter(feed.train_batches()))[0].numpy().any()


@pytest.mark.parametrize(
    ("cache", "names"),
    [
        (None, (None, None)),
        ("memory", ("memory", "memory")),
        ("/a/b.npy", ("/a/b-train.npy", "/a/b-val.npy")),
    ],
)
def test_the_two_tables_have_different_caches(tables, cache, names):
    feed = make_feed(tables, network(), config(cache=cache))
    assert (feed.train_config.cache, feed.val_config.cache) == names


# Pictures


def pictures_of(tables, folder, network, batches):
    """Return the callback, after it has drawn an epoch."""

    def maps(batch):
        batches.append(batch)
        return {"maps": batch["image"][..., 0]}

    with Run(folder, {}) as run:
        pictures = attention_images(run, make_feed(tables, network, config()), maps)
        pictures.on_epoch_end(0)
    return pictures


@pytest.mark.parametrize("normal", [{}, {"mean": (0.5, 0.4, 0.3), "std": (0.5,)}])
def test_pictures_are_unnormalized_images_of_different_classes(
    tables, tmp_path, normal
):
    described, batches = network(**normal), []
    pictures = pictures_of(tables, tmp_path, described, batches)
    assert list((tmp_path / "logs" / "images").iterdir())
    (batch,) = batches
    images = batch["image"] * np.float32(described.std) + np.float32(described.mean)
    np.testing.assert_allclose(pictures._images, images, atol=1e-6)
    assert 0 <= pictures._images.min() < pictures._images.max() <= 1
    assert len(set(batch["classes"])) == len(set(tables["val"].labels.argmax(axis=1)))
    np.testing.assert_array_equal(batch["labels"].argmax(axis=1), batch["classes"])
    assert batch["boxes"].shape[2] == 5
    for rows, labels in zip(batch["boxes"], batch["labels"], strict=True):
        classes = rows[:, 4][rows[:, 4] >= 0].astype(int)
        assert set(classes) == set(np.flatnonzero(labels))


def test_pictures_may_have_unknown_labels_and_are_a_few(tables, tmp_path):
    val, train = tables["val"], tables["train"]
    unknown = dataclasses.replace(val, labels=np.full_like(val.labels, np.nan))
    pictures = pictures_of({**tables, "val": unknown}, tmp_path / "a", network(), [])
    assert len(pictures._images) == len(val)
    pictures = pictures_of({**tables, "val": train}, tmp_path / "b", network(), [])
    assert len(pictures._images) == SHOWN < len(train)
