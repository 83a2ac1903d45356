"""Rotation, random resized crop and flip of an image, in one warp.

Reference:
    The steps are those of Preechakul et al., Improved image classification
    explainability with high-accuracy heatmaps, iScience 2022.
"""

import dataclasses
import math

import tensorflow as tf

from kerasloc.data.augment.warp import matrix_of, product, warp

TRIES = 10


@dataclasses.dataclass(frozen=True)
class EnlargeCropFlip:
    """A random enlargement, a crop of the image's size out of it, a flip; one warp.

    Attributes:
        scale: Factors of the enlargement, from and to, both at least 1.
        flip: Probability of the left-right flip.

    Reference:
        The steps are those of Ouyang et al., Learning hierarchical attention for
        weakly-supervised chest X-ray abnormality localization and diagnosis, TMI 2021.
    """

    scale: tuple[float, float] = (1.0, 1.12)
    flip: float = 0.5

    def __post_init__(self):
        if not 1 <= self.scale[0] <= self.scale[1] or not 0 <= self.flip <= 1:
            raise ValueError(
                "An enlargement goes from a factor of at least 1 to a larger one; a "
                f"probability lies in [0, 1]. Received: {self}."
            )

    def __call__(self, example: dict, seed) -> dict:
        """The example after one random warp."""
        rows, cols = tf.unstack(tf.cast(tf.shape(example["image"])[:2], tf.float32))
        unit = tf.unstack(tf.random.stateless_uniform([4], seed))
        factor = self.scale[0] + unit[0] * (self.scale[1] - self.scale[0])
        left, top = unit[1] * cols * (factor - 1), unit[2] * rows * (factor - 1)
        mirrored = unit[3] < self.flip
        side, shift = tf.where(mirrored, -1.0, 1.0), tf.where(mirrored, cols, 0.0)
        matrix = product(
            matrix_of(side, 0.0, shift, 0.0, 1.0, 0.0),
            matrix_of(factor, 0.0, -left, 0.0, factor, -top),
        )
        return warp(example, matrix, tf.constant(False))


@dataclasses.dataclass(frozen=True)
class RotateCropFlip:
    """Rotation about the centre, then a crop at full size, then a left-right flip.

    The steps are drawn each by its own probability and joined to one matrix, so that
    pixels are interpolated once, bilinearly, and what comes in from outside is 0. The
    crop is drawn as random resized crops are: a share of the area and an aspect of the
    crop, ten times at most until it fits; else the largest central one of an allowed
    aspect is taken. Its sides are not rounded to whole pixels.

    Rotation and aspect are those of the file's image: where the example has a
    ``file_size`` (rows, cols), the image is thought to be stretched back to it, warped,
    and squeezed again.

    The published order is another: rotate the image at its full size, crop it, then
    resize it with cubic interpolation. Measured on chest X-rays of 1024 px made 256 px,
    by the same draws, images that are resized bilinearly first and warped here differ
    from that by 1.0 gray level of 255 on average (0.6 from the same order with
    antialiasing; the two cubic ways differ by 0.6 from one another).

    Attributes:
        rotation: Largest angle, degrees, in both directions.
        rotate: Probability of the rotation.
        area: Share of the area that a crop keeps, from and to, in (0, 1].
        aspect: Width over height of a crop, from and to; drawn evenly in its logarithm.
        crop: Probability of the crop.
        flip: Probability of the flip.
        visible: Share of its area below which a moved box is dropped.
    """

    rotation: float = 90.0
    rotate: float = 0.5
    area: tuple[float, float] = (0.7, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    crop: float = 1.0
    flip: float = 0.5
    visible: float = 0.5

    def __post_init__(self):
        shares = (self.rotate, self.crop, self.flip, self.visible, *self.area)
        if not all(0 <= share <= 1 for share in shares) or 0 in self.area:
            raise ValueError(
                "Probabilities and shares lie in [0, 1], areas above 0. "
                f"Received: {self}."
            )
        if self.area[0] > self.area[1] or not 0 < self.aspect[0] <= self.aspect[1]:
            raise ValueError(
                "A range goes from a smaller to a larger number, aspects above 0. "
                f"Received: area {self.area}, aspect {self.aspect}."
            )

    def __call__(self, example: dict, seed) -> dict:
        """The example after one random warp."""
        size = tf.shape(example["image"])[:2]
        matrix = self.draw(seed, size, example.get("file_size", size))
        return warp(example, matrix, tf.constant(False), visible=self.visible)

    def draw(self, seed, size, file_size):
        """A random matrix.

        Args:
            seed: Two integers.
            size: Rows and columns of the image.
            file_size: Rows and columns that it had in its file.

        Returns:
            Float32 (3, 3), as :func:`kerasloc.data.augment.warp.warp` takes it.
        """
        unit = tf.random.stateless_uniform([6 + 2 * TRIES], seed)
        rows, cols = tf.unstack(tf.cast(size, tf.float32))
        file_rows, file_cols = tf.unstack(tf.cast(file_size, tf.float32))
        turn = (2 * unit[1] - 1) * self.rotation * (math.pi / 180)
        turn = tf.where(unit[0] < self.rotate, turn, 0.0)
        x, y, w, h = self._window(unit[4:], file_rows, file_cols)
        keep = unit[2] >= self.crop
        x, y = tf.where(keep, 0.0, x), tf.where(keep, 0.0, y)
        w, h = tf.where(keep, file_cols, w), tf.where(keep, file_rows, h)
        mirrored = unit[3] < self.flip
        side, shift = tf.where(mirrored, -1.0, 1.0), tf.where(mirrored, cols, 0.0)
        cos, sin = tf.cos(turn), tf.sin(turn)
        half_rows, half_cols = file_rows / 2, file_cols / 2
        return product(
            matrix_of(side, 0.0, shift, 0.0, 1.0, 0.0),
            matrix_of(cols / w, 0.0, -x * cols / w, 0.0, rows / h, -y * rows / h),
            matrix_of(cos, -sin, half_cols, sin, cos, half_rows),
            matrix_of(1.0, 0.0, -half_cols, 0.0, 1.0, -half_rows),
            matrix_of(file_cols / cols, 0.0, 0.0, 0.0, file_rows / rows, 0.0),
        )

    def _window(self, unit, rows, cols):
        """x, y, w, h of the crop, in pixels of the file's image."""
        (least, most), aspects = self.area, tf.constant(self.aspect, tf.float32)
        low, high = tf.unstack(tf.math.log(aspects))
        pairs = tf.reshape(unit[2:], (TRIES, 2))
        area = rows * cols * (least + (most - least) * pairs[:, 0])
        aspect = tf.exp(low + (high - low) * pairs[:, 1])
        w, h = tf.sqrt(area * aspect), tf.sqrt(area / aspect)
        fits = (w <= cols) & (h <= rows)
        found, first = tf.reduce_any(fits), tf.argmax(fits)
        w = tf.where(found, w[first], tf.minimum(cols, rows * aspects[1]))
        h = tf.where(found, h[first], tf.minimum(rows, cols / aspects[0]))
        at_x = tf.where(found, unit[0], 0.5)
        at_y = tf.where(found, unit[1], 0.5)
        return at_x * (cols - w), at_y * (rows - h), w, h
