"""The region of interest and the bounds of its edges."""

import numpy as np

from kerasloc.postprocess.roi import edge_bounds, region_of_interest, resize


def test_resized_map_keeps_rows_and_columns_apart():
    low = np.array([[0.0, 0.0, 9.0], [0.0, 0.0, 0.0]])
    wide = resize(low, (20, 60))
    assert wide.shape == (20, 60)
    assert np.unravel_index(wide.argmax(), wide.shape)[0] < 10
    assert wide.max() == 9
    assert wide[:, :20].max() == 0


def test_region_holds_the_pixels_above_the_percentile():
    region = region_of_interest(np.arange(100.0).reshape(10, 10), 85)
    np.testing.assert_array_equal(np.flatnonzero(region), np.arange(85, 100))


def test_a_wide_maximum_is_the_region_itself():
    values = np.zeros((4, 4))
    values[:2] = 1
    np.testing.assert_array_equal(region_of_interest(values, 85), values == 1)


def test_bounds_are_the_quartiles_inside_the_region():
    edges = np.array([[0.0, 0.1, 0.2], [0.3, 0.4, 1.0]])
    roi = np.array([[1, 1, 1], [1, 1, 0]], bool)
    bounds = edge_bounds(edges, roi)
    np.testing.assert_allclose(bounds, (0.1, 0.3))
    assert [type(bound) for bound in bounds] == [float, float]
