import numpy as np
import pytest
import tensorflow as tf

from kerasloc.data.augment import warp
from kerasloc.data.augment.geometry import matrix_of

BILINEAR, NEAREST = tf.constant(False), tf.constant(True)


def test_a_shift_by_whole_pixels_is_exact(example):
    result = warp(example(), matrix_of(1, 0, 3, 0, 1, -2), BILINEAR)
    expected = np.zeros((40, 48), bool)
    expected[8:26, 19:31] = True
    np.testing.assert_array_equal(result["mask"], expected)
    np.testing.assert_allclose(result["image"][..., 0], expected, atol=1e-5)
    np.testing.assert_allclose(result["boxes"], [[19, 8, 12, 18, 2]])


def test_a_quarter_turn_keeps_the_center(example):
    before = example(size=(48, 48))
    result = warp(before, matrix_of(0, -1, 48, 1, 0, 0), NEAREST)
    np.testing.assert_array_equal(result["mask"], np.rot90(before["mask"].numpy(), -1))
    np.testing.assert_allclose(result["boxes"], [[20, 16, 18, 12, 2]], atol=1e-4)


@pytest.mark.parametrize(
    ("shift", "visible", "boxes"),
    [
        (26, 0.0, [[42, 10, 6, 18, 2]]),
        (40, 0.0, np.zeros((0, 5))),
        (48 - 16 - 12 * 0.55, 0.5, [[48 - 6.6, 10, 6.6, 18, 2]]),
        (48 - 16 - 12 * 0.45, 0.5, np.zeros((0, 5))),
    ],
)
def test_boxes_are_clipped_and_dropped_when_less_is_visible(
    example, shift, visible, boxes
):
    matrix = matrix_of(1, 0, shift, 0, 1, 0)
    result = warp(example(), matrix, BILINEAR, visible=visible)
    np.testing.assert_allclose(result["boxes"], boxes, atol=1e-4 if visible else 0)
