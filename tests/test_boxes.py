"""Box rows, and the ways between boxes and masks."""

import numpy as np
import pytest

from kerasloc import boxes


def test_x_runs_along_columns_and_y_along_rows():
    mask = boxes.to_mask([[2, 1, 3, 2]], (4, 6))
    expected = np.zeros((4, 6), bool)
    expected[1:3, 2:5] = True
    np.testing.assert_array_equal(mask, expected)


def test_the_far_ends_are_excluded():
    mask = boxes.to_mask([[0, 0, 1, 1]], (3, 3))
    assert np.argwhere(mask).tolist() == [[0, 0]]


def test_each_number_of_a_box_is_cut_to_an_integer():
    cut = boxes.to_mask([[1.9, 0.9, 2.9, 1.9]], (4, 6))
    np.testing.assert_array_equal(cut, boxes.to_mask([[1, 0, 2, 1]], (4, 6)))


def test_several_boxes_cover_together():
    first, second = [0, 0, 2, 2], [1, 1, 3, 2]
    both = boxes.to_mask([first, second], (4, 6))
    apart = [boxes.to_mask([one], (4, 6)) for one in (first, second)]
    np.testing.assert_array_equal(both, apart[0] | apart[1])


@pytest.mark.parametrize(
    ("box", "covered"),
    [
        ((-2, -1, 3, 2), [[0, 0]]),  # sticks out above and to the left
        ((5, 3, 9, 9), [[3, 5]]),  # and below and to the right
        ((-5, -5, 3, 3), []),  # lies outside
        ((9, 9, 2, 2), []),
        ((1, 1, 0, 2), []),  # has no width
    ],
)
def test_what_lies_outside_is_cut_off(box, covered):
    assert np.argwhere(boxes.to_mask([box], (4, 6))).tolist() == covered


def test_no_box_covers_nothing():
    assert not boxes.to_mask(np.zeros((0, 4)), (4, 6)).any()
    assert boxes.to_mask([], (4, 6)).shape == (4, 6)


def test_boxes_of_a_mask_are_its_parts_the_largest_first():
    parts = [[3, 0, 3, 4], [0, 1, 2, 2]]
    mask = boxes.to_mask(parts[::-1], (4, 6))
    np.testing.assert_array_equal(boxes.from_mask(mask), parts)


def test_a_box_is_found_again_from_its_mask():
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = rng.integers(0, [20, 10])
        w, h = rng.integers(1, [30 - x, 15 - y], endpoint=True)
        mask = boxes.to_mask([[x, y, w, h]], (15, 30))
        assert boxes.from_mask(mask).tolist() == [[x, y, w, h]]


def test_parts_that_touch_at_a_corner_are_one():
    mask = np.eye(3, dtype=bool)
    assert boxes.from_mask(mask).tolist() == [[0, 0, 3, 3]]


def test_an_empty_mask_has_no_box():
    assert boxes.from_mask(np.zeros((4, 6), bool)).shape == (0, 4)


def test_a_mask_of_numbers_counts_where_it_is_not_zero():
    mask = np.zeros((4, 6), np.uint8)
    mask[1, 1:3], mask[1, 3] = 255, 7  # other numbers, the same part
    assert boxes.from_mask(mask).tolist() == [[1, 1, 3, 1]]


def test_rows_are_floats_and_none_at_all_keep_their_columns():
    assert boxes.as_rows([[0, 1, 2, 3, 4, 5]]).dtype == np.float32
    for none in ([], np.zeros((0, 6)), ()):
        assert boxes.as_rows(none).shape == (0, 6)


@pytest.mark.parametrize("wrong", [[1, 2, 3, 4, 5, 6], [[1, 2, 3, 4]]])
def test_rows_of_another_length_are_refused(wrong):
    with pytest.raises(ValueError, match=r"rows image, x, y, w, h, class.*shape"):
        boxes.as_rows(wrong)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_named(wrong):
    rows = np.ones((3, 6))
    rows[1, 2] = wrong
    with pytest.raises(ValueError, match=r"NaN or infinite in rows \[1\]"):
        boxes.as_rows(rows)
