"""Pairs of an image and a class that has boxes on it: what localization is about."""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from kerasloc.boxes import as_rows
from kerasloc.checks import as_size
from kerasloc.metrics.averages import macro_mean, ratio, weighted_mean
from kerasloc.metrics.bootstrap import image_counts, middle
from kerasloc.metrics.resizing import resize_maps
from kerasloc.metrics.stacks import as_float, chunks

SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Images and classes with boxes, sorted by image, then class.

    Attributes:
        maps: (n, rows, cols, classes), as they came.
        size: Rows and columns of the images.
        images: Index of each pair's image, (pairs,).
        classes: Index of its class, (pairs,).
        boxes: Rows x, y, w, h, sorted by their pair, (m, 4).
        owner: Index of each box's pair, ascending, (m,).
    """

    maps: np.ndarray
    size: tuple[int, int]
    images: np.ndarray
    classes: np.ndarray
    boxes: np.ndarray
    owner: np.ndarray

    def parts(self) -> Iterator[tuple[slice, slice]]:
        """Slices of the pairs, and of their boxes, that bound the memory of a pass."""
        for part in chunks(len(self.images), self.size[0] * self.size[1]):
            yield part, slice(*np.searchsorted(self.owner, (part.start, part.stop)))

    def raw_maps(self, part: slice) -> np.ndarray:
        """Finite maps of some pairs at the network's size, (k, rows, cols)."""
        images, classes = self.images[part], self.classes[part]
        maps = as_float(self.maps[images, :, :, classes])
        bad = np.flatnonzero(~np.isfinite(maps).all(axis=(1, 2)))
        if bad.size:
            raise ValueError(
                "Maps of classes with boxes hold finite numbers. Received: NaN or "
                f"infinite values on image {images[bad[0]]}, class {classes[bad[0]]}. "
                "Leave the boxes of these images out."
            )
        return maps

    def summary(self, values: np.ndarray, seed: int) -> dict:
        """The answer's dict from the values of all pairs, (pairs,) or (pairs, k)."""
        shape = values.shape[1:]
        flat = values.reshape(len(values), math.prod(shape)).astype(float)
        classes = self.maps.shape[-1]
        images, rows = np.unique(self.images, return_inverse=True)
        has = np.zeros((len(images), classes))
        has[rows, self.classes] = 1
        sums = np.zeros((len(images), flat.shape[1], classes))
        sums[rows, :, self.classes] = flat

        def summarize(counts):
            weights = counts @ has  # (draws, classes)
            total = np.tensordot(counts, sums, axes=1)  # (draws, k, classes)
            each = ratio(total, weights[:, None])
            averages = macro_mean(each), weighted_mean(each, weights[:, None])
            return np.concatenate([each, np.stack(averages, axis=-1)], axis=-1)

        found = summarize(np.ones((1, len(images))))[0]
        draws = image_counts(len(images), seed=seed, each=classes)
        around = middle(np.concatenate([summarize(counts) for counts in draws]))
        return {
            **_named(found, shape),
            "count": has.sum(axis=0).astype(int),
            "classes_counted": int(has.any(axis=0).sum()),
            "intervals": _named(around, shape),
            "pairs": np.stack([self.images, self.classes], axis=1),
        }


def as_pairs(maps, boxes, image_size) -> Pairs:
    """What the localization metrics work on, checked.

    Args:
        maps: (n, rows, cols, classes), any range.
        boxes: Rows image, x, y, w, h, class in pixels of the image.
        image_size: (rows, cols), or one number for both.

    Raises:
        ValueError: If the maps have another shape, the size is none, an image or
            class is not there, or a box is empty or wholly outside of the image.
    """
    maps, size = np.asarray(maps), as_size(image_size)
    if maps.ndim != 4 or 0 in maps.shape[1:]:
        raise ValueError(
            "The maps are (n, rows, cols, classes), at least a pixel each. "
            f"Received: shape {maps.shape}."
        )
    rows = as_rows(boxes)
    _check_indices(rows, maps.shape)
    _check_extents(rows, size)
    code = rows[:, 0].astype(int) * maps.shape[-1] + rows[:, 5].astype(int)
    order = code.argsort(kind="stable")
    pairs, owner = np.unique(code[order], return_inverse=True)
    images, classes = np.divmod(pairs, maps.shape[-1])
    return Pairs(maps, size, images, classes, rows[order, 1:5], owner)


def resized(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps at the size of the image, flat: (k, rows * cols)."""
    return resize_maps(maps, size).reshape(len(maps), -1)


def _check_indices(rows: np.ndarray, shape: tuple[int, ...]):
    image, index = rows[:, 0], rows[:, 5]
    here = (image >= 0) & (image < shape[0]) & (index >= 0) & (index < shape[-1])
    bad = ~here | (image % 1 != 0) | (index % 1 != 0)
    _refuse(
        rows,
        bad,
        f"The image and class of a box are whole numbers, here in 0..{shape[0] - 1} "
        f"and 0..{shape[-1] - 1}, as the maps have the shape {shape}",
        "Number the images as their maps are.",
    )


def _check_extents(rows: np.ndarray, size: tuple[int, int]):
    x, y, w, h = rows[:, 1:5].T
    outside = (x >= size[1]) | (y >= size[0]) | (x + w <= 0) | (y + h <= 0)
    _refuse(
        rows,
        outside | (w <= 0) | (h <= 0),
        "Boxes have a width and a height, and at least a part of them lies on the "
        f"image of {size[0]} rows x {size[1]} columns",
        "Leave them out, or scale them to the size of the image.",
    )


def _refuse(rows: np.ndarray, bad: np.ndarray, rule: str, way_out: str):
    """Raises with the first of the bad rows, if there are any."""
    if bad.any():
        first = [
            f"row {i}: {', '.join(f'{value:g}' for value in rows[i])}"
            for i in np.flatnonzero(bad)[:SHOWN]
        ]
        raise ValueError(
            f"{rule}. Received: {np.count_nonzero(bad)} others, among them "
            f"(image, x, y, w, h, class) {'; '.join(first)}. {way_out}"
        )


def _named(values: np.ndarray, shape: tuple[int, ...]) -> dict:
    """Per class, macro, weighted from (k, classes + 2, ...); k axes are ``shape``."""
    values = values.reshape(*shape, *values.shape[1:])
    each, (macro, weighted) = np.split(np.moveaxis(values, len(shape), 0), [-2])
    numbers = macro.ndim == 0
    return {
        "per_class": np.moveaxis(each, 0, len(shape)),
        "macro": float(macro) if numbers else macro,
        "weighted": float(weighted) if numbers else weighted,
    }
