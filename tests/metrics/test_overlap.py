import pathlib

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from kerasloc.boxes import to_mask
from kerasloc.metrics import best_threshold, iou_curve, ious

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
HEAT = np.array([[[0.1, 0.4], [0.6, 0.9]]])
MASK = np.array([[[False, True], [False, True]]])


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    heat = rng.integers(0, 11, (6, 5, 7)) / 10
    return heat, rng.random((6, 5, 7)) > 0.6


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


@pytest.mark.parametrize("thresholds", [[], 0.5, [np.nan]])
def test_no_thresholds_are_refused(thresholds):
    with pytest.raises(ValueError, match="without NaN"):
        iou_curve(HEAT, MASK, thresholds)


def test_a_threshold_needs_a_mask():
    with pytest.raises(ValueError, match="1 images, none of them with a mask"):
        best_threshold(HEAT, np.zeros_like(MASK))
