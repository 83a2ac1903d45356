"""Comparison of explanations: AOPC and POMPOM of the right images."""

import json
import types

import numpy as np
import pytest
from PIL import Image

from kerasloc.data import load_image, read_folders
from kerasloc.evaluation.compare import (
    ExplanationScores,
    compare_explanations,
    explanation_table,
    explanations_of,
    write_comparison,
)
from kerasloc.evaluation.configs import EXPLANATIONS, ExplanationComparison
from kerasloc.io import read_csv as read
from kerasloc.metrics import (
    AopcConfig,
    aopc,
    interval,
    morf_curves,
    paired_difference,
    pompom,
    resize_maps,
)


class Model:
    """A wrapper whose classes are the brightness of three stripes."""

    config = types.SimpleNamespace(im_size=(32, 32), channels=3)

    def predict_proba(self, images, squeeze=True):
        stripes = [images[:, :, start : start + 10] for start in (0, 10, 20)]
        chance = np.stack([stripe.mean(axis=(1, 2, 3)) for stripe in stripes], axis=1)
        return chance / chance.sum(axis=1, keepdims=True)

    def heatmaps(self, images, classes, squeeze=True):
        heat = np.zeros((len(images), 32, 32, len(classes)), np.float32)
        for place, index in enumerate(classes):
            heat[:, :, 10 * index : 10 * index + 10, place] = 1
        return heat

    def low_res_cam(self, images, classes, squeeze=True):
        maps = np.full((len(images), 4, 4), -2.0)
        maps[np.arange(len(images)), :, np.asarray(classes) + 1] = 7
        return maps


class GradientModel(Model):
    def grad_cam(self, images, classes, squeeze=True):
        return np.zeros((len(images), 2, 2))


@pytest.fixture(scope="module")
def unseen(shapes):
    return read_folders(shapes).split("test")


@pytest.fixture
def images(unseen):
    return np.stack([load_image(path, (32, 32), 3) for path in unseen.paths])


def config(**options):
    settings = AopcConfig(grid=4, steps=3, perturbation="black")
    return ExplanationComparison(aopc=settings, batch_size=5, **options)


def masks_of(table):
    return np.stack([np.array(Image.open(path)) > 0 for path in table.masks])


def test_methods_are_measured_on_the_true_class_of_every_image(unseen, images):
    found = compare_explanations(Model(), unseen, config(of="true"))
    assert list(found) == ["high", "low", "random", "center"]
    model, classes, settings = Model(), unseen.class_index, config().aopc
    heat = model.heatmaps(images, range(3))[np.arange(12), :, :, classes]
    low = model.low_res_cam(images, classes)
    for name, maps in (("high", heat), ("low", low)):
        expected = morf_curves(model.predict_proba, images, maps, settings, classes)
        np.testing.assert_allclose(found[name].curves, expected, rtol=1e-5)
    masks = masks_of(unseen)
    np.testing.assert_allclose(found["high"].pompom, pompom(heat, masks))
    # of raw maps what is above 0 is marked
    marked = (resize_maps(low, 32) > 0).astype(float)
    np.testing.assert_allclose(found["low"].pompom, pompom(marked, masks))
    np.testing.assert_allclose(found["center"].pompom, 1, atol=1e-6)


def test_the_likeliest_class_has_a_target_where_the_image_has_it(unseen, images):
    found = compare_explanations(Model(), unseen, config(methods=("high",)))
    likeliest = Model().predict_proba(images).argmax(axis=1)
    chances = Model().predict_proba(images).max(axis=1)
    np.testing.assert_allclose(found["high"].curves[:, 0], chances, rtol=1e-5)
    has = likeliest == unseen.class_index
    assert 0 < has.sum() < 12
    np.testing.assert_array_equal(np.isfinite(found["high"].pompom), has)


def test_random_orders_are_seeded_and_of_their_own(unseen):
    def curves(seed):
        settings = AopcConfig(grid=4, steps=5, perturbation="black", seed=seed)
        how = ExplanationComparison(("random",), aopc=settings, batch_size=5)
        return compare_explanations(Model(), unseen, how)["random"].curves

    np.testing.assert_array_equal(curves(0), curves(0))
    assert (curves(0) != curves(1)).any()


def test_gradcam_is_for_models_that_have_it(unseen):
    assert explanations_of(GradientModel()) == EXPLANATIONS
    found = compare_explanations(GradientModel(), unseen, config(methods=("gradcam",)))
    assert not np.nan_to_num(found["gradcam"].pompom).any()
    with pytest.raises(ValueError, match="gradcam for Model"):
        compare_explanations(Model(), unseen, config(methods=("high", "gradcam")))


@pytest.fixture
def found():
    rng = np.random.default_rng(0)
    none = np.full(8, np.nan)
    return {
        "high": ExplanationScores(rng.random((8, 4)), np.append(none[1:], 0.25)),
        "random": ExplanationScores(rng.random((8, 4)), none),
    }


def test_rows_have_intervals_and_the_difference_to_the_random_order(found):
    high, chance = explanation_table(found).rows
    first, second = (aopc(score.curves) for score in found.values())
    names = [f"aopc{end}" for end in ("", "_low", "_high")]
    assert [high[name] for name in names] == pytest.approx(interval(first))
    names = [f"over_random{end}" for end in ("", "_low", "_high")]
    expected = paired_difference(first, second)
    assert [high[name] for name in names] == pytest.approx(expected)
    assert [chance[name] for name in names] == [0, 0, 0]
    assert (high["images"], high["targets"], high["pompom"]) == (8, 1, 0.25)
    assert (chance["targets"], np.isnan(chance["pompom"])) == (0, True)


def test_every_model_is_compared_with_its_own_random_order(found):
    names = {"a/1: high": "high", "a/1: random": "random", "b/2: high": "high"}
    table = explanation_table({name: found[key] for name, key in names.items()}).rows
    assert table[0]["over_random"] == explanation_table(found).rows[0]["over_random"]
    assert np.isnan(table[2]["over_random"])


def test_columns_without_numbers_are_left_out(found):
    only = {"high": ExplanationScores(found["high"].curves, np.full(8, np.nan))}
    (row,) = explanation_table(only).rows
    assert list(row) == ["method", "images", "aopc", "aopc_low", "aopc_high"]


def test_tables_and_curves_are_written(found, tmp_path):
    target = tmp_path / "new" / "comparison"
    table = write_comparison(target, found, {"split": "test"})
    names = ["comparison.csv", "comparison.json", "morf.png"]
    assert sorted(path.name for path in target.iterdir()) == names
    lines = read(target / "comparison.csv")
    assert [line["method"] for line in lines] == ["high", "random"]
    assert float(lines[0]["aopc"]) == table.rows[0]["aopc"]
    content = json.loads((target / "comparison.json").read_text())
    assert content["split"] == "test"
    assert content["rows"][1]["pompom"] is None
    means = found["high"].curves.mean(axis=0)
    assert content["curves"]["high"]["mean"] == pytest.approx(means)
    expected = pytest.approx(aopc(found["high"].curves))
    assert content["images"]["high"]["aopc"] == expected
