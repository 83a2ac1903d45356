"""Comparison of methods of class activation: metrics, tables, pictures."""

import dataclasses
import json
import types

import keras
import numpy as np
import pytest
from keras import layers

from kerasloc.data import read_folders
from kerasloc.evaluation.compare_cams import (
    compare_cams,
    maps_of,
    methods_of,
    write_cams,
)
from kerasloc.evaluation.configs import CAMS, CamComparison
from kerasloc.evaluation.samples import read_boxed_images
from kerasloc.io import read_csv
from kerasloc.metrics import (
    AopcConfig,
    aopc,
    center_gaussian,
    max_box_acc_v2,
    morf_curves,
    point_localization,
    pxap,
)

QUICK = CamComparison(
    ("own", "gradcam", "center"), aopc=AopcConfig(grid=4, steps=3), aopc_images=4
)


class Model:
    """A wrapper of a small network, whose own map of a class is a column."""

    def __init__(self):
        keras.utils.set_random_seed(0)
        image = keras.Input((32, 32, 3))
        x = layers.Conv2D(6, 5, strides=4, activation="relu", name="last")(image)
        x = layers.Dense(3, name="out")(layers.GlobalAveragePooling2D()(x))
        self.model = keras.Model(image, {"logits": x})
        names = ("a", "b", "c")
        self.config = types.SimpleNamespace(
            im_size=(32, 32), channels=3, class_names=names, num_classes=3
        )
        self.calls = 0

    def prepare(self, x):
        return np.asarray(x, np.float32)

    def predict_proba(self, images, squeeze=True):
        logits = np.asarray(self.model.predict_on_batch(images)["logits"])
        powers = np.exp(logits)
        return powers / powers.sum(axis=1, keepdims=True)

    def heatmaps(self, images, classes, squeeze=True):
        self.calls += 1
        heat = np.zeros((len(images), 32, 32, len(classes)), np.float32)
        for place, index in enumerate(classes):
            heat[:, :, 10 * index : 10 * index + 10, place] = 1
        return heat


@pytest.fixture(scope="module")
def model():
    return Model()


@pytest.fixture(scope="module")
def table(shapes):
    return read_folders(shapes).split("test")


@pytest.fixture(scope="module")
def samples(model, table):
    return read_boxed_images(model.config, table, batch_size=5)


@pytest.fixture(scope="module")
def found(model, samples):
    return compare_cams(model, samples, QUICK)


def test_images_come_with_their_boxes_and_classes(samples, table):
    assert samples.images.shape == (12, 32, 32, 3)
    np.testing.assert_allclose(samples.boxes, table.boxes, atol=1e-4)
    assert samples.classes == [[int(row.argmax())] for row in table.labels]
    image, x, y, w, h, index = (int(value) for value in samples.boxes[3])
    mask = samples.masks[image, :, :, index]
    assert mask[y : y + h, x : x + w].all()
    assert mask.sum() == w * h


def test_maps_are_of_the_classes_that_each_image_has(model, samples):
    maps, seconds = maps_of(methods_of(model, QUICK)["own"], samples, batch_size=5)
    for image, own in enumerate(samples.classes):
        expected = model.heatmaps(samples.images[:1], own)[0]
        np.testing.assert_array_equal(maps[image][:, :, own], expected)
        others = [index for index in range(3) if index not in own]
        assert not maps[image][:, :, others].any()
    assert seconds > 0


def test_images_may_have_different_numbers_of_classes(model, samples):
    method = methods_of(model, QUICK)["own"]
    lists = [[0], [2, 1], [], *samples.classes[3:]]
    maps, _ = maps_of(method, dataclasses.replace(samples, classes=lists), 5)
    assert maps[0, :, 0:10, 0].all()
    assert maps[1, :, 20:30, 2].all()
    assert maps[1, :, 10:20, 1].all()
    assert not maps[1, :, :, 0].any()
    assert not maps[2].any()


def test_estimates_are_those_of_the_metrics(model, samples, found):
    maps, _ = maps_of(methods_of(model, QUICK)["own"], samples, 8)
    point = point_localization(maps, samples.boxes, 32)
    boxed = max_box_acc_v2(maps, samples.boxes, 32)
    own = found["own"]
    assert own.estimates["point"].value == pytest.approx(point["weighted"])
    bounds = own.estimates["point"].low, own.estimates["point"].high
    assert bounds == pytest.approx(tuple(point["intervals"]["weighted"]))
    assert own.estimates["max_box_acc_v2"].value == pytest.approx(boxed["weighted"])
    assert own.estimates["pxap"].value == pytest.approx(
        pxap(maps, samples.masks)["pooled"]
    )
    np.testing.assert_array_equal(own.threshold, boxed["threshold"])
    assert own.pairs == len(samples.boxes) == 12


def test_the_maximum_of_saturated_heat_is_that_of_the_raw_maps(samples):
    class Saturated(Model):
        outputs = frozenset({"logits", "maps"})

        def maps(self, images, squeeze=True):
            """Highest in the middle, by less than a probability tells."""
            answer = np.full((len(images), 8, 8, 3), 90.0)
            answer[:, 4, 4] += 1
            return answer

        def heatmaps(self, images, classes, squeeze=True):
            return np.ones((len(images), 32, 32, len(classes)), np.float32)

    model = Saturated()
    found = compare_cams(model, samples, CamComparison(("own",), aopc_images=0))["own"]
    raw = model.maps(samples.images)
    expected = point_localization(raw, samples.boxes, 32)["weighted"]
    flat = np.ones((len(raw), 32, 32, 3))
    assert expected != point_localization(flat, samples.boxes, 32)["weighted"]
    assert found.estimates["point"].value == pytest.approx(expected)


