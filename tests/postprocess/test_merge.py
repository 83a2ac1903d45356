"""Merging the segment with the low map."""

import numpy as np
import pytest

from kerasloc.postprocess.merge import merge

LOW = np.array([[1.0, 2.0], [3.0, 5.0]])
UNIT = np.array([[0, 0.25], [0.5, 1]])
SEGMENT = np.array([[0, 1], [0, 1]], bool)


def test_blend_weighs_the_segment_by_alpha():
    expected = 0.2 * SEGMENT + 0.8 * UNIT
    np.testing.assert_allclose(merge(SEGMENT, LOW, "blend", 0.2), expected)


def test_multiply_keeps_the_low_map_inside_the_segment():
    np.testing.assert_allclose(merge(SEGMENT, LOW, "multiply", 0.5), SEGMENT * UNIT)


@pytest.mark.parametrize("how", ["blend", "multiply"])
@pytest.mark.parametrize("blank", [0, 1])
def test_a_blank_one_yields_the_other(how, blank):
    flat = np.full((2, 2), bool(blank))
    np.testing.assert_allclose(merge(flat, LOW, how, 0.3), UNIT)
    np.testing.assert_allclose(merge(SEGMENT, flat, how, 0.3), SEGMENT)


def test_two_blank_ones_are_an_error():
    with pytest.raises(ValueError, match="two blank ones"):
        merge(np.ones((2, 2), bool), np.full((2, 2), 4.0), "blend", 0.5)
