"""MaxBoxAcc and MaxBoxAccV2: fit of boxes around the hot components of maps.

After the evaluation protocol for weakly supervised localization, whose third metric is
:func:`kerasloc.metrics.pxap`. Deviations from the published program: samples are pairs
of an image and a class, not images; maps are resized bilinearly, not bicubically; the
largest component is the one with the most pixels, not the largest enclosed area, and
holes make no boxes; a box ends with its last pixel, and is clipped to the image.

Reference:
    Choe et al.: Evaluating weakly supervised object localization methods right, CVPR
    2020, arXiv 2001.07437.
"""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from kerasloc.checks import Size
from kerasloc.maps import min_max, resize_maps
from kerasloc.metrics._bootstrap import ratio
from kerasloc.metrics._pairs import Pairs, as_pairs, select_rows

THRESHOLDS = tuple(step / 1000 for step in range(1000))
OVERLAP = 0.5  # required by MaxBoxAcc
OVERLAPS = (0.3, 0.5, 0.7)  # required by MaxBoxAccV2
LEVELS = 256
BAR_FROM = 50  # pairs
TOUCHING = np.ones((3, 3), bool)  # components that touch at a corner are connected


def max_box_acc(
    maps: ArrayLike,
    boxes: ArrayLike,
    image_size: Size,
    threshold: float | None = None,
    *,
    seed: int = 0,
) -> dict:
    """Compute MaxBoxAcc: share of maps whose largest component's box has IoU >= 0.5.

    Every map is resized bilinearly to the image, scaled to [0, 1] and quantized to 8
    bits; hot is a pixel above (not at) the threshold. Components are connected in eight
    directions; any box of the class may fit. One threshold serves all images and
    classes. A flat map is nowhere hot, with IoU 0.

    Args:
        maps: Raw maps (n, rows, cols, classes); maps without boxes are ignored.
        boxes: Rows image, x, y, w, h, class in pixels of the image.
        image_size: (rows, cols), or one number for both.
        threshold: Threshold in [0, 1], such as the best on validation images. When
            None, the best of 1,000 on these very images, as published, of equals the
            lowest: that flatters the map, and the intervals ignore the choice.
        seed: Seed of the bootstrap over images with boxes.

    Returns:
        The report of ``point_localization``, ``values`` (pairs,), boolean, replacing
        ``hits``; ``threshold``, NaN if chosen without a pair; ``curve``, the share of
        pairs that hit, ``weighted``, at each of the ``thresholds``, (1000,).

    Raises:
        ValueError: See ``point_localization``; also if the threshold is not in [0, 1].

    Examples:
        >>> maps = np.zeros((1, 8, 8, 1))
        >>> maps[0, 2:6, 1:5] = 1
        >>> max_box_acc(maps, [[0, 1, 2, 4, 4, 0]], 8)["weighted"]
        1.0
    """
    return box_overlaps(maps, boxes, image_size).max_box_acc(threshold, seed=seed)


def max_box_acc_v2(
    maps: ArrayLike,
    boxes: ArrayLike,
    image_size: Size,
    threshold: ArrayLike | None = None,
    *,
    seed: int = 0,
) -> dict:
    """Compute MaxBoxAccV2: mean over IoU 0.3, 0.5, 0.7 of the best component's hits.

    The arguments are those of ``max_box_acc``; threshold may be one for each IoU, (3,).

    Returns:
        The report of ``max_box_acc``, with ``per_class``, ``macro``, ``weighted`` and
        their intervals the means over the three IoU; ``per_overlap`` a dict of the
        same for each IoU, ``per_class`` (3, classes), ``macro`` and ``weighted`` (3,),
        and their ``intervals``; ``values`` (pairs, 3), ``threshold`` (3,), ``curve``
        (1000, 3).

    Reference:
        Choe et al.: Evaluation for weakly supervised object localization: protocol,
        metrics, and datasets, IEEE TPAMI 45(2), 2023, arXiv 2007.04178.

    Examples:
        >>> maps = np.zeros((1, 8, 8, 1))
        >>> maps[0, 2:6, 1:5] = 1  # IoU 4 / 6 with the box
        >>> max_box_acc_v2(maps, [[0, 1, 2, 4, 6, 0]], 8)["per_overlap"]["weighted"]
        array([1., 1., 0.])
    """
    return box_overlaps(maps, boxes, image_size).max_box_acc_v2(threshold, seed=seed)


