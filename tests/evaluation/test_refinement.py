"""Classification and localization of HRCAM's models."""

import types

import keras
import numpy as np
import pytest

from kerasloc import FullModel, HalfModel
from kerasloc.data import Table, load_image, read_folders
from kerasloc.evaluation.classification import classify
from kerasloc.evaluation.refinement import (
    REFINEMENTS,
    THRESHOLDS,
    PairScores,
    annotated_pairs,
    heat_maps,
    localization_table,
    localize,
    refine,
)
from kerasloc.metrics import center_gaussian, ious, point_hits

NAN = np.nan
SIZE = (32, 32)


@pytest.fixture(scope="module")
def full(trained):
    return FullModel(trained / "full" / "shapes")


@pytest.fixture(scope="module")
def unseen(shapes):
    return read_folders(shapes).split("test")


def picture(path, size=SIZE, value=0):
    values = np.full((*size, 3), value, np.uint8)
    keras.utils.save_img(path, values, scale=False)
    return str(path)


def mask_file(path, rows, cols, size=SIZE):
    values = np.zeros((*size, 1), np.uint8)
    values[rows, cols] = 255
    keras.utils.save_img(path, values, scale=False)
    return str(path)


def table_of(tmp_path, labels, **columns):
    labels = np.array(labels, float)
    paths = [picture(tmp_path / f"{i}.png", value=i) for i in range(len(labels))]
    names = tuple("abcdef"[: labels.shape[1]])
    return Table(paths, names, labels, **columns)


class Painter:
    """A wrapper whose map of class c is hot in column c, whatever the image."""

    def __init__(self, classes=3, multi_label=False):
        x = keras.Input((*SIZE, 3))
        pooled = keras.layers.GlobalAveragePooling2D()(x)
        logits = keras.layers.Dense(classes, name="aux_output")(pooled)
        self.model = keras.Model(x, {"logits": logits, "low_features": x})
        kernel = np.eye(3)[:, :classes]
        self.model.get_layer("aux_output").set_weights([kernel, np.zeros(classes)])
        self.model.predict_on_batch = self.answer
        self.config = types.SimpleNamespace(
            im_size=SIZE,
            channels=3,
            multi_label=multi_label,
            class_names=tuple("abc"[:classes]),
        )

    def prepare(self, images):
        return images

    def answer(self, images):
        low = np.zeros((len(images), *SIZE, 3))
        for index in range(3):
            low[:, :, index, index] = 1
        return {"low_features": low}

    def predict_proba(self, images, squeeze):
        assert squeeze is False
        return np.eye(len(self.config.class_names))[[0] * len(images)]


# Pairs of an image and a class

BOXES = [(1, 0, 0, 5, 5, 1), (2, 0, 0, 5, 5, 0), (2, 9, 9, 5, 5, 1)]


@pytest.mark.parametrize(
    ("labels", "columns", "pairs"),
    [
        (  # a mask is of one class, and a box of its class
            [[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]],
            {"masks": ["m", "", "m", "", "m"], "boxes": BOXES},
            [(0, 0), (1, 1), (2, 0), (2, 1)],
        ),
        (  # several boxes of a class are one pair
            [[0, 1]],
            {"boxes": [(0, 0, 0, 5, 5, 1), (0, 9, 9, 5, 5, 1)]},
            [(0, 1)],
        ),
        (  # unknown labels beside the only true one do not matter
            [[NAN, 1, NAN], [NAN, NAN, NAN]],
            {"masks": ["m", "m"]},
            [(0, 1)],
        ),
        ([[1, 0], [0, 1]], {}, []),
    ],
)
def test_pairs_are_of_boxes_and_of_masks_of_one_class(tmp_path, labels, columns, pairs):
    table = table_of(tmp_path, labels, **columns)
    images, classes = annotated_pairs(table)
    assert list(zip(images.tolist(), classes.tolist(), strict=True)) == pairs
    if not pairs:
        assert localize(None, table, {}) == {}


# Targets


def hits_of(wrapper, table, batch_size=32):
    return localize(wrapper, table, {}, batch_size)["low"].hits.tolist()


def test_a_box_is_the_target_of_its_class_only(tmp_path):
    # The map of class c is hot in column c: a hit if the box of c covers it.
    boxes = [
        (0, 1, 0, 1, 32, 0),  # not over column 0
        (0, 0, 0, 1, 32, 1),  # not over column 1
        (1, 1, 0, 2, 32, 2),  # over columns 1 and 2
    ]
    table = table_of(tmp_path, [[1, 1, 0], [0, 0, 1]], boxes=boxes)
    assert hits_of(Painter(), table) == [0, 0, 1]
    assert hits_of(Painter(), table, batch_size=2) == [0, 0, 1]


