"""Optical, grid and piecewise distortions of an image, its boxes and its masks.

In TensorFlow, as imgaug has no optical and no grid one, and its piecewise and elastic
ones are about to fail, or fail, on the scikit-image and the OpenCV of today.
"""

import dataclasses

import tensorflow as tf

MOVED = ("image", "boxes", "mask", "class_masks")
CELLS = 5  # of the grids that distort, along each side


@dataclasses.dataclass(frozen=True)
class Distortion:
    """An optical, a grid or a piecewise distortion, each as often.

    Optical: points are taken from farther from the centre, or from nearer, by a share
    that grows with the square of their distance. Grid: rows and columns of cells get
    other heights and widths; the image's border stays. Piecewise: every corner of the
    cells moves on its own. What comes in from outside is 0.

    Attributes:
        optical: Largest share in the image's corners, in both directions.
        grid: Largest share of the height and width of a cell, in both directions.
        piecewise: Largest move of a corner in shares of a cell, in both directions and
            along each axis; up to 0.25 no cell folds over.

    Raises:
        ValueError: If a number is out of its range.
    """

    optical: float = 0.2
    grid: float = 0.3
    piecewise: float = 0.25

    def __post_init__(self):
        limits = (self.optical, self.grid, self.piecewise)
        if not all(0 <= limit <= 0.3 for limit in limits):
            raise ValueError(
                f"Limits of distortions are shares in [0, 0.3]. Received: {limits}."
            )

    def __call__(self, example: dict, seed) -> dict:
        """The example, distorted; boxes surround what they held, in whole pixels."""
        own, knots = tf.unstack(tf.random.split(seed, 2))
        unit = tf.random.stateless_uniform([2], own)
        x, y = self.source(example["image"], unit, knots)
        parts = {name: example[name] for name in MOVED if name in example}
        return {**example, **move(parts, x, y)}

    def source(self, image, unit, seed):
        """Where each pixel is taken from: x and y, (rows, cols), in pixels.

        Args:
            image: (rows, cols, channels).
            unit: Two numbers in [0, 1): which of the three, and how much (optical).
            seed: Of the moves (grid and piecewise).
        """
        rows, cols = tf.unstack(tf.shape(image)[:2])
        down, right = _centres(rows), _centres(cols)
        draws = tf.random.stateless_uniform([CELLS + 1, CELLS + 1, 2], seed, -1.0, 1.0)
        place = tf.stack(tf.meshgrid(right, down), axis=-1)  # (rows, cols, 2): x, y

        def optical():
            radius = tf.reduce_sum((2 * place - 1) ** 2, axis=-1, keepdims=True) / 2
            return (place - 0.5) * radius * (2 * unit[1] - 1) * self.optical

        def grid():
            sides = 1 + self.grid * draws[0, 1:]  # (cells, 2)
            ends = tf.cumsum(sides, axis=0) / tf.reduce_sum(sides, axis=0)
            ends = tf.pad(ends, [[1, 0], [0, 0]]) - _knots()[:, None]
            x, y = ends[:, 0], ends[:, 1]
            return _interpolate(tf.stack(tf.meshgrid(x, y), axis=-1), down, right)

        def piecewise():
            return _interpolate(draws * self.piecewise / CELLS, down, right)

        kind = tf.cast(unit[0] * 3, tf.int32)
        place += tf.switch_case(kind, [optical, grid, piecewise])
        size = tf.cast(tf.stack([cols, rows]), tf.float32)
        return tf.unstack(place * size, axis=-1)


def move(parts: dict, x, y) -> dict:
    """Image, boxes and masks with every pixel taken from somewhere.

    Args:
        parts: ``image`` (rows, cols, channels) and, where there are any, ``boxes``
            (k, 5), ``mask`` (rows, cols) and ``class_masks`` (rows, cols, classes).
        x: Where from, (rows, cols), pixels; centres lie at halves. Outside the image is
            0.
        y: The same.
    """
    rows, cols = tf.unstack(tf.shape(parts["image"])[:2])
    inside = (x >= 0) & (x < _float(cols)) & (y >= 0) & (y < _float(rows))

    def take(values, at_y, at_x):
        at = (tf.clip_by_value(at_y, 0, rows - 1), tf.clip_by_value(at_x, 0, cols - 1))
        return tf.gather_nd(values, tf.stack(at, axis=-1))

    def bilinear(image):
        left, top = tf.floor(x - 0.5), tf.floor(y - 0.5)
        right, down = (x - 0.5 - left)[..., None], (y - 0.5 - top)[..., None]
        i, j = tf.cast(top, tf.int32), tf.cast(left, tf.int32)
        upper = take(image, i, j) * (1 - right) + take(image, i, j + 1) * right
        lower = take(image, i + 1, j) * (1 - right) + take(image, i + 1, j + 1) * right
        return (upper * (1 - down) + lower * down) * _float(inside)[..., None]

    def nearest(mask):
        there = inside if mask.shape.rank == 2 else inside[..., None]
        return take(mask, tf.cast(tf.floor(y), tf.int32), tf.cast(x, tf.int32)) & there

    def boxes(old):
        left, top, w, h = (old[:, i, None, None] for i in range(4))
        hits = (x >= left) & (x < left + w) & (y >= top) & (y < top + h) & inside
        x1, x2 = _ends(tf.reduce_any(hits, axis=1))  # (boxes,)
        y1, y2 = _ends(tf.reduce_any(hits, axis=2))
        new = tf.stack([x1, y1, x2 - x1, y2 - y1, old[:, 4]], axis=1)
        return tf.boolean_mask(new, tf.reduce_any(hits, axis=(1, 2)))

    how = {"image": bilinear, "boxes": boxes}
    return {name: how.get(name, nearest)(part) for name, part in parts.items()}


def _interpolate(knots, down, right):
    """Values at the corners of the cells, bilinear between them, (rows, cols, 2)."""

    def hats(place):  # (pixels, knots)
        return tf.maximum(0.0, 1 - tf.abs(place[:, None] - _knots()) * CELLS)

    return tf.einsum("rj,jkc,qk->rqc", hats(down), knots, hats(right))


def _knots():
    return tf.linspace(0.0, 1.0, CELLS + 1)


def _centres(count):
    """Centres of the pixels of a side of length 1."""
    return (tf.range(_float(count)) + 0.5) / _float(count)


def _ends(hits):
    """First index and the one after the last of what is true, (boxes,) float."""
    last = tf.shape(hits)[1] - tf.argmax(hits[:, ::-1], axis=1, output_type=tf.int32)
    return _float(tf.argmax(hits, axis=1, output_type=tf.int32)), _float(last)


def _float(values):
    return tf.cast(values, tf.float32)