@dataclasses.dataclass(frozen=True, eq=False)
class BoxOverlaps:
    """IoU of boxes around hot components, shared by MaxBoxAcc and MaxBoxAccV2.

    Attributes:
        pairs: Images and classes with boxes; its maps are zeros, (n, 1, 1, classes).
        largest: IoU of the largest component's box with hot pixels above each of the
            256 levels, (pairs, 256).
        best: Best IoU of all components' boxes, (pairs, 256).

    Examples:
        >>> maps = np.array([[1.0, 0.0], [0.0, 0.0]])[None, ..., None]
        >>> box_overlaps(maps, [[0, 0, 0, 1, 2, 0]], 2).best[:, :3]
        array([[0.5, 0.5, 0.5]])
    """

    pairs: Pairs
    largest: np.ndarray
    best: np.ndarray

    def max_box_acc(self, threshold: float | None = None, *, seed: int = 0) -> dict:
        """Compute the report of the function ``max_box_acc``.

        Examples:
            >>> maps = np.array([[1.0, 0.0], [0.0, 0.0]])[None, ..., None]
            >>> box_overlaps(maps, [[0, 0, 0, 1, 2, 0]], 2).max_box_acc()["weighted"]
            1.0
        """
        hits = _at_threshold(self.largest[..., None] >= np.array([OVERLAP]), threshold)
        values, curve = hits["values"][:, 0], hits["curve"][:, 0]
        single = {"values": values, "threshold": float(hits["threshold"][0])}
        return {**self.pairs.summary(values, seed), **hits, **single, "curve": curve}

    def max_box_acc_v2(
        self, threshold: ArrayLike | None = None, *, seed: int = 0
    ) -> dict:
        """Compute the report of the function ``max_box_acc_v2``.

        Examples:
            >>> maps = np.array([[1.0, 0.0], [0.0, 0.0]])[None, ..., None]
            >>> box_overlaps(maps, [[0, 0, 0, 1, 2, 0]], 2).max_box_acc_v2()["weighted"]
            0.667
        """
        hits = _at_threshold(self.best[..., None] >= np.array(OVERLAPS), threshold)
        values = hits["values"]
        # Averages over IoU and over pairs commute: the mean is one more column.
        columns = np.column_stack([values, values.mean(axis=1)])
        report = self.pairs.summary(columns, seed)
        means, per_overlap = (
            {
                **select_rows(report, at),
                "intervals": select_rows(report["intervals"], at),
            }
            for at in (3, slice(3))
        )
        means |= {name: float(means[name]) for name in ("macro", "weighted")}
        return {**report, **means, "per_overlap": per_overlap, **hits}


def box_overlaps(maps: ArrayLike, boxes: ArrayLike, image_size: Size) -> BoxOverlaps:
    """Compute the IoU of boxes around hot components of maps at all 256 levels.

    The arguments are those of ``max_box_acc``.

    Examples:
        >>> maps = np.array([[1.0, 0.0], [0.0, 0.0]])[None, ..., None]
        >>> box_overlaps(maps, [[0, 0, 0, 1, 2, 0]], 2).largest[0, [0, 255]]
        array([0.5, 0. ])
    """
    from tqdm import tqdm

    pairs = as_pairs(maps, boxes, image_size)
    count = len(pairs.images)
    overlaps = np.zeros((count, 2, LEVELS))
    with tqdm(desc="Boxes", total=count, leave=False, disable=count < BAR_FROM) as bar:
        for chunk, rows in pairs.chunks():
            heat = min_max(resize_maps(pairs.raw_maps(chunk), pairs.size))
            pictures = ((LEVELS - 1) * heat).astype(np.uint8)
            x, y, w, h = pairs.boxes[rows].astype(float).T
            corners = np.stack([y, x, y + h, x + w], axis=1).clip(0, pairs.size * 2)
            for number, picture in enumerate(pictures, chunk.start):
                of_pair = corners[pairs.owner[rows] == number]
                overlaps[number] = _overlaps(picture, of_pair)
                bar.update()
    shape = (len(pairs.maps), 1, 1, pairs.maps.shape[-1])
    without = dataclasses.replace(pairs, maps=np.broadcast_to(np.float32(0), shape))
    return BoxOverlaps(without, *overlaps.swapaxes(0, 1))


