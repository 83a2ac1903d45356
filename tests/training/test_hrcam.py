"""The trainings of the half and the full model."""

import dataclasses

import keras
import numpy as np
import pytest

from kerasloc import FullModel, HalfModel
from kerasloc.data import cut_validation, read_folders
from kerasloc.models import hrcam
from kerasloc.runs import read_history
from kerasloc.training.configs import HrcamTraining
from kerasloc.training.experiment import make_experiment
from kerasloc.training.hrcam import FullTrainer, HalfTrainer, compile_full, transfer
from tests.training.helpers import by_layer, events_of

SIZES = {"growth": 4, "initial_filters": 8, "layers_per_block": 1, "blocks": 2}
CONFIG = HrcamTraining(
    epochs=1, batch_size=9, optimizer="adam", learning_rate=0.01, augmentation="none"
)


@pytest.fixture(scope="module")
def tables(shapes):
    table = read_folders(shapes)
    table = cut_validation(table.subset(table.splits == "train"), 0.25)
    return {name: table.split(name) for name in ("train", "val")}


def described(table, im_size=16, channels=3):
    """Return the half network for a table."""
    values = {"data_dir": "x", "im_size": im_size, "channels": channels, **SIZES}
    return HalfTrainer.describe(make_experiment("half", values), table)


@pytest.fixture
def network(tables):
    return described(tables["train"])


@pytest.fixture
def batch():
    """Eight images and the targets of the full model's losses."""
    rng = np.random.default_rng(0)
    x = rng.random((8, 16, 16, 3), dtype="float32")
    targets = {
        "reconstruction": x,
        "alignment": np.zeros((8, 4, 4, 4), "float32"),
        "logits": np.eye(3, dtype="float32")[rng.integers(3, size=8)],
    }
    return x, targets


def build(kind, network, seed=0, **sizes):
    keras.utils.set_random_seed(seed)
    builder = {"half": hrcam.half_densenet, "full": hrcam.full_densenet}[kind]
    return builder(network.input_shape, network.num_classes, **{**SIZES, **sizes})


def assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


# The networks


def test_the_network_follows_the_data_and_the_options(network, tables):
    assert network.class_names == tables["train"].class_names
    assert (network.input_shape, network.multi_label) == ((16, 16, 3), False)
    assert network.options == SIZES


def test_data_with_several_labels_makes_a_multi_label_network(tables):
    labels = np.where(tables["train"].labels == 0, np.nan, 1)
    table = dataclasses.replace(tables["train"], labels=labels)
    assert described(table, 16, 1).multi_label


def test_the_full_network_is_that_of_the_half_run_at_any_size(trained, tables):
    half = HalfModel(trained / "half" / "shapes").config
    values = {"half": str(trained / "half" / "shapes")}

    def full(im_size, channels=3):
        options = {**values, "im_size": im_size, "channels": channels}
        return FullTrainer.describe(make_experiment("full", options), tables["train"])

    assert full(32) == dataclasses.replace(half, family="full")
    assert full(64).im_size == (64, 64)
    with pytest.raises(ValueError, match=r"channels, 3. Received: channels=1"):
        full(32, 1)


# The half model


def test_the_best_half_weights_have_the_best_validation_accuracy(trained, shapes):
    rows = read_history(trained / "half" / "shapes")
    table = read_folders(shapes)
    val = cut_validation(table.subset(table.splits == "train"), 0.2).split("val")
    half = HalfModel(trained / "half" / "shapes")
    images = [keras.utils.img_to_array(keras.utils.load_img(p)) for p in val.paths]
    right = half.predict(np.stack(images) / 255) == val.class_index
    assert right.mean() == pytest.approx(max(row["val_accuracy"] for row in rows))


# The transfer


@pytest.fixture
def half_file(network, tmp_path):
    """Weight file of a half model, and its arrays by layer."""
    half = build("half", network, 1)
    half.save_weights(tmp_path / "half.weights.h5")
    return tmp_path / "half.weights.h5", by_layer(half)


def test_the_half_models_weights_are_transferred_and_no_others_change(
    network, half_file
):
    path, half = half_file
    full = build("full", network, 2)
    before = by_layer(full)
    transfer(path, full)
    assert set(half) < set(before)
    for name, weights in by_layer(full).items():
        assert_same(weights, half.get(name, before[name]))


