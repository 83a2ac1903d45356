"""Evaluation of networks of maps: predictions, reports, tables, files."""

import dataclasses
import json
import pathlib
import shutil

import keras
import numpy as np
import pytest

import kerasloc
from kerasloc.configs import NetworkConfig
from kerasloc.data import load_image
from kerasloc.data.config import DataConfig, evaluation_table
from kerasloc.evaluation import EvaluationConfig, evaluate_run
from kerasloc.evaluation.localization import (
    MapPredictions,
    class_table,
    measure,
    predict_maps,
)
from kerasloc.io import read_csv as read
from kerasloc.metrics import attention_overlaps, auroc, point_localization, tiou

NAMES = ("circle", "star_3_1", "star_5_2")


@pytest.fixture
def table(multi_label_data):
    return evaluation_table(
        DataConfig(str(multi_label_data), dataset="csv"), "test", NAMES
    )


def network(size=(32, 32), **options):
    return NetworkConfig("pylon", NAMES, size, multi_label=True, **options)


def small_model(size=(32, 32)):
    keras.utils.set_random_seed(3)
    image = keras.Input((*size, 3))
    maps = keras.layers.Conv2D(3, 5, strides=4, padding="same")(image)
    logits = keras.layers.GlobalMaxPooling2D()(maps)
    return keras.Model(image, {"logits": logits, "maps": maps})


def soft_masks(size=(32, 32)):
    """Network whose refined maps of all classes are the brightness of the image."""
    image = keras.Input((*size, 3))
    bright = keras.ops.max(image, axis=-1, keepdims=True)
    refined = keras.ops.repeat(bright, 3, axis=-1)
    maps = keras.layers.AveragePooling2D(4)(refined)
    logits = keras.layers.GlobalMaxPooling2D()(maps)
    return keras.Model(image, {"logits": logits, "maps": maps, "refined_maps": refined})


@pytest.fixture
def wrapper(wrap):
    return wrap(small_model(), network())


def images_of(table):
    return np.stack([load_image(path, (32, 32), 3) for path in table.paths])


def random_predictions(table, logits=None):
    rng = np.random.default_rng(0)
    boxed, image = np.unique(table.boxes[:, 0], return_inverse=True)
    boxes = table.boxes.copy()
    boxes[:, 0] = image
    maps = rng.normal(size=(len(boxed), 8, 8, 3))
    logits = rng.normal(size=table.labels.shape) if logits is None else logits
    return MapPredictions(logits, maps, boxes)


def rows_of(table, logits=None):
    reports = measure(random_predictions(table, logits), network(), table)
    return class_table(reports, NAMES).rows


# Predictions


@pytest.mark.parametrize("batch_size", [5, 12])
def test_predictions_are_those_of_the_model_for_every_image(wrapper, table, batch_size):
    expected = wrapper.model.predict(images_of(table), verbose=0)
    boxed = np.unique(table.boxes[:, 0]).astype(int)
    assert 0 < len(boxed) < len(table)  # some have no object
    with predict_maps(wrapper, table, batch_size) as predictions:
        np.testing.assert_allclose(predictions.logits, expected["logits"], atol=1e-5)
        np.testing.assert_allclose(predictions.maps, expected["maps"][boxed], atol=1e-5)
        rows = predictions.boxes[np.lexsort(predictions.boxes.T[::-1])]
    expected = table.boxes.copy()
    expected[:, 0] = np.searchsorted(boxed, expected[:, 0])
    np.testing.assert_allclose(rows, expected[np.lexsort(expected.T[::-1])])


def test_boxes_are_in_pixels_of_the_networks_images(wrap, table):
    wrapper = wrap(small_model((64, 32)), network((64, 32)))
    with predict_maps(wrapper, table) as predictions:
        areas = predictions.boxes[:, 3] * predictions.boxes[:, 4]
        assert predictions.maps.shape[1:] == (16, 8, 3)
    expected = 2 * table.boxes[:, 3:5].prod(axis=1).sum()
    np.testing.assert_allclose(areas.sum(), expected)


def test_images_are_normalized_for_the_network(wrap, table):
    normal = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
    model = small_model()
    images = (images_of(table) - normal["mean"]) / normal["std"]
    expected = model.predict(images, verbose=0)
    with predict_maps(wrap(model, network(**normal)), table) as predictions:
        np.testing.assert_allclose(predictions.logits, expected["logits"], atol=1e-4)


def test_many_maps_lie_in_a_file_that_an_error_removes_too(wrapper, table):
    with predict_maps(wrapper, table) as predictions:
        assert not isinstance(predictions.maps, np.memmap)
        expected = predictions.maps.copy()
    paths = []

    def fail():
        with predict_maps(wrapper, table, in_memory=10) as predictions:
            paths.append(pathlib.Path(predictions.maps.filename))
            assert paths[0].is_file()
            np.testing.assert_array_equal(predictions.maps, expected)
            assert measure(predictions, network(), table)["point"]["count"].sum()
            raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        fail()
    assert not paths[0].parent.exists()