def _at_threshold(reached: np.ndarray, threshold: ArrayLike | None) -> dict:
    """Values (pairs, k), threshold (k,), curve (1000, k) of hits (pairs, 256, k)."""
    shares = ratio(reached.sum(axis=0), len(reached))  # (256, k)
    curve = shares[_levels(THRESHOLDS)]
    thresholds = np.array(THRESHOLDS)
    if threshold is None:
        best = thresholds[curve.argmax(axis=0)]
        threshold = np.where(np.isnan(curve[0]), np.nan, best)
    else:
        threshold, count = np.asarray(threshold, float), curve.shape[-1]
        fits = threshold.shape in ((), (count,))
        if not fits or not ((threshold >= 0) & (threshold <= 1)).all():
            per_iou = "" if count == 1 else f", or {count} of them, one for each IoU"
            raise ValueError(
                f"Expected a threshold in [0, 1]{per_iou}. Received: threshold="
                f"{threshold.tolist()}. Use None for the best on these images."
            )
        threshold = np.broadcast_to(threshold, count).copy()
    level = _levels(np.nan_to_num(threshold))
    values = reached[:, level, np.arange(len(level))]
    chosen = {"values": values, "threshold": threshold}
    return {**chosen, "thresholds": thresholds, "curve": curve}


def _levels(thresholds: ArrayLike) -> np.ndarray:
    """Levels of 8 bits above which a pixel is hot; the maximum of a map is 255."""
    return np.floor((LEVELS - 1) * np.asarray(thresholds)).astype(int)


def _overlaps(picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """IoU (2, 256) of the largest component's box, and of the best, at all levels."""
    overlaps = np.zeros((2, LEVELS))
    values = np.unique(picture)  # the mask changes at these levels only
    if len(values) > 1:
        index, area, corners = _components(picture, values[:-1])
        order = np.lexsort((-area, index))
        iou = _iou(corners[order], boxes).max(axis=1)
        first = np.flatnonzero(np.diff(index[order], prepend=-1))
        stacked = np.stack([iou[first], np.maximum.reduceat(iou, first)])
        overlaps[:, values[0] : values[-1]] = stacked.repeat(np.diff(values), axis=1)
    return overlaps


def _components(picture: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Level index (k,), area (k,), top, left, bottom, right (k, 4) of all components.

    Every component has a local maximum. So where the mask was a single component, and
    no local maximum was added since, it still is, and needs no labeling; its area,
    which is compared to no other, is 0.
    """
    from scipy import ndimage
    from skimage.morphology import local_maxima

    tops = np.bincount(picture[local_maxima(picture)], minlength=LEVELS)
    peaks = (tops.sum() - tops.cumsum())[levels]  # pixels of maxima above each level
    extents = _extents(picture, levels)
    components, single = [], 0
    for index in reversed(range(len(levels))):
        areas, corners = np.zeros(1, int), extents[index, None]
        if peaks[index] != single:
            top, left, bottom, right = extents[index]
            mask = picture[top:bottom, left:right] > levels[index]
            labels, count = ndimage.label(mask, TOUCHING)
            single = peaks[index] if count == 1 else 0
            if count > 1:
                areas = np.bincount(labels.ravel())[1:]
                slices = ndimage.find_objects(labels)
                ends = [(y.start, x.start, y.stop, x.stop) for y, x in slices]
                corners = np.array(ends) + [top, left] * 2
        components.append((np.full(len(areas), index), areas, corners))
    return tuple(np.concatenate(column) for column in zip(*components, strict=True))


def _extents(picture: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Top, left, bottom, right of all pixels above each level, (levels, 4)."""
    ends = []
    for axis in (1, 0):
        hot = picture.max(axis=axis) > levels[:, None]  # (levels, side)
        ends.append((hot.argmax(axis=1), hot.shape[1] - hot[:, ::-1].argmax(axis=1)))
    (top, bottom), (left, right) = ends
    return np.stack([top, left, bottom, right], axis=1)


def _iou(corners: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """IoU (k, m) of top, left, bottom, right (k, 4) with those of boxes (m, 4)."""
    low = np.maximum(corners[:, None, :2], boxes[:, :2])
    high = np.minimum(corners[:, None, 2:], boxes[:, 2:])
    intersection = (high - low).clip(0).prod(axis=-1)
    first, second = ((c[:, 2:] - c[:, :2]).prod(axis=-1) for c in (corners, boxes))
    return intersection / (first[:, None] + second - intersection)
