"""The region of interest, and focal points, global and local."""

import numpy as np
import pytest

from kerasloc.postprocess.regions import (
    global_points,
    high_maxima,
    local_points,
    region_of_interest,
    resize,
)


def test_resized_map_keeps_rows_and_columns_apart():
    low = np.array([[0.0, 0.0, 9.0], [0.0, 0.0, 0.0]])
    wide = resize(low, (20, 60))
    assert wide.shape == (20, 60)
    assert np.unravel_index(wide.argmax(), wide.shape)[0] < 10
    assert wide.max() == 9
    assert wide[:, :20].max() == 0


def test_region_holds_the_pixels_above_the_percentile_or_a_wide_maximum():
    region = region_of_interest(np.arange(100.0).reshape(10, 10), 85)
    np.testing.assert_array_equal(np.flatnonzero(region), np.arange(85, 100))
    values = np.repeat([1.0, 0.0], 8).reshape(4, 4)
    np.testing.assert_array_equal(region_of_interest(values, 85), values == 1)


@pytest.mark.parametrize(("size", "count"), [((96, 50), 10), ((100, 224), 15)])
def test_there_are_as_many_global_points_as_the_root_of_the_longer_side(size, count):
    values = np.random.default_rng(0).random(size)
    points = global_points(values)
    x, y = points.T
    assert points.shape == (count, 2)
    np.testing.assert_array_equal(np.sort(values[y, x]), np.sort(values, None)[-count:])


def test_equal_pixels_are_taken_in_reading_order():
    values = np.zeros((9, 9))
    values[4, 7] = 1
    expected = [(0, 0), (1, 0), (7, 4)]
    assert sorted(map(tuple, global_points(values).tolist())) == expected
    np.testing.assert_array_equal(global_points(np.ones((1, 1))), [[0, 0]])


def test_maxima_below_the_mean_of_the_extreme_ones_are_left_out():
    low = np.zeros((5, 9))
    low[1, 1], low[3, 4], low[1, 7] = 1.0, 0.2, 0.6
    assert list(zip(*np.nonzero(high_maxima(low)), strict=True)) == [(1, 1), (1, 7)]


@pytest.mark.parametrize("shift", [0, -10])
def test_a_single_maximum_is_kept(shift):
    rows, cols = np.mgrid[:5, :6]
    mask = high_maxima(5 - (rows - 1.0) ** 2 - (cols - 4.0) ** 2 + shift)
    assert list(zip(*np.nonzero(mask), strict=True)) == [(1, 4)]


def test_as_published_other_cells_count_as_0_where_the_mean_is_negative():
    low = np.full((5, 5), -9.0)
    low[1, 1], low[3, 3] = 1.0, -5.0
    expected = np.ones((5, 5), bool)
    expected[3, 3] = False
    np.testing.assert_array_equal(high_maxima(low), expected)


def test_large_areas_are_the_whole_cell_and_small_ones_its_skeleton():
    low = np.zeros((3, 4))
    low[1, 2] = 1
    large = {tuple(point) for point in local_points(low, (30, 80), "large").tolist()}
    small = {tuple(point) for point in local_points(low, (30, 80), "small").tolist()}
    assert large == {(x, y) for x in range(40, 60) for y in range(10, 20)}
    assert 0 < len(small) < 20
    assert small < large


def test_an_image_smaller_than_the_map_may_have_no_local_point():
    low = np.zeros((9, 9))
    low[0, 0] = 1
    assert local_points(low, (3, 3), "large").shape == (0, 2)
