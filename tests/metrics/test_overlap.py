"""IoU of heat maps with masks, TIoU and TIoR of attention with boxes."""

import re

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

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
from kerasloc.metrics.overlap import MEANS, TIOR, TIOU

NAN = np.nan
BOTH = [(tiou, "tiou", TIOU), (tior, "tior", TIOR)]


def test_iou_and_best_threshold_agree_with_scikit_learn_in_chunks():
    rng = np.random.default_rng(0)
    heat = rng.integers(0, 11, (6, 250, 260)) / 10  # two images in a chunk
    masks = rng.random(heat.shape) > 0.6
    thresholds = [0.55, 0.0, 0.3, 0.9, 0.7]  # unordered, and four equal to the heat
    expected = [
        [jaccard_score(m.ravel(), (h > t).ravel(), zero_division=0) for t in thresholds]
        for h, m in zip(heat, masks, strict=True)
    ]
    np.testing.assert_allclose(iou_curve(heat, masks, thresholds), expected)
    np.testing.assert_allclose(ious(heat, masks, 0.3), np.array(expected)[:, 2])
    best = thresholds[np.mean(expected, axis=0).argmax()]
    assert best_threshold(heat, masks, thresholds) == best
    empty = np.zeros_like(masks)  # images with an empty mask do not count
    stacks = np.concatenate([heat, 1 - heat]), np.concatenate([masks, empty])
    assert best_threshold(*stacks, thresholds) == best
    with pytest.raises(ValueError, match="6 images with empty masks"):
        best_threshold(heat, empty)


def test_an_empty_mask_has_nan_and_an_empty_prediction_0():
    # 0.1 in single precision is not above 0.1
    heat = np.stack([np.ones((3, 3)), np.full((3, 3), 0.1)]).astype(np.float32)
    masks = np.stack([np.zeros((3, 3), bool), np.ones((3, 3), bool)])
    np.testing.assert_array_equal(ious(heat, masks, 0.1), [np.nan, 0])


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
def test_shares_are_the_published_ones(metric, name, thresholds, goldens):
    golden = goldens["tiou"]
    stacks = (golden["attention"], golden["box_masks"])  # no box of the last class
    report = metric(*(stack.transpose(0, 2, 3, 1) for stack in stacks))
    expected = golden[name].T  # (thresholds, classes)
    assert report["per_class"].shape == (len(thresholds), 5)
    np.testing.assert_allclose(report["per_class"][:, :4], expected[:, :4], atol=1e-12)
    np.testing.assert_array_equal(report["count"], golden["t_counts"])
    # Published as 0 for the class without a box, and counted in the mean; not here.
    assert (expected[:, 4] == 0).all()
    assert np.isnan(report["per_class"][:, 4]).all()
    assert report["classes_counted"] == 4
    assert report["mean"] == pytest.approx(expected.mean() * 5 / 4, abs=1e-12)
    # Averages are of the classes with boxes.
    values, count = report["per_class"][:, :4], report["count"][:4]
    np.testing.assert_allclose(report["macro"], values.mean(axis=1))
    np.testing.assert_allclose(report["weighted"], values @ count / count.sum())
    np.testing.assert_allclose(report["mean_per_class"][:4], values.mean(axis=0))
    assert np.isnan(report["mean_per_class"][4])
    assert type(report["mean"]) is float


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_value_equal_to_the_threshold_reaches_it(dtype):
    shares = overlap_accuracy(np.asarray(TIOU, dtype)[:, None], TIOU)["macro"]
    np.testing.assert_allclose(shares, np.arange(7, 0, -1) / 7)


def test_the_interval_of_one_class_is_that_of_its_images():
    values = np.random.default_rng(0).random(40)
    report = overlap_accuracy(values[:, None], TIOR)
    reached = (values[:, None] >= TIOR).mean(axis=1)
    expected = interval(reached)
    assert report["mean"] == pytest.approx(expected[0])
    np.testing.assert_allclose(report["intervals"]["mean"], expected[1:], atol=1e-12)


@pytest.mark.parametrize("count", [0, 3])
def test_without_any_box_everything_is_nan(count):
    nothing = np.zeros((count, 4, 4, 2), bool)
    report = tiou(~nothing, nothing)
    assert np.isnan(report["per_class"]).all()
    assert np.isnan(report["mean"])
    assert np.isnan(report["intervals"]["mean"]).all()
    assert report["classes_counted"] == 0
    assert report["pairs"].shape == (0, 2)


def test_reports_of_batches_are_those_of_all_images(random):
    overlaps = overlaps_by_hand(*random)
    batches = [
        attention_overlaps(*(stack[at] for stack in random))[0]
        for at in (slice(0, 4), slice(4, 5), slice(5, 10))
    ]
    report = tiou(*random)
    np.testing.assert_equal(overlap_accuracy(np.concatenate(batches), TIOU), report)
    image, index = report["pairs"].T
    np.testing.assert_array_equal(report["values"], overlaps[0][image, index])
    assert len(image) == report["count"].sum() == (~np.isnan(overlaps[0])).sum()


def test_intervals_lie_around_the_values(random):
    report, again, changed = (tiou(*random, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_equal(report, again)
    assert (report["intervals"]["mean"] != changed["intervals"]["mean"]).any()
    averages = {"per_class", "macro", "weighted"}
    assert set(report["intervals"]) == averages | {"mean", *MEANS.values()}
    for name, bounds in report["intervals"].items():
        value, (low, high) = np.asarray(report[name]), np.moveaxis(bounds, -1, 0)
        assert value.shape == low.shape
        np.testing.assert_array_equal(np.isnan(low), np.isnan(value))
        assert ((low <= value) & (value <= high) | np.isnan(value)).all()
        assert (low < high).any()


def test_wrong_attention_and_masks_are_refused(random):
    attention, masks = random
    for metric in (tiou, tior):
        with pytest.raises(TypeError, match=r"attention of float64.*ATTENDED"):
            metric(attention.astype(float), masks)
        with pytest.raises(TypeError, match="masks of uint8"):
            metric(attention, masks.astype("uint8"))
        for at in ((..., slice(3)), 0, (slice(None), slice(0))):
            received = re.escape(f"{attention[at].shape} and {masks.shape}")
            with pytest.raises(ValueError, match=received):
                metric(attention[at], masks)
    with pytest.raises(ValueError, match=r"at least a pixel.*\(10, 0, 5, 4\)"):
        tiou(attention[:, :0], masks[:, :0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.5], r"shape \(1,\)"),
        ([[[0.5]]], r"shape \(1, 1, 1\)"),
        (np.zeros((3, 0)), r"shape \(3, 0\)"),
        ([[0.5, NAN], [1.5, 0.1]], "1.5 for image 1, class 0"),
    ],
)
def test_wrong_overlaps_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        overlap_accuracy(values, TIOU)


@pytest.mark.parametrize("thresholds", [0.5, [], [0.1, NAN], [[0.1]]])
def test_wrong_thresholds_are_refused(thresholds):
    received = re.escape(str(thresholds).lower())
    with pytest.raises(ValueError, match=f"thresholds.*{received}"):
        overlap_accuracy([[0.5]], thresholds)
    with pytest.raises(ValueError, match=f"thresholds.*{received}"):
        iou_curve([[[0.5]]], [[[True]]], thresholds)