def test_a_mask_is_the_target_of_its_images_class_only(tmp_path):
    mask = mask_file(tmp_path / "m.png", slice(None), 0)  # over column 0
    box = [(0, 1, 0, 1, 32, 1), (1, 1, 0, 1, 32, 1)]  # over column 1
    labels = [[1, 0, 0], [1, 1, 0]]
    table = table_of(tmp_path, labels, masks=[mask, mask], boxes=box)
    measured = localize(Painter(), table, {})["low"]
    assert [pair.tolist() for pair in annotated_pairs(table)] == [[0, 0, 1], [0, 1, 1]]
    assert measured.hits.tolist() == [1, 1, 1]
    assert (measured.curves[:, 50] == 1).all()  # each its own column, nothing else


def test_a_mask_wins_over_the_box_of_its_class(tmp_path):
    mask = mask_file(tmp_path / "m.png", slice(None), 0)
    table = table_of(tmp_path, [[1, 0]], masks=[mask], boxes=[(0, 0, 0, 32, 32, 0)])
    assert localize(Painter(2), table, {})["low"].curves[0, 50] == 1


def test_boxes_are_scaled_with_their_images(tmp_path):
    paths = [picture(tmp_path / "big.png", size=(64, 320))]
    boxes = [(0, 0, 0, 10, 64, 0)]  # column 0 of 32
    table = Table(paths, ("a", "b"), np.array([[1, 0]]), boxes=boxes)
    assert localize(Painter(2), table, {})["low"].curves[0, 50] == 1


def test_an_empty_mask_has_no_target(tmp_path):
    mask = mask_file(tmp_path / "m.png", slice(0), 0)
    table = table_of(tmp_path, [[1, 0]], masks=[mask])
    assert np.isnan(hits_of(Painter(2), table)).all()


# Kinds of maps


def test_every_kind_of_map_stands_next_to_its_controls(full, unseen):
    images = np.random.default_rng(0).random((2, *SIZE, 3), dtype="float32")
    classes = np.array([0, 2])
    heat = heat_maps(full, images, classes, {"refined": {}})
    controls = {"low, another class", "high, another class", "high, random weights"}
    controls |= {"refined, gray image as high", "constant centre"}
    assert {"low", "high", "refined"} | controls <= set(heat)
    assert next(iter(heat)) == "low"  # what gains are measured against
    for maps in heat.values():
        assert maps.shape == (2, *SIZE)
        assert maps.min() >= 0
        assert maps.max() <= 1


def test_maps_are_those_of_the_wrapper_for_the_true_class(full):
    images = np.random.default_rng(0).random((2, *SIZE, 3), dtype="float32")
    classes = np.array([0, 2])
    heat = heat_maps(full, images, classes, {})
    other = heat_maps(full, images, (classes + 1) % 3, {})
    expected = [full.heatmaps(images[i], c) for i, c in enumerate(classes)]
    np.testing.assert_allclose(heat["high"], expected, atol=1e-5)
    for name in ("low", "high"):
        control = heat[f"{name}, another class"]
        np.testing.assert_allclose(control, other[name], atol=1e-6)
        assert not np.allclose(heat[name], other[name], atol=0.01)
    name, again = "high, random weights", heat_maps(full, images, classes, {})
    np.testing.assert_array_equal(heat[name], again[name])


def test_a_half_model_has_the_kinds_of_its_low_map(trained):
    half = HalfModel(trained / "half" / "shapes")
    images = np.random.default_rng(0).random((1, *SIZE, 3), dtype="float32")
    heat = heat_maps(half, images, np.array([1]), {"refined": {}})
    assert list(heat) == ["low", "low, another class", "constant centre"]


def test_a_flat_low_map_refines_to_nothing():
    rng = np.random.default_rng(0)
    images = rng.random((2, *SIZE, 3))
    low = np.stack([np.ones((4, 4)), rng.random((4, 4))])
    answer = refine(images, low, rng.random((2, *SIZE)), {})
    assert not answer[0].any()
    assert answer[1].max() == 1


# Over a table


