"""Random affine maps, crops and flips, each as one warp."""

import dataclasses
import math

import tensorflow as tf

from kerasloc.configs import check_rules, field_rules, option
from kerasloc.data.augment.warp import Example, matrix_of, mirror, product, warp

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
