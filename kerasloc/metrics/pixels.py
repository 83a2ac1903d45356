"""Metrics over the pixels of maps: PxAP, energy in boxes, and POMPOM."""

import numpy as np
from numpy.typing import ArrayLike

from kerasloc.checks import Size
from kerasloc.maps import min_max, resize_maps
from kerasloc.metrics._bootstrap import ratio, report_averages, weighted_mean
from kerasloc.metrics._inputs import (
    as_boolean,
    as_maps_and_masks,
    chunks,
    levels_reached,
)
from kerasloc.metrics._pairs import as_pairs, finite_maps, resized

STEPS = 1000  # between 0 and 1; with both ends 1,001 thresholds
EPSILON = 1e-6


def pxap(
    maps: ArrayLike, masks: ArrayLike, ignore: ArrayLike | None = None, *, seed: int = 0
) -> dict:
    """Compute PxAP, the average precision of the pixels of all images.

    Maps are resized bilinearly to the masks and scaled to [0, 1] each; a flat map is 0.
    A pixel is predicted where the map is >= the threshold. PxAP is the sum over 1,001
    thresholds of the precision times the gain of recall, both of the pixels of all
    images: large objects weigh more, and all images share a scale.

    Args:
        maps: Raw maps (n, rows, cols, classes), or (n, rows, cols) of a single class;
            maps of classes without a mask are ignored.
        masks: Boolean masks (n, mask rows, mask cols, classes), or without the last
            axis, as the maps. An empty mask, less ignored pixels, does not count.
        ignore: Pixels left out, boolean, of the masks' shape, but not of the scaling.
        seed: Seed of the bootstrap over images.

    Returns:
        A dict of

        - ``pooled``, of the pixels of all classes, the published figure;
        - ``per_class`` (classes,), NaN where a class has no mask, and ``count``
          (classes,), images with one; ``macro``, mean of ``classes_counted`` classes;
        - ``intervals`` (low, high; 95 %) of ``pooled``, ``macro`` and ``per_class``;
        - ``curve`` of ``pooled``, a dict of ``precision``, NaN where no pixel is
          predicted, ``recall`` and ``thresholds``, (1001,).

    Raises:
        TypeError: If the masks or the ignored pixels are not boolean.
        ValueError: If the shapes or the values of a map with a mask do not fit.

    Reference:
        Choe et al.: Evaluating weakly supervised object localization methods right,
        CVPR 2020, arXiv 2001.07437.

    Examples:
        >>> mask = [[[True, False, True, False]]]
        >>> pxap([[[1.0, 0.5, 0.25, 0.0]]], mask)["pooled"]
        0.8333
    """
    maps, masks, ignore = _as_stacks(maps, masks, ignore)
    counted = np.zeros((len(masks), masks.shape[-1]), bool)
    for chunk in chunks(len(masks), masks[:1].size):
        counted[chunk] = (masks[chunk] & ~ignore[chunk]).any(axis=(1, 2))
    images, classes = np.nonzero(counted)
    reached = np.zeros((len(images), 2, STEPS + 1), np.int32)
    for chunk in chunks(len(images), masks[:1, :, :, 0].size):
        at = images[chunk], slice(None), slice(None), classes[chunk]
        selected = finite_maps(maps, images[chunk], classes[chunk], "masks")
        heat = min_max(resize_maps(selected, masks.shape[1:3]))
        levels = (STEPS * heat).astype(int)
        reached[chunk] = levels_reached(levels, masks[at], STEPS + 1, ~ignore[at])
    report = _areas(reached, images, classes, masks.shape[-1], seed)
    outside, inside = reached.sum(axis=0)
    report["curve"] = {
        "precision": ratio(inside, outside + inside),
        "recall": ratio(inside, inside[:1]),
        "thresholds": np.arange(STEPS + 1) / STEPS,
    }
    return report


def energy_in_boxes(
    maps: ArrayLike, boxes: ArrayLike, image_size: Size, *, seed: int = 0
) -> dict:
    """Energy pointing game: share of a map's mass inside the boxes of its class.

    Maps are resized bilinearly to the image and negative values set to 0. Boxes of a
    class count as a single area, drawn as ``kerasloc.boxes.to_mask`` does. The baseline
    is a uniform map: the boxes' share of the image.

    Args:
        maps: Maps (n, rows, cols, classes), finite, whose 0 means "nothing", as of a
            CAM after its ReLU or of probabilities; logits do not fit.
        boxes: Rows image, x, y, w, h, class in pixels of the image.
        image_size: (rows, cols), or one number for both.
        seed: Seed of the bootstrap over images with boxes.

    Returns:
        The report of ``point_localization``, where ``values`` (pairs,), the shares in
        [0, 1], replace ``hits``; a map that is nowhere above 0 has 0.

    Reference:
        Wang et al.: Score-CAM: score-weighted visual explanations for convolutional
        neural networks, CVPR workshops 2020, arXiv 1910.01279.

    Examples:
        >>> energy_in_boxes(np.ones((1, 4, 4, 1)), [[0, 0, 0, 2, 4, 0]], 4)["weighted"]
        0.5
    """
    pairs = as_pairs(maps, boxes, image_size)
    values = np.zeros(len(pairs.images))
    for chunk, rows in pairs.chunks():
        heat = resized(pairs.raw_maps(chunk), pairs.size).clip(0)
        inside = (heat * pairs.masks(chunk, rows)).sum(axis=1, dtype=float)
        mass = heat.sum(axis=1, dtype=float)
        values[chunk] = inside / np.where(mass == 0, 1, mass)
    return {**pairs.summary(values, seed), "values": values}


