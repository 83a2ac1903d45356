"""Blur and edges against other implementations."""

import numpy as np
from skimage.filters import sobel

from kerasloc.postprocess.regions import blur, edge_strength


def test_blur_is_the_mean_of_a_window_with_the_border_repeated():
    high = np.random.default_rng(0).standard_normal((7, 9))
    unit = (high - high.min()) / np.ptp(high)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(unit, 2, mode="symmetric"), (5, 5)
    )
    np.testing.assert_allclose(blur(high), windows.mean(axis=(2, 3)), atol=1e-12)


def test_edges_are_the_sobel_magnitude_in_the_unit_range():
    values = np.random.default_rng(0).random((12, 17))
    expected = sobel(values)
    expected = (expected - expected.min()) / np.ptp(expected)
    np.testing.assert_allclose(edge_strength(values), expected, atol=1e-12)
    assert not edge_strength(np.full((6, 6), 0.4)).any()
