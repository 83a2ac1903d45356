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

NAN = np.nan


def peak(row, col, size=(8, 8)):
    """Raw maps (1, rows, cols, 1) with one hot pixel."""
    maps = np.full((1, *size, 1), -9.0)
    maps[0, row, col] = 9
    return maps


@pytest.fixture
def golden(goldens):
    return goldens["pylon"]


@pytest.fixture
def published(golden):
    """Raw maps (image, rows, cols, class), boxes, and the size of the images."""
    maps = golden["logits"].transpose(0, 2, 3, 1)
    return maps, golden["boxes"], golden["image_size"]


@pytest.fixture
def large(random):
    """Large images, of which ten pairs are in a chunk."""
    maps, boxes, _ = random
    return maps, boxes * [1, 10, 10, 10, 10, 1], (130, 100)


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


def test_agrees_with_a_loop_in_chunks(large):
    point = point_localization(*large)
    np.testing.assert_array_equal(point["hits"], point_by_hand(*large))
    np.testing.assert_array_equal(point["pairs"], pairs_of(large[1]))
    assert 0 < point["hits"].mean() < 1
    expected = overlaps_by_hand(*large)
    np.testing.assert_allclose(iobb_accuracy(*large)["values"], expected[:, 0])
    np.testing.assert_allclose(iou_accuracy(*large)["values"], expected[:, 1])


def test_boxes_of_a_class_on_an_image_are_one_pair():
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


@pytest.mark.parametrize(
    ("box", "pixels"),
    [
        ([0, 2.9, 5.9, 3.9, 1.9, 0], 3),  # truncated: columns 2 to 4, row 5
        ([0, -3, 6, 5, 9, 0], 4),  # over the edge: columns 0 and 1, rows 6 and 7
        ([0, 0, 0, 4, 8, 0], 32),
    ],
)
def test_iobb_counts_pixels_of_boxes_and_hits_above_the_threshold(box, pixels):
    everywhere = np.zeros((1, 8, 8, 1))
    value = pixels / 64
    report = iobb_accuracy(everywhere, [box], 8, [value - 0.01, value])
    assert report["values"] == [value]
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


def test_intervals_agree_with_images_drawn_one_by_one(random):
    report = point_localization(*random, seed=2)
    image, index = report["pairs"].T
    rng, draws = np.random.default_rng(5), []
    unique = np.unique(image)
    for _ in range(1000):
        chosen = rng.choice(unique, len(unique))
        at = np.concatenate([np.flatnonzero(image == number) for number in chosen])
        hits = report["hits"][at]
        per_class = [hits[index[at] == c].mean() for c in set(index[at])]
        draws.append([hits.mean(), np.mean(per_class)])
    expected = np.quantile(draws, (0.025, 0.975), axis=0)
    bounds = report["intervals"]
    np.testing.assert_allclose(bounds["weighted"], expected[:, 0], atol=0.05)
    np.testing.assert_allclose(bounds["macro"], expected[:, 1], atol=0.05)


@pytest.mark.parametrize("thresholds", [[], [[0.1]], NAN])
def test_wrong_thresholds_are_refused(thresholds):
    with pytest.raises(ValueError, match=f"thresholds.*{re.escape(str(thresholds))}"):
        iobb_accuracy(np.zeros((1, 4, 4, 1)), [[0, 1, 1, 2, 2, 0]], 8, thresholds)


def test_peaks_agree_with_a_loop_in_chunks():
    maps = np.random.default_rng(0).standard_normal((9, 4, 3)) - 9  # negative, too
    size = 200, 240  # two maps in a chunk
    points = peak_points(maps, size)
    for (x, y), raw in zip(points, maps, strict=True):
        assert (y, x) == np.unravel_index(resize_maps(raw, size).argmax(), size)
    masks = np.random.default_rng(1).random((9, *size)) > 0.5
    hits = [mask[y, x] for (x, y), mask in zip(points, masks, strict=True)]
    np.testing.assert_array_equal(point_hits(maps, masks), hits)
    assert 0 < np.mean(hits) < 1
    masks[3] = False  # an empty mask has NaN
    np.testing.assert_array_equal(np.isnan(point_hits(maps, masks)), np.arange(9) == 3)


def test_of_equal_maxima_the_first_row_by_row_counts():
    flat = np.full((1, 3, 3), 0.1)
    np.testing.assert_array_equal(peak_points(flat, 7), [[0, 0]])
    maps = np.maximum(peak(1, 6), peak(2, 0))
    np.testing.assert_array_equal(peak_points(maps[..., 0]), [[6, 1]])
    assert point_localization(maps, [[0, 6, 1, 0.5, 0.5, 0]], 8)["hits"][0]
    assert not point_localization(maps, [[0, 0, 2, 0.5, 0.5, 0]], 8)["hits"][0]


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


def test_single_maps_have_the_hits_of_the_metric(large):
    maps, boxes, size = large
    report = point_localization(*large)
    for (image, index), hit in zip(report["pairs"], report["hits"], strict=True):
        single = np.float32(boxes_of(boxes, image, index))
        assert locate_point(maps[image, :, :, index], single, size)[1] == hit
