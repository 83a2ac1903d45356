"""PxAP, and the energy of maps in boxes."""

import re

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from kerasloc.metrics import energy_in_boxes, pompom, pxap, resize_maps

NAN = np.nan
SIZE = (8, 10)
LARGE = (200, 250)  # two masks in a chunk


def draw(size):
    """Maps and masks of 5 images and 3 classes; the last class has no mask."""
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((5, *size, 3)).astype(np.float32)
    masks = rng.random((5, *size, 3)) < 0.3
    masks[..., 2] = False
    masks[1, ..., 0] = False
    masks[3] = False
    return maps, masks


@pytest.fixture
def random():
    return draw(SIZE)


def scaled(maps):
    low, high = (f(axis=(0, 1), keepdims=True) for f in (maps.min, maps.max))
    return (maps - low) / (high - low)


def pixels(maps, masks, classes, ignore=None):
    """Scores and truth of all pixels of images with a mask of these classes."""
    scores, truth = [], []
    for image, index in np.ndindex(len(maps), maps.shape[-1]):
        used = slice(None) if ignore is None else ~ignore[image, ..., index]
        mask = masks[image, ..., index][used].ravel()
        if index in classes and mask.any():
            scores.append(scaled(maps[image, ..., index])[used].ravel())
            truth.append(mask)
    return np.concatenate(truth), np.concatenate(scores)


def test_a_perfect_map_has_1(random):
    _, masks = random
    report = pxap(5.0 * masks - 2, masks)
    assert report["pooled"] == report["macro"] == 1
    np.testing.assert_array_equal(report["per_class"], [1, 1, NAN])
    assert report["count"].tolist() == [3, 4, 0]
    assert report["classes_counted"] == 2
    np.testing.assert_array_equal(report["intervals"]["pooled"], [1, 1])


def test_a_constant_map_has_the_share_of_the_masks(random):
    report = pxap(np.full(random[1].shape, 7.0), random[1])
    truth, _ = pixels(*random, (0, 1))
    assert report["pooled"] == pytest.approx(truth.mean())
    # It is predicted at threshold 0 only.
    assert np.isnan(report["curve"]["precision"][1:]).all()
    assert report["curve"]["recall"][:2].tolist() == [1, 0]


def test_steps_of_precision_by_recall_can_be_added_by_hand():
    report = pxap([[[1.0, 0.5, 0.25, 0.0]]], np.array([[[True, False, True, False]]]))
    assert report["pooled"] == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    curve = report["curve"]
    assert curve["thresholds"][[0, 1000]].tolist() == [0, 1]
    # At 0.5 a pixel of score 0.5 is predicted, just above not.
    precision = curve["precision"][[0, 250, 500, 501]]
    np.testing.assert_allclose(precision, [0.5, 2 / 3, 0.5, 1])
    np.testing.assert_allclose(curve["recall"][[0, 250, 251, 1000]], [1, 1, 0.5, 0.5])


def test_agrees_with_sklearn_in_chunks():
    random = draw(LARGE)
    report = pxap(*random)
    for index in range(2):
        expected = average_precision_score(*pixels(*random, (index,)))
        assert report["per_class"][index] == pytest.approx(expected, abs=2e-3)
    expected = average_precision_score(*pixels(*random, (0, 1)))
    assert report["pooled"] == pytest.approx(expected, abs=2e-3)
    assert report["macro"] == pytest.approx(report["per_class"][:2].mean())


def test_maps_are_resized_to_the_masks_before_they_are_scaled(random):
    maps, masks = random
    small = maps[:, :3, :4]
    large = np.moveaxis(resize_maps(np.moveaxis(small, -1, 1), SIZE), 1, -1)
    first, second, scaled = (pxap(m, masks) for m in (small, large, 3 * small + 1))
    assert first["pooled"] == second["pooled"]
    assert scaled["pooled"] == pytest.approx(first["pooled"], abs=1e-3)


