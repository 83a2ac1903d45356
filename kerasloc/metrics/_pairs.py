"""Pairs of an image and a class that has boxes on it: the samples of localization."""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from kerasloc.boxes import as_rows
from kerasloc.checks import Size, as_float, as_size
from kerasloc.maps import resize_maps
from kerasloc.metrics._bootstrap import ratio, report_averages, weighted_mean
from kerasloc.metrics._inputs import chunks

LISTED = 5  # wrong boxes in an error


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Images and classes with boxes, sorted by image, then class.

    Examples:
        >>> pairs = as_pairs(np.zeros((1, 4, 4, 2)), [[0, 1, 1, 2, 2, 1]], 8)
        >>> pairs.images, pairs.classes
        (array([0]), array([1]))
    """

    maps: np.ndarray  # raw maps (n, rows, cols, classes) of all images
    size: tuple[int, int]  # rows and columns of the images
    images: np.ndarray  # image index of each pair, (pairs,)
    classes: np.ndarray  # class index of each pair, (pairs,)
    boxes: np.ndarray  # rows x, y, w, h, sorted by their pair, (m, 4)
    owner: np.ndarray  # index of each box's pair, ascending, (m,)

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
        num = self.maps.shape[-1]
        return summarize_pairs(values, self.images, self.classes, num, seed)


def summarize_pairs(
    values: np.ndarray, images: np.ndarray, classes: np.ndarray, num: int, seed: int = 0
) -> dict:
    """Report values (pairs,) or (pairs, k) as ``point_localization``, without ``hits``.

    Examples:
        >>> pairs = np.array([0, 1, 1]), np.array([0, 0, 1])
        >>> summarize_pairs(np.array([1, 0, 0]), *pairs, 2)["per_class"]
        array([0.5, 0. ])
    """
    shape = values.shape[1:]
    unique, rows = np.unique(images, return_inverse=True)
    has = np.zeros((len(unique), num))
    has[rows, classes] = 1
    sums = np.zeros((len(unique), math.prod(shape), num))
    sums[rows, :, classes] = values.reshape(len(values), math.prod(shape))

    def average(counts: np.ndarray) -> np.ndarray:
        weights = (counts @ has)[:, None]  # (draws, 1, classes)
        per_class = ratio(np.tensordot(counts, sums, axes=1), weights)
        means = weighted_mean(per_class), weighted_mean(per_class, weights)
        averages = np.concatenate([per_class, np.stack(means, axis=-1)], axis=-1)
        return averages.reshape(len(counts), *shape, num + 2)

    names = "macro", "weighted"
    return {
        **report_averages(average, len(unique), names, seed=seed, width=num),
        "count": has.sum(axis=0).astype(int),
        "classes_counted": int(has.any(axis=0).sum()),
        "pairs": np.stack([images, classes], axis=1),
    }


def select_rows(report: dict, rows: int | slice) -> dict:
    """Select rows of values (k, ...) of ``summarize_pairs``, or of its intervals.

    Examples:
        >>> values = {"per_class": [[1.0], [2.0]], "macro": [1, 2], "weighted": [3, 4]}
        >>> select_rows(values, 1)
        {'per_class': [2.0], 'macro': 2, 'weighted': 4}
    """
    return {name: report[name][rows] for name in ("per_class", "macro", "weighted")}


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
    _check_rows(rows, maps.shape, size)
    code = rows[:, 0].astype(int) * maps.shape[-1] + rows[:, 5].astype(int)
    order = code.argsort(kind="stable")
    pairs, owner = np.unique(code[order], return_inverse=True)
    images, classes = np.divmod(pairs, maps.shape[-1])
    return Pairs(maps, size, images, classes, rows[order, 1:5], owner)


def finite_maps(
    maps: np.ndarray, images: np.ndarray, classes: np.ndarray, name: str
) -> np.ndarray:
    """Select the maps (k, rows, cols) of pairs; ``name`` (boxes, masks) is for errors.

    Examples:
        >>> maps = np.arange(4).reshape(1, 1, 2, 2)
        >>> finite_maps(maps, np.array([0]), np.array([1]), "boxes")
        array([[[1., 3.]]], dtype=float32)
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


def _check_rows(
    rows: np.ndarray, shape: tuple[int, ...], size: tuple[int, int]
) -> None:
    """Check the indices of boxes, then their extents."""
    (image, x, y, w, h, index), (count, classes) = rows.T, (shape[0], shape[-1])
    indexed = (image >= 0) & (image < count) & (index >= 0) & (index < classes)
    on_image = (x < size[1]) & (y < size[0]) & (x + w > 0) & (y + h > 0)
    for valid, rule, way_out in (
        (
            indexed & (image % 1 == 0) & (index % 1 == 0),
            f"boxes with whole numbers for image, 0..{count - 1}, and class, "
            f"0..{classes - 1}, as the maps have the shape {shape}",
            "Use the index of the image in the maps.",
        ),
        (
            on_image & (w > 0) & (h > 0),
            "boxes with a width and a height, at least partly on the image of "
            f"{size[0]} rows x {size[1]} columns",
            "Leave them out, or scale them to the size of the image.",
        ),
    ):
        bad = np.flatnonzero(~valid)
        listed = [f"row {i}: {', '.join(map('{:g}'.format, rows[i]))}" for i in bad]
        if listed:
            raise ValueError(
                f"Expected {rule}. Received: {bad.size} of another kind, among them "
                f"(image, x, y, w, h, class) {'; '.join(listed[:LISTED])}. {way_out}"
            )
