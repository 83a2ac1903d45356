"""Masks of every class drawn from boxes, in the graph."""

import tensorflow as tf


def box_masks(boxes: tf.Tensor, size: tuple[int, int], classes: int) -> tf.Tensor:
    """Draw the boxes of every class, boolean (n, rows, cols, classes).

    A pixel belongs to a box that covers its center.

    Args:
        boxes: Rows x, y, w, h, class in pixels, class -1 for padding, (n, boxes, 5).
        size: Rows and columns of the masks.
        classes: Number of classes.

    Examples:
        >>> box_masks([[[1, 0, 2, 2, 0]]], (2, 4), 1)[0, ..., 0].numpy().astype(int)
        array([[0, 1, 1, 0],
               [0, 1, 1, 0]])
    """
    x, y, w, h, index = tf.unstack(tf.cast(boxes, tf.float32), axis=-1)  # (n, boxes)
    one_hot = tf.one_hot(tf.cast(index, tf.int32), classes)  # zeros for -1
    rows = _covered(y, h, size[0])
    # classes with the columns: the product is then in its final order
    cols = _covered(x, w, size[1])[..., None] * one_hot[:, :, None]
    return tf.einsum("nbr,nbck->nrck", rows, cols) > 0


def _covered(start: tf.Tensor, length: tf.Tensor, count: int) -> tf.Tensor:
    """1 where a side covers the centers of pixels, (n, boxes, count)."""
    centers = tf.range(count, dtype=tf.float32) + 0.5
    start, end = start[..., None], (start + length)[..., None]
    return tf.cast((start <= centers) & (centers < end), tf.float32)
