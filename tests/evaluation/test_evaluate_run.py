"""Runs of networks of maps are measured as their wrapper predicts."""

import json
import shutil

import numpy as np
import pytest

import kerasloc
from kerasloc.data import config as data_config
from kerasloc.data import load_image
from kerasloc.evaluation import EvaluationConfig, evaluate_run
from kerasloc.metrics import auroc, iobb_accuracy, point_localization
from kerasloc.runs import read_config


def test_measurements_are_those_of_the_wrapper(trained_pylon, small_pylon, tmp_path):
    folder = shutil.copytree(trained_pylon, tmp_path / "run")
    rows = evaluate_run(folder).rows
    wrapper = kerasloc.load(folder)
    data = data_config.data_of_run(read_config(folder)["data"], {})
    names = wrapper.config.class_names
    table = data_config.evaluation_table(data, "test", names)
    images = np.stack([load_image(path, (32, 32), 3) for path in table.paths])
    logits, raw = wrapper.logits(images), wrapper.maps(images)
    expected = {
        "auroc": auroc(table.labels, logits),
        "point": point_localization(raw, table.boxes, 32),
    }
    iobb = iobb_accuracy(raw, table.boxes, 32, 0.1)
    averages = {"macro": "macro", "micro": "weighted", "weighted": "weighted"}
    for index, row in enumerate(rows[:3]):
        assert row["class"] == names[index]
        for name, scores in expected.items():
            assert row[name] == pytest.approx(scores["per_class"][index], abs=1e-6)
        low, high = expected["auroc"]["intervals"]["per_class"][index]
        assert (row["auroc_low"], row["auroc_high"]) == pytest.approx((low, high))
        assert row["iobb_0.1"] == pytest.approx(iobb["per_class"][index], abs=1e-6)
        assert row["positives"] == table.labels[:, index].sum()
        assert row["pairs"] == expected["point"]["count"][index]
    for row in rows[3:]:
        mean = expected["auroc"][row["class"]]
        assert row["auroc"] == pytest.approx(mean, abs=1e-6)
        mean = expected["point"][averages[row["class"]]]
        assert row["point"] == pytest.approx(mean, abs=1e-6)
    text = (folder / "evaluation" / "evaluation.json").read_text()
    report = json.loads(text)["classification"]
    assert report["count"] == 12
    correct = wrapper.predict(images) == table.labels
    assert report["accuracy"] == pytest.approx(correct.mean())


def test_validation_images_may_be_measured(trained_pylon, small_pylon, tmp_path):
    folder = shutil.copytree(trained_pylon, tmp_path / "run")
    rows = evaluate_run(folder, EvaluationConfig(split="val", batch_size=3)).rows
    data = data_config.data_of_run(read_config(folder)["data"], {})
    val = data_config.training_tables(data)["val"]
    positives = [row["positives"] for row in rows[:3]]
    assert positives == val.labels.sum(axis=0).tolist()


def test_an_optimized_model_has_the_measurements_of_the_plain_one(
    trained_pylon, small_pylon, several, tmp_path
):
    folder = kerasloc.load(trained_pylon).optimize().save(tmp_path / "fast")
    data = EvaluationConfig(data_dir=str(several), dataset="csv")
    fast = evaluate_run(folder, data).rows
    plain = evaluate_run(shutil.copytree(trained_pylon, tmp_path / "run"), data).rows
    for row, expected in zip(fast, plain, strict=True):
        assert row["class"] == expected["class"]
        assert row["auroc"] == pytest.approx(expected["auroc"], abs=0.05, nan_ok=True)


def test_another_checkpoint_is_measured_in_another_folder(
    trained_ham, small_ham, tmp_path
):
    folder = shutil.copytree(trained_ham, tmp_path / "run")
    before = (folder / "evaluation" / "metrics.csv").read_bytes()
    (folder / "best-tiou.weights.h5").unlink()
    shutil.copy(folder / "best-tior.weights.h5", folder / "best-tiou.weights.h5")
    first, second = (
        evaluate_run(folder, EvaluationConfig(checkpoint=f"best-{name}")).rows
        for name in ("tiou", "tior")
    )
    assert first == second
    for name in ("tiou", "tior"):
        assert (folder / f"evaluation-best-{name}" / "evaluation.json").is_file()
    assert (folder / "evaluation" / "metrics.csv").read_bytes() == before
    assert not (folder / "evaluation-val").exists()


def test_a_missing_checkpoint_is_named(trained_ham, small_ham, tmp_path):
    folder = shutil.copytree(trained_ham, tmp_path / "run")
    (folder / "best-tiou.weights.h5").unlink()
    with pytest.raises((ValueError, OSError), match=r"best-tiou\.weights\.h5"):
        evaluate_run(folder, EvaluationConfig(checkpoint="best-tiou"))
