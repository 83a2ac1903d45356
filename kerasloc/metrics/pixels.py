"""How well maps tell the pixels of a class from others: PxAP, and energy in boxes."""

import dataclasses

import numpy as np

from kerasloc.boxes import to_mask
from kerasloc.maps import min_max, resize_maps
from kerasloc.metrics._bootstrap import (
    macro_mean,
    percentile_interval,
    ratio,
    sample_counts,
)
from kerasloc.metrics._inputs import as_float, chunks
from kerasloc.metrics._pairs import as_pairs, resized

STEPS = 1000  # between 0 and 1; with both ends 1,001 thresholds


def pxap(maps, masks, ignore=None, *, seed: int = 0) -> dict:
    """Average precision of all images' pixels together (PxAP).

    Maps are resized bilinearly to the masks and each is stretched to [0, 1]; a pixel is
    predicted where the map is at least the threshold. The area under precision by
    recall is the sum, over 1,001 thresholds, of the precision times what it adds to
    the recall. Precision and recall are of the pixels of all images taken together, so
    that large objects weigh more, and one scale serves all.

    Args:
        maps: (n, rows, cols, classes), or (n, rows, cols) of a single class, any range.
            A flat map is 0 everywhere. Maps of classes without a mask are not looked
            at.
        masks: Where the class is, boolean, (n, mask rows, mask cols, classes), or
            without the last axis, as the maps. An image whose mask of the class is
            empty, less what is ignored, does not count for it.
            ``kerasloc.boxes.to_mask`` draws the boxes of an image.
        ignore: What is left out of the count, boolean, of the masks' shape; it has a
            part in the stretch of the map.
        seed: Of the bootstrap.

    Returns:
        A dict of ``pooled``, of the pixels of all classes together, the published
        figure; ``per_class`` (classes,), NaN where a class has no mask; ``macro``, mean
        of the classes that are not NaN, ``classes_counted`` of them; ``count``
        (classes,), images with a mask of the class; ``intervals`` (low, high; 95 %) of
        these three over images, ``per_class`` (classes, 2); and ``curve``, of what is
        pooled, a dict of ``precision``, NaN where no pixel is predicted, ``recall`` and
        ``thresholds``, (1001,).

    Raises:
        TypeError: If the masks, or what is ignored, are not boolean.
        ValueError: If the shapes do not fit, or a map with a mask has NaN or infinite
            values.

    Reference:
        Choe et al.: Evaluating weakly supervised object localization methods right,
        CVPR 2020, arXiv 2001.07437.
    """
    stacks = _as_stacks(maps, masks, ignore)
    images, classes = np.nonzero(stacks.counted())
    reached = np.zeros((len(images), 2, STEPS + 1), np.int32)
    for part in chunks(len(images), stacks.masks[:1, :, :, 0].size):
        reached[part] = _reached(*stacks.some(images[part], classes[part]))
    several = stacks.masks.shape[-1]
    found, around = _areas(reached, (images, classes), several, seed)
    outside, inside = reached.sum(axis=0)
    return {
        **_named(found),
        "count": np.bincount(classes, minlength=several),
        "classes_counted": len(np.unique(classes)),
        "intervals": _named(around),
        "curve": {
            "precision": ratio(inside, outside + inside),
            "recall": ratio(inside, inside[:1]),
            "thresholds": np.arange(STEPS + 1) / STEPS,
        },
    }


def energy_in_boxes(maps, boxes, image_size, *, seed: int = 0) -> dict:
    """Share of a map's mass inside the boxes of its class: the energy pointing game.

    Maps are resized bilinearly to the image, and what is above 0 counts. So maps have
    to be such that 0 says "nothing", as a CAM after its ReLU or a probability; those of
    logits, which may be above 0 everywhere or nowhere, are not. Boxes of one class
    count as one area, drawn as ``kerasloc.boxes.to_mask`` does.

    Args:
        maps: (n, rows, cols, classes), finite. Those without boxes are not looked at.
        boxes: Rows image, x, y, w, h, class in pixels of the image.
        image_size: (rows, cols), or one number for both.
        seed: Of the bootstrap.

    Returns:
        A dict with the keys of ``point_localization``, where ``values`` (pairs,), the
        shares in [0, 1], stand for ``hits``; a map that is nowhere above 0 has 0. A
        uniform map has the boxes' share of the image, which is what to compare with.

    Raises:
        ValueError: As ``point_localization`` does.

    Reference:
        Wang et al.: Score-CAM: score-weighted visual explanations for convolutional
        neural networks, CVPR workshops 2020, arXiv 1910.01279.
    """
    pairs = as_pairs(maps, boxes, image_size)
    values = np.zeros(len(pairs.images))
    for part, own in pairs.chunks():
        heat = resized(pairs.raw_maps(part), pairs.size).clip(0)
        mine, owner = pairs.boxes[own], pairs.owner[own]
        places = range(part.start, part.stop)
        drawn = [to_mask(mine[owner == place], pairs.size) for place in places]
        masks = np.reshape(drawn, heat.shape)
        inside, mass = (each.sum(axis=1, dtype=float) for each in (heat * masks, heat))
        values[part] = inside / np.where(mass == 0, 1, mass)
    return {**pairs.summary(values, seed), "values": values}


