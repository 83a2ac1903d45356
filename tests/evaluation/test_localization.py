"""Measuring networks of maps: answers, figures, rows, files."""

import csv
import dataclasses
import json
import pathlib

import numpy as np
import pytest

from kerasloc.configs import NetworkConfig
from kerasloc.data.config import DataConfig, evaluation_table
from kerasloc.evaluation import localization as map_evaluation
from kerasloc.evaluation.localization import (
    Answers,
    answers,
    measure,
    rows,
    text,
    write,
)
from kerasloc.metrics import attention_overlaps, auroc, point_localization, tiou

NAMES = ("circle", "star_3_1", "star_5_2")


@pytest.fixture
def table(several):
    return evaluation_table(DataConfig(str(several), dataset="csv"), "test", NAMES)


@pytest.fixture
def model(small_pylon):
    import keras

    keras.utils.set_random_seed(3)
    return small_pylon((32, 32, 3), 3, decoder_channels=4)


def network(size=(32, 32), **options):
    return NetworkConfig("pylon", NAMES, size, multi_label=True, **options)


def found_for(table, maps=None, logits=None):
    """Made-up answers; the maps are random, or one map for all."""
    rng = np.random.default_rng(0)
    boxed, place = np.unique(table.boxes[:, 0], return_inverse=True)
    boxes = table.boxes.copy()
    boxes[:, 0] = place
    shape = (len(boxed), 8, 8, 3)
    maps = rng.normal(size=shape) if maps is None else np.broadcast_to(maps, shape)
    logits = rng.normal(size=table.labels.shape) if logits is None else logits
    return Answers(logits, maps, boxes)


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# Answers


@pytest.mark.parametrize("batch_size", [5, 12])
def test_answers_are_those_of_the_model_on_every_image(model, table, batch_size):
    from kerasloc.data import load_image

    images = np.stack([load_image(path, (32, 32), 3) for path in table.paths])
    expected = model.predict(images, verbose=0)
    boxed = np.unique(table.boxes[:, 0]).astype(int)
    assert 0 < len(boxed) < len(table)  # some have no object
    with answers(model, network(), table, batch_size) as found:
        np.testing.assert_allclose(found.logits, expected["logits"], atol=1e-5)
        np.testing.assert_allclose(found.maps, expected["maps"][boxed], atol=1e-5)
        rows = found.boxes[np.lexsort(found.boxes.T[::-1])]
    expected = table.boxes.copy()
    expected[:, 0] = np.searchsorted(boxed, expected[:, 0])
    np.testing.assert_allclose(rows, expected[np.lexsort(expected.T[::-1])])


def test_boxes_are_in_pixels_of_the_networks_images(small_pylon, table):
    model = small_pylon((64, 32, 3), 3, decoder_channels=4)
    with answers(model, network((64, 32)), table) as found:
        areas = found.boxes[:, 3] * found.boxes[:, 4]
        assert found.maps.shape[1:] == (16, 8, 3)
    np.testing.assert_allclose(
        areas.sum(), 2 * (table.boxes[:, 3:5].prod(axis=1)).sum()
    )


def test_images_are_normalized_for_the_network(model, table):
    normal = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
    from kerasloc.data import load_image

    images = np.stack([load_image(path, (32, 32), 3) for path in table.paths])
    expected = model.predict((images - normal["mean"]) / normal["std"], verbose=0)
    with answers(model, network(**normal), table) as found:
        np.testing.assert_allclose(found.logits, expected["logits"], atol=1e-4)


def test_many_maps_lie_in_a_file_that_is_gone_afterwards(model, table, monkeypatch):
    with answers(model, network(), table) as found:
        assert not isinstance(found.maps, np.memmap)
        expected, maps = measure(found, network(), table), found.maps.copy()
    monkeypatch.setattr(map_evaluation, "IN_MEMORY", 10)
    with answers(model, network(), table) as found:
        path = pathlib.Path(found.maps.filename)
        assert path.is_file()
        np.testing.assert_array_equal(found.maps, maps)
        figures = measure(found, network(), table)
    assert not path.exists()
    assert not path.parent.exists()
    assert rows(figures, NAMES) == rows(expected, NAMES)


def test_the_file_is_gone_after_an_error_too(model, table, monkeypatch):
    monkeypatch.setattr(map_evaluation, "IN_MEMORY", 10)
    paths = []

    def fails():
        with answers(model, network(), table) as found:
            paths.append(pathlib.Path(found.maps.filename))
            assert paths[0].is_file()
            raise ValueError("measured wrongly")

    with pytest.raises(ValueError, match="measured wrongly"):
        fails()
    assert not paths[0].exists()


