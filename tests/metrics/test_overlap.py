"""IoU of heat maps with masks, TIoU and TIoR of attention with boxes."""

import pathlib
import re

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from kerasloc.boxes import to_mask
from kerasloc.metrics import (
    attention_overlaps,
    best_threshold,
    interval,
    iou_curve,
    ious,
    overlap_accuracy,
    tior,
    tiou,
)
from kerasloc.metrics.overlap import TIOR, TIOU

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
NAN = np.nan
BOTH = [(tiou, "tiou", TIOU), (tior, "tior", TIOR)]
HEAT = np.array([[[0.1, 0.4], [0.6, 0.9]]])
MASK = np.array([[[False, True], [False, True]]])


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDENS / "metrics_tiou.npz")


@pytest.fixture
def pairs():
    """Heat maps and masks of 6 images, two in a chunk."""
    rng = np.random.default_rng(0)
    heat = rng.integers(0, 11, (6, 250, 260)) / 10
    return heat, rng.random((6, 250, 260)) > 0.6


def test_iou_counts_pixels_above_the_threshold():
    # predicted 4, 3, 3, 1, 0 of the pixels; of the mask's two 2, 2, 2, 1, 0
    curve = iou_curve(HEAT, MASK, [0, 0.1, 0.39, 0.6, 0.9])
    np.testing.assert_allclose(curve, [[2 / 4, 2 / 3, 2 / 3, 1 / 2, 0]])


def test_a_box_on_itself_has_one():
    mask = to_mask([[2, 1, 3, 4]], (8, 8))
    np.testing.assert_array_equal(ious(mask[None], mask[None], 0.5), [1])


def test_agrees_with_scikit_learn_in_chunks(pairs):
    heat, masks = pairs
    thresholds = [0.55, 0.0, 0.3, 0.9, 0.7]  # unordered, and some equal to the heat
    expected = [
        [
            jaccard_score(mask.ravel(), (one > threshold).ravel(), zero_division=0)
            for threshold in thresholds
        ]
        for one, mask in zip(heat, masks, strict=True)
    ]
    np.testing.assert_allclose(iou_curve(heat, masks, thresholds), expected)
    np.testing.assert_allclose(ious(heat, masks, 0.3), np.array(expected)[:, 2])


def test_heat_equal_to_the_threshold_is_not_above_it_in_single_precision():
    heat = np.full((1, 2, 2), 0.1, np.float32)
    np.testing.assert_array_equal(ious(heat, np.ones((1, 2, 2), bool), 0.1), [0])


def test_agrees_with_the_published_shares_of_images():
    # attended areas and box masks of 40 images; the last class has no box: published
    # as 0, here NaN
    golden = np.load(GOLDENS / "metrics_tiou.npz")
    attention, masks = golden["attention"], golden["box_masks"]
    size = attention.shape[-2:]
    values = ious(attention.reshape(-1, *size), masks.reshape(-1, *size), 0.999)
    values = values.reshape(attention.shape[:2])
    assert np.isnan(values[:, 4]).all()
    reached = values[..., None] >= np.arange(1, 8) / 10
    counts = (~np.isnan(values)).sum(axis=0)
    shares = reached.sum(axis=0)[:4] / counts[:4, None]
    np.testing.assert_allclose(shares, golden["tiou"][:4])


def test_an_empty_mask_has_nan_and_an_empty_answer_0():
    heat = np.stack([np.ones((3, 3)), np.zeros((3, 3))])
    masks = np.stack([np.zeros((3, 3), bool), np.ones((3, 3), bool)])
    np.testing.assert_array_equal(ious(heat, masks, 0.5), [np.nan, 0])


def test_the_best_threshold_has_the_highest_mean(pairs):
    heat, masks = pairs
    thresholds = [0.9, 0.05, 0.45]
    means = [ious(heat, masks, threshold).mean() for threshold in thresholds]
    assert best_threshold(heat, masks, thresholds) == thresholds[np.argmax(means)]


def test_the_best_threshold_separates_what_can_be_separated():
    heat = np.where(MASK, 0.63, 0.31)
    assert best_threshold(heat, MASK) == 0.31


def test_images_without_a_mask_do_not_move_the_best_threshold():
    heat = np.concatenate([HEAT, 1 - HEAT])
    masks = np.concatenate([MASK, np.zeros_like(MASK)])
    assert best_threshold(heat, masks) == best_threshold(HEAT, MASK)


