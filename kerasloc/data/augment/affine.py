"""The affine recipe of HRCAM: scale, shift, turn, shear and flip in one warp.

Reference:
    The affine recipe is that of Tagaris et al., High Resolution Class Activation
    Mapping, ICIP 2019; the order of its steps and its shear follow imgaug's Affine.
"""

import dataclasses
import math

import tensorflow as tf

from kerasloc.data.augment.warp import matrix_of, product, warp

RADIANS = math.pi / 180


@dataclasses.dataclass(frozen=True)
class AffineFlip:
    """With some probability an affine warp, then with some a flip; all in one warp.

    Attributes:
        probability: Of the affine warp.
        scale: Factors per axis, from and to.
        translation: Largest share of the side, per axis, in both directions.
        rotation: Largest angle, degrees, in both directions.
        shear: Largest angle, degrees, in both directions; both axes by one draw.
        flip: Probability of the left-right flip.
    """

    probability: float = 0.5
    scale: tuple[float, float] = (0.9, 1.1)
    translation: float = 0.2
    rotation: float = 180.0
    shear: float = 5.0
    flip: float = 0.5

    def __call__(self, example: dict, seed) -> dict:
        """The example after one random warp; what comes in from outside is 0."""
        size = tf.shape(example["image"])[:2]
        matrix, nearest = self.draw(seed, size)
        return warp(example, matrix, nearest)

    def draw(self, seed, size):
        """A random matrix and whether pixels are taken from the nearest one.

        Args:
            seed: Two integers.
            size: Rows and columns of the image.

        Returns:
            Float32 (3, 3): where a point (x, y, 1), in pixels with the corner of the
            image as origin, goes; and a boolean, true for nearest, false for bilinear.
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
        mirror = matrix_of(tf.where(unit[7] < self.flip, -1.0, 1.0), 0.0, 0.0, 0, 1, 0)
        centre = matrix_of(1.0, 0.0, cols / 2, 0.0, 1.0, rows / 2)
        from_centre = matrix_of(1.0, 0.0, -cols / 2, 0.0, 1.0, -rows / 2)
        return product(centre, mirror, affine, from_centre), unit[8] < 0.5