def test_measures_are_those_of_the_heat_maps(full, unseen, shapes):
    measured = localize(full, unseen, {}, batch_size=5)
    images = np.stack([load_image(path, SIZE, 3) for path in unseen.paths])
    masks = np.stack([load_image(path, SIZE, 1)[..., 0] > 0 for path in unseen.masks])
    heat = full.heatmaps(images, size=SIZE)
    heat = heat[np.arange(len(heat)), ..., unseen.class_index]
    high, control = measured["high"], measured["constant centre"]
    np.testing.assert_array_equal(high.hits, point_hits(heat, masks))
    np.testing.assert_allclose(high.curves[:, 30], ious(heat, masks, 0.3), atol=0.02)
    center = np.broadcast_to(center_gaussian(SIZE), heat.shape)
    np.testing.assert_array_equal(control.hits, point_hits(center, masks))


def test_images_are_classified_in_batches_of_any_size(full, unseen):
    reports = [classify(full, unseen, size) for size in (5, 12, 99)]
    assert reports[0]["count"] == 12
    assert reports[0]["confusion"].sum() == 12
    for report in reports[1:]:
        np.testing.assert_array_equal(report["confusion"], reports[0]["confusion"])


def test_multi_label_wrappers_get_the_report_of_known_labels(tmp_path):
    table = table_of(tmp_path, [[1, NAN, 0], [1, 1, 0], [0, NAN, NAN]])
    report = classify(Painter(multi_label=True), table)
    # "a" is answered everywhere: right for two of three; of "b" one known, missed
    assert report["per_class"]["a"]["precision"] == pytest.approx(2 / 3)
    assert report["per_class"]["b"]["recall"] == 0
    assert "confusion" not in report


# Rows


def rows_of(test, val):
    return localization_table(test, val).rows


def curve(best, height=0.8):
    """IoU that peaks at a threshold."""
    return height - np.abs(THRESHOLDS - best)


def test_the_threshold_is_the_best_of_validation_and_not_of_test():
    test = {"low": PairScores(np.array([1.0, 0.0]), np.stack([curve(0.7), curve(0.7)]))}
    val = {"low": PairScores(np.array([1.0]), curve(0.25)[None])}
    (row,) = rows_of(test, val)
    assert (row["threshold"], row["tuned"], row["count"]) == (0.25, True, 2)
    assert row["iou"] == pytest.approx(0.8 - 0.45)
    assert row["point"] == 0.5


def test_every_kind_of_map_has_its_own_threshold():
    hits = np.ones(2)
    test = {
        "low": PairScores(hits, np.stack([curve(0.3), curve(0.3)])),
        "high": PairScores(hits, np.stack([curve(0.6, 0.9), curve(0.6, 0.7)])),
    }
    low, high = rows_of(test, test)
    assert (low["threshold"], high["threshold"]) == (0.3, 0.6)
    assert low["gain"] == 0
    assert high["gain"] == pytest.approx(0)  # 0.9 and 0.7 against 0.8 twice
    assert high["gain_low"] < 0 < high["gain_high"]


def test_without_validation_masks_the_threshold_is_a_half():
    test = {"low": PairScores(np.ones(1), curve(0.7)[None])}
    nothing = PairScores(np.array([NAN]), np.full((1, len(THRESHOLDS)), NAN))
    for val in ({}, {"low": nothing}):
        (row,) = rows_of(test, val)
        assert (row["threshold"], row["tuned"]) == (0.5, False)
        assert row["iou"] == pytest.approx(0.6)


def test_pairs_without_a_target_do_not_count():
    nothing = np.full(len(THRESHOLDS), NAN)
    measured = PairScores(np.array([1.0, NAN]), np.stack([curve(0.4), nothing]))
    (row,) = rows_of({"low": measured}, {"low": measured})
    assert (row["count"], row["point"], row["threshold"]) == (1, 1, 0.4)
    assert row["iou"] == pytest.approx(0.8)


def test_numbers_of_a_row_lie_in_their_intervals():
    rng = np.random.default_rng(0)
    hits = rng.integers(0, 2, 30).astype(float)
    measured = PairScores(hits, rng.random((30, len(THRESHOLDS))))
    (row,) = rows_of({"low": measured}, {})
    for key in ("point", "iou", "gain"):
        assert row[f"{key}_low"] <= row[key] <= row[f"{key}_high"]
    assert all(type(v) in (str, float, int, bool) for v in row.values())


def test_published_refinement_is_among_the_measured_ones():
    assert REFINEMENTS["refined"] == {}