# Refined maps


@pytest.mark.parametrize("batch_size", [5, 12])
def test_overlaps_are_those_of_refined_maps_and_boxes(wrap, table, batch_size):
    boxed = np.unique(table.boxes[:, 0]).astype(int)
    bright = images_of(table).max(axis=-1, keepdims=True) >= np.float32(0.999)
    attended = np.repeat(bright, 3, -1)
    masks = np.zeros(attended.shape, bool)
    for image, x, y, w, h, k in table.boxes.astype(int):
        masks[image, y : y + h, x : x + w, k] = True
    iou, ior = attention_overlaps(attended[boxed], masks[boxed])
    wrapper = wrap(soft_masks(), network())
    with predict_maps(wrapper, table, batch_size) as predictions:
        np.testing.assert_allclose(predictions.overlaps["tiou"], iou)
        np.testing.assert_allclose(predictions.overlaps["tior"], ior)
        reports = measure(predictions, network(), table)
    expected = tiou(attended, masks)
    assert reports["tiou"]["mean"] == pytest.approx(expected["mean"])
    results = class_table(reports, NAMES)
    for index, row in enumerate(results.rows[:3]):
        assert row["tiou"] == pytest.approx(expected["mean_per_class"][index])
        bounds = expected["intervals"]["mean_per_class"][index]
        assert (row["tiou_low"], row["tiou_high"]) == pytest.approx(tuple(bounds))
    macro, micro, weighted = results.rows[3:]
    assert macro["tiou"] == pytest.approx(expected["mean"])
    assert micro["tiou"] == weighted["tiou"]
    assert weighted["tiou"] == pytest.approx(expected["weighted_mean"])
    columns = list(macro)
    assert columns.index("tiou") < columns.index("center_tiou")
    head = str(results).splitlines()[0].split()
    assert head[1:5] == ["AUROC", "TIoU", "center", "TIoR"]


def test_the_control_of_refined_maps_is_a_gaussian_at_the_center(wrap, table):
    boxes = np.array([[0, 8, 8, 16, 16, 0], [1, 0, 0, 4, 4, 0], [2, 8, 8, 16, 16, 1]])
    table = dataclasses.replace(table, boxes=boxes)
    with predict_maps(wrap(soft_masks(), network()), table) as predictions:
        center = predictions.overlaps["center_tiou"]
        rows = class_table(measure(predictions, network(), table), NAMES).rows
    assert center[0, 0] == center[2, 1] > 0.5
    assert center[1, 0] == 0
    assert np.isnan(center[:, 2]).all()
    assert rows[0]["center_tiou"] == pytest.approx(rows[1]["center_tiou"] / 2)
    assert np.isnan(rows[2]["center_tior"])


def test_without_refined_maps_or_boxes_there_are_no_overlaps(wrap, wrapper, table):
    plain = dataclasses.replace(table, boxes=None)
    for localizer, data in ((wrapper, table), (wrap(soft_masks(), network()), plain)):
        with predict_maps(localizer, data) as predictions:
            assert predictions.overlaps == {}
            assert "tiou" not in measure(predictions, network(), data)


# Tables


def test_rows_are_the_reports_of_every_class_and_their_averages(table):
    predictions, rows = random_predictions(table), rows_of(table)
    areas = auroc(table.labels, predictions.logits)
    points = point_localization(predictions.maps, predictions.boxes, 32)
    averages = ("macro", "micro", "weighted")
    assert [row["class"] for row in rows] == [*NAMES, *averages]
    for index, row in enumerate(rows[:3]):
        assert row["auroc"] == areas["per_class"][index]
        assert row["point"] == points["per_class"][index]
        low, high = points["intervals"]["per_class"][index]
        assert (row["point_low"], row["point_high"]) == (low, high)
        assert row["pairs"] == points["count"][index]
        assert row["positives"] == table.labels[:, index].sum()
    macro, micro, weighted = rows[3:]
    assert macro["point"] == points["macro"]
    assert micro["point"] == weighted["point"] == points["weighted"]
    assert [row["auroc"] for row in rows[3:]] == [areas[name] for name in averages]
    assert macro["pairs"] == points["count"].sum()


def test_the_control_of_maps_is_a_gaussian_at_the_center(table):
    boxes = np.array([[0, 14, 14, 4, 4, 0], [1, 0, 0, 4, 4, 0], [2, 20, 0, 9, 9, 1]])
    rows = rows_of(dataclasses.replace(table, boxes=boxes))
    assert [row["center_point"] for row in rows[:2]] == [0.5, 0.0]
    assert np.isnan(rows[2]["center_point"])  # no box


