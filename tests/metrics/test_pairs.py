"""Properties of all metrics of maps and boxes, whose samples are images and classes."""

import re

import numpy as np
import pytest

from kerasloc import metrics

NAN = np.nan
BOX = [0, 1, 1, 2, 2, 0]  # image, x, y, w, h, class
ALL = [
    metrics.point_localization,
    metrics.iobb_accuracy,
    metrics.iou_accuracy,
    metrics.energy_in_boxes,
    metrics.max_box_acc,
    metrics.max_box_acc_v2,
]


@pytest.fixture(params=ALL, ids=lambda metric: metric.__name__)
def metric(request):
    return request.param


def test_a_class_without_boxes_has_nan_and_enters_no_mean(metric, random):
    report = metric(*random)
    values = np.atleast_2d(report["per_class"])
    assert np.isnan(values[:, 3]).all()
    assert report["count"][3] == 0
    np.testing.assert_allclose(report["macro"], np.squeeze(values[:, :3].mean(axis=1)))
    weighted = values[:, :3] @ report["count"][:3] / report["count"].sum()
    np.testing.assert_allclose(report["weighted"], np.squeeze(weighted))
    assert np.isnan(report["intervals"]["per_class"][..., 3, :]).all()
    assert report["classes_counted"] == 3


def test_pairs_are_sorted_and_intervals_lie_around_the_values(metric, random):
    maps, boxes, size = random
    report = metric(maps, np.random.default_rng(1).permutation(boxes), size)
    np.testing.assert_equal(report, metric(*random))
    expected = sorted({(int(row[0]), int(row[5])) for row in boxes})
    np.testing.assert_array_equal(report["pairs"], expected)
    for name in ("per_class", "macro", "weighted"):
        low, high = np.moveaxis(report["intervals"][name], -1, 0)
        defined = ~np.isnan(low)
        assert (low <= report[name])[defined].all()
        assert (report[name] <= high)[defined].all()


def test_the_seed_decides_the_intervals(metric, random):
    first, again, changed = (metric(*random, seed=s)["intervals"] for s in (0, 0, 1))
    np.testing.assert_equal(first, again)
    assert not np.array_equal(first["macro"], changed["macro"])


def test_without_boxes_all_is_nan(metric):
    report = metric(np.zeros((2, 4, 4, 3)), [], 8)
    assert report["pairs"].shape == (0, 2)
    assert np.isnan(report["macro"]).all()
    assert np.isnan(report["weighted"]).all()
    assert np.isnan(report["per_class"]).all()
    assert np.isnan(report["intervals"]["weighted"]).all()
    np.testing.assert_array_equal(report["count"], [0, 0, 0])


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
def test_boxes_outside_or_empty_are_listed(metric, box, message):
    with pytest.raises(ValueError, match=message):
        metric(np.zeros((2, 4, 4, 3)), [BOX, box], 8)


def test_maps_with_nan_are_refused_where_they_count(metric):
    maps = np.zeros((2, 4, 4, 2))
    maps[1, 0, 0, 1] = NAN
    metric(maps, [[1, 1, 1, 2, 2, 0]], 8)
    with pytest.raises(ValueError, match=r"maps.*image 1, class 1\."):
        metric(maps, [[1, 1, 1, 2, 2, 1]], 8)


@pytest.mark.parametrize("shape", [(4, 4, 3), (2, 0, 4, 3), (2, 4, 4, 0)])
def test_maps_of_another_shape_are_refused(metric, shape):
    with pytest.raises(ValueError, match=re.escape(f"Received: shape {shape}")):
        metric(np.zeros(shape), [BOX], 8)


@pytest.mark.parametrize("size", [(8, 8, 3), (8, 0), 8.5])
def test_wrong_sizes_are_refused(metric, size):
    with pytest.raises(ValueError, match=re.escape(f"size={size!r}")):
        metric(np.zeros((1, 4, 4, 1)), [BOX], size)
