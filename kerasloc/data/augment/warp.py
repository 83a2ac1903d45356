"""An image, its boxes and its mask moved by one matrix.

A matrix is float32 (3, 3) and says where a point (x, y, 1) goes, in pixels with the
corner of the image as origin.
"""

import tensorflow as tf


def warp(example: dict, matrix, nearest, *, visible: float = 0.0) -> dict:
    """The example with every point moved by a matrix; what is new is 0.

    Args:
        example: ``image`` (rows, cols, channels) and, where there are any, ``boxes``
            (k, 5), ``mask`` (rows, cols) and ``class_masks`` (rows, cols, classes).
        matrix: Float32 (3, 3).
        nearest: Scalar boolean: nearest or bilinear interpolation of the image.
        visible: Share of a moved box, in [0, 1], that has to lie inside the image.

    Returns:
        The example; a box is what surrounds its four moved corners inside the image,
        and is dropped when nothing of it, or less than ``visible``, is inside.
    """
    half = matrix_of(1.0, 0.0, 0.5, 0.0, 1.0, 0.5)  # pixel centres lie at halves
    back = tf.linalg.inv(half) @ tf.linalg.inv(matrix) @ half
    image = example["image"]
    moved = tf.cond(
        nearest,
        lambda: _transform(image, back, "NEAREST"),
        lambda: _transform(image, back, "BILINEAR"),
    )
    moved.set_shape(image.shape)
    answer = {**example, "image": moved}
    for name in {"mask", "class_masks"} & set(example):
        mask = example[name]
        channels = 1 if mask.shape.rank == 2 else mask.shape[-1]
        stack = tf.reshape(tf.cast(mask, tf.float32), (*image.shape[:2], channels))
        moved_mask = _transform(stack, back, "NEAREST") > 0.5
        answer[name] = tf.reshape(moved_mask, mask.shape)
    if "boxes" in example:
        size = tf.shape(image)[:2]
        answer["boxes"] = move_boxes(example["boxes"], matrix, size, visible)
    return answer


def move_boxes(boxes, matrix, size, visible: float = 0.0):
    """What surrounds the moved corners of every box, inside the image.

    Args:
        boxes: Float32 (k, 5) rows x, y, w, h, class.
        matrix: Float32 (3, 3).
        size: Rows and columns of the image.
        visible: Share of a moved box, in [0, 1], that has to lie inside the image.

    Returns:
        Float32 (m, 5), without the boxes that are not inside, or too little.
    """
    x, y, w, h = tf.unstack(boxes[:, :4], axis=1)
    ones = tf.ones_like(x)
    corners = tf.stack(
        [
            tf.stack([x + dx * w, y + dy * h, ones])
            for dx in (0.0, 1.0)
            for dy in (0.0, 1.0)
        ]
    )  # (corners, 3, boxes)
    moved = tf.einsum("ij,cjb->cib", matrix, corners)[:, :2]
    limit = tf.cast(tf.stack([size[1], size[0]]), tf.float32)[:, None]
    low, high = tf.reduce_min(moved, axis=0), tf.reduce_max(moved, axis=0)
    least = visible * tf.reduce_prod(high - low, axis=0)
    low = tf.clip_by_value(low, 0.0, limit)
    sides = tf.clip_by_value(high, 0.0, limit) - low
    rows = tf.concat([low, sides, boxes[:, 4][None]], axis=0)
    inside = tf.reduce_all(sides > 0, axis=0)
    seen = tf.reduce_prod(sides, axis=0) >= least
    return tf.boolean_mask(tf.transpose(rows), inside & seen)


def matrix_of(a, b, c, d, e, f):
    """The matrix with the rows (a, b, c), (d, e, f), (0, 0, 1)."""
    rows = [[a, b, c], [d, e, f], [0.0, 0.0, 1.0]]
    return tf.stack([tf.stack([tf.cast(v, tf.float32) for v in row]) for row in rows])


def product(*matrices):
    """The matrix that does what the last of them does, then the one before it."""
    answer = matrices[0]
    for matrix in matrices[1:]:
        answer = answer @ matrix
    return answer


def _transform(image, back, interpolation):
    """One image through the matrix that leads from the answer back to it."""
    vector = tf.reshape(back / back[2, 2], [9])[:8]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=vector[None],
        output_shape=tf.shape(image)[:2],
        fill_value=0.0,
        interpolation=interpolation,
        fill_mode="CONSTANT",
    )[0]
