"""Growing and filling of the segment, the merged map, and the crop."""

import numpy as np
import pytest
from scipy import ndimage

from kerasloc.postprocess.regions import crop, fill_holes, grow, merge, top_percentage

LOW = np.array([[1.0, 2.0], [3.0, 5.0]])
UNIT = np.array([[0, 0.25], [0.5, 1]])
SEGMENT = np.array([[0, 1], [0, 1]], bool)


@pytest.mark.parametrize("seed", range(5))
def test_growing_equals_labels_that_hold_a_point(seed):
    rng = np.random.default_rng(seed)
    edges = rng.random((31, 44)).round(2)  # so that values meet the bounds
    points = rng.integers(0, (44, 31), (20, 2))
    components, _ = ndimage.label((edges >= 0.2) & (edges <= 0.75))
    seeded = set(components[points[:, 1], points[:, 0]]) - {0}
    expected = np.isin(components, sorted(seeded))
    np.testing.assert_array_equal(grow(edges, points, (0.2, 0.75)), expected)


def test_bounds_are_included_and_corners_do_not_connect():
    edges = np.array([[0.2, 0.7, 0.8], [0.1, 0.9, 0.5]])
    grown = grow(edges, np.array([[0, 0]]), (0.2, 0.7))
    np.testing.assert_array_equal(grown, [[1, 1, 0], [0, 0, 0]])


@pytest.mark.parametrize("points", [np.zeros((0, 2), int), np.array([[1, 1]])])
def test_nothing_grows_without_a_point_within_the_bounds(points):
    edges = np.array([[0.5, 0.5], [0.5, 0.9]])
    assert not grow(edges, points, (0.2, 0.7)).any()


@pytest.mark.parametrize("hole_size", [0, 1, 2, 5, 30, 10_000])
def test_filling_equals_counting_the_parts_of_the_background(hole_size):
    mask = np.random.default_rng(1).random((40, 30)) < 0.55
    holes, _ = ndimage.label(~mask)
    small = np.bincount(holes.ravel()) < hole_size
    small[0] = False
    np.testing.assert_array_equal(fill_holes(mask, hole_size), mask | small[holes])
    assert fill_holes(np.ones((3, 3), bool), hole_size).all()


def test_maps_are_blended_by_alpha_or_multiplied():
    expected = 0.2 * SEGMENT + 0.8 * UNIT
    np.testing.assert_allclose(merge(SEGMENT, LOW, "blend", 0.2), expected)
    np.testing.assert_allclose(merge(SEGMENT, LOW, "multiply", 0.5), SEGMENT * UNIT)


@pytest.mark.parametrize("merge_type", ["blend", "multiply"])
@pytest.mark.parametrize("value", [False, True])
def test_a_flat_map_leaves_the_second_alone(merge_type, value):
    flat = np.full((2, 2), value)
    np.testing.assert_allclose(merge(flat, LOW, merge_type, 0.3), UNIT)
    np.testing.assert_allclose(merge(SEGMENT, flat, merge_type, 0.3), SEGMENT)


def test_two_flat_maps_are_refused():
    with pytest.raises(ValueError, match="two flat maps"):
        merge(np.ones((2, 2), bool), np.full((2, 2), 4.0), "blend", 0.5)


@pytest.mark.parametrize(("percentage", "count"), [(0, 0), (15, 15), (15.9, 15)])
def test_the_highest_pixels_are_kept_up_to_the_percentage(percentage, count):
    values = np.random.default_rng(0).permutation(100.0 - np.arange(100)).reshape(5, 20)
    kept = top_percentage(values, percentage)
    np.testing.assert_array_equal(kept, values > 100 - count)
    assert top_percentage(np.zeros((3, 4)), 100).all()


def test_ties_that_do_not_all_fit_are_left_out():
    values = np.zeros((10, 10))
    values[0] = 1
    values[1, 0] = 2
    assert top_percentage(values, 10).sum() == 1
    assert top_percentage(values, 11).sum() == 11
    assert top_percentage(values, 50).sum() == 11


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 1), (2, 2, 3)])
def test_pixels_outside_the_mask_become_0(shape):
    image, mask = np.random.default_rng(0).random(shape, np.float32), np.eye(2) > 0
    expected = image.copy()
    expected[~mask] = 0
    cropped = crop(image, mask)
    assert cropped.dtype == np.float32
    np.testing.assert_array_equal(cropped, expected)