@pytest.mark.parametrize(
    ("change", "layer"),
    [
        ({"growth": 5}, "dense_0_0_conv2D"),
        ({"initial_filters": 9}, "initial_conv2D"),
        ({"layers_per_block": 2}, "tr_0_bn"),
        ({}, "aux_output"),
    ],
)
def test_a_full_model_of_other_sizes_or_classes_is_refused(
    network, half_file, change, layer
):
    if not change:
        network = dataclasses.replace(network, class_names=("a", "b"))
    full = build("full", network, **change)
    before = full.get_weights()
    with pytest.raises(ValueError, match=rf"half.weights.h5.*{layer}"):
        transfer(half_file[0], full)
    assert_same(before, full.get_weights())


# The full model


@pytest.fixture
def trainers(network):
    """Function from an alignment weight to a full model and its trainer."""

    def make(align_weight):
        model = build("full", network)
        config = dataclasses.replace(CONFIG, align_weight=align_weight)
        return model, compile_full(model, network, config)

    return make


@pytest.mark.usefixtures("eager")
def test_only_the_expansion_learns(trainers, batch):
    model, trainer = trainers(0.5)
    owned = {layer.name for layer in hrcam.expansion_of(model)[0]}
    before = by_layer(model)
    for _ in range(2):
        trainer.train_on_batch(*batch)
    after = by_layer(model)
    assert {"tr_up_1_conv2DT", "dense_4_0_bn", "main_output"} <= set(after) - owned
    for name in after:
        if name in owned:  # moving statistics of batch normalization, too
            assert_same(before[name], after[name])
        else:
            assert all(
                (a != b).any() for a, b in zip(before[name], after[name], strict=True)
            )


@pytest.mark.usefixtures("eager")
def test_classification_does_not_change_while_the_expansion_learns(trainers, batch):
    model, trainer = trainers(1.0)
    before = model.predict_on_batch(batch[0])
    trainer.train_on_batch(*batch)
    after = model.predict_on_batch(batch[0])
    for name in ("logits", "low_features"):
        np.testing.assert_array_equal(before[name], after[name])
    assert (before["reconstruction"] != after["reconstruction"]).any()


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_the_loss_is_reconstruction_and_weighted_alignment(trainers, batch, weight):
    model, trainer = trainers(weight)
    logs = trainer.test_on_batch(*batch, return_dict=True)
    outputs = hrcam.add_alignment(model).predict_on_batch(batch[0])
    error = np.mean((outputs["reconstruction"] - batch[0]) ** 2)
    pooled = outputs["high_features"].reshape(8, 4, 4, 4, 4, 4).mean(axis=(2, 4))
    apart = np.mean((pooled - outputs["low_features"]) ** 2)
    penalty = float(sum(trainer.losses))
    assert logs["reconstruction_loss"] == pytest.approx(error, rel=1e-4)
    assert logs["alignment_loss"] == pytest.approx(apart, rel=1e-4)
    assert logs["loss"] == pytest.approx(error + weight * apart + penalty, rel=1e-4)


@pytest.mark.usefixtures("eager")
def test_the_alignment_term_brings_both_features_together(trainers, batch):
    ends = {}
    for weight in (0.0, 1.0):
        _, trainer = trainers(weight)
        for _ in range(8):
            trainer.train_on_batch(*batch)
        ends[weight] = trainer.test_on_batch(*batch, return_dict=True)["alignment_loss"]
    assert ends[1.0] < 0.9 * ends[0.0]


def test_the_trained_full_model_holds_the_half_model_bit_for_bit(trained):
    half = HalfModel(trained / "half" / "shapes")
    full = FullModel(trained / "full" / "shapes")
    for name, weights in by_layer(half.model).items():
        assert_same(weights, by_layer(full.model)[name])


def test_training_lowers_the_error_of_the_reconstruction(trained):
    rows = read_history(trained / "full" / "shapes")
    assert rows[-1]["reconstruction_loss"] < rows[0]["reconstruction_loss"]
    assert rows[-1]["val_reconstruction_loss"] < rows[0]["val_reconstruction_loss"]
    assert len({row["val_logits_loss"] for row in rows}) == 1  # it is frozen


@pytest.mark.parametrize(
    ("family", "tags"),
    [
        ("half", {"image", "low_features"}),
        ("full", {"image", "low_features", "high_features"}),
    ],
)
def test_logs_hold_curves_and_attention_images_of_every_epoch(trained, family, tags):
    folder = trained / family / "shapes"
    epochs = [row["epoch"] - 1 for row in read_history(folder)]
    events = events_of(folder / "logs" / "images")
    assert set(events.Tags()["tensors"]) == tags
    for tag in tags:
        assert [event.step for event in events.Tensors(tag)] == epochs
    for split in ("train", "validation"):
        events = events_of(folder / "logs" / split)
        assert [event.step for event in events.Tensors("epoch_loss")] == epochs