# Refined maps


def soft_masks(size=(32, 32)):
    """A network that answers with how bright it is as refined maps of all classes."""
    import keras

    image = keras.Input((*size, 3))
    bright = keras.ops.max(image, axis=-1, keepdims=True)
    refined = keras.ops.repeat(bright, 3, axis=-1)
    maps = keras.layers.AveragePooling2D(4)(refined)
    logits = keras.layers.GlobalMaxPooling2D()(maps)
    return keras.Model(image, {"logits": logits, "maps": maps, "refined_maps": refined})


@pytest.mark.parametrize("batch_size", [5, 12])
def test_overlaps_are_those_of_refined_maps_and_boxes(table, batch_size):
    from kerasloc.data import load_image

    model = soft_masks()
    boxed = np.unique(table.boxes[:, 0]).astype(int)
    images = np.stack([load_image(path, (32, 32), 3) for path in table.paths])
    attended = np.repeat(images.max(axis=-1, keepdims=True) >= np.float32(0.999), 3, -1)
    masks = np.zeros(attended.shape, bool)
    for image, x, y, w, h, k in table.boxes.astype(int):
        masks[image, y : y + h, x : x + w, k] = True
    iou, ior = attention_overlaps(attended[boxed], masks[boxed])
    with answers(model, network(), table, batch_size) as found:
        np.testing.assert_allclose(found.overlaps["tiou"], iou)
        np.testing.assert_allclose(found.overlaps["tior"], ior)
        figures = measure(found, network(), table)
    expected = tiou(attended, masks)
    assert figures["tiou"]["mean"] == pytest.approx(expected["mean"])
    measured = rows(figures, NAMES)
    for place, row in enumerate(measured[:3]):
        assert row["tiou"] == pytest.approx(expected["mean_per_class"][place])
        low, high = expected["intervals"]["mean_per_class"][place]
        assert (row["tiou_low"], row["tiou_high"]) == pytest.approx((low, high))
    macro, micro, weighted = measured[3:]
    assert macro["tiou"] == pytest.approx(expected["mean"])
    assert micro["tiou"] == weighted["tiou"]
    assert weighted["tiou"] == pytest.approx(expected["weighted_mean"])
    columns = list(measured[0])
    assert columns.index("tiou") < columns.index("center_tiou")
    shown = text(measured).splitlines()[0]
    assert [title for title in shown.split() if title.startswith("TI")] == [
        "TIoU",
        "TIoR",
    ]


def test_the_control_of_refined_maps_is_a_bump_in_the_middle(table):
    boxes = np.array([[0, 8, 8, 16, 16, 0], [1, 0, 0, 4, 4, 0], [2, 8, 8, 16, 16, 1]])
    table = dataclasses.replace(table, boxes=boxes)
    with answers(soft_masks(), network(), table) as found:
        overlaps = found.overlaps
        figures = measure(found, network(), table)
    middle = overlaps["center_tiou"]
    assert middle[0, 0] == middle[2, 1] > 0.5
    assert middle[1, 0] == 0
    assert np.isnan(middle[:, 2]).all()
    measured = rows(figures, NAMES)
    assert measured[0]["center_tiou"] == pytest.approx(measured[1]["center_tiou"] / 2)
    assert np.isnan(measured[2]["center_tior"])


def test_networks_without_refined_maps_and_data_without_boxes_have_no_overlaps(
    model, table
):
    with answers(model, network(), table) as found:
        assert found.overlaps == {}
        assert "tiou" not in measure(found, network(), table)
    plain = dataclasses.replace(table, boxes=None)
    with answers(soft_masks(), network(), plain) as found:
        assert found.overlaps == {}
        assert "tiou" not in measure(found, network(), plain)


# Figures


def test_rows_are_the_figures_of_every_class_and_their_averages(table):
    found = found_for(table)
    measured = rows(measure(found, network(), table), NAMES)
    areas = auroc(table.labels, found.logits)
    points = point_localization(found.maps, found.boxes, 32)
    assert [r["class"] for r in measured] == [*NAMES, "macro", "micro", "weighted"]
    for place, row in enumerate(measured[:3]):
        assert row["auroc"] == areas["per_class"][place]
        assert row["point"] == points["per_class"][place]
        low, high = points["intervals"]["per_class"][place]
        assert (row["point_low"], row["point_high"]) == (low, high)
        assert row["pairs"] == points["count"][place]
        assert row["positives"] == table.labels[:, place].sum()
    macro, micro, weighted = measured[3:]
    assert macro["point"] == points["macro"]
    assert micro["point"] == weighted["point"] == points["weighted"]
    assert [r["auroc"] for r in measured[3:]] == [
        areas[name] for name in ("macro", "micro", "weighted")
    ]
    assert macro["pairs"] == points["count"].sum()