def test_no_images_give_no_values():
    none = np.zeros((0, 4, 4))
    assert iou_curve(none, none.astype(bool), [0.1, 0.2]).shape == (0, 2)


def test_maps_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"same size.*\(2, 2\) and \(4, 4\)"):
        ious(HEAT, np.ones((1, 4, 4), bool), 0.5)


def test_a_threshold_needs_a_mask():
    with pytest.raises(ValueError, match="1 images with empty masks"):
        best_threshold(HEAT, np.zeros_like(MASK))


@pytest.fixture(scope="module")
def published(golden):
    """Attention and masks (image, rows, cols, class); the last class has no box."""
    names = ("attention", "box_masks")
    return tuple(golden[name].transpose(0, 2, 3, 1) for name in names)


@pytest.fixture
def random():
    """Ten images, four classes; some masks and some attention are empty."""
    rng = np.random.default_rng(0)
    attention, masks = rng.random((2, 10, 6, 5, 4)) < 0.5
    attention[:3, ..., 0] = False
    attention[4] = False
    masks[..., 3] = False
    masks[5:8, ..., 1] = False
    return attention, masks


def overlaps_by_hand(attention, masks):
    """IoU and share inside of every image and class, (2, n, classes)."""
    overlaps = np.full((2, len(masks), masks.shape[-1]), NAN)
    for image, index in np.ndindex(overlaps.shape[1:]):
        attended, boxed = attention[image, ..., index], masks[image, ..., index]
        if boxed.any():
            both = (attended & boxed).sum()
            overlaps[0, image, index] = both / (attended | boxed).sum()
            overlaps[1, image, index] = both / attended.sum() if attended.any() else 0
    return overlaps


@pytest.mark.parametrize(("metric", "name", "thresholds"), BOTH)
def test_shares_are_the_published_ones(golden, published, metric, name, thresholds):
    report = metric(*published)
    expected = golden[name].T  # (thresholds, classes)
    assert report["per_class"].shape == (len(thresholds), 5)
    np.testing.assert_allclose(report["per_class"][:, :4], expected[:, :4], atol=1e-12)
    np.testing.assert_array_equal(report["count"], golden["t_counts"])
    # Published as 0 for the class without a box, and counted in the mean; not here.
    assert (expected[:, 4] == 0).all()
    assert np.isnan(report["per_class"][:, 4]).all()
    assert report["classes_counted"] == 4
    assert report["mean"] == pytest.approx(expected.mean() * 5 / 4, abs=1e-12)


@pytest.mark.parametrize(("metric", "name", "_"), BOTH)
def test_averages_are_those_of_what_is_defined(published, metric, name, _):
    report = metric(*published)
    values, count = report["per_class"][:, :4], report["count"][:4]
    np.testing.assert_allclose(report["macro"], values.mean(axis=1))
    np.testing.assert_allclose(report["weighted"], values @ count / count.sum())
    np.testing.assert_allclose(report["mean_per_class"][:4], values.mean(axis=0))
    assert np.isnan(report["mean_per_class"][4])
    assert type(report["mean"]) is float
    assert report["mean"] == pytest.approx(report["macro"].mean(), abs=1e-12)


def test_overlaps_agree_with_a_loop_in_chunks(random):
    expected = overlaps_by_hand(*random)
    np.testing.assert_array_equal(attention_overlaps(*random), expected)
    large = [stack.repeat(30, axis=1).repeat(30, axis=2) for stack in random]
    np.testing.assert_array_equal(attention_overlaps(*large), expected)
    assert np.isnan(expected[:, 5:8, 1]).all()
    assert np.isnan(expected[..., 3]).all()
    assert (expected[:, 4, :3] == 0).all()


def test_more_than_a_byte_of_pixels_is_counted():
    full = np.ones((1, 300, 300, 1), bool)
    half = full & (np.arange(300) < 150)[:, None]
    assert attention_overlaps(full, half) == (0.5, 0.5)
    assert attention_overlaps(half, full) == (0.5, 1)


def test_a_value_equal_to_the_threshold_reaches_it():
    for dtype in (np.float32, np.float64):
        values = np.asarray(TIOU, dtype)[:, None]
        shares = overlap_accuracy(values, TIOU)["per_class"][:, 0]
        np.testing.assert_allclose(shares, np.arange(7, 0, -1) / 7)


