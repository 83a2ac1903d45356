import pathlib
import re

import numpy as np
import pytest

from kerasloc.boxes import to_mask
from kerasloc.metrics import (
    iobb_accuracy,
    iou_accuracy,
    locate_point,
    peak_points,
    point_hits,
    point_localization,
    resize_maps,
)

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
NAN = np.nan
ALL = [point_localization, iobb_accuracy, iou_accuracy]
SIZE = (130, 100)  # ten pairs in a chunk


def peak(row, col, size=(8, 8)):
    """Raw maps (1, rows, cols, 1) with one hot pixel."""
    maps = np.full((1, *size, 1), -9.0)
    maps[0, row, col] = 9
    return maps


@pytest.fixture
def golden():
    return np.load(GOLDENS / "metrics_pylon.npz")


@pytest.fixture
def published(golden):
    """Raw maps (image, rows, cols, class), boxes, and the size of the images."""
    maps = golden["logits"].transpose(0, 2, 3, 1)
    return maps, golden["boxes"], golden["image_size"]


@pytest.fixture
def random():
    """Maps of 12 images and 4 classes, the last without a box; several of one class."""
    rng = np.random.default_rng(0)
    maps = 3 * rng.standard_normal((12, 5, 4, 4))
    image, classes = rng.integers(12, size=40), rng.integers(3, size=40)
    corner, extent = rng.uniform(-9, 80, (40, 2)), rng.uniform(15, 60, (40, 2))
    return maps, np.column_stack([image, corner, extent, classes]), SIZE


def pairs_of(boxes):
    return sorted({(int(row[0]), int(row[5])) for row in boxes})


def boxes_of(boxes, image, index):
    return boxes[(boxes[:, 0] == image) & (boxes[:, 5] == index), 1:5]


def point_by_hand(maps, boxes, size):
    hits = []
    for image, index in pairs_of(boxes):
        large = resize_maps(maps[image, :, :, index], size)
        row, col = np.unravel_index(large.argmax(), size)
        inside = [
            x <= col <= x + w and y <= row <= y + h
            for x, y, w, h in boxes_of(boxes, image, index)
        ]
        hits.append(any(inside))
    return hits


def overlaps_by_hand(maps, boxes, size):
    """IoBB and IoU of every pair, (pairs, 2)."""
    overlaps = []
    for image, index in pairs_of(boxes):
        large = resize_maps(1 / (1 + np.exp(-maps[image, :, :, index])), size)
        predicted = large / large.max() > 0.5
        mask = to_mask(boxes_of(boxes, image, index), size)
        both = (predicted & mask).sum()
        overlaps.append([both / predicted.sum(), both / (predicted | mask).sum()])
    return np.array(overlaps)


def test_points_agree_with_the_published_numbers(golden, published):
    report = point_localization(*published)
    np.testing.assert_allclose(report["per_class"], golden["point_per_class"])
    np.testing.assert_array_equal(report["count"], golden["point_count"])
    assert report["macro"] == pytest.approx(float(golden["point_macro"]))
    assert report["weighted"] == pytest.approx(float(golden["point_weighted"]))
    assert report["classes_counted"] == 4


def test_iobb_agrees_with_the_published_numbers(golden, published):
    report = iobb_accuracy(*published)
    for row, threshold in enumerate(("0.1", "0.25", "0.5")):
        expected = golden[f"iobb_{threshold}"]
        np.testing.assert_allclose(report["per_class"][row], expected, atol=1e-6)
        np.testing.assert_array_equal(expected, golden[f"iobb_or_iou_{threshold}"])
    np.testing.assert_array_equal(report["count"], golden["point_count"])


def test_iou_never_exceeds_iobb(published):
    iobb, iou = iobb_accuracy(*published), iou_accuracy(*published)
    assert (iou["values"] <= iobb["values"]).all()
    assert iou["weighted"][0] < iobb["weighted"][0]


def test_agrees_with_a_loop_in_chunks(random):
    point = point_localization(*random)
    np.testing.assert_array_equal(point["hits"], point_by_hand(*random))
    np.testing.assert_array_equal(point["pairs"], pairs_of(random[1]))
    assert 0 < point["hits"].mean() < 1
    expected = overlaps_by_hand(*random)
    np.testing.assert_allclose(iobb_accuracy(*random)["values"], expected[:, 0])
    np.testing.assert_allclose(iou_accuracy(*random)["values"], expected[:, 1])


