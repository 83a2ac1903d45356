"""Pairs of an image and a class that has boxes on it: the samples of localization."""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from kerasloc.boxes import as_rows
from kerasloc.checks import Size, as_float, as_size
from kerasloc.maps import resize_maps
from kerasloc.metrics._bootstrap import bootstrap, macro_mean, ratio, weighted_mean
from kerasloc.metrics._inputs import chunks

LISTED = 5  # wrong boxes in an error


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Images and classes with boxes, sorted by image, then class.

    Attributes:
        maps: Raw maps (n, rows, cols, classes) of all images.
        size: Rows and columns of the images.
        images: Image index of each pair, (pairs,).
        classes: Class index of each pair, (pairs,).
        boxes: Rows x, y, w, h, sorted by their pair, (m, 4).
        owner: Index of each box's pair, ascending, (m,).

    Examples:
        >>> pairs = as_pairs(np.zeros((1, 4, 4, 2)), [[0, 1, 1, 2, 2, 1]], 8)
        >>> pairs.images, pairs.classes
        (array([0]), array([1]))
    """

    maps: np.ndarray
    size: tuple[int, int]
    images: np.ndarray
    classes: np.ndarray
    boxes: np.ndarray
    owner: np.ndarray

    def chunks(self) -> Iterator[tuple[slice, slice]]:
        """Yield slices of the pairs, and of their boxes, that bound the memory."""
        for chunk in chunks(len(self.images), self.size[0] * self.size[1]):
            yield chunk, slice(*np.searchsorted(self.owner, (chunk.start, chunk.stop)))

    def raw_maps(self, chunk: slice) -> np.ndarray:
        """Return finite maps (k, rows, cols) of pairs at the network's size."""
        images, classes = self.images[chunk], self.classes[chunk]
        return finite_maps(self.maps, images, classes, "boxes")

    def masks(self, chunk: slice, rows: slice) -> np.ndarray:
        """Draw the boxes of pairs as masks (k, pixels), as ``boxes.to_mask`` does."""
        x, y, w, h = self.boxes[rows].astype(int).T[..., None]
        down, across = (np.arange(side) for side in self.size)
        in_rows = ((y <= down) & (down < y + h))[:, :, None]  # (boxes, rows, 1)
        in_columns = ((x <= across) & (across < x + w))[:, None]  # (boxes, 1, cols)
        owner = self.owner[rows] - chunk.start
        turn = np.arange(len(owner)) - np.searchsorted(owner, owner)
        masks = in_rows[turn == 0] & in_columns[turn == 0]
        for repeat in range(1, turn.max(initial=0) + 1):  # second, third, ... boxes
            at = turn == repeat
            masks[owner[at]] |= in_rows[at] & in_columns[at]
        return masks.reshape(len(masks), -1)

    def summary(self, values: np.ndarray, seed: int) -> dict:
        """Average values (pairs,) or (pairs, k); see ``summarize_pairs``."""
        classes = self.maps.shape[-1]
        return summarize_pairs(values, self.images, self.classes, classes, seed=seed)


def summarize_pairs(
    values: np.ndarray,
    images: np.ndarray,
    classes: np.ndarray,
    num_classes: int,
    *,
    seed: int = 0,
) -> dict:
    """Average the values of pairs per class and over classes, with intervals.

    Args:
        values: Values (pairs,) or (pairs, k).
        images: Image index of each pair, (pairs,).
        classes: Class index of each pair, (pairs,).
        num_classes: Number of classes.
        seed: Seed of the bootstrap over images.

    Returns:
        The report of ``point_localization`` without ``hits``.

    Examples:
        >>> pairs = np.array([0, 1, 1]), np.array([0, 0, 1])
        >>> summarize_pairs(np.array([1, 0, 0]), *pairs, 2)["per_class"]
        array([0.5, 0. ])
    """
    shape = values.shape[1:]
    flat = values.reshape(len(values), math.prod(shape)).astype(float)
    unique, rows = np.unique(images, return_inverse=True)
    has = np.zeros((len(unique), num_classes))
    has[rows, classes] = 1
    sums = np.zeros((len(unique), flat.shape[1], num_classes))
    sums[rows, :, classes] = flat

    def average(counts: np.ndarray) -> np.ndarray:
        weights = counts @ has  # (draws, classes)
        total = np.tensordot(counts, sums, axes=1)  # (draws, k, classes)
        per_class = ratio(total, weights[:, None])
        means = macro_mean(per_class), weighted_mean(per_class, weights[:, None])
        return np.concatenate([per_class, np.stack(means, axis=-1)], axis=-1)

    averages, bounds = bootstrap(average, len(unique), seed=seed, width=num_classes)
    return {
        **_named(averages, shape),
        "count": has.sum(axis=0).astype(int),
        "classes_counted": int(has.any(axis=0).sum()),
        "intervals": _named(bounds, shape),
        "pairs": np.stack([images, classes], axis=1),
    }