def test_ignored_pixels_are_not_counted(random):
    maps, masks = random
    ignore = np.random.default_rng(1).random(masks.shape) < 0.4
    ignore[0, ..., 1] = masks[0, ..., 1]  # nothing is left of this mask
    report = pxap(maps, masks, ignore)
    assert report["count"].tolist() == [3, 3, 0]
    expected = average_precision_score(*pixels(maps, masks, (0, 1), ignore))
    assert report["pooled"] == pytest.approx(expected, abs=2e-3)
    assert report["pooled"] != pxap(maps, masks)["pooled"]
    # The mask of ignored pixels makes no difference.
    assert pxap(maps, masks & ~ignore, ignore)["pooled"] == report["pooled"]


def test_an_ignored_rim_forgives_a_map_that_is_too_wide():
    maps, mask, ignore = np.zeros((3, 1, 8, 8))
    mask[0, 3:5, 3:5] = 1
    maps[0, 2:6, 2:6] = 1
    ignore[0, 2:6, 2:6] = 1
    ignore -= mask
    assert pxap(maps, mask > 0)["pooled"] == 0.25
    assert pxap(maps, mask > 0, ignore > 0)["pooled"] == 1


def test_one_class_needs_no_axis(random):
    maps, masks = (stack[..., 0] for stack in random)
    expected = pxap(maps[..., None], masks[..., None])
    report = pxap(maps, masks, np.zeros_like(masks))
    assert report["pooled"] == expected["pooled"] == report["macro"]
    np.testing.assert_array_equal(report["per_class"], expected["per_class"])