def test_batch_by_batch_gives_the_same(random):
    attention, masks = random
    batches = [
        attention_overlaps(attention[at], masks[at])[0]
        for at in (slice(0, 4), slice(4, 5), slice(5, 10))
    ]
    report = overlap_accuracy(np.concatenate(batches), TIOU)
    np.testing.assert_equal(report, tiou(*random))


def test_pairs_and_values_belong_together(random):
    report = tior(*random)
    image, index = report["pairs"].T
    expected = overlaps_by_hand(*random)[1]
    np.testing.assert_array_equal(report["values"], expected[image, index])
    assert len(image) == report["count"].sum() == np.count_nonzero(~np.isnan(expected))


def test_intervals_are_those_over_images(random):
    report = overlap_accuracy(overlaps_by_hand(*random)[0], TIOU, seed=3)
    around = report["intervals"]
    shapes = {name: values.shape for name, values in around.items()}
    assert shapes == {
        "per_class": (7, 4, 2),
        "macro": (7, 2),
        "weighted": (7, 2),
        "mean": (2,),
        "weighted_mean": (2,),
        "mean_per_class": (4, 2),
    }
    for name, values in around.items():
        low, high = np.moveaxis(values, -1, 0)
        middle, defined = np.asarray(report[name]), ~np.isnan(report[name])
        np.testing.assert_array_equal(np.isnan(low), ~defined)
        assert (low[defined] <= middle[defined]).all()
        assert (middle[defined] <= high[defined]).all()
        assert (low[defined] < high[defined]).any()


def test_the_interval_of_one_class_is_that_of_its_images():
    values = np.random.default_rng(0).random(40)
    report = overlap_accuracy(values[:, None], TIOR)
    reached = (values[:, None] >= TIOR).mean(axis=1)
    expected = interval(reached)
    assert report["mean"] == pytest.approx(expected[0])
    np.testing.assert_allclose(report["intervals"]["mean"], expected[1:], atol=1e-12)


def test_the_seed_decides_the_intervals(random):
    first, again, other = (tiou(*random, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_equal(first, again)
    assert (first["intervals"]["mean"] != other["intervals"]["mean"]).any()


@pytest.mark.parametrize("count", [0, 3])
def test_without_any_box_everything_is_nan(count):
    nothing = np.zeros((count, 4, 4, 2), bool)
    report = tiou(~nothing, nothing)
    assert np.isnan(report["per_class"]).all()
    assert np.isnan(report["mean"])
    assert np.isnan(report["intervals"]["mean"]).all()
    assert report["classes_counted"] == 0
    assert report["pairs"].shape == (0, 2)


@pytest.mark.parametrize("metric", [tiou, tior])
def test_what_is_not_boolean_is_refused(random, metric):
    attention, masks = random
    with pytest.raises(TypeError, match=r"boolean.*attention of float64.*ATTENDED"):
        metric(attention.astype(float), masks)
    with pytest.raises(TypeError, match=r"boolean.*masks of uint8"):
        metric(attention, masks.astype("uint8"))


def test_shapes_that_do_not_fit_are_refused(random):
    attention, masks = random
    with pytest.raises(ValueError, match=r"masks.*\(10, 6, 5, 3\) and \(10, 6, 5, 4\)"):
        attention_overlaps(attention[..., :3], masks)
    with pytest.raises(ValueError, match=r"masks.*\(6, 5, 4\) and"):
        attention_overlaps(attention[0], masks[0])
    with pytest.raises(ValueError, match=r"masks.*\(10, 0, 5, 4\) and"):
        attention_overlaps(attention[:, :0], masks[:, :0])


@pytest.mark.parametrize("values", [[0.5], [[[0.5]]], np.zeros((3, 0))])
def test_values_of_another_shape_are_refused(values):
    with pytest.raises(ValueError, match=r"\(n, classes\).*Received: shape"):
        overlap_accuracy(values, TIOU)


def test_values_that_are_no_shares_are_refused():
    with pytest.raises(ValueError, match=r"1.5 for image 1, class 0"):
        overlap_accuracy([[0.5, NAN], [1.5, 0.1]], TIOU)


@pytest.mark.parametrize("thresholds", [0.5, [], [0.1, NAN], [[0.1]]])
def test_wrong_thresholds_are_refused(random, thresholds):
    with pytest.raises(
        ValueError, match=f"thresholds.*{re.escape(str(thresholds).lower())}"
    ):
        tiou(*random, thresholds)
    with pytest.raises(ValueError, match="thresholds"):
        iou_curve(HEAT, MASK, thresholds)