def test_the_order_of_boxes_does_not_matter(random):
    maps, boxes, size = random
    boxes = np.random.default_rng(1).permutation(boxes)
    report = iobb_accuracy(maps, boxes, size)
    np.testing.assert_equal(report, iobb_accuracy(*random))


def test_a_maximum_hits_its_box_borders_included():
    boxes = [[0, 2, 5, 3, 1, 0]]  # columns 2 to 5, rows 5 to 6
    hits = {
        (row, col): point_localization(peak(row, col), boxes, 8)["hits"][0]
        for row in range(8)
        for col in range(8)
    }
    inside = {point for point, hit in hits.items() if hit}
    assert inside == {(row, col) for row in (5, 6) for col in (2, 3, 4, 5)}


def test_of_equal_maxima_the_first_row_by_row_counts():
    maps = np.maximum(peak(1, 6), peak(2, 0))
    assert point_localization(maps, [[0, 6, 1, 0.5, 0.5, 0]], 8)["hits"][0]
    assert not point_localization(maps, [[0, 0, 2, 0.5, 0.5, 0]], 8)["hits"][0]
    flat = np.full((1, 3, 3, 1), 0.1)
    assert point_localization(flat, [[0, 0, 0, 0.5, 0.5, 0]], 7)["hits"][0]


def test_several_boxes_of_one_class_on_one_image_are_one_pair():
    boxes = [[0, 0, 0, 2, 2, 0], [0, 5, 4, 2, 2, 0], [0, 5, 4, 1, 1, 0]]
    report = point_localization(peak(5, 6), boxes, 8)
    assert (report["count"], report["per_class"]) == ([1], [1])
    # the area is that of their union, counted once
    maps = np.zeros((1, 8, 8, 1))  # predicts everything
    assert iobb_accuracy(maps, boxes, 8, 0.1)["values"] == [8 / 64]
    assert iou_accuracy(maps, boxes, 8, 0.1)["values"] == [8 / 64]


def test_a_box_of_another_class_or_image_is_not_hit():
    maps = np.concatenate([np.repeat(peak(1, 1), 2, -1), np.repeat(peak(6, 6), 2, -1)])
    boxes = [[0, 0, 0, 2, 2, 0], [0, 5, 5, 2, 2, 1], [1, 0, 0, 2, 2, 0]]
    report = point_localization(maps, boxes, 8)
    np.testing.assert_array_equal(report["pairs"], [[0, 0], [0, 1], [1, 0]])
    np.testing.assert_array_equal(report["hits"], [True, False, False])
    np.testing.assert_array_equal(report["per_class"], [0.5, 0])
    assert (report["macro"], report["weighted"]) == (0.25, pytest.approx(1 / 3))


def test_boxes_are_drawn_cut_to_integers_ends_excluded():
    box = [[0, 2.9, 5.9, 3.9, 1.9, 0]]  # columns 2 to 4, row 5
    assert iobb_accuracy(np.zeros((1, 8, 8, 1)), box, 8, 0)["values"] == [3 / 64]


def test_a_box_over_the_edge_counts_what_is_on_the_image():
    box = [[0, -3, 6, 5, 9, 0]]  # columns 0 and 1, rows 6 and 7
    assert iobb_accuracy(np.zeros((1, 8, 8, 1)), box, 8, 0)["values"] == [4 / 64]


def test_a_value_equal_to_the_threshold_is_no_hit():
    box = [[0, 0, 0, 4, 8, 0]]
    report = iobb_accuracy(np.zeros((1, 8, 8, 1)), box, 8, [0.49, 0.5])
    np.testing.assert_array_equal(report["macro"], [1, 0])


def test_one_threshold_has_no_axis(random):
    single, three = iobb_accuracy(*random, 0.25), iobb_accuracy(*random)
    np.testing.assert_array_equal(single["per_class"], three["per_class"][1])
    assert single["weighted"] == three["weighted"][1]
    for key in ("per_class", "macro", "weighted"):
        bounds = three["intervals"][key]
        np.testing.assert_array_equal(single["intervals"][key], bounds[1])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shift", [-800, 0, 800])
