import numpy as np
import pytest

from kerasloc.metrics import point_hits, resize_maps, stacks


def square(rows, cols, size=(8, 8)):
    mask = np.zeros(size, bool)
    mask[rows, cols] = True
    return mask


def test_a_maximum_on_the_mask_hits():
    image = np.zeros((8, 8))
    image[2, 6] = 1
    masks = [
        square(slice(1, 4), slice(5, 8)),
        square(slice(5, 8), slice(1, 4)),  # rows and columns the other way round
        ~square(2, 6),
    ]
    np.testing.assert_array_equal(point_hits([image] * 3, masks), [1, 0, 0])


def test_small_maps_are_resized_to_the_masks():
    image = [[0.0, 1.0], [0.0, 0.0]]
    masks = [square(slice(4), slice(4, 8)), square(slice(4, 8), slice(4, 8))]
    np.testing.assert_array_equal(point_hits([image] * 2, masks), [1, 0])


def test_negative_maps_point_as_well():
    np.testing.assert_array_equal(
        point_hits([[[-3, -1], [-2, -4]]], [square(0, 1, (2, 2))]), [1]
    )


def test_of_equal_maxima_the_first_counts():
    flat = np.full((2, 3, 3), 0.1)
    masks = [square(0, 0, (7, 7)), ~square(0, 0, (7, 7))]
    np.testing.assert_array_equal(point_hits(flat, masks), [1, 0])


def test_an_empty_mask_has_nan():
    maps = np.random.default_rng(0).random((2, 4, 4))
    masks = np.stack([np.zeros((4, 4), bool), np.ones((4, 4), bool)])
    np.testing.assert_array_equal(point_hits(maps, masks), [np.nan, 1])


def test_agrees_with_a_loop_in_chunks(monkeypatch):
    monkeypatch.setattr(stacks, "VALUES_AT_ONCE", 300)
    rng = np.random.default_rng(0)
    maps, masks = rng.random((9, 4, 3)), rng.random((9, 10, 12)) > 0.5
    expected = []
    for one, mask in zip(maps, masks, strict=True):
        large = resize_maps(one, (10, 12))
        expected.append(mask[np.unravel_index(large.argmax(), large.shape)])
    np.testing.assert_array_equal(point_hits(maps, masks), expected)
    assert 0 < np.mean(expected) < 1


def test_no_images_give_no_hits():
    assert point_hits(np.zeros((0, 2, 2)), np.zeros((0, 4, 4), bool)).shape == (0,)


def test_soft_masks_are_refused():
    with pytest.raises(TypeError, match="Masks are boolean"):
        point_hits(np.zeros((1, 2, 2)), np.zeros((1, 2, 2)))


def test_maps_with_nan_are_refused():
    with pytest.raises(ValueError, match="finite numbers"):
        point_hits([[[np.nan]]], [[[True]]])