def as_pairs(maps: ArrayLike, boxes: ArrayLike, image_size: Size) -> Pairs:
    """Check maps and boxes, and sort the boxes by image and class.

    Examples:
        >>> as_pairs(np.zeros((1, 4, 4, 2)), [], 8).boxes.shape
        (0, 4)
    """
    maps, size = np.asarray(maps), as_size(image_size)
    if maps.ndim != 4 or 0 in maps.shape[1:]:
        raise ValueError(
            "Expected maps (n, rows, cols, classes), at least a pixel each. "
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


def finite_maps(
    maps: np.ndarray, images: np.ndarray, classes: np.ndarray, name: str
) -> np.ndarray:
    """Select the maps (k, rows, cols) of pairs, and check that they are finite.

    Args:
        maps: Raw maps (n, rows, cols, classes).
        images: Image index of each pair, (k,).
        classes: Class index of each pair, (k,).
        name: Annotations that make a pair, in errors: boxes or masks.

    Examples:
        >>> maps = np.arange(8).reshape(1, 2, 2, 2)
        >>> finite_maps(maps, np.array([0]), np.array([1]), "boxes")
        array([[[1., 3.],
                [5., 7.]]], dtype=float32)
    """
    selected = as_float(maps[images, :, :, classes])
    bad = np.flatnonzero(~np.isfinite(selected).all(axis=(1, 2)))
    if bad.size:
        raise ValueError(
            f"Expected finite numbers in maps of classes with {name}. Received: NaN or "
            f"infinite values on image {images[bad[0]]}, class {classes[bad[0]]}. "
            f"Leave these images or their {name} out."
        )
    return selected


def resized(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize maps (k, rows, cols) to the size of the image, flat: (k, pixels).

    Examples:
        >>> resized(np.zeros((1, 2, 2)), (3, 4)).shape
        (1, 12)
    """
    return resize_maps(maps, size).reshape(len(maps), -1)


def _check_indices(rows: np.ndarray, shape: tuple[int, ...]) -> None:
    image, index = rows[:, 0], rows[:, 5]
    valid = (image >= 0) & (image < shape[0]) & (index >= 0) & (index < shape[-1])
    valid &= (image % 1 == 0) & (index % 1 == 0)
    _check_rows(
        rows,
        valid,
        f"boxes with whole numbers for image, 0..{shape[0] - 1}, and class, "
        f"0..{shape[-1] - 1}, as the maps have the shape {shape}",
        "Use the index of the image in the maps.",
    )


def _check_extents(rows: np.ndarray, size: tuple[int, int]) -> None:
    x, y, w, h = rows[:, 1:5].T
    on_image = (x < size[1]) & (y < size[0]) & (x + w > 0) & (y + h > 0)
    _check_rows(
        rows,
        on_image & (w > 0) & (h > 0),
        "boxes with a width and a height, at least partly on the image of "
        f"{size[0]} rows x {size[1]} columns",
        "Leave them out, or scale them to the size of the image.",
    )


def _check_rows(rows: np.ndarray, valid: np.ndarray, rule: str, way_out: str) -> None:
    """Raise with the first rows that are not valid."""
    bad = np.flatnonzero(~valid)
    if bad.size:
        listed = [f"row {i}: {', '.join(map('{:g}'.format, rows[i]))}" for i in bad]
        raise ValueError(
            f"Expected {rule}. Received: {bad.size} of another kind, among them "
            f"(image, x, y, w, h, class) {'; '.join(listed[:LISTED])}. {way_out}"
        )


def _named(values: np.ndarray, shape: tuple[int, ...]) -> dict:
    """Per class, macro, weighted from (k, classes + 2, ...); k axes are ``shape``."""
    values = values.reshape(*shape, *values.shape[1:])
    per_class, (macro, weighted) = np.split(np.moveaxis(values, len(shape), 0), [-2])
    scalar = macro.ndim == 0
    return {
        "per_class": np.moveaxis(per_class, 0, len(shape)),
        "macro": float(macro) if scalar else macro,
        "weighted": float(weighted) if scalar else weighted,
    }