def test_the_sigmoid_holds_at_both_ends_in_every_precision(dtype, shift):
    boxes = [[0, 1, 2, 1, 1, 0]]
    maps = np.full((1, 8, 8, 1), -30 + shift, dtype)
    maps[0, 2, 1] = 30 + shift
    expected = 1 / 64 if shift == 800 else 1  # the sigmoid is 1 everywhere
    assert iobb_accuracy(maps, boxes, 8, 0.5)["values"] == [expected]


@pytest.mark.parametrize("metric", ALL)
def test_a_class_without_boxes_has_nan_and_enters_no_mean(metric, random):
    report = metric(*random)
    values = np.atleast_2d(report["per_class"])
    assert np.isnan(values[:, 3]).all()
    assert report["count"][3] == 0
    np.testing.assert_allclose(report["macro"], np.squeeze(values[:, :3].mean(axis=1)))
    assert np.isnan(report["intervals"]["per_class"][..., 3, :]).all()
    assert report["classes_counted"] == 3


@pytest.mark.parametrize("metric", ALL)
def test_no_boxes_give_nan(metric):
    report = metric(np.zeros((2, 4, 4, 3)), [], 8)
    assert report["pairs"].shape == (0, 2)
    assert np.isnan(report["macro"]).all()
    assert np.isnan(report["intervals"]["weighted"]).all()
    np.testing.assert_array_equal(report["count"], [0, 0, 0])


def test_intervals_agree_with_images_drawn_one_by_one(random):
    report = point_localization(*random, seed=2)
    image, index = report["pairs"].T
    rng, draws = np.random.default_rng(5), []
    there = np.unique(image)
    for _ in range(1000):
        chosen = rng.choice(there, len(there))
        at = np.concatenate([np.flatnonzero(image == number) for number in chosen])
        hits = report["hits"][at]
        each = [hits[index[at] == c].mean() for c in set(index[at])]
        draws.append([hits.mean(), np.mean(each)])
    expected = np.quantile(draws, (0.025, 0.975), axis=0)
    around = report["intervals"]
    np.testing.assert_allclose(around["weighted"], expected[:, 0], atol=0.05)
    np.testing.assert_allclose(around["macro"], expected[:, 1], atol=0.05)


def test_the_seed_decides(random):
    around = [point_localization(*random, seed=s)["intervals"] for s in (0, 0, 1)]
    np.testing.assert_equal(around[0], around[1])
    assert not np.array_equal(around[0]["macro"], around[2]["macro"])


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([2, 1, 1, 2, 2, 0], r"0\.\.1.*0\.\.2.*row 1: 2, 1, 1, 2, 2, 0"),
        ([0, 1, 1, 2, 2, 3], "1 of another kind"),
        ([-1, 1, 1, 2, 2, 0], "1 of another kind"),
        ([0, 1, 1, 2, 2, 0.5], "whole numbers"),
        ([0, 8, 1, 2, 2, 0], r"8 rows x 8 columns.*row 1: 0, 8, 1, 2, 2, 0"),
        ([0, 1, -2, 2, 2, 0], r"boxes with a width.*row 1: 0, 1, -2, 2, 2, 0"),
        ([0, 1, 1, 0, 2, 0], "boxes with a width"),
        ([0, 1, 1, 2, -2, 0], "boxes with a width"),
        ([0, 1, 1, 2, NAN, 0], r"rows \[1\]"),
    ],
)
@pytest.mark.parametrize("metric", ALL)
def test_boxes_outside_or_empty_are_listed(metric, box, message):
    with pytest.raises(ValueError, match=message):
        metric(np.zeros((2, 4, 4, 3)), [[0, 1, 1, 2, 2, 0], box], 8)


@pytest.mark.parametrize("metric", ALL)
def test_maps_with_nan_are_refused_where_they_count(metric):
    maps = np.zeros((2, 4, 4, 2))
    maps[1, 0, 0, 1] = NAN
    metric(maps, [[1, 1, 1, 2, 2, 0]], 8)
    with pytest.raises(ValueError, match=r"maps.*image 1, class 1\."):
        metric(maps, [[1, 1, 1, 2, 2, 1]], 8)


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("shape", [(4, 4, 3), (2, 0, 4, 3), (2, 4, 4, 0)])
def test_maps_of_another_shape_are_refused(metric, shape):
    with pytest.raises(ValueError, match=re.escape(f"Received: shape {shape}")):
        metric(np.zeros(shape), [[0, 1, 1, 2, 2, 0]], 8)


