"""Maps brought to [0, 1]."""

import numpy as np

from kerasloc.postprocess.normalize import is_flat, min_max


def test_lowest_becomes_0_and_highest_1():
    np.testing.assert_allclose(
        min_max(np.array([[-3.0, 1.0], [0.0, -2.0]])).ravel(),
        [
            0,
            1,
            0.75,
            0.25,
        ],
    )


def test_a_flat_map_becomes_0_without_a_warning():
    np.testing.assert_array_equal(min_max(np.full((2, 2), -7.0)), np.zeros((2, 2)))


def test_masks_become_0_and_1():
    np.testing.assert_array_equal(min_max(np.array([True, False])), [1.0, 0.0])


def test_flat_means_one_value_everywhere():
    assert is_flat(np.full((2, 3), 0.1))
    assert not is_flat(np.array([0.1, 0.1, 0.1 + 1e-12]))
