"""TIoU and TIoR: how much of what is attended to lies in the boxes."""

import pathlib

import numpy as np
import pytest

from kerasloc.metrics import (
    attention_overlaps,
    interval,
    overlap_accuracy,
    tior,
    tiou,
)
from kerasloc.metrics.attention import TIOR, TIOU

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
NAN = np.nan
BOTH = [(tiou, "tiou", TIOU), (tior, "tior", TIOR)]


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDENS / "metrics_tiou.npz")


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
    answer = np.full((2, len(masks), masks.shape[-1]), NAN)
    for image, index in np.ndindex(answer.shape[1:]):
        attended, boxed = attention[image, ..., index], masks[image, ..., index]
        if boxed.any():
            both = (attended & boxed).sum()
            answer[0, image, index] = both / (attended | boxed).sum()
            answer[1, image, index] = both / attended.sum() if attended.any() else 0
    return answer


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
    each, count = report["per_class"][:, :4], report["count"][:4]
    np.testing.assert_allclose(report["macro"], each.mean(axis=1))
    np.testing.assert_allclose(report["weighted"], each @ count / count.sum())
    np.testing.assert_allclose(report["mean_per_class"][:4], each.mean(axis=0))
    assert np.isnan(report["mean_per_class"][4])
    assert type(report["mean"]) is float
    assert report["mean"] == pytest.approx(report["macro"].mean(), abs=1e-12)


def test_overlaps_agree_with_a_loop_in_chunks(random, monkeypatch):
    expected = overlaps_by_hand(*random)
    np.testing.assert_array_equal(attention_overlaps(*random), expected)
    np.testing.assert_array_equal(attention_overlaps(*random), expected)
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
    parts = [
        attention_overlaps(attention[at], masks[at])[0]
        for at in (slice(0, 4), slice(4, 5), slice(5, 10))
    ]
    once, parted = tiou(*random), overlap_accuracy(np.concatenate(parts), TIOU)
    np.testing.assert_equal(parted, once)


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
    with pytest.raises(ValueError, match=r"one shape.*\(10, 6, 5, 3\) and"):
        attention_overlaps(attention[..., :3], masks)
    with pytest.raises(ValueError, match=r"one shape.*\(6, 5, 4\) and"):
        attention_overlaps(attention[0], masks[0])
    with pytest.raises(ValueError, match="at least a pixel"):
        attention_overlaps(attention[:, :0], masks[:, :0])


@pytest.mark.parametrize("values", [[0.5], [[[0.5]]], np.zeros((3, 0))])
def test_values_of_another_shape_are_refused(values):
    with pytest.raises(ValueError, match=r"\(n, classes\).*Received: shape"):
        overlap_accuracy(values, TIOU)


def test_values_that_are_no_shares_are_refused():
    with pytest.raises(ValueError, match=r"1.5 for image 1, class 0"):
        overlap_accuracy([[0.5, NAN], [1.5, 0.1]], TIOU)


@pytest.mark.parametrize("thresholds", [0.5, [], [0.1, NAN], [[0.1]]])
def test_thresholds_that_are_none_are_refused(random, thresholds):
    with pytest.raises(ValueError, match=r"at least one number.*Received"):
        tiou(*random, thresholds)