def test_the_control_is_a_bump_in_the_middle(table):
    boxes = np.array([[0, 14, 14, 4, 4, 0], [1, 0, 0, 4, 4, 0], [2, 20, 0, 9, 9, 1]])
    table = dataclasses.replace(table, boxes=boxes)
    measured = rows(measure(found_for(table), network(), table), NAMES)
    assert [row["center_point"] for row in measured[:2]] == [0.5, 0.0]
    assert np.isnan(measured[2]["center_point"])  # no box


def test_probabilities_are_told_apart_by_the_networks_thresholds(table):
    logits = np.where(table.labels == 1, 2.0, 1.0)  # 0.88 and 0.73
    found = found_for(table, logits=logits)
    for thresholds, expected in (((0.8,), 1.0), ((0.8, 0.8, 0.5), None)):
        own = network(thresholds=thresholds)
        report = measure(found, own, table)["classification"]
        right = (
            logits > np.log(np.array(thresholds) / (1 - np.array(thresholds)))
        ) == (table.labels == 1)
        assert report["accuracy"] == pytest.approx(right.mean())
        assert expected is None or report["accuracy"] == expected


def test_a_class_without_positives_is_nan_in_every_table(table, tmp_path):
    labels = table.labels.copy()
    labels[:, 1] = 0
    boxes = table.boxes[table.boxes[:, 5] != 1]
    table = dataclasses.replace(table, labels=labels, boxes=boxes)
    figures = measure(found_for(table), network(), table)
    measured = rows(figures, NAMES)
    row = measured[1]
    assert (row["positives"], row["pairs"], row["images"]) == (0, 0, 12)
    for name in ("auroc", "average_precision", "point", "center_point", "iobb_0.25"):
        assert np.isnan(row[name]), name
        assert np.isfinite(measured[3][name]), name  # the mean of the others
    line = text(measured).splitlines()[2]
    assert line.startswith("star_3_1")
    assert "nan [nan, nan]" in line


def test_data_without_boxes_has_no_localization(table):
    table = dataclasses.replace(table, boxes=None)
    figures = measure(found_for(table), network(), table)
    assert set(figures) == {"classification", "auroc", "average_precision"}
    measured = rows(figures, NAMES)
    assert set(measured[0]) == {
        "class",
        "images",
        "positives",
        *(f"auroc{end}" for end in ("", "_low", "_high")),
        *(f"average_precision{end}" for end in ("", "_low", "_high")),
    }
    assert "AUROC" in text(measured)
    assert "point" not in text(measured)


def test_very_negative_logits_are_measured(table):
    logits = -1000.0 - np.arange(36.0).reshape(12, 3)
    figures = measure(found_for(table, logits=logits), network(), table)
    assert np.isfinite(figures["auroc"]["macro"])


# Files


def test_a_run_gets_its_tables_as_csv_and_strict_json(model, table, tmp_path, caplog):
    labels = table.labels.copy()
    labels[:, 2] = 0
    table = dataclasses.replace(table, labels=labels, boxes=None)
    with caplog.at_level("INFO"):
        with answers(model, network(), table, 5) as found:
            figures = measure(found, network(), table)
        measured = write(tmp_path, figures, NAMES)
    written = read(tmp_path / "evaluation" / "metrics.csv")
    assert [row["class"] for row in written] == [row["class"] for row in measured]
    assert float(written[0]["auroc"]) == measured[0]["auroc"]
    assert written[2]["auroc"] == "nan"
    content = (tmp_path / "evaluation" / "evaluation.json").read_text()
    everything = json.loads(content, parse_constant=pytest.fail)
    assert everything["images"] == 12
    assert everything["rows"][2]["auroc"] is None
    assert everything["rows"][0]["auroc"] == measured[0]["auroc"]
    assert "12 test images" in caplog.text
    assert "macro" in caplog.text


def test_tables_go_where_they_are_said_to(table, tmp_path, caplog):
    with caplog.at_level("INFO"):
        figures = measure(found_for(table), network(), table)
        write(tmp_path, figures, NAMES, ("evaluation-val-last", "val"))
    place = tmp_path / "evaluation-val-last"
    assert json.loads((place / "evaluation.json").read_text())["split"] == "val"
    assert (place / "metrics.csv").is_file()
    assert not (tmp_path / "evaluation").exists()
    assert "12 val images" in caplog.text