def test_intervals_are_of_draws_of_images(random):
    first, again, changed = (pxap(*random, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_equal(first, again)
    for name in ("pooled", "macro", "per_class"):
        low, high = np.moveaxis(first["intervals"][name], -1, 0)
        value = np.asarray(first[name])
        assert ((low < value) & (value < high) | np.isnan(value)).all()
    # Draws of 4 images end at the same ones, except for the mean of the classes.
    assert (first["intervals"]["macro"] != changed["intervals"]["macro"]).any()
    maps, masks = (stack[:1] for stack in random)  # a single image has no interval
    alone = pxap(maps, masks)
    np.testing.assert_allclose(alone["intervals"]["pooled"], [alone["pooled"]] * 2)


@pytest.mark.parametrize("count", [0, 2])
def test_without_masks_all_is_nan(count):
    report = pxap(np.zeros((count, 4, 4, 3)), np.zeros((count, 8, 8, 3), bool))
    assert np.isnan([report["pooled"], report["macro"], *report["per_class"]]).all()
    assert np.isnan(report["intervals"]["per_class"]).all()
    assert np.isnan(report["curve"]["recall"]).all()
    assert report["count"].tolist() == [0, 0, 0]


def test_maps_with_a_mask_are_finite(random):
    maps, masks = random
    maps[3, 0, 0] = NAN  # no mask there
    assert pxap(maps, masks)["pooled"] > 0
    maps[4, 0, 0, 1] = np.inf
    with pytest.raises(ValueError, match=r"infinite values on image 4, class 1"):
        pxap(maps, masks)


def test_the_energy_of_a_uniform_map_is_the_share_of_the_boxes():
    boxes = [[0, 0, 0, 5, 4, 0], [0, 3, 2, 5, 4, 0], [1, 2, 2, 2, 2, 0]]
    report = energy_in_boxes(np.full((2, 3, 3, 1), 0.3), boxes, SIZE)
    np.testing.assert_allclose(report["values"], [36 / 80, 4 / 80])  # of the union
    assert report["weighted"] == pytest.approx(20 / 80)
    assert report["count"].tolist() == [2]
    assert report["pairs"].tolist() == [[0, 0], [1, 0]]


def test_energy_is_the_share_of_what_is_above_0():
    maps = np.full((1, *SIZE, 2), -50.0)
    maps[0, 2, 3] = 3
    maps[0, 6, 8] = [1, 0]
    boxes = [[0, 3, 2, 1, 1, 0], [0, 0, 0, 4, 2, 1]]
    report = energy_in_boxes(maps, boxes, SIZE)
    np.testing.assert_array_equal(report["values"], [0.75, 0])
    np.testing.assert_array_equal(report["per_class"], [0.75, 0])
    inside = energy_in_boxes(maps, [[0, 3, 2, 1, 1, 1]], SIZE)
    assert inside["weighted"] == 1
    negative = energy_in_boxes(-np.ones((1, 4, 4, 1)), [[0, 0, 0, 5, 5, 0]], SIZE)
    assert negative["weighted"] == 0


def test_energy_is_that_of_the_resized_map_in_chunks():
    maps = np.random.default_rng(0).random((4, 3, 4, 1)).astype(np.float32) - 0.3
    boxes = [[image, 25, 50, 100, 75, 0] for image in range(4)]
    heat = resize_maps(maps[..., 0], LARGE).clip(0).astype(float)
    expected = heat[:, 50:125, 25:125].sum(axis=(1, 2)) / heat.sum(axis=(1, 2))
    reports = [energy_in_boxes(maps, boxes, LARGE, seed=seed) for seed in (1, 1, 2)]
    np.testing.assert_allclose(reports[0]["values"], expected, rtol=1e-6)
    first, again, changed = (report["intervals"]["weighted"] for report in reports)
    np.testing.assert_array_equal(first, again)
    assert (first != changed).any()
    assert first[0] < reports[0]["weighted"] < first[1]


def test_pompom_agrees_with_the_published_share(goldens):
    golden = goldens["pompom"]
    shares = pompom(golden["explanation"], golden["expl_mask"] > 0)
    np.testing.assert_allclose(shares, golden["pompom"], rtol=0, atol=1e-12)


def test_pompom_is_counted_and_without_a_target_nan_unless_with_empty():
    explanation = [[[1, 0.5, 0], [1e-7, 1, 0]]]
    mask = [[[True, False, False], [False, False, False]]]
    assert pompom(explanation, mask) == pytest.approx([2 / 5], abs=1e-6)
    maps = np.zeros((2, 2, 2))
    maps[:, 0, 0] = 1
    masks = np.stack([np.zeros((2, 2), bool), np.ones((2, 2), bool)])
    np.testing.assert_array_equal(pompom(maps, masks), [np.nan, 0])
    shares = pompom(maps, masks, with_empty=True)
    np.testing.assert_allclose(shares, [0.25, 0], atol=1e-6)


@pytest.mark.parametrize(("value", "range"), [(1.5, "0 to 1.5"), (-0.5, "-0.5 to 0")])
def test_explanations_outside_of_the_unit_range_are_refused(value, range):
    with pytest.raises(ValueError, match=f"explanations.*from {re.escape(range)}"):
        pompom(np.full((1, 2, 2), value), np.zeros((1, 2, 2), bool))


@pytest.mark.parametrize(
    ("maps", "masks"),
    [
        ((2, 4, 4), (2, 4, 4, 1)),
        ((2, 4, 4, 3), (2, 8, 8, 2)),
        ((2, 4, 4), (3, 4, 4)),
        ((2, 0, 4), (2, 4, 4)),
        ((4, 4), (4, 4)),
    ],
)
def test_maps_and_masks_that_do_not_fit_have_no_pxap(maps, masks):
    with pytest.raises(ValueError, match=re.escape(f"{maps} and {masks}")):
        pxap(np.zeros(maps), np.zeros(masks, bool))


def test_masks_and_ignored_pixels_are_boolean_and_of_the_same_shape():
    maps, masks = np.zeros((2, 4, 4)), np.zeros((2, 4, 4), bool)
    with pytest.raises(ValueError, match=r"ignore.*\(1, 4, 4\) and \(2, 4, 4\)"):
        pxap(maps, masks, masks[:1])
    for stacks, name in (((maps, maps), "masks"), ((maps, masks, maps), "ignore")):
        with pytest.raises(TypeError, match=f"{name} of float64"):
            pxap(*stacks)
