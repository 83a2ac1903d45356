"""Random affine maps, crops and flips: projective warps of image, boxes and masks.

A matrix is float32 (3, 3) and maps a point (x, y, 1), in pixels with the corner of the
image as origin.
"""

import dataclasses
import functools
import itertools
import math

import tensorflow as tf

from kerasloc.configs import check_rules, field_rules, option

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


RADIANS = math.pi / 180
TRIES = 10


@dataclasses.dataclass(frozen=True)
class AffineFlip:
    """Random affine warp, then random flip, joined to one warp.

    Limits hold in both directions; angles are degrees.

    Reference:
        The affine recipe is that of Tagaris et al., High Resolution Class Activation
        Mapping, ICIP 2019; the order of its steps and its shear follow imgaug's Affine.
    """

    probability: float = option(0.5, "Probability of the affine warp.")
    scale: tuple[float, float] = option((0.9, 1.1), "Range of the factors per axis.")
    translation: float = option(0.2, "Largest share of the side, per axis.")
    rotation: float = option(180.0, "Largest angle.")
    shear: float = option(5.0, "Largest angle; both axes by one draw.")
    flip: float = option(0.5, "Probability of the left-right flip.")

    def __call__(self, example: Example, seed: tf.Tensor) -> Example:
        """Warp the example; what enters from outside is 0."""
        matrix, nearest = self.draw(seed, tf.shape(example["image"])[:2])
        return warp(example, matrix, nearest)

    def draw(self, seed: tf.Tensor, size: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw a matrix for an image of some rows and columns, and ``nearest``."""
        rows, cols = tf.unstack(tf.cast(size, tf.float32), num=2)
        unit = tf.unstack(tf.random.stateless_uniform([9], seed))
        low, high = self.scale
        scale_x, scale_y = (low + value * (high - low) for value in unit[1:3])
        shift_x, shift_y = ((2.0 * v - 1.0) * self.translation for v in unit[3:5])
        turn = (2.0 * unit[5] - 1.0) * (self.rotation * RADIANS)
        slant = tf.tanh((2.0 * unit[6] - 1.0) * (self.shear * RADIANS))
        cos, sin = tf.cos(turn), tf.sin(turn)
        affine = product(
            matrix_of(1.0, -slant, shift_x * cols, slant, 1.0, shift_y * rows),
            matrix_of(scale_x, 0.0, 0.0, 0.0, scale_y, 0.0),
            matrix_of(cos, -sin, 0.0, sin, cos, 0.0),
        )
        matrix = product(
            matrix_of(1.0, 0.0, cols / 2, 0.0, 1.0, rows / 2),
            mirror(unit[7] < self.flip, 0.0),  # about the center
            tf.where(unit[0] < self.probability, affine, tf.eye(3)),
            matrix_of(1.0, 0.0, -cols / 2, 0.0, 1.0, -rows / 2),
        )
        return matrix, unit[8] < 0.5


@dataclasses.dataclass(frozen=True)
class EnlargeCropFlip:
    """Random enlargement, crop of the image's size, and flip, joined to one warp.

    Raises:
        ValueError: If a value is out of its range.

    Reference:
        Ouyang et al., Learning hierarchical attention for weakly-supervised chest X-ray
        abnormality localization and diagnosis, TMI 2021.

    Examples:
        >>> flip = EnlargeCropFlip(scale=(1.0, 1.0), flip=1.0)
        >>> example = flip({"image": tf.constant([[[0.0], [1.0]]])}, seed=(0, 1))
        >>> example["image"][0, :, 0].numpy()
        array([1., 0.], dtype=float32)
    """

    scale: tuple[float, float] = option((1.0, 1.12), "Range of the factor, 1 or more.")
    flip: float = option(0.5, "Probability of the left-right flip.", low=0, high=1)

    def __post_init__(self) -> None:
        low, high = self.scale
        rules = {"scale of at least 1, ascending": 1 <= low <= high}
        check_rules(rules | field_rules(self), self)

    def __call__(self, example: Example, seed: tf.Tensor) -> Example:
        """Warp the example."""
        rows, cols = tf.unstack(tf.cast(tf.shape(example["image"])[:2], tf.float32))
        unit = tf.unstack(tf.random.stateless_uniform([4], seed))
        factor = self.scale[0] + unit[0] * (self.scale[1] - self.scale[0])
        left, top = unit[1] * cols * (factor - 1), unit[2] * rows * (factor - 1)
        matrix = product(
            mirror(unit[3] < self.flip, cols),
            matrix_of(factor, 0.0, -left, 0.0, factor, -top),
        )
        return warp(example, matrix, tf.constant(False))


@dataclasses.dataclass(frozen=True)
class RotateCropFlip:
    """Random rotation about the center, crop at full size, and flip, as one warp.

    Pixels are interpolated once, bilinearly; what enters from outside is 0. A share of
    the area and an aspect of the crop are drawn ten times at most until it fits; else
    it is the largest central crop of an allowed aspect. Its sides are not rounded.
    Rotation and aspect are those of an image of the example's ``file_size``, if any.

    The published order is to rotate at full size, crop, then resize with cubic
    interpolation; chest X-rays differ by 1.0 gray level of 255 on average.

    Raises:
        ValueError: If a value is out of its range.

    Reference:
        Preechakul et al., Improved image classification explainability with
        high-accuracy heatmaps, iScience 2022.
    """

    rotation: float = option(90.0, "Largest angle, degrees, in both directions.")
    rotate: float = option(0.5, "Probability of the rotation.", low=0, high=1)
    area: tuple[float, float] = option((0.7, 1.0), "Range of the share that is kept.")
    aspect: tuple[float, float] = option(  # uniform in its logarithm
        (3 / 4, 4 / 3), "Range of width over height of a crop."
    )
    crop: float = option(1.0, "Probability of the crop.", low=0, high=1)
    flip: float = option(0.5, "Probability of the left-right flip.", low=0, high=1)
    visible: float = option(
        0.5, "Share of its area below which a moved box is dropped.", low=0, high=1
    )

    def __post_init__(self) -> None:
        rules = field_rules(self)
        rules["area in (0, 1], ascending"] = 0 < self.area[0] <= self.area[1] <= 1
        rules["aspect above 0, ascending"] = 0 < self.aspect[0] <= self.aspect[1]
        check_rules(rules, self)

    def __call__(self, example: Example, seed: tf.Tensor) -> Example:
        """Warp the example."""
        size = tf.shape(example["image"])[:2]
        matrix = self.draw(seed, size, example.get("file_size", size))
        return warp(example, matrix, tf.constant(False), visible=self.visible)

    def draw(self, seed: tf.Tensor, size: tf.Tensor, file_size: tf.Tensor) -> tf.Tensor:
        """Draw a matrix for an image's rows and columns, and those of its file."""
        unit = tf.random.stateless_uniform([6 + 2 * TRIES], seed)
        rows, cols = tf.unstack(tf.cast(size, tf.float32))
        file_rows, file_cols = tf.unstack(tf.cast(file_size, tf.float32))
        turn = (2 * unit[1] - 1) * self.rotation * RADIANS
        turn = tf.where(unit[0] < self.rotate, turn, 0.0)
        x, y, w, h = self._window(unit[4:], file_rows, file_cols)
        keep = unit[2] >= self.crop
        x, y = tf.where(keep, 0.0, x), tf.where(keep, 0.0, y)
        w, h = tf.where(keep, file_cols, w), tf.where(keep, file_rows, h)
        cos, sin = tf.cos(turn), tf.sin(turn)
        half_rows, half_cols = file_rows / 2, file_cols / 2
        return product(
            mirror(unit[3] < self.flip, cols),
            matrix_of(cols / w, 0.0, -x * cols / w, 0.0, rows / h, -y * rows / h),
            matrix_of(cos, -sin, half_cols, sin, cos, half_rows),
            matrix_of(1.0, 0.0, -half_cols, 0.0, 1.0, -half_rows),
            matrix_of(file_cols / cols, 0.0, 0.0, 0.0, file_rows / rows, 0.0),
        )

    def _window(self, unit, rows, cols) -> tuple[tf.Tensor, ...]:
        """x, y, w, h of the crop, in pixels of the file's image."""
        (least, most), aspects = self.area, tf.constant(self.aspect, tf.float32)
        low, high = tf.unstack(tf.math.log(aspects))
        pairs = tf.reshape(unit[2:], (TRIES, 2))
        area = rows * cols * (least + (most - least) * pairs[:, 0])
        aspect = tf.exp(low + (high - low) * pairs[:, 1])
        w, h = tf.sqrt(area * aspect), tf.sqrt(area / aspect)
        fits = (w <= cols) & (h <= rows)
        fit, first = tf.reduce_any(fits), tf.argmax(fits)
        w = tf.where(fit, w[first], tf.minimum(cols, rows * aspects[1]))
        h = tf.where(fit, h[first], tf.minimum(rows, cols / aspects[0]))
        left, top = tf.where(fit, unit[0], 0.5), tf.where(fit, unit[1], 0.5)
        return left * (cols - w), top * (rows - h), w, h
