"""Random affine maps, crops and flips, each as one warp."""

import dataclasses
import math

import tensorflow as tf

from kerasloc.configs import check_rules
from kerasloc.data.augment.warp import Example, matrix_of, mirror, product, warp

RADIANS = math.pi / 180
TRIES = 10


@dataclasses.dataclass(frozen=True)
class AffineFlip:
    """Random affine warp, then random flip, joined to one warp.

    Attributes:
        probability: Probability of the affine warp.
        scale: Range of the factors, drawn per axis.
        translation: Largest share of the side, per axis, in both directions.
        rotation: Largest angle, degrees, in both directions.
        shear: Largest angle, degrees, in both directions; both axes by one draw.
        flip: Probability of the left-right flip.

    Reference:
        The affine recipe is that of Tagaris et al., High Resolution Class Activation
        Mapping, ICIP 2019; the order of its steps and its shear follow imgaug's Affine.
    """

    probability: float = 0.5
    scale: tuple[float, float] = (0.9, 1.1)
    translation: float = 0.2
    rotation: float = 180.0
    shear: float = 5.0
    flip: float = 0.5

    def __call__(self, example: Example, seed: tf.Tensor) -> Example:
        """Warp the example; what enters from outside is 0."""
        size = tf.shape(example["image"])[:2]
        matrix, nearest = self.draw(seed, size)
        return warp(example, matrix, nearest)

    def draw(self, seed: tf.Tensor, size: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw a matrix and an interpolation.

        Args:
            seed: Two integers.
            size: Rows and columns of the image.

        Returns:
            Map of points, float32 (3, 3), and a boolean, true for nearest, false for
            bilinear interpolation.
        """
        unit = tf.unstack(tf.random.stateless_uniform([9], seed), num=9)

        def within(value, limit):
            return (2.0 * value - 1.0) * limit

        low, high = self.scale
        factors = [low + value * (high - low) for value in unit[1:3]]
        shift = [within(value, self.translation) for value in unit[3:5]]
        turn = within(unit[5], self.rotation * RADIANS)
        slant = tf.tanh(within(unit[6], self.shear * RADIANS))
        rows, cols = tf.cast(size[0], tf.float32), tf.cast(size[1], tf.float32)
        affine = product(
            matrix_of(1.0, -slant, shift[0] * cols, slant, 1.0, shift[1] * rows),
            matrix_of(factors[0], 0.0, 0.0, 0.0, factors[1], 0.0),
            matrix_of(
                tf.cos(turn), -tf.sin(turn), 0.0, tf.sin(turn), tf.cos(turn), 0.0
            ),
        )
        affine = tf.where(unit[0] < self.probability, affine, tf.eye(3))
        from_center = matrix_of(1.0, 0.0, -cols / 2, 0.0, 1.0, -rows / 2)
        to_center = matrix_of(1.0, 0.0, cols / 2, 0.0, 1.0, rows / 2)
        flip = mirror(unit[7] < self.flip, 0.0)  # about the center
        return product(to_center, flip, affine, from_center), unit[8] < 0.5


@dataclasses.dataclass(frozen=True)
class EnlargeCropFlip:
    """Random enlargement, crop of the image's size, and flip, joined to one warp.

    Attributes:
        scale: Range of the factor, at least 1.
        flip: Probability of the left-right flip.

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

    scale: tuple[float, float] = (1.0, 1.12)
    flip: float = 0.5

    def __post_init__(self) -> None:
        rules = {
            "scale of at least 1, ascending": 1 <= self.scale[0] <= self.scale[1],
            "flip in [0, 1]": 0 <= self.flip <= 1,
        }
        check_rules(rules, self)

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

    Pixels are interpolated once, bilinearly; what enters from outside is 0. The crop is
    drawn as random resized crops are: a share of the area and an aspect, ten times at
    most until it fits; else the largest central crop of an allowed aspect is taken. Its
    sides are not rounded to whole pixels. Rotation and aspect refer to the file's
    image: where the example has a ``file_size`` (rows, cols), the image is stretched
    back to it, warped, and squeezed again.

    The published order is another: rotate the image at its full size, crop it, then
    resize it with cubic interpolation; on chest X-rays the results differ by 1.0 gray
    level of 255 on average.

    Attributes:
        rotation: Largest angle, degrees, in both directions.
        rotate: Probability of the rotation.
        area: Range of the share of the area that a crop keeps, in (0, 1].
        aspect: Range of width over height of a crop; uniform in its logarithm.
        crop: Probability of the crop.
        flip: Probability of the left-right flip.
        visible: Share of its area below which a moved box is dropped.

    Raises:
        ValueError: If a value is out of its range.

    Reference:
        Preechakul et al., Improved image classification explainability with
        high-accuracy heatmaps, iScience 2022.
    """

    rotation: float = 90.0
    rotate: float = 0.5
    area: tuple[float, float] = (0.7, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    crop: float = 1.0
    flip: float = 0.5
    visible: float = 0.5

    def __post_init__(self) -> None:
        shares = {name: getattr(self, name) for name in ("rotate", "crop", "flip")}
        shares["visible"] = self.visible
        rules = {f"{name} in [0, 1]": 0 <= v <= 1 for name, v in shares.items()}
        rules["area in (0, 1], ascending"] = 0 < self.area[0] <= self.area[1] <= 1
        rules["aspect above 0, ascending"] = 0 < self.aspect[0] <= self.aspect[1]
        check_rules(rules, self)

    def __call__(self, example: Example, seed: tf.Tensor) -> Example:
        """Warp the example."""
        size = tf.shape(example["image"])[:2]
        matrix = self.draw(seed, size, example.get("file_size", size))
        return warp(example, matrix, tf.constant(False), visible=self.visible)

    def draw(self, seed: tf.Tensor, size: tf.Tensor, file_size: tf.Tensor) -> tf.Tensor:
        """Draw a matrix, float32 (3, 3), for :func:`kerasloc.data.augment.warp`.

        Args:
            seed: Two integers.
            size: Rows and columns of the image.
            file_size: Rows and columns of the image in its file.
        """
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
