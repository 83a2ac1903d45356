"""MaxBoxAcc and MaxBoxAccV2."""

import numpy as np
import pytest
from skimage.measure import label

from kerasloc.boxes import to_mask
from kerasloc.metrics import (
    box_overlaps,
    max_box_acc,
    max_box_acc_v2,
    resize_maps,
    wsol,
)

BOTH = [max_box_acc, max_box_acc_v2]
NAMES = ["max_box_acc", "max_box_acc_v2"]
THRESHOLDS = wsol.THRESHOLDS[::29]
SIZE = (16, 16)
BOX = [[0, 2, 4, 6, 8, 0]]  # image, x, y, w, h, class


def painted(*components, size=SIZE):
    """A map (1, rows, cols, 1) of (x, y, w, h, value) on zeros."""
    maps = np.zeros((1, *size, 1))
    for x, y, w, h, value in components:
        maps[0, y : y + h, x : x + w] = value
    return maps


@pytest.fixture(scope="module")
def random():
    """Maps of 6 images and 3 classes, the last without a box; a few boxes each."""
    rng = np.random.default_rng(1)
    maps = rng.standard_normal((6, 4, 5, 3))
    image, classes = rng.integers(6, size=14), rng.integers(2, size=14)
    corner, extent = rng.integers(0, 7, (14, 2)), rng.integers(3, 8, (14, 2))
    return maps, np.column_stack([image, corner, extent, classes]), (12, 13)


@pytest.fixture(scope="module")
def overlaps(random):
    return box_overlaps(*random)


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


def by_hand(maps, boxes, size):
    """IoU of the largest component's box and the best box, (pairs, thresholds, 2)."""
    overlaps = []
    for image, index in sorted({(row[0], row[-1]) for row in boxes.tolist()}):
        of_class = boxes[(boxes[:, 0] == image) & (boxes[:, 5] == index), 1:5]
        large = resize_maps(maps[image, :, :, index], size)
        large = (large - large.min()) / (large.max() - large.min())
        picture = (large * 255).astype(np.uint8)
        for threshold in THRESHOLDS:
            hot = picture > int(threshold * picture.max())
            labels, count = label(hot, connectivity=2, return_num=True)
            areas, fits = [0], [0.0]
            for number in range(1, count + 1):
                y, x = np.nonzero(labels == number)
                mask = to_mask([x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1], size)
                fits.append(max(iou(mask, to_mask(box, size)) for box in of_class))
                areas.append(len(x))
            overlaps.append([fits[np.argmax(areas)], max(fits)])
    return np.reshape(overlaps, (-1, len(THRESHOLDS), 2))


@pytest.mark.parametrize(
    ("shift", "overlap"), [(0, 1), (1, 5 / 7), (2, 1 / 2), (3, 1 / 3), (4, 1 / 5)]
)
def test_the_iou_of_a_shifted_box_is_exact(shift, overlap):
    maps = painted((2 + shift, 4, 6, 8, 1))
    overlaps = box_overlaps(maps, BOX, SIZE)
    assert (overlaps.largest[0, :255] == overlap).all()
    np.testing.assert_array_equal(overlaps.best, overlaps.largest)
    assert overlaps.largest[0, 255] == 0  # no pixel is above the maximum
    assert overlaps.max_box_acc()["weighted"] == (overlap >= 0.5)  # 0.5 itself hits
    reached = [overlap >= delta for delta in (0.3, 0.5, 0.7)]
    report = overlaps.max_box_acc_v2()
    assert report["weighted"] == pytest.approx(np.mean(reached))
    assert report["values"].tolist() == [reached]
    np.testing.assert_array_equal(report["per_overlap"]["weighted"], reached)


@pytest.mark.parametrize(
    ("components", "box", "expected"),
    [
        # one pixel and its box: an inclusive end would give 1 / 4 or 4
        ([(3, 5, 1, 1, 1)], [0, 3, 5, 1, 1, 0], 1),
        ([(0, 0, 4, 4, 1)], [0, -3, -5, 7, 9, 0], 1),  # clipped to the image
        ([(0, 0, 4, 4, 1)], [0, 0, 0, 4, 2.5, 0], 2.5 / 4),  # between pixels
        # components that touch at a corner are connected; a hole makes no box
        ([(2, 4, 3, 4, 1), (5, 8, 3, 4, 1)], BOX[0], 1),
        ([(0, 0, 16, 16, 1), (2, 4, 6, 8, 0)], BOX[0], 48 / 256),
    ],
)
def test_boxes_of_components_that_an_eye_can_check(components, box, expected):
    overlaps = box_overlaps(painted(*components), [box], SIZE)
    assert overlaps.largest[0, 0] == overlaps.best.max() == expected


def test_a_higher_threshold_may_leave_only_the_right_component():
    maps = painted((2, 4, 6, 8, 1), (10, 0, 5, 12, 1))  # the largest is the wrong one
    assert max_box_acc(maps, BOX, SIZE)["weighted"] == 0
    assert max_box_acc_v2(maps, BOX, SIZE)["weighted"] == 1
    maps = painted((2, 4, 6, 8, 1), (10, 0, 5, 12, 0.5))
    report = max_box_acc(maps, BOX, SIZE)
    # 127 of 255 levels is half of the map: above it the wrong component is gone.
    assert (report["weighted"], report["threshold"]) == (1, 0.499)
    for threshold, expected in ((0.498, 0), (0.499, 1)):
        alone = max_box_acc(maps, BOX, SIZE, threshold=threshold)
        assert alone["weighted"] == expected
    np.testing.assert_array_equal(report["curve"], report["thresholds"] >= 0.499)