@pytest.mark.parametrize("thresholds", [(0.8,), (0.8, 0.8, 0.5)])
def test_classes_are_predicted_at_the_thresholds_of_the_network(table, thresholds):
    logits = np.where(table.labels == 1, 2.0, 1.0)  # 0.88 and 0.73
    config = network(thresholds=thresholds)
    report = measure(random_predictions(table, logits), config, table)
    limits = np.log(np.array(thresholds) / (1 - np.array(thresholds)))
    right = (logits > limits) == (table.labels == 1)
    assert report["classification"]["accuracy"] == pytest.approx(right.mean())
    assert right.all() == (len(thresholds) == 1)


def test_a_class_without_positives_is_nan_in_every_column(table):
    labels = table.labels.copy()
    labels[:, 1] = 0
    boxes = table.boxes[table.boxes[:, 5] != 1]
    rows = rows_of(dataclasses.replace(table, labels=labels, boxes=boxes))
    row = rows[1]
    assert (row["positives"], row["pairs"], row["images"]) == (0, 0, 12)
    for name in ("auroc", "average_precision", "point", "center_point", "iobb_0.25"):
        assert np.isnan(row[name]), name
        assert np.isfinite(rows[3][name]), name  # the mean of the other classes


def test_data_without_boxes_has_no_localization(table):
    table = dataclasses.replace(table, boxes=None)
    reports = measure(random_predictions(table), network(), table)
    assert set(reports) == {"classification", "auroc", "average_precision"}
    results = class_table(reports, NAMES)
    assert list(results.rows[0]) == [
        *("class", "images", "positives"),
        *(f"auroc{end}" for end in ("", "_low", "_high")),
        *(f"average_precision{end}" for end in ("", "_low", "_high")),
    ]
    assert "AUROC" in str(results)
    assert "point" not in str(results)


def test_very_negative_logits_are_measured(table):
    logits = -1000.0 - np.arange(36.0).reshape(12, 3)
    assert np.isfinite(rows_of(table, logits)[3]["auroc"])


# Runs


@pytest.fixture
def run_folder(trained_pylon, small_pylon, tmp_path):
    return shutil.copytree(trained_pylon, tmp_path / "run")


def test_a_run_is_measured_as_its_wrapper_predicts(
    run_folder, multi_label_data, table, caplog
):
    with caplog.at_level("INFO"):
        rows = evaluate_run(run_folder).rows
    wrapper = kerasloc.load(run_folder)
    images = images_of(table)
    logits, raw = wrapper.logits(images), wrapper.maps(images)
    expected = {
        "auroc": auroc(table.labels, logits),
        "point": point_localization(raw, table.boxes, 32),
    }
    for index, row in enumerate(rows[:3]):
        for name, report in expected.items():
            assert row[name] == pytest.approx(report["per_class"][index], abs=1e-6)
    for row in rows[3:]:
        point = "macro" if row["class"] == "macro" else "weighted"
        assert row["auroc"] == pytest.approx(expected["auroc"][row["class"]], abs=1e-6)
        assert row["point"] == pytest.approx(expected["point"][point], abs=1e-6)
    target = run_folder / "evaluation"
    written = read(target / "metrics.csv")
    assert [float(row["auroc"]) for row in written] == [row["auroc"] for row in rows]
    content = json.loads(
        (target / "evaluation.json").read_text(), parse_constant=pytest.fail
    )
    assert (content["split"], content["images"]) == ("test", 12)
    assert content["rows"][0]["auroc"] == rows[0]["auroc"]
    right = wrapper.predict(images) == table.labels
    assert content["classification"]["accuracy"] == pytest.approx(right.mean())
    assert "12 test images" in caplog.text
    assert "macro" in caplog.text


def test_validation_images_and_other_checkpoints_have_their_own_folder(run_folder):
    before = (run_folder / "evaluation" / "metrics.csv").read_bytes()
    config = EvaluationConfig(split="val", batch_size=3, checkpoint="last")
    evaluate_run(run_folder, config)
    target = run_folder / "evaluation-val-last"
    content = json.loads((target / "evaluation.json").read_text())
    assert (content["split"], content["images"]) == ("val", 4)
    assert (run_folder / "evaluation" / "metrics.csv").read_bytes() == before


def test_a_missing_checkpoint_is_named(run_folder):
    with pytest.raises((ValueError, OSError), match=r"best-tiou\.weights\.h5"):
        evaluate_run(run_folder, EvaluationConfig(checkpoint="best-tiou"))


def test_an_optimized_model_is_measured_like_the_original(
    run_folder, multi_label_data, tmp_path
):
    folder = kerasloc.load(run_folder).optimize().save(tmp_path / "fast")
    config = EvaluationConfig(data_dir=str(multi_label_data), dataset="csv")
    fast, plain = (evaluate_run(path, config).rows for path in (folder, run_folder))
    for first, second in zip(fast, plain, strict=True):
        assert first["class"] == second["class"]
        assert first["auroc"] == pytest.approx(second["auroc"], abs=0.05, nan_ok=True)
