"""Masks of boxes drawn in the graph: as those drawn by ``kerasloc.boxes``."""

import numpy as np
import pytest
import tensorflow as tf

from kerasloc.boxes import to_mask
from kerasloc.data.decode import box_masks

SIZE = (9, 12)


def drawn(boxes, classes):
    """The masks of one image's classes, each by ``to_mask``, (rows, cols, classes)."""
    boxes = np.asarray(boxes, float)
    each = [to_mask(boxes[boxes[:, 4] == k, :4], SIZE) for k in range(classes)]
    return np.stack(each, axis=-1)


def some_boxes(count, most, classes):
    """Whole pixels, sticking out on every side, several of a class, some missing."""
    rng = np.random.default_rng(0)
    corners = rng.integers(-6, 12, (count, most, 2))
    sides = rng.integers(0, 9, (count, most, 2))
    index = rng.integers(-1, classes, (count, most, 1))
    return np.concatenate([corners, sides, index], axis=-1).astype("float32")


def test_whole_pixels_are_covered_as_numpy_draws_them():
    boxes = some_boxes(40, 4, 3)
    masks = box_masks(boxes, SIZE, 3)
    assert (masks.shape, masks.dtype) == ((40, *SIZE, 3), tf.bool)
    for mask, rows in zip(masks.numpy(), boxes, strict=True):
        np.testing.assert_array_equal(mask, drawn(rows, 3))
    assert masks.numpy().any(axis=(0, 1, 2)).all()


def test_boxes_of_a_class_are_joined_and_those_of_others_apart():
    boxes = [[[0, 0, 4, 4, 1], [2, 2, 4, 4, 1], [2, 2, 4, 4, 0], [0, 0, 0, 0, -1]]]
    first, second, third = np.moveaxis(box_masks(boxes, SIZE, 3)[0].numpy(), -1, 0)
    assert (first.sum(), second.sum(), third.sum()) == (16, 28, 0)
    assert (first <= second).all()


def test_a_pixel_belongs_to_a_box_that_covers_its_center():
    boxes = [[[1.5, 2.51, 2, 2.49, 0]]]  # columns 1.5 to 3.5, rows 2.51 to 5
    mask = box_masks(boxes, SIZE, 1)[0, ..., 0].numpy()
    rows, cols = np.nonzero(mask)
    assert (set(rows), set(cols)) == ({3, 4}, {1, 2})


def test_boxes_that_stick_out_are_cut_and_those_outside_are_not_seen():
    boxes = [[[-5, -5, 100, 100, 0], [-5, 3, 5, 2, 1], [12, 0, 3, 3, 1]]]
    masks = box_masks(boxes, SIZE, 2)[0].numpy()
    assert masks[..., 0].all()
    assert not masks[..., 1].any()


@pytest.mark.parametrize("index", [-1, 3, 7])
def test_without_boxes_or_class_masks_are_empty(index):
    for boxes in ([[[0, 0, 9, 9, index]]], np.zeros((1, 0, 5), "float32")):
        masks = box_masks(boxes, SIZE, 3)
        assert masks.shape == (1, *SIZE, 3)
        assert not masks.numpy().any()


def test_graphs_of_unknown_counts_draw_the_same():
    boxes = some_boxes(3, 5, 2)
    spec = tf.TensorSpec((None, None, 5), tf.float32)
    graph = tf.function(lambda b: box_masks(b, SIZE, 2), input_signature=[spec])
    np.testing.assert_array_equal(graph(boxes), box_masks(boxes, SIZE, 2))
