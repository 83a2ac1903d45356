"""Runs of HAM: what is shown and kept, and how they go on."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from kerasloc.training.ham import train_ham

from kerasloc.configs import NetworkConfig
from kerasloc.data.config import DataConfig, training_tables
from kerasloc.data.masks import box_masks
from kerasloc.evaluation import EvaluationConfig, evaluate_run
from kerasloc.runs import Run, read_config, read_history, seeded
from kerasloc.training import ham
from kerasloc.training.configs import TERMS, HamTraining
from kerasloc.weights import read_arrays

NAMES = ("circle", "star_3_1", "star_5_2")
SIZE = (16, 16)
ALL = {f"{name}_loss" for name in TERMS}


def network(**options):
    options = {"backbone": "resnet18", **options}
    return NetworkConfig("ham", NAMES, (32, 32), options=options, multi_label=True)


def config(**changes):
    how = {"epochs": 1, "batch_size": 8, "learning_rate": 0.01, "augmentation": "none"}
    return HamTraining(**{**how, **changes})


@pytest.fixture
def tables(several):
    return training_tables(DataConfig(str(several), dataset="csv"))


def without_boxes(table):
    return dataclasses.replace(table, boxes=None)


# What is shown


def test_shown_are_boxes_abnormality_and_the_attention_to_true_classes(small_ham):
    model = small_ham((*SIZE, 3), 3)
    x = np.random.default_rng(0).normal(size=(4, *SIZE, 3)).astype("float32")
    labels = np.array([[1, 0, 0], [0, 1, 1], [np.nan, 0, 1], [0, 0, 0]])
    boxes = np.zeros((4, 1, 5), "float32")
    boxes[..., 4] = -1
    boxes[1] = [[2, 3, 4, 5, 2]]
    given = {"image": x, "labels": labels, "boxes": boxes, "classes": None}
    maps = ham._maps_of(model)(given)
    outputs = model.predict(x, verbose=0)
    assert set(maps) == {"boxes", "abnormality", "classes"}
    expected = box_masks(boxes, SIZE, 3).numpy()
    np.testing.assert_array_equal(maps["boxes"], expected.astype(float))
    np.testing.assert_allclose(
        maps["abnormality"], outputs["abnormality_refined_maps"][..., 0], atol=1e-4
    )
    there = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]])[:, None, None]
    np.testing.assert_allclose(
        maps["classes"], outputs["refined_maps"] * there, atol=1e-4
    )


def test_pictures_are_in_the_logs_every_epoch(trained_ham):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    place = trained_ham / "logs" / "images"
    events = EventAccumulator(str(place), {"tensors": 0, "images": 0}).Reload()
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
    best, auroc = (
        read_arrays(trained_ham / f"{name}.weights.h5")
        for name in ("best", "best-auroc")
    )
    for layer, arrays in best.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, auroc[layer][key])


def rows_of(folder, tables, **changes):
    own = network()
    with Run(folder, {"network": vars(own)}) as run, seeded(0):
        return train_ham(run, tables, own, config(**changes))


def test_labels_alone_are_enough(small_ham, tables, tmp_path):
    plain = {name: without_boxes(table) for name, table in tables.items()}
    (row,) = rows_of(tmp_path, plain)
    assert row["boxes_loss"] == row["val_boxes_loss"] == 0
    assert np.isnan(row.get("tiou", np.nan))
    assert np.isnan(row.get("val_tior", np.nan))
    assert all(np.isfinite(row[name]) for name in ("loss", "val_loss", "val_auroc"))
    assert not list(tmp_path.glob("best-*"))
    thresholds = json.loads((tmp_path / "config.json").read_text())["network"]
    assert len(thresholds["thresholds"]) == 3


def test_boxes_on_validation_images_alone_are_measured(small_ham, tables, tmp_path):
    (row,) = rows_of(
        tmp_path, {**tables, "train": without_boxes(tables["train"])}, select="tiou"
    )
    assert row["boxes_loss"] == 0 < row["val_boxes_loss"]
    assert np.isnan(row["tiou"])
    assert 0 <= row["val_tiou"] <= 1
    assert len(list(tmp_path.glob("best-*"))) == 3


@pytest.mark.slow
def test_a_run_that_goes_on_equals_one_that_never_stopped(
    small_ham, tables, tmp_path, monkeypatch
):
    trainers, real = [], ham.fit

    def fit(run, trainer, *others):
        trainers.append(trainer)
        return real(run, trainer, *others)

    monkeypatch.setattr(ham, "fit", fit)
    how = {
        "augmentation": "ham",
        "annotated_weight": 3.0,
        "decay_epochs": 2,
        "select": "tiou",
    }
    own = network(dropout=0.3)

    def train(name, epochs):
        with Run(tmp_path / name, {"network": vars(own)}) as run, seeded(0):
            rows = train_ham(run, tables, own, config(epochs=epochs, **how))
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]

    whole = train("whole", 4)
    train("parts", 1)
    parts = train("parts", 4)
    for a, b in zip(whole, parts, strict=True):
        assert a == pytest.approx(b, rel=1e-4, nan_ok=True)
    names = ["best", "best-auroc", "best-tiou", "best-tior", "last"]
    for name in names:
        a, b = (
            read_arrays(tmp_path / run / f"{name}.weights.h5")
            for run in ("whole", "parts")
        )
        assert a.keys() == b.keys()
        for layer in a:
            for key in a[layer]:
                np.testing.assert_allclose(a[layer][key], b[layer][key], atol=1e-5)
    for trainer in (trainers[0], trainers[2]):
        assert int(trainer.optimizer.iterations) == 4 * 3
        rate = float(trainer.optimizer.learning_rate)
        assert rate == pytest.approx(0.01 * 0.1**2)  # it fell after epochs 2 and 4
    first, second = (
        read_config(tmp_path / run)["network"]["thresholds"]
        for run in ("whole", "parts")
    )
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_a_rate_that_has_fallen_to_0_ends_the_training(
    small_ham, tables, tmp_path, caplog
):
    how = {"decay": "polynomial", "decay_epochs": 1}
    assert len(rows_of(tmp_path, tables, epochs=3, **how)) == 1
    with caplog.at_level("INFO"):
        assert len(rows_of(tmp_path, tables, epochs=5, **how)) == 1
    assert "has ended: its learning rate fell far enough" in caplog.text
