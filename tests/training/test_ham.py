"""Runs of HAM: what is read, shown and kept, and how they resume."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from kerasloc.configs import NetworkConfig
from kerasloc.data.config import DataConfig, training_tables
from kerasloc.data.decode import box_masks
from kerasloc.evaluation import EvaluationConfig, evaluate_run
from kerasloc.runs import Run, read_config, read_history, seeded
from kerasloc.training.configs import TERMS, HamTraining
from kerasloc.training.maps import HamTrainer
from tests.training.helpers import assert_equal_weights, events_of, rows_of

NAMES = ("circle", "star_3_1", "star_5_2")
SIZE = (16, 16)
ALL = {f"{name}_loss" for name in TERMS}


def network(**options):
    options = {"backbone": "resnet18", **options}
    return NetworkConfig("ham", NAMES, (32, 32), options=options, multi_label=True)


def config(**changes):
    options = {"epochs": 1, "batch_size": 8, "learning_rate": 0.01}
    return HamTraining(**{**options, "augmentation": "none", **changes})


@pytest.fixture
def tables(multi_label_data):
    return training_tables(DataConfig(str(multi_label_data), dataset="csv"))


def without_boxes(table):
    return dataclasses.replace(table, boxes=None)


# What is read


@pytest.fixture
def prepared(tmp_path):
    """Function from tables to the feed of a training, and the settings of its fit."""

    def prepare(tables, trainer=HamTrainer, **changes):
        with Run(tmp_path / "run", {"network": vars(network())}) as run:
            trainer = trainer(run, tables, network(), config(**changes))
            feed = trainer.feed(None)
            return feed, trainer.fit_config(None, feed)

    return prepare


def times_drawn(feed, epochs):
    """Return how often each image is drawn in some epochs."""
    index = dataclasses.replace(
        feed.train_config, fields=("index",), batch_size=len(feed.train)
    )
    feed = dataclasses.replace(
        feed, train_config=index, target=lambda element: element["index"]
    )
    drawn = np.concatenate([e.numpy() for e in feed.train_batches().take(epochs)])
    return np.bincount(drawn, minlength=len(feed.train))


def test_images_with_boxes_are_drawn_by_their_weight(prepared, tables):
    train = tables["train"]
    boxed = np.isin(np.arange(len(train)), train.boxes[:, 0])
    few = np.isin(train.boxes[:, 0], np.flatnonzero(boxed)[:6])
    train = dataclasses.replace(train, boxes=train.boxes[few])
    tables = {**tables, "train": train}
    boxed = np.isin(np.arange(len(train)), train.boxes[:, 0])
    assert boxed.sum() == 6
    feed, _ = prepared(tables, annotated_weight=4.0)
    np.testing.assert_array_equal(feed.weights, np.where(boxed, 4.0, 1.0))
    drawn = times_drawn(feed, 12)
    assert drawn.sum() == 12 * len(train)
    # 24 of 38: three standard deviations of 240 draws are 0.093
    assert drawn[boxed].sum() / drawn.sum() == pytest.approx(24 / 38, abs=0.093)
    feed, _ = prepared(tables, annotated_weight=1.0)
    assert times_drawn(feed, 1).tolist() == [1] * len(train)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("val", [True, False])
def test_only_images_of_tables_with_boxes_have_masks(prepared, tables, train, val):
    has_boxes = {"train": train, "val": val}
    feed, settings = prepared(
        {n: t if has_boxes[n] else without_boxes(t) for n, t in tables.items()}
    )
    boxes, labels = ("image", "labels", "boxes"), ("image", "labels")
    assert feed.train_config.fields == (boxes if train else labels)
    assert feed.val_config.fields == (boxes if val else labels)
    assert len(settings.stateful) == (3 if val else 0)
    assert (settings.monitor, settings.mode) == ("val_auroc", "max")


def test_refined_masks_replace_the_boxes_of_training_images(
    prepared, tables, tmp_path, monkeypatch
):
    from kerasloc.data import crf

    calls = []

    def crf_masks(table, folder):
        calls.append((table, folder))
        return {2: folder / "two.png", 5: folder / "five.png"}

    monkeypatch.setattr(crf, "crf_masks", crf_masks)
    feed, _ = prepared(tables, crf=True)
    ((table, folder),) = calls
    assert table is tables["train"]  # no mask of a validation image is made
    assert folder == tmp_path / "run" / "masks"
    masks = feed.train.masks.tolist()
    assert {row: path for row, path in enumerate(masks) if path} == {
        2: str(folder / "two.png"),
        5: str(folder / "five.png"),
    }
    assert feed.train_config.fields == ("image", "labels", "class_masks")
    assert feed.val_config.fields == ("image", "labels", "boxes")
    calls.clear()
    plain = {**tables, "train": without_boxes(tables["train"])}
    assert prepared(plain, crf=True)[0].train_config.fields == ("image", "labels")
    assert not calls


@pytest.mark.parametrize("select", ["tiou", "tior"])
def test_selection_by_boxes_needs_boxes_on_validation_images(prepared, tables, select):
    assert prepared(tables, select=select)[1].monitor == f"val_{select}"
    tables["val"] = without_boxes(tables["val"])
    with pytest.raises(ValueError, match=rf"select='{select}'.*--select auroc"):
        prepared(tables, select=select)


# What is shown


def test_shown_are_boxes_abnormality_and_the_attention_to_true_classes(small_ham):
    model = small_ham((*SIZE, 3), 3)
    x = np.random.default_rng(0).normal(size=(4, *SIZE, 3)).astype("float32")
    labels = np.array([[1, 0, 0], [0, 1, 1], [np.nan, 0, 1], [0, 0, 0]])
    boxes = np.zeros((4, 1, 5), "float32")
    boxes[..., 4] = -1
    boxes[1] = [[2, 3, 4, 5, 2]]
    batch = {"image": x, "labels": labels, "boxes": boxes, "classes": None}
    maps = HamTrainer(None, None, network(), config()).maps(model, batch)
    outputs = model.predict(x, verbose=0)
    assert set(maps) == {"boxes", "abnormality", "classes"}
    expected = box_masks(boxes, SIZE, 3).numpy()
    np.testing.assert_array_equal(maps["boxes"], expected.astype(float))
    np.testing.assert_allclose(
        maps["abnormality"], outputs["abnormality_refined_maps"][..., 0], atol=1e-4
    )
    present = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]])[:, None, None]
    np.testing.assert_allclose(
        maps["classes"], outputs["refined_maps"] * present, atol=1e-4
    )


def test_pictures_are_in_the_logs_every_epoch(trained_ham):
    events = events_of(trained_ham / "logs" / "images")
    tags = ["abnormality", "boxes", "classes", "image"]
    assert sorted(events.Tags()["tensors"]) == tags
    for tag in tags:
        assert [event.step for event in events.Tensors(tag)] == [0, 1, 2, 3]


# What is kept


def test_the_history_has_every_term_and_score(trained_ham):
    rows = read_history(trained_ham)
    names = {"loss", "auroc", "tiou", "tior", *ALL}
    weights = HamTraining().term_weights
    for row in rows:
        assert names | {f"val_{name}" for name in names} <= set(row)
        for prefix in ("", "val_"):  # also of an epoch with a smaller last batch
            total = sum(w * row[f"{prefix}{k}_loss"] for k, w in weights.items())
            assert row[f"{prefix}loss"] == pytest.approx(total, rel=1e-4)
    assert rows[-1]["loss"] < rows[0]["loss"]


@pytest.mark.parametrize("name", ["auroc", "tiou", "tior"])
def test_the_best_by_a_score_are_the_weights_of_the_epoch_with_its_best_value(
    trained_ham, small_ham, tmp_path, name
):
    folder = shutil.copytree(trained_ham, tmp_path / "run")
    history = read_history(folder)
    values = [row[f"val_{name}"] for row in history]
    assert len(set(values)) > 1
    epochs = {f"best-{name}": int(np.argmax(values)), "last": -1}
    for checkpoint, epoch in epochs.items():
        config = EvaluationConfig(split="val", checkpoint=checkpoint)
        macro = evaluate_run(folder, config).rows[3]
        # what training says of validation images is what evaluation says of them
        for score in ("tiou", "tior"):
            assert macro[score] == pytest.approx(history[epoch][f"val_{score}"])
        assert (folder / f"evaluation-val-{checkpoint}" / "metrics.csv").is_file()


def test_the_best_are_the_best_by_what_was_selected(trained_ham):
    best, auroc = (trained_ham / f"{n}.weights.h5" for n in ("best", "best-auroc"))
    assert_equal_weights(best, auroc)


def train(folder, tables, **changes):
    described = network()
    with Run(folder, {"network": vars(described)}) as run, seeded(0):
        return HamTrainer(run, tables, described, config(**changes)).train()


def test_labels_alone_are_enough(small_ham, tables, tmp_path):
    plain = {name: without_boxes(table) for name, table in tables.items()}
    (row,) = train(tmp_path, plain)
    assert row["boxes_loss"] == row["val_boxes_loss"] == 0
    assert np.isnan(row.get("tiou", np.nan))
    assert np.isnan(row.get("val_tior", np.nan))
    assert all(np.isfinite(row[name]) for name in ("loss", "val_loss", "val_auroc"))
    assert not list(tmp_path.glob("best-*"))
    described = json.loads((tmp_path / "config.json").read_text())["network"]
    assert len(described["thresholds"]) == 3


def test_boxes_on_validation_images_alone_are_measured(small_ham, tables, tmp_path):
    (row,) = train(
        tmp_path, {**tables, "train": without_boxes(tables["train"])}, select="tiou"
    )
    assert row["boxes_loss"] == 0 < row["val_boxes_loss"]
    assert np.isnan(row["tiou"])
    assert 0 <= row["val_tiou"] <= 1
    assert len(list(tmp_path.glob("best-*"))) == 3


class Remembered(HamTrainer):
    """Training that remembers its compiled models."""

    models = ()

    def compile(self, *args):
        fitted = super().compile(*args)
        Remembered.models += (fitted,)
        return fitted


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(small_ham, tables, tmp_path):
    options = {
        "augmentation": "ham",
        "annotated_weight": 3.0,
        "decay_epochs": 2,
        "select": "tiou",
    }
    described = network(dropout=0.3)

    def trained(name, epochs):
        with Run(tmp_path / name, {"network": vars(described)}) as run, seeded(0):
            training = config(epochs=epochs, **options)
            Remembered(run, tables, described, training).train()
        return rows_of(tmp_path / name)

    through = trained("through", 4)
    trained("resumed", 1)
    resumed = trained("resumed", 4)
    for a, b in zip(through, resumed, strict=True):
        assert a == pytest.approx(b, rel=1e-4, nan_ok=True)
    for name in ("best", "best-auroc", "best-tiou", "best-tior", "last"):
        files = [tmp_path / n / f"{name}.weights.h5" for n in ("through", "resumed")]
        assert_equal_weights(*files, 1e-5, 1e-7)
    for fitted in (Remembered.models[0], Remembered.models[2]):
        assert int(fitted.optimizer.iterations) == 4 * 3
        rate = float(fitted.optimizer.learning_rate)
        assert rate == pytest.approx(0.01 * 0.1**2)  # it fell after epochs 2 and 4
    first, second = (
        read_config(tmp_path / run)["network"]["thresholds"]
        for run in ("through", "resumed")
    )
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_a_rate_that_has_fallen_to_0_ends_the_training(
    small_ham, tables, tmp_path, caplog
):
    options = {"decay": "polynomial", "decay_epochs": 1}
    assert len(train(tmp_path, tables, epochs=3, **options)) == 1
    with caplog.at_level("INFO"):
        assert len(train(tmp_path, tables, epochs=5, **options)) == 1
    assert "has ended: its learning rate fell far enough" in caplog.text
