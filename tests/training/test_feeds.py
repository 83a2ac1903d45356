"""What fits are fed: pipelines, normalization, pictures, losses by kind of label."""

import dataclasses

import keras
import numpy as np
import pytest

from kerasloc.configs import NetworkConfig
from kerasloc.data.config import DataConfig, training_tables
from kerasloc.data.pipeline import batches, training_batches
from kerasloc.losses import MaskedBinaryCrossentropy
from kerasloc.runs import Run
from kerasloc.training import feeds
from kerasloc.training.configs import MapTraining
from kerasloc.training.scores import KnownLabelAccuracy

NAMES = ("circle", "star_3_1", "star_5_2")


@pytest.fixture
def tables(several):
    return training_tables(DataConfig(str(several), dataset="csv"))


def network(multi_label=True, **options):
    return NetworkConfig("pylon", NAMES, (32, 16), multi_label=multi_label, **options)


def config(**changes):
    how = {"batch_size": 4, "seed": 5, "augmentation": "none", **changes}
    return MapTraining(**how)


def test_pipelines_are_of_the_networks_images_and_the_trainings_batches(tables):
    fed = feeds.feed(tables, network(), config())
    for name in ("train_config", "val_config"):
        assert fed[name].size == (32, 16)
        assert (fed[name].batch_size, fed[name].seed) == (4, 5)
        assert (fed[name].mean, fed[name].std) == (None, None)
    assert fed["train"] is tables["train"]
    assert next(iter(batches(fed["val"], fed["val_config"])))["image"].shape[1:] == (
        32,
        16,
        3,
    )


def test_images_are_normalized_as_the_network_wants(tables):
    plain = feeds.feed(tables, network(), config())
    normal = feeds.feed(tables, network(mean=(0.5,), std=(0.25,)), config())
    assert normal["train_config"].mean == (0.5, 0.5, 0.5)
    assert normal["val_config"].std == (0.25, 0.25, 0.25)
    a, b = (
        next(iter(training_batches(fed["train"], fed["train_config"])))["image"].numpy()
        for fed in (plain, normal)
    )
    np.testing.assert_allclose(b, (a - 0.5) / 0.25, atol=1e-5)


def test_validation_images_are_never_augmented(tables):
    fed = feeds.feed(tables, network(), config(augmentation="voc"))
    assert fed["train_config"].augment is not None
    assert fed["val_config"].augment is None


def test_an_augmentation_may_be_given_in_the_place_of_the_named_one(tables):
    def black(example, seed):
        return {**example, "image": 0 * example["image"]}

    fed = feeds.feed(tables, network(), config(augmentation="voc"), black)
    train = next(iter(training_batches(fed["train"], fed["train_config"])))
    assert not train["image"].numpy().any()


@pytest.mark.parametrize(
    ("cache", "names"),
    [
        (None, (None, None)),
        ("memory", ("memory", "memory")),
        ("/a/b.npy", ("/a/b-train.npy", "/a/b-val.npy")),
    ],
)
def test_the_two_tables_have_caches_of_their_own(tables, cache, names):
    fed = feeds.feed(tables, network(), config(cache=cache))
    assert (fed["train_config"].cache, fed["val_config"].cache) == names


@pytest.mark.parametrize("normal", [{}, {"mean": (0.5, 0.4, 0.3), "std": (0.5,)}])
def test_pictures_are_of_different_classes_and_as_they_were(tables, tmp_path, normal):
    own = network(**normal)
    fed = feeds.feed(tables, own, config())
    seen = {}

    def maps_of(batch):
        seen.update(batch)
        return {"maps": batch["image"][..., 0]}

    with Run(tmp_path, {}) as run:
        pictures = feeds.attention(run, fed, maps_of)
        pictures.on_epoch_end(0)
    assert list((tmp_path / "logs" / "images").iterdir())
    mean = np.float32(own.mean)
    np.testing.assert_allclose(
        pictures._images, seen["image"] * np.float32(own.std) + mean, atol=1e-6
    )
    assert 0 <= pictures._images.min() < pictures._images.max() <= 1
    assert len(set(seen["classes"])) == len(set(tables["val"].labels.argmax(axis=1)))
    np.testing.assert_array_equal(seen["labels"].argmax(axis=1), seen["classes"])
    boxes = seen["boxes"]
    assert boxes.shape[2] == 5
    for row, labels in zip(boxes, seen["labels"], strict=True):
        classes = row[:, 4][row[:, 4] >= 0].astype(int)
        assert set(classes) == set(np.flatnonzero(labels))


def test_pictures_of_unknown_labels_are_shown(tables, tmp_path):
    val = tables["val"]
    unknown = dataclasses.replace(val, labels=np.full_like(val.labels, np.nan))
    fed = feeds.feed({**tables, "val": unknown}, network(), config())
    with Run(tmp_path, {}) as run:
        pictures = feeds.attention(run, fed, lambda b: {"maps": b["image"][..., 0]})
    assert len(pictures._images) == len(val)


def test_at_most_a_few_images_are_pictured(tables, tmp_path):
    fed = feeds.feed({**tables, "val": tables["train"]}, network(), config())
    with Run(tmp_path, {}) as run:
        pictures = feeds.attention(run, fed, lambda b: {"maps": b["image"][..., 0]})
    assert len(pictures._images) == feeds.SHOWN < len(tables["train"])


def test_the_loss_is_that_of_the_kind_of_label():
    assert isinstance(feeds.label_loss(network()), MaskedBinaryCrossentropy)
    one = feeds.label_loss(network(multi_label=False))
    assert isinstance(one, keras.losses.CategoricalCrossentropy)
    value = one(np.array([[0.0, 1.0]]), np.array([[0.0, np.log(3.0)]]))
    assert float(value) == pytest.approx(np.log(4 / 3))  # of logits


def test_the_accuracy_is_that_of_the_kind_of_label():
    metric = feeds.accuracy(network())
    assert isinstance(metric, KnownLabelAccuracy)
    metric.update_state(np.array([[1.0, 0.0, np.nan]]), np.array([[2.0, 2.0, 2.0]]))
    assert float(metric.result()) == 0.5
    one = feeds.accuracy(network(multi_label=False))
    one.update_state(np.array([[0.0, 1.0]]), np.array([[0.2, 0.9]]))
    assert (one.name, float(one.result())) == ("accuracy", 1.0)
