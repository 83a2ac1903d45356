"""Box rows, and conversions between boxes and masks."""

import numpy as np
import pytest

from kerasloc import boxes


def test_x_runs_along_columns_and_y_along_rows_ends_excluded():
    mask = boxes.to_mask([[2, 1, 3, 2]], (4, 6))
    expected = np.zeros((4, 6), bool)
    expected[1:3, 2:5] = True
    np.testing.assert_array_equal(mask, expected)


def test_numbers_of_a_box_are_truncated_to_integers():
    truncated = boxes.to_mask([[1.9, 0.9, 2.9, 1.9]], (4, 6))
    np.testing.assert_array_equal(truncated, boxes.to_mask([[1, 0, 2, 1]], (4, 6)))


def test_the_mask_of_boxes_is_their_union():
    pair = [[0, 0, 2, 2], [1, 1, 3, 2]]
    first, second = (boxes.to_mask([box], (4, 6)) for box in pair)
    np.testing.assert_array_equal(boxes.to_mask(pair, (4, 6)), first | second)


@pytest.mark.parametrize(
    ("box", "covered"),
    [
        ((0, 0, 1, 1), [[0, 0]]),
        ((-2, -1, 3, 2), [[0, 0]]),  # sticks out above and to the left
        ((5, 3, 9, 9), [[3, 5]]),  # and below and to the right
        ((-5, -5, 3, 3), []),  # lies outside
        ((9, 9, 2, 2), []),
        ((1, 1, 0, 2), []),  # has no width
    ],
)
def test_boxes_are_clipped_to_the_mask(box, covered):
    assert np.argwhere(boxes.to_mask([box], (4, 6))).tolist() == covered


def test_boxes_of_a_mask_are_of_its_components_the_largest_first():
    components = [[3, 0, 3, 4], [0, 1, 2, 2]]
    mask = boxes.to_mask(components[::-1], (4, 6))
    np.testing.assert_array_equal(boxes.from_mask(mask), components)


def test_a_box_is_that_of_its_mask():
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = rng.integers(0, [20, 10])
        w, h = rng.integers(1, [30 - x, 15 - y], endpoint=True)
        mask = boxes.to_mask([[x, y, w, h]], (15, 30))
        assert boxes.from_mask(mask).tolist() == [[x, y, w, h]]


def test_no_box_covers_nothing_and_an_empty_mask_has_no_box():
    for none in (np.zeros((0, 4)), []):
        mask = boxes.to_mask(none, (4, 6))
        assert mask.shape == (4, 6)
        assert boxes.from_mask(mask).shape == (0, 4)


def test_pixels_that_touch_at_a_corner_and_of_other_values_are_connected():
    mask = np.diag([255, 7, 1, 0]).astype(np.uint8)
    assert boxes.from_mask(mask).tolist() == [[0, 0, 3, 3]]


def test_rows_are_floats_and_keep_their_columns_when_empty():
    assert boxes.as_rows([[0, 1, 2, 3, 4, 5]]).dtype == np.float32
    for empty in ([], np.zeros((0, 6)), ()):
        assert boxes.as_rows(empty).shape == (0, 6)


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