def pompom(
    explanations: ArrayLike, masks: ArrayLike, *, with_empty: bool = False
) -> np.ndarray:
    """Compute POMPOM, the share of meaningful pixels outside the mask; lower is better.

    Meaningful is a pixel outside the mask where the explanation is above 1e-6; the
    share (n,) is of all pixels outside the mask, 0 if there is none. It is informative
    only for explanations with zeros: probabilities are above 1e-6 nearly everywhere.

    Args:
        explanations: Heat maps (n, rows, cols) in [0, 1].
        masks: Boolean masks of the target, of the same shape.
        with_empty: True to give an image with an empty mask, which has no target, the
            share of all of its pixels; NaN by default.

    Raises:
        TypeError: If the masks are not boolean.
        ValueError: If the shapes do not fit, or an explanation leaves [0, 1].

    Reference:
        Rio-Torto, Fernandes, Teixeira: Understanding the decisions of CNNs: an in-model
        approach, Pattern Recognition Letters 133, 2020.

    Examples:
        >>> pompom([[[1.0, 0.5, 0.0]]], [[[True, False, False]]])
        array([0.5])
    """
    explanations, masks = as_maps_and_masks(explanations, masks, "explanations")
    low, high = explanations.min(initial=0), explanations.max(initial=0)
    if low < 0 or high > 1:
        raise ValueError(
            f"Expected explanations in [0, 1]. Received: values from {low:.4g} to "
            f"{high:.4g}. Use kerasloc.metrics.min_max first."
        )
    outside, marked = np.zeros((2, len(masks)))
    for chunk in chunks(len(masks), masks[:1].size):
        marks = ~masks[chunk] & (explanations[chunk] > EPSILON)
        marked[chunk] = marks.sum(axis=(1, 2))
        outside[chunk] = (~masks[chunk]).sum(axis=(1, 2))
    shares = marked / (outside + EPSILON)
    return shares if with_empty else np.where(outside == masks[:1].size, np.nan, shares)


def _as_stacks(
    maps: ArrayLike, masks: ArrayLike, ignore: ArrayLike | None
) -> tuple[np.ndarray, ...]:
    """Checked stacks with an axis of classes."""
    maps, masks = np.asarray(maps), as_boolean(masks)
    fits = maps.shape[:1] + maps.shape[3:] == masks.shape[:1] + masks.shape[3:]
    empty = 0 in maps.shape[1:] + masks.shape[1:]
    if maps.ndim not in (3, 4) or maps.ndim != masks.ndim or not fits or empty:
        raise ValueError(
            "Expected maps and masks (n, rows, cols, classes), or both (n, rows, cols),"
            " of the same images and classes, at least a pixel each. "
            f"Received: {maps.shape} and {masks.shape}."
        )
    nothing = np.broadcast_to(np.False_, masks.shape)
    ignore = nothing if ignore is None else as_boolean(ignore, "ignore")
    if ignore.shape != masks.shape:
        received = f"Received: {ignore.shape} and {masks.shape}."
        raise ValueError(f"Expected ignore of the masks' shape. {received}")
    with_classes = (..., *[None] * (4 - maps.ndim))
    return maps[with_classes], masks[with_classes], ignore[with_classes]


def _areas(
    reached: np.ndarray, images: np.ndarray, classes: np.ndarray, num: int, seed: int
) -> dict:
    """Report of areas of classes and pooled, from pixels reached (pairs, 2, 1001)."""
    unique, row = np.unique(images, return_inverse=True)

    def areas(counts: np.ndarray) -> np.ndarray:
        per_class = np.full((len(counts), num), np.nan)
        pooled = np.zeros((len(counts), *reached.shape[1:]))
        for index in np.unique(classes):
            at = classes == index
            drawn = counts[:, row[at]] @ reached[at].reshape(np.count_nonzero(at), -1)
            drawn = drawn.reshape(pooled.shape)
            per_class[:, index] = _area(drawn)
            pooled += drawn
        return np.column_stack([per_class, weighted_mean(per_class), _area(pooled)])

    return {
        **report_averages(areas, len(unique), ("macro", "pooled"), seed=seed),
        "count": np.bincount(classes, minlength=num),
        "classes_counted": len(np.unique(classes)),
    }


def _area(reached: np.ndarray) -> np.ndarray:
    """Average precision (k,) of (k, 2, 1001), NaN where no mask has a pixel."""
    outside, inside = reached[:, 0], reached[:, 1]
    precision = inside / np.maximum(outside + inside, 1)
    lower, top = inside[:, :-1], inside[:, -1]
    area = np.einsum("ij,ij->i", precision[:, :-1], lower - inside[:, 1:])
    return ratio(area + precision[:, -1] * top, inside[:, 0])
