"""Growing and filling, against labels of connected parts."""

import numpy as np
import pytest
from scipy import ndimage

from kerasloc.postprocess.segment import fill_holes, grow


@pytest.mark.parametrize("seed", range(5))
def test_growing_equals_labels_that_hold_a_point(seed):
    rng = np.random.default_rng(seed)
    edges = rng.random((31, 44)).round(2)  # so that values meet the bounds
    points = rng.integers(0, (44, 31), (20, 2))
    parts, _ = ndimage.label((edges >= 0.2) & (edges <= 0.75))
    held = set(parts[points[:, 1], points[:, 0]]) - {0}
    expected = np.isin(parts, sorted(held))
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


def test_only_holes_of_fewer_pixels_are_filled():
    mask = np.ones((8, 12), bool)
    mask[1:3, 1:3] = mask[5:7, 4:6] = mask[5, 6] = False  # holes of 4 and of 5 pixels
    filled = fill_holes(mask, 5)
    assert filled[1:3, 1:3].all()
    assert not filled[5:7, 4:6].any()


def test_a_full_mask_stays_full():
    assert fill_holes(np.ones((3, 3), bool), 256).all()