@pytest.mark.parametrize("size", [(8, 8, 3), (8, 0), 8.5])
def test_a_wrong_size_is_refused(size):
    with pytest.raises(ValueError, match=re.escape(f"size={size!r}")):
        point_localization(np.zeros((1, 4, 4, 1)), [[0, 1, 1, 2, 2, 0]], size)


@pytest.mark.parametrize("thresholds", [[], [[0.1]], NAN])
def test_wrong_thresholds_are_refused(thresholds):
    with pytest.raises(ValueError, match=f"thresholds.*{re.escape(str(thresholds))}"):
        iobb_accuracy(np.zeros((1, 4, 4, 1)), [[0, 1, 1, 2, 2, 0]], 8, thresholds)


def square(rows, cols, size=(8, 8)):
    mask = np.zeros(size, bool)
    mask[rows, cols] = True
    return mask


def test_a_maximum_on_the_mask_hits():
    image = np.zeros((8, 8))
    image[2, 6] = 1
    masks = [
        square(slice(1, 4), slice(5, 8)),
        square(slice(5, 8), slice(1, 4)),  # rows and columns exchanged
        ~square(2, 6),
    ]
    np.testing.assert_array_equal(point_hits([image] * 3, masks), [1, 0, 0])


def test_small_and_negative_maps_point_into_large_masks():
    maps = [[[-3, -1], [-2, -4]]] * 2
    masks = [square(slice(4), slice(4, 8)), square(slice(4, 8), slice(4, 8))]
    np.testing.assert_array_equal(point_hits(maps, masks), [1, 0])


def test_of_equal_maxima_the_first_counts_for_masks_and_points():
    flat = np.full((2, 3, 3), 0.1)
    masks = [square(0, 0, (7, 7)), ~square(0, 0, (7, 7))]
    np.testing.assert_array_equal(point_hits(flat, masks), [1, 0])
    np.testing.assert_array_equal(peak_points(flat, 7), [[0, 0], [0, 0]])


def test_an_empty_mask_has_nan():
    maps = np.random.default_rng(0).random((2, 4, 4))
    masks = np.stack([np.zeros((4, 4), bool), np.ones((4, 4), bool)])
    np.testing.assert_array_equal(point_hits(maps, masks), [NAN, 1])
    assert point_hits(maps[:0], masks[:0]).shape == (0,)


def test_hits_of_masks_agree_with_a_loop_in_chunks():
    rng = np.random.default_rng(0)
    maps, masks = rng.random((9, 4, 3)), rng.random((9, 200, 240)) > 0.5
    expected = []
    for image, mask in zip(maps, masks, strict=True):
        large = resize_maps(image, (200, 240))
        expected.append(mask[np.unravel_index(large.argmax(), large.shape)])
    np.testing.assert_array_equal(point_hits(maps, masks), expected)
    assert 0 < np.mean(expected) < 1


@pytest.mark.parametrize(
    ("box", "hit"),
    [
        ([3, 1, 2, 2], True),  # left and upper border
        ([1, 0, 2, 1], True),  # right and lower border
        ([3.1, 1, 2, 2], False),
        ([3, 1.1, 2, 2], False),
        ([1, 0, 1.9, 1], False),
        ([1, 0, 2, 0.9], False),
    ],
)
def test_borders_of_a_box_are_inside(box, hit):
    image = np.zeros((4, 5))
    image[1, 3] = 1
    assert locate_point(image, np.array([box])) == ((3, 1), hit)
    assert locate_point(image, [[9, 9, 1, 1], box]) == ((3, 1), hit)
    assert locate_point(image, []) == ((3, 1), None)


def test_single_maps_have_the_hits_of_the_metric(random):
    maps, boxes, size = random
    report = point_localization(*random)
    for (image, index), hit in zip(report["pairs"], report["hits"], strict=True):
        single = np.float32(boxes_of(boxes, image, index))
        assert locate_point(maps[image, :, :, index], single, size)[1] == hit


@pytest.mark.parametrize(
    ("error", "maps", "masks", "message"),
    [
        (TypeError, np.zeros((1, 2, 2)), np.zeros((1, 2, 2)), "masks of float64"),
        (ValueError, [[[NAN]]], [[[True]]], "maps.*first at index 0"),
    ],
)
def test_soft_masks_and_maps_with_nan_are_refused(error, maps, masks, message):
    with pytest.raises(error, match=message):
        point_hits(maps, masks)
