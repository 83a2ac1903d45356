"""Projective warps of an image together with its boxes and masks.

A matrix is float32 (3, 3) and maps a point (x, y, 1), in pixels with the corner of the
image as origin.
"""

import functools
import itertools

import tensorflow as tf

Example = dict[str, tf.Tensor]


def warp(
    example: Example, matrix: tf.Tensor, nearest: tf.Tensor, *, visible: float = 0.0
) -> Example:
    """Warp an image with its boxes and masks; what enters from outside is 0.

    Args:
        example: ``image`` and, if present, ``boxes``, ``mask`` and ``class_masks``.
        matrix: Map of points, float32 (3, 3).
        nearest: Scalar boolean: nearest or bilinear interpolation of the image.
        visible: Share of a moved box, in [0, 1], that has to lie inside the image.
    """
    half = matrix_of(1.0, 0.0, 0.5, 0.0, 1.0, 0.5)  # pixel centers are at halves
    back = tf.linalg.inv(half) @ tf.linalg.inv(matrix) @ half
    image = example["image"]
    kinds = ("NEAREST", "BILINEAR")
    moved = tf.cond(
        nearest, *(functools.partial(_transform, image, back, kind) for kind in kinds)
    )
    moved.set_shape(image.shape)
    result = {**example, "image": moved}
    for name in {"mask", "class_masks"} & set(example):
        mask = example[name]
        channels = 1 if mask.shape.rank == 2 else mask.shape[-1]
        stack = tf.reshape(tf.cast(mask, tf.float32), (*image.shape[:2], channels))
        moved_mask = _transform(stack, back, "NEAREST") > 0.5
        result[name] = tf.reshape(moved_mask, mask.shape)
    if "boxes" in example:
        size = tf.shape(image)[:2]
        result["boxes"] = move_boxes(example["boxes"], matrix, size, visible)
    return result


def move_boxes(
    boxes: tf.Tensor, matrix: tf.Tensor, size: tf.Tensor, visible: float = 0.0
) -> tf.Tensor:
    """Surround the moved corners of every box, clipped to the image.

    Args:
        boxes: Float32 (k, 5) rows x, y, w, h, class.
        matrix: Map of points, float32 (3, 3).
        size: Rows and columns of the image.
        visible: Share of a moved box below which it is dropped, in [0, 1].

    Examples:
        >>> shift = matrix_of(1, 0, 5, 0, 1, 0)
        >>> move_boxes(tf.constant([[0.0, 2, 4, 4, 1]]), shift, [8, 8]).numpy()
        array([[5., 2., 3., 4., 1.]], dtype=float32)
    """
    x, y, w, h = tf.unstack(boxes[:, :4], axis=1)
    ones = tf.ones_like(x)
    ends = itertools.product((0.0, 1.0), repeat=2)
    corners = tf.stack([tf.stack([x + i * w, y + j * h, ones]) for i, j in ends])
    moved = tf.einsum("ij,cjb->cib", matrix, corners)[:, :2]
    limit = tf.cast(tf.stack([size[1], size[0]]), tf.float32)[:, None]
    low, high = tf.reduce_min(moved, axis=0), tf.reduce_max(moved, axis=0)
    least = visible * tf.reduce_prod(high - low, axis=0)
    low = tf.clip_by_value(low, 0.0, limit)
    sides = tf.clip_by_value(high, 0.0, limit) - low
    rows = tf.concat([low, sides, boxes[:, 4][None]], axis=0)
    inside = tf.reduce_all(sides > 0, axis=0)
    enough = tf.reduce_prod(sides, axis=0) >= least
    return tf.boolean_mask(tf.transpose(rows), inside & enough)


def matrix_of(
    a: tf.Tensor, b: tf.Tensor, c: tf.Tensor, d: tf.Tensor, e: tf.Tensor, f: tf.Tensor
) -> tf.Tensor:
    """Matrix with the rows (a, b, c), (d, e, f), (0, 0, 1).

    Examples:
        >>> matrix_of(1, 0, 5, 0, 1, 0)[0].numpy()
        array([1., 0., 5.], dtype=float32)
    """
    rows = [[a, b, c], [d, e, f], [0.0, 0.0, 1.0]]
    return tf.stack([tf.stack([tf.cast(v, tf.float32) for v in row]) for row in rows])


def mirror(mirrored: tf.Tensor, cols: tf.Tensor) -> tf.Tensor:
    """Matrix of a left-right flip of an image where ``mirrored``, a scalar, is true."""
    side, shift = tf.where(mirrored, -1.0, 1.0), tf.where(mirrored, cols, 0.0)
    return matrix_of(side, 0.0, shift, 0.0, 1.0, 0.0)


def product(*matrices: tf.Tensor) -> tf.Tensor:
    """Product of matrices; the last is applied first."""
    return functools.reduce(tf.matmul, matrices)


def _transform(image: tf.Tensor, back: tf.Tensor, interpolation: str) -> tf.Tensor:
    """Sample an image; ``back`` maps from the result to the image."""
    vector = tf.reshape(back / back[2, 2], [9])[:8]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=vector[None],
        output_shape=tf.shape(image)[:2],
        fill_value=0.0,
        interpolation=interpolation,
        fill_mode="CONSTANT",
    )[0]
