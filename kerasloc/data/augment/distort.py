"""Optical, grid and piecewise distortions of an image, its boxes and its masks.

imgaug has no optical and no grid distortion, and its piecewise and elastic ones fail,
or are about to, with current scikit-image and OpenCV.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from kerasloc.configs import check_rules, field_rules, option
from kerasloc.data.augment.geometry import Example

MOVED = ("image", "boxes", "mask", "class_masks")
CELLS = 5  # of the grids that distort, along each side
KNOTS = np.linspace(0, 1, CELLS + 1, dtype=np.float32)
LIMIT = 0.3


@dataclasses.dataclass(frozen=True)
class Distortion:
    """Optical, grid or piecewise distortion, all equally likely.

    Optical: pixels are sampled from farther from the center, or from nearer, by a share
    that grows with the square of their distance. Grid: rows and columns of cells change
    their heights and widths; the image's border stays. Piecewise: every corner of the
    cells moves independently. What enters from outside is 0.

    Raises:
        ValueError: If a value is not in [0, 0.3].
    """

    optical: float = option(
        0.2, "Largest share in the corners, in both directions.", low=0, high=LIMIT
    )
    grid: float = option(
        0.3, "Largest share of a cell's sides, in both directions.", low=0, high=LIMIT
    )
    piecewise: float = option(  # up to 0.25 no cell folds over
        0.25, "Largest move of a corner per axis, shares of a cell.", low=0, high=LIMIT
    )

    def __post_init__(self) -> None:
        check_rules(field_rules(self), self)

    def __call__(self, example: Example, seed: tf.Tensor) -> Example:
        """Distort the example; boxes surround what they held, in whole pixels."""
        draw, knots = tf.unstack(tf.random.split(seed, 2))
        unit = tf.random.stateless_uniform([2], draw)
        x, y = self.source(example["image"], unit, knots)
        moving = {name: example[name] for name in MOVED if name in example}
        return {**example, **move(moving, x, y)}

    def source(
        self, image: tf.Tensor, unit: tf.Tensor, seed: tf.Tensor
    ) -> list[tf.Tensor]:
        """Source of each pixel: x and y, (rows, cols), in pixels.

        Args:
            image: Image (rows, cols, channels).
            unit: Two numbers in [0, 1): kind of the distortion, and strength (optical).
            seed: Seed of the moves (grid and piecewise).
        """
        rows, cols = tf.unstack(_float(tf.shape(image)[:2]))
        down, right = (tf.range(rows) + 0.5) / rows, (tf.range(cols) + 0.5) / cols
        draws = tf.random.stateless_uniform([CELLS + 1, CELLS + 1, 2], seed, -1.0, 1.0)
        points = tf.stack(tf.meshgrid(right, down), axis=-1)  # (rows, cols, 2): x, y

        def optical():
            radius = tf.reduce_sum((2 * points - 1) ** 2, axis=-1, keepdims=True) / 2
            return (points - 0.5) * radius * (2 * unit[1] - 1) * self.optical

        def grid():
            sides = 1 + self.grid * draws[0, 1:]  # (cells, 2)
            ends = tf.cumsum(sides, axis=0) / tf.reduce_sum(sides, axis=0)
            x, y = tf.unstack(tf.pad(ends, [[1, 0], [0, 0]]) - KNOTS[:, None], axis=1)
            return _interpolate(tf.stack(tf.meshgrid(x, y), axis=-1), down, right)

        def piecewise():
            return _interpolate(draws * self.piecewise / CELLS, down, right)

        kind = tf.cast(unit[0] * 3, tf.int32)
        points += tf.switch_case(kind, [optical, grid, piecewise])
        return tf.unstack(points * tf.stack([cols, rows]), axis=-1)


def move(example: Example, x: tf.Tensor, y: tf.Tensor) -> Example:
    """Sample image, boxes and masks at other pixels; outside the image is 0.

    Args:
        example: ``image`` and, if present, ``boxes``, ``mask`` and ``class_masks``.
        x: Columns of the sources, (rows, cols), pixels; centers are at halves.
        y: Rows of the sources, the same.
    """
    rows, cols = tf.unstack(tf.shape(example["image"])[:2])
    inside = (x >= 0) & (x < _float(cols)) & (y >= 0) & (y < _float(rows))

    def take(values, i, j):
        at = (tf.clip_by_value(i, 0, rows - 1), tf.clip_by_value(j, 0, cols - 1))
        return tf.gather_nd(values, tf.stack(at, axis=-1))

    def bilinear(image):
        left, top = tf.floor(x - 0.5), tf.floor(y - 0.5)
        right, down = (x - 0.5 - left)[..., None], (y - 0.5 - top)[..., None]
        i, j = tf.cast(top, tf.int32), tf.cast(left, tf.int32)
        upper = take(image, i, j) * (1 - right) + take(image, i, j + 1) * right
        lower = take(image, i + 1, j) * (1 - right) + take(image, i + 1, j + 1) * right
        return (upper * (1 - down) + lower * down) * _float(inside)[..., None]

    def nearest(mask):
        valid = inside if mask.shape.rank == 2 else inside[..., None]
        return take(mask, tf.cast(tf.floor(y), tf.int32), tf.cast(x, tf.int32)) & valid

    def boxes(old):
        left, top, w, h = (old[:, i, None, None] for i in range(4))
        hits = (x >= left) & (x < left + w) & (y >= top) & (y < top + h) & inside
        x1, x2 = _ends(tf.reduce_any(hits, axis=1))  # (boxes,)
        y1, y2 = _ends(tf.reduce_any(hits, axis=2))
        new = tf.stack([x1, y1, x2 - x1, y2 - y1, old[:, 4]], axis=1)
        return tf.boolean_mask(new, tf.reduce_any(hits, axis=(1, 2)))

    samplers = {"image": bilinear, "boxes": boxes}
    return {name: samplers.get(name, nearest)(v) for name, v in example.items()}


def _interpolate(knots: tf.Tensor, down: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Interpolate values at the corners of the cells bilinearly, (rows, cols, 2)."""
    steps = (tf.abs(position[:, None] - KNOTS) * CELLS for position in (down, right))
    y, x = (tf.maximum(0.0, 1 - step) for step in steps)  # (pixels, knots)
    return tf.einsum("rj,jkc,qk->rqc", y, knots, x)


def _ends(hits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """First true index and the index after the last, (boxes,) float."""
    last = tf.shape(hits)[1] - tf.argmax(hits[:, ::-1], axis=1, output_type=tf.int32)
    return _float(tf.argmax(hits, axis=1, output_type=tf.int32)), _float(last)


def _float(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(values, tf.float32)
