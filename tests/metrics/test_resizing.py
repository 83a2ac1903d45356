import numpy as np
import pytest

from kerasloc.metrics import resize_maps


def test_a_row_of_two_is_interpolated_between_its_centers():
    answer = resize_maps([[0.0, 1.0]], (1, 4))
    np.testing.assert_allclose(answer, [[0, 0.25, 0.75, 1]])


def test_rows_and_columns_are_not_mixed_up():
    answer = resize_maps([[0.0], [1.0]], (4, 3))
    np.testing.assert_allclose(answer, np.repeat([[0], [0.25], [0.75], [1]], 3, axis=1))


@pytest.mark.parametrize("size", [(7, 5), (13, 6), (31, 40), (3, 2), (1, 1)])
def test_agrees_with_tensorflow(size):
    import tensorflow as tf

    maps = np.random.default_rng(0).standard_normal((3, 7, 5)).astype(np.float32)
    expected = tf.image.resize(maps[..., None], size, "bilinear", antialias=False)
    answer = resize_maps(maps, size)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, expected[..., 0], atol=1e-5)


def test_flat_maps_stay_exactly_flat():
    maps = np.full((2, 7, 7), np.float32(0.1))
    np.testing.assert_array_equal(resize_maps(maps, (50, 33)), np.float32(0.1))


def test_leading_axes_are_kept():
    maps = np.arange(24.0).reshape(2, 3, 2, 2)
    answer = resize_maps(maps, 5)
    assert answer.shape == (2, 3, 5, 5)
    np.testing.assert_array_equal(answer[1, 2], resize_maps(maps[1, 2], 5))


def test_no_maps_give_no_maps():
    assert resize_maps(np.zeros((0, 3, 3)), (6, 4)).shape == (0, 6, 4)


@pytest.mark.parametrize("maps", [np.zeros(3), np.zeros((2, 0, 3))])
def test_maps_without_pixels_are_refused(maps):
    with pytest.raises(ValueError, match=r"at least a pixel.*Received: shape"):
        resize_maps(maps, 4)
