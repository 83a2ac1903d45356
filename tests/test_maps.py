"""Maps scaled to [0, 1] and resized."""

import numpy as np
import pytest

from kerasloc.maps import center_gaussian, is_flat, min_max, resize_maps, scale_to_unit


def test_every_map_is_scaled_by_its_minimum_and_maximum():
    heat = min_max([[[-3, 1], [0, -2]], [[0, 2], [1, 4]]])
    np.testing.assert_allclose(heat[0], [[0, 1], [0.75, 0.25]])
    np.testing.assert_allclose(heat[1], [[0, 0.5], [0.25, 1]])


@pytest.mark.parametrize("value", [-7.0, 0.0, 0.1])
def test_flat_maps_become_zeros(value):
    maps = np.full((2, 3, 3), value, np.float32)
    np.testing.assert_array_equal(min_max(maps), 0)
    np.testing.assert_array_equal(scale_to_unit(maps), 0)
    assert is_flat(maps)
    assert not is_flat(np.array([0.1, 0.1, 0.1 + 1e-12]))


@pytest.mark.parametrize("size", [(7, 5), (13, 6), (31, 40), (3, 2), (1, 1)])
def test_agrees_with_tensorflow(size):
    import tensorflow as tf

    maps = np.random.default_rng(0).standard_normal((3, 7, 5)).astype(np.float32)
    expected = tf.image.resize(maps[..., None], size, "bilinear", antialias=False)
    resized = resize_maps(maps, size)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, expected[..., 0], atol=1e-5)


def test_flat_maps_stay_exactly_flat_and_rows_and_columns_apart():
    maps = np.full((2, 7, 7), np.float32(0.1))
    np.testing.assert_array_equal(resize_maps(maps, (50, 33)), np.float32(0.1))
    expected = np.repeat([[0], [0.25], [0.75], [1]], 3, axis=1)
    np.testing.assert_allclose(resize_maps([[0.0], [1.0]], (4, 3)), expected)


def test_leading_axes_are_kept():
    maps = np.arange(24.0).reshape(2, 3, 2, 2)
    resized = resize_maps(maps, 5)
    assert resized.shape == (2, 3, 5, 5)
    np.testing.assert_array_equal(resized[1, 2], resize_maps(maps[1, 2], 5))
    assert resize_maps(np.zeros((0, 3, 3)), (6, 4)).shape == (0, 6, 4)


@pytest.mark.parametrize("maps", [np.zeros(3), np.zeros((2, 0, 3))])
def test_maps_without_pixels_are_refused(maps):
    with pytest.raises(ValueError, match=r"maps.*Received: shape \(.*3\)|shape \(3,\)"):
        resize_maps(maps, 4)


@pytest.mark.parametrize("size", [(9, 5), (8, 6), (1, 7)])
def test_the_gaussian_has_its_maximum_1_in_the_center(size):
    gaussian = center_gaussian(size)
    assert gaussian.shape == size
    assert gaussian.dtype == np.float32
    assert gaussian.max() == gaussian[size[0] // 2, size[1] // 2] == 1
    np.testing.assert_allclose(gaussian, gaussian[::-1, ::-1], rtol=1e-6)
    assert gaussian.min() > 0


def test_the_spread_of_the_gaussian_is_a_share_of_each_side():
    gaussian = center_gaussian((101, 51), spread=0.2)
    np.testing.assert_allclose(gaussian[50 + 20, 25], np.exp(-0.5))
    np.testing.assert_allclose(gaussian[50, 25 + 10], np.exp(-0.5))
    assert center_gaussian(7).shape == (7, 7)


@pytest.mark.parametrize("spread", [0, -1, np.nan, np.inf])
def test_wrong_spreads_are_refused(spread):
    with pytest.raises(ValueError, match=f"spread={spread}"):
        center_gaussian(8, spread)