def test_aopc_is_of_drawn_images_one_class_of_each(model, samples, found):
    places, classes = samples.draw(4)
    relevance = model.heatmaps(samples.images[places], [0, 1, 2])
    curves = morf_curves(
        model.predict_proba,
        samples.images[places],
        relevance[np.arange(4), :, :, classes],
        QUICK.aopc,
        classes,
    )
    assert found["own"].estimates["aopc"].value == pytest.approx(aopc(curves).mean())
    assert found["own"].aopc_images == 4


def test_images_are_spread_over_the_classes(samples):
    places, classes = samples.draw(4)
    assert len(set(places)) == 4
    assert set(classes) == {0, 1, 2}  # folders are in the order of the classes
    for place, index in zip(places, classes, strict=True):
        assert len(samples.boxes_of(place, index)) == 1
    np.testing.assert_array_equal(samples.draw(4)[0], places)
    assert any(samples.draw(4, seed)[0].tolist() != places.tolist() for seed in (1, 2))
    assert sorted(samples.draw(99)[0]) == list(range(12))
    boxed = dataclasses.replace(samples, boxes=samples.boxes[3:5])
    assert sorted(boxed.draw(99)[0]) == [3, 4]


def test_a_seed_decides_the_images_of_aopc_and_the_intervals(model, samples, found):
    other = compare_cams(model, samples, dataclasses.replace(QUICK, seed=5))["own"]
    mine = found["own"].estimates
    assert other.estimates["energy"].value == mine["energy"].value
    assert other.estimates["energy"] != mine["energy"]
    assert other.estimates["aopc"] != mine["aopc"]


def test_empty_maps_are_counted(model, samples, found):
    assert found["own"].empty == 0

    class Blind(Model):
        def heatmaps(self, images, classes, squeeze=True):
            return np.zeros((len(images), 32, 32, len(classes)), np.float32)

    config = CamComparison(("own",), aopc_images=0)
    assert compare_cams(Blind(), samples, config)["own"].empty == 12


def test_the_only_batch_is_not_timed_while_it_compiles(samples):
    calls = []

    def method(images, lists):
        calls.append(len(images))
        return np.zeros((*images.shape[:3], len(lists[0])))

    maps_of(method, samples, 99)
    assert calls == [12, 12]


def test_without_images_for_aopc_there_is_none(model, samples):
    config = CamComparison(("center",), aopc_images=0)
    scores = compare_cams(model, samples, config)["center"]
    assert np.isnan(scores.estimates["aopc"].value)


def test_the_control_is_a_gaussian_at_the_center(found, samples):
    for heat in found["center"].maps:
        np.testing.assert_array_equal(heat, center_gaussian(32))


def test_thresholds_can_come_from_other_images(model, samples):
    first = dataclasses.replace(
        samples,
        images=samples.images[:6],
        boxes=samples.boxes[samples.boxes[:, 0] < 6],
        classes=samples.classes[:6],
    )
    config = CamComparison(("gradcam",), aopc_images=0)
    tuned = compare_cams(model, samples, config, first)["gradcam"]
    on_others = compare_cams(model, first, config)["gradcam"].threshold
    np.testing.assert_array_equal(tuned.threshold, on_others)
    best = compare_cams(model, samples, config)["gradcam"].estimates
    name = "max_box_acc_v2"
    assert tuned.estimates[name].value <= best[name].value


def test_all_methods_of_a_model_are_compared(model):
    assert set(methods_of(model, CamComparison())) == set(CAMS)


def test_files_have_the_scores(found, samples, tmp_path):
    table = write_cams(tmp_path, found, samples, {"split": "test"})
    assert [row["method"] for row in table.rows] == ["own", "gradcam", "center"]
    first = read_csv(tmp_path / "cams.csv")[0]
    assert float(first["point"]) == pytest.approx(found["own"].estimates["point"].value)
    written = json.loads((tmp_path / "cams.json").read_text())
    assert written["split"] == "test"
    assert len(written["max_box_acc_v2_thresholds"]["gradcam"]) == 3
    for name in ("cams.png", "maps.png"):
        assert (tmp_path / name).stat().st_size > 5000
    shown = str(table)
    assert "MaxBoxAccV2" in shown
    assert "center" in shown


def test_the_page_has_the_same_images_of_all_and_the_control_once(
    found, samples, tmp_path, monkeypatch, caplog
):
    drawn = {}

    def page(images, boxes, maps, names):
        drawn.update(images=images, boxes=boxes, maps=maps, names=names)
        return types.SimpleNamespace(savefig=lambda path, **_: path.touch())

    monkeypatch.setattr("kerasloc.plotting.method_page", page)
    other = dataclasses.replace(found["own"], images=1 - found["own"].images)
    several = {f"{name}: {key}": one for name in "ab" for key, one in found.items()}
    with caplog.at_level("INFO"):
        write_cams(tmp_path, several | {"c: own": other}, samples, {})
    assert "not on the page of maps: c: own" in caplog.text
    names = ["a: own", "a: gradcam", "center", "b: own", "b: gradcam"]
    assert list(drawn["maps"]) == names
    places, classes = samples.draw(6)
    np.testing.assert_array_equal(drawn["images"], samples.images[places])
    assert drawn["names"] == [samples.class_names[index] for index in classes]
    np.testing.assert_array_equal(
        drawn["boxes"][0], samples.boxes[samples.boxes[:, 0] == places[0], 1:5]
    )


def test_images_without_boxes_are_refused(model, table):
    bare = dataclasses.replace(table, boxes=np.zeros((0, 6), np.float32))
    with pytest.raises(ValueError, match=r"boxes.*12 images"):
        read_boxed_images(model.config, bare)
