"""Masks of every class drawn from boxes, in the graph."""

import tensorflow as tf


def box_masks(boxes, size, classes: int):
    """What the boxes of every class cover, boolean (n, rows, cols, classes).

    A pixel belongs to a box that covers its center.

    Args:
        boxes: Rows x, y, w, h, class in pixels, class -1 for none, (n, most, 5).
        size: Rows and columns of the masks.
        classes: How many.
    """
    x, y, w, h, index = tf.unstack(tf.cast(boxes, tf.float32), axis=-1)  # (n, most)
    own = tf.one_hot(tf.cast(index, tf.int32), classes)  # nothing for -1
    rows = _covered(y, h, size[0])
    # classes with the columns: the product is then in its final order
    cols = _covered(x, w, size[1])[..., None] * own[:, :, None]
    return tf.einsum("nbr,nbck->nrck", rows, cols) > 0


def _covered(start, length, count: int):
    """1 where a side covers the centers of pixels, (n, most, count)."""
    centers = tf.range(count, dtype=tf.float32) + 0.5
    start, end = start[..., None], (start + length)[..., None]
    return tf.cast((start <= centers) & (centers < end), tf.float32)
