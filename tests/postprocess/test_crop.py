"""What of the image is kept."""

import numpy as np
import pytest

from kerasloc.postprocess.crop import above_threshold, crop, top_percentage


@pytest.mark.parametrize(("percentage", "count"), [(0, 0), (15, 15), (15.9, 15)])
def test_the_highest_pixels_are_kept_up_to_the_percentage(percentage, count):
    values = np.random.default_rng(0).permutation(100.0 - np.arange(100)).reshape(5, 20)
    kept = top_percentage(values, percentage)
    np.testing.assert_array_equal(kept, values > 100 - count)


def test_a_hundred_percent_keep_all():
    assert top_percentage(np.zeros((3, 4)), 100).all()


def test_ties_that_do_not_all_fit_are_left_out():
    values = np.zeros((10, 10))
    values[0] = 1
    values[1, 0] = 2
    assert top_percentage(values, 10).sum() == 1
    assert top_percentage(values, 11).sum() == 11
    assert top_percentage(values, 50).sum() == 11


def test_threshold_is_of_the_normalized_map_and_excluded():
    values = np.array([[-4.0, -3.0, -2.0, 0.0]])
    np.testing.assert_array_equal(above_threshold(values, 0.5), [[0, 0, 0, 1]])


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 1), (2, 2, 3)])
def test_pixels_outside_the_mask_become_0(shape):
    image = np.random.default_rng(0).random(shape, np.float32) + 0.1
    cropped = crop(image, np.array([[True, False], [False, True]]))
    assert cropped.shape == shape
    assert cropped.dtype == np.float32
    np.testing.assert_array_equal(cropped[0, 0], image[0, 0])
    assert not cropped[0, 1].any()
    assert not cropped[1, 0].any()