@dataclasses.dataclass(frozen=True)
class _Stacks:
    """Maps, masks and what is ignored (or None), each (n, rows, cols, classes)."""

    maps: np.ndarray
    masks: np.ndarray
    ignore: np.ndarray | None

    def counted(self) -> np.ndarray:
        """Whether a mask has a pixel that is not ignored, (n, classes)."""
        answer = np.zeros((len(self.masks), self.masks.shape[-1]), bool)
        for part in chunks(len(self.masks), self.masks[:1].size):
            masks = self.masks[part]
            if self.ignore is not None:
                masks = masks & ~self.ignore[part]
            answer[part] = masks.any(axis=(1, 2))
        return answer

    def some(self, images: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, ...]:
        """Raw maps, masks, and what counts, of some pairs."""
        at = (images, slice(None), slice(None), classes)
        maps, masks = as_float(self.maps[at]), self.masks[at]
        bad = np.flatnonzero(~np.isfinite(maps).all(axis=(1, 2)))
        if bad.size:
            raise ValueError(
                "Maps of classes with a mask hold finite numbers. Received: NaN or "
                f"infinite values on image {images[bad[0]]}, class {classes[bad[0]]}. "
                "Leave these images out, or empty their masks."
            )
        none = self.ignore is None
        return maps, masks, np.ones_like(masks) if none else ~self.ignore[at]


def _as_stacks(maps, masks, ignore) -> _Stacks:
    """Checked stacks with an axis of classes."""
    maps, masks = np.asarray(maps), np.asarray(masks)
    ignore = None if ignore is None else np.asarray(ignore)
    for name, stack in (("masks", masks), ("ignore", ignore)):
        if stack is not None and stack.dtype != bool:
            raise TypeError(
                "Masks and what is ignored are boolean. Received: "
                f"{name} of {stack.dtype}. Pass masks > 0, for example."
            )
    fits = maps.shape[:1] + maps.shape[3:] == masks.shape[:1] + masks.shape[3:]
    empty = 0 in maps.shape[1:] + masks.shape[1:]
    if maps.ndim not in (3, 4) or maps.ndim != masks.ndim or not fits or empty:
        raise ValueError(
            "Maps and masks are (n, rows, cols, classes), or both (n, rows, cols), of "
            "the same images and classes, at least a pixel each. "
            f"Received: {maps.shape} and {masks.shape}."
        )
    if ignore is not None and ignore.shape != masks.shape:
        raise ValueError(
            "What is ignored has the shape of the masks. "
            f"Received: {ignore.shape} and {masks.shape}."
        )
    four = (..., *[None] * (4 - maps.ndim))
    return _Stacks(maps[four], masks[four], None if ignore is None else ignore[four])


def _reached(maps: np.ndarray, masks: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Pixels outside and inside of masks at each threshold at least, (k, 2, 1001)."""
    heat = min_max(resize_maps(maps, masks.shape[1:]))
    shape = (len(maps), 2, STEPS + 1)
    bins = (STEPS * heat).astype(int)
    bins += shape[2] * masks + 2 * shape[2] * np.arange(len(maps))[:, None, None]
    pixels = np.bincount(bins[used], minlength=np.prod(shape)).reshape(shape)
    return pixels[..., ::-1].cumsum(axis=-1)[..., ::-1]


def _areas(reached: np.ndarray, pairs: tuple, several: int, seed: int) -> tuple:
    """Areas of all classes, their mean, and pooled, (classes + 2,), and intervals.

    Args:
        reached: Of all pairs, (pairs, 2, 1001).
        pairs: Their images and their classes.
        several: How many classes there are.
        seed: Of the bootstrap.
    """
    images, classes = pairs
    known, row = np.unique(images, return_inverse=True)
    every = np.ones((1, len(known)))
    draws = np.concatenate([every, *sample_counts(len(known), seed=seed)])
    each = np.full((len(draws), several), np.nan)
    pooled = np.zeros((len(draws), *reached.shape[1:]))
    for index in np.unique(classes):
        own = classes == index
        drawn = draws[:, row[own]] @ reached[own].reshape(np.count_nonzero(own), -1)
        drawn = drawn.reshape(pooled.shape)
        each[:, index] = _area(drawn)
        pooled += drawn
    areas = np.column_stack([each, macro_mean(each), _area(pooled)])
    return areas[0], percentile_interval(areas[1:])


def _area(reached: np.ndarray) -> np.ndarray:
    """Average precision (k,) of (k, 2, 1001), NaN where no mask has a pixel."""
    outside, inside = reached[:, 0], reached[:, 1]
    precision = inside / np.maximum(outside + inside, 1)
    lower, top = inside[:, :-1], inside[:, -1]
    area = np.einsum("ij,ij->i", precision[:, :-1], lower - inside[:, 1:])
    return ratio(area + precision[:, -1] * top, inside[:, 0])


def _named(areas: np.ndarray) -> dict:
    """Per class, macro and pooled of (classes + 2, ...)."""
    each, (macro, pooled) = np.split(areas, [-2])
    numbers = areas.ndim == 1
    return {
        "per_class": each,
        "macro": float(macro) if numbers else macro,
        "pooled": float(pooled) if numbers else pooled,
    }