def test_hot_is_above_the_threshold_and_not_at_it():
    # The second component has level 51, which is 0.2 of 255.
    maps = painted((2, 4, 6, 8, 255), (2, 12, 6, 4, 51))
    largest = box_overlaps(maps, BOX, SIZE).largest[0]
    assert largest[[50, 51]].tolist() == [2 / 3, 1]
    report = max_box_acc_v2(maps, BOX, SIZE, threshold=[0.2, 0.199, 0.199])
    assert report["values"].tolist() == [[True, True, False]]
    assert max_box_acc_v2(maps, BOX, SIZE)["threshold"].tolist() == [0, 0, 0.2]


def test_any_box_of_the_class_counts_and_none_of_another():
    maps = np.repeat(painted((2, 4, 6, 8, 1)), 2, axis=-1)
    boxes = [[0, 12, 12, 4, 4, 0], *BOX, [0, 12, 12, 4, 4, 1]]
    report = max_box_acc(maps, boxes, SIZE)
    assert report["per_class"].tolist() == [1, 0]
    assert report["macro"] == report["weighted"] == 0.5


@pytest.mark.parametrize("metric", BOTH)
def test_a_flat_map_has_no_box(metric):
    for value in (0.0, 7.0, -7.0):
        report = metric(np.full((1, 4, 4, 1), value), [[0, 0, 0, 16, 16, 0]], SIZE)
        assert report["weighted"] == 0
        assert not report["curve"].any()


def assert_overlaps(computed, expected):
    levels = np.floor(np.array(THRESHOLDS) * 255).astype(int)
    np.testing.assert_allclose(computed.largest[:, levels], expected[..., 0])
    np.testing.assert_allclose(computed.best[:, levels], expected[..., 1])


def test_agrees_with_a_loop_in_chunks(random):
    many = np.random.default_rng(3).standard_normal((2, 12, 13, 1))  # components
    boxes = np.array([[0, 3, 2, 5, 6, 0], [1, 0, 0, 3, 3, 0], [1, 6, 6, 4, 4, 0]])
    computed = box_overlaps(4 * many, boxes, (12, 13))
    assert_overlaps(computed, by_hand(many, boxes, (12, 13)))
    maps, boxes, _ = random
    size = 120, 130  # eight pairs in a chunk
    boxes = boxes * [1, 10, 10, 10, 10, 1]
    expected = by_hand(maps, boxes, size)
    computed = box_overlaps(maps, boxes, size)
    assert_overlaps(computed, expected)
    assert len(np.unique(expected)) > 20
    assert (expected[..., 0] < expected[..., 1]).any()
    curve = computed.max_box_acc()["curve"][::29]
    np.testing.assert_allclose(curve, (expected[..., 0] >= 0.5).mean(axis=0))
    curve = computed.max_box_acc_v2()["curve"][::29]
    for column, delta in enumerate((0.3, 0.5, 0.7)):
        shares = (expected[..., 1] >= delta).mean(axis=0)
        np.testing.assert_allclose(curve[:, column], shares)


@pytest.mark.parametrize("name", NAMES)
def test_the_score_is_the_highest_of_the_curve(overlaps, name):
    report = getattr(overlaps, name)()
    expected = pytest.approx(report["weighted"])
    assert report["curve"].max(axis=0).mean() == expected == report["values"].mean()


@pytest.mark.parametrize("metric", BOTH)
def test_a_threshold_can_be_set_in_functions_and_methods(random, overlaps, metric):
    method = getattr(overlaps, metric.__name__)
    free = method()
    again = method(free["threshold"])
    assert again["weighted"] == free["weighted"]
    np.testing.assert_array_equal(again["values"], free["values"])
    other = method(0.9)
    np.testing.assert_allclose(other["weighted"], other["curve"][900].mean())
    assert other["weighted"] < free["weighted"]
    assert method(1)["weighted"] == 0
    computed = metric(*random, threshold=0.3, seed=5)
    np.testing.assert_equal(computed, method(0.3, seed=5))


def test_the_report_is_the_mean_of_those_per_overlap(overlaps):
    report = overlaps.max_box_acc_v2()
    per_overlap = report["per_overlap"]
    assert per_overlap["per_class"].shape == (3, 3)
    assert per_overlap["intervals"]["weighted"].shape == (3, 2)
    for name in ("per_class", "macro", "weighted"):
        np.testing.assert_allclose(report[name], per_overlap[name].mean(axis=0))
    np.testing.assert_allclose(per_overlap["weighted"], report["curve"].max(axis=0))


@pytest.mark.parametrize("metric", BOTH)
def test_without_boxes_there_is_no_best_threshold(metric):
    report = metric(np.zeros((2, 4, 4, 3)), [], SIZE)
    assert np.isnan(report["threshold"]).all()
    assert np.isnan(report["curve"]).all()
    report = metric(np.zeros((2, 4, 4, 3)), [], SIZE, threshold=0.25)
    assert np.all(report["threshold"] == 0.25)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, np.nan, [0.1, 0.2]])
def test_wrong_thresholds_are_refused(threshold):
    computed = box_overlaps(painted(), BOX, SIZE)
    with pytest.raises(ValueError, match=r"threshold in \[0, 1\]\. Received"):
        computed.max_box_acc(threshold)
    with pytest.raises(ValueError, match=r"or 3 of them.*threshold="):
        computed.max_box_acc_v2(threshold)
