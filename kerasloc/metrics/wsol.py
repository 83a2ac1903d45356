"""How well boxes around the hot parts of maps fit those of a class: MaxBoxAcc.

After the evaluation protocol for weakly supervised localization, which also has PxAP
for masks, here from :mod:`kerasloc.metrics.pixels`. Where this differs from the
published program:

- Pairs of an image and a class are measured, not images, as everywhere in this package.
- Maps are resized bilinearly, not bicubically.
- The largest part is the one with the most pixels; there, the one whose contour
  encloses the largest area. The rims of holes, contours there, make no boxes here.
- A box ends where its last pixel does. There, ends are a pixel off on either side,
  which moves the IoU of small boxes a little.
- Boxes are cut at the border of the image, as nothing beyond it can be found.

Reference:
    Choe et al.: Evaluating weakly supervised object localization methods right, CVPR
    2020, arXiv 2001.07437.
"""

import dataclasses

import numpy as np

from kerasloc.checks import as_size
from kerasloc.maps import min_max, resize_maps
from kerasloc.metrics._bootstrap import ratio
from kerasloc.metrics._pairs import Pairs, as_pairs
from kerasloc.metrics.pixels import energy_in_boxes, pxap

__all__ = [
    "BoxOverlaps",
    "box_overlaps",
    "center_gaussian",
    "energy_in_boxes",
    "max_box_acc",
    "max_box_acc_v2",
    "pxap",
]

THRESHOLDS = tuple(step / 1000 for step in range(1000))
OVERLAP = 0.5  # what MaxBoxAcc asks for
OVERLAPS = (0.3, 0.5, 0.7)  # what MaxBoxAccV2 asks for
LEVELS = 256
BAR_FROM = 50  # pairs
TOUCHING = np.ones((3, 3), bool)  # parts that touch at a corner are one


def max_box_acc(maps, boxes, image_size, threshold=None, *, seed: int = 0) -> dict:
    """How often the box of a map's largest hot part fits, at the best threshold.

    Every map of an image and a class that has boxes there is resized bilinearly to the
    image, stretched to [0, 1] and cut to 8 bits; hot is what is above (not at) the
    threshold on this scale. A pair hits if the box around the largest part, of
    neighbors in eight directions, has an IoU of 0.5 at least with any box of the class.
    One threshold serves all images and classes. A flat map is nowhere hot, and what is
    nowhere hot has IoU 0.

    Args:
        maps: (n, rows, cols, classes), any range. Those without boxes are not looked
            at.
        boxes: Rows image, x, y, w, h, class in pixels of the image.
        image_size: (rows, cols), or one number for both.
        threshold: In [0, 1], found elsewhere: the ``threshold`` of this function's
            answer on validation images. When None, the best of 1,000 on these very
            images, as published, of equals the lowest: that flatters the map, and the
            intervals, which are about this threshold, know nothing of it.
        seed: Of the bootstrap.

    Returns:
        A dict with the keys of ``point_localization``, ``values`` (pairs,), boolean,
        standing for ``hits``; ``threshold``, NaN if it was to be found without a pair;
        ``curve`` (1000,), the share of all pairs that hit, ``weighted``, at each of the
        ``thresholds`` (1000,).

    Raises:
        ValueError: As ``point_localization`` does, or if the threshold is none.

    Reference:
        Choe et al., as for this module.
    """
    found = box_overlaps(maps, boxes, image_size)
    return found.max_box_acc(threshold, seed=seed)


def max_box_acc_v2(maps, boxes, image_size, threshold=None, *, seed: int = 0) -> dict:
    """How often the box of any hot part of a map fits, for three demands, on average.

    As ``max_box_acc``, but a pair hits if the best box around any of the parts has an
    IoU of 0.3, 0.5, 0.7 with any box of the class. Each of the three has its own best
    threshold; the answer is the mean of the three shares.

    Args:
        maps: As for ``max_box_acc``.
        boxes: As for ``max_box_acc``.
        image_size: As for ``max_box_acc``.
        threshold: As for ``max_box_acc``: one number, or one for each IoU, (3,).
        seed: Of the bootstrap.

    Returns:
        As for ``max_box_acc``, with ``per_class``, ``macro``, ``weighted`` and their
        intervals the means over the three; ``per_overlap`` a dict of the same for each
        of them, ``per_class`` (3, classes), ``macro`` and ``weighted`` (3,), and their
        ``intervals``; ``values`` (pairs, 3), ``threshold`` (3,), ``curve`` (1000, 3).

    Raises:
        ValueError: As for ``max_box_acc``.

    Reference:
        Choe et al.: Evaluation for weakly supervised object localization: protocol,
        metrics, and datasets, IEEE TPAMI 45(2), 2023, arXiv 2007.04178.
    """
    found = box_overlaps(maps, boxes, image_size)
    return found.max_box_acc_v2(threshold, seed=seed)


@dataclasses.dataclass(frozen=True, eq=False)
class BoxOverlaps:
    """What both MaxBoxAcc are made of; whoever wants both pays once.

    Attributes:
        pairs: Images and classes with boxes; its maps are zeros, (n, 1, 1, classes).
        largest: IoU of the largest part's box when hot is what is above each of the 8
            bits' levels, (pairs, 256).
        best: The best IoU of all parts' boxes, (pairs, 256).
    """

    pairs: Pairs
    largest: np.ndarray
    best: np.ndarray

    def max_box_acc(self, threshold=None, *, seed: int = 0) -> dict:
        """The answer of the function ``max_box_acc``; the arguments are its own."""
        reached = self.largest[..., None] >= np.array([OVERLAP])
        answer = _chosen(reached, threshold)
        values = answer["values"][:, 0]
        return {
            **self.pairs.summary(values, seed),
            "values": values,
            "threshold": float(answer["threshold"][0]),
            "thresholds": np.array(THRESHOLDS),
            "curve": answer["curve"][:, 0],
        }

    def max_box_acc_v2(self, threshold=None, *, seed: int = 0) -> dict:
        """The answer of the function ``max_box_acc_v2``; the arguments are its own."""
        answer = _chosen(self.best[..., None] >= np.array(OVERLAPS), threshold)
        values = answer["values"]
        # Averages over demands and over pairs commute: the mean is one more column.
        columns = np.column_stack([values, values.mean(axis=1)])
        report = self.pairs.summary(columns, seed)
        around = report["intervals"]
        each = {**_rows(report, slice(3)), "intervals": _rows(around, slice(3))}
        means = {**_rows(report, 3), "intervals": _rows(around, 3)}
        means |= {name: float(means[name]) for name in ("macro", "weighted")}
        thresholds = {"thresholds": np.array(THRESHOLDS)}
        return {**report, **means, "per_overlap": each, **answer, **thresholds}


def box_overlaps(maps, boxes, image_size) -> BoxOverlaps:
    """IoU of the boxes around hot parts of maps, at every level of 8 bits.

    Args:
        maps: As for ``max_box_acc``.
        boxes: As for ``max_box_acc``.
        image_size: As for ``max_box_acc``.

    Raises:
        ValueError: As for ``point_localization``.
    """
    from tqdm import tqdm

    pairs = as_pairs(maps, boxes, image_size)
    count = len(pairs.images)
    overlaps = np.zeros((count, 2, LEVELS))
    with tqdm(desc="Boxes", total=count, leave=False, disable=count < BAR_FROM) as bar:
        for part, own in pairs.chunks():
            heat = min_max(resize_maps(pairs.raw_maps(part), pairs.size))
            pictures = ((LEVELS - 1) * heat).astype(np.uint8)
            corners, owner = _cut(pairs.boxes[own], pairs.size), pairs.owner[own]
            for place, picture in enumerate(pictures, part.start):
                overlaps[place] = _overlaps(picture, corners[owner == place])
                bar.update()
    shape = (len(pairs.maps), 1, 1, pairs.maps.shape[-1])
    without = dataclasses.replace(pairs, maps=np.broadcast_to(np.float32(0), shape))
    return BoxOverlaps(without, *overlaps.swapaxes(0, 1))


def center_gaussian(size, spread: float = 0.25) -> np.ndarray:
    """A bump in the middle: the map that knows nothing of the image, yet is to beat.

    Args:
        size: (rows, cols), or one number for both.
        spread: Its standard deviation as a share of each side. Metrics that go through
            all thresholds hardly notice it.

    Returns:
        (rows, cols), float32, with maximum 1 in the middle.

    Raises:
        ValueError: If the size is none or the spread not above 0.

    Reference:
        Choe et al., as for this module.
    """
    if not 0 < spread < np.inf:
        raise ValueError(f"A spread is a number above 0. Received: {spread!r}.")
    y, x = (np.linspace(-0.5, 0.5, side) / spread for side in as_size(size))
    bump = -0.5 * (y[:, None] ** 2 + x**2)
    return np.exp(bump - bump.max()).astype(np.float32)


def _chosen(reached: np.ndarray, threshold) -> dict:
    """Threshold (k,), curve (1000, k), values (pairs, k) of hits (pairs, 256, k)."""
    shares = ratio(reached.sum(axis=0), len(reached))  # (256, k)
    curve = shares[_levels(THRESHOLDS)]
    if threshold is None:
        best = np.array(THRESHOLDS)[curve.argmax(axis=0)]
        threshold = np.where(np.isnan(curve[0]), np.nan, best)
    else:
        threshold = _as_threshold(threshold, curve.shape[-1])
    level = _levels(np.nan_to_num(threshold))
    values = reached[:, level, np.arange(len(level))]
    return {"values": values, "threshold": threshold, "curve": curve}


def _levels(thresholds) -> np.ndarray:
    """The level of 8 bits above which is hot; a stretched map's maximum is 255."""
    return np.floor((LEVELS - 1) * np.asarray(thresholds)).astype(int)


def _as_threshold(threshold, count: int) -> np.ndarray:
    """Thresholds in [0, 1], (count,)."""
    threshold = np.asarray(threshold, float)
    fits = threshold.shape in ((), (count,))
    if not fits or not ((threshold >= 0) & (threshold <= 1)).all():  # NaN is neither
        several = "" if count == 1 else f", or {count} of them, one for each IoU"
        raise ValueError(
            f"A threshold is a number in [0, 1]{several}. Received: "
            f"{threshold.tolist()}. Leave it out for the best on these images."
        )
    return np.broadcast_to(threshold, (count,)).copy()


def _rows(summary: dict, place) -> dict:
    """Some of the rows of a summary of several columns."""
    return {name: summary[name][place] for name in ("per_class", "macro", "weighted")}


def _cut(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Top, left, bottom, right of what lies on the image of boxes x, y, w, h."""
    x, y, w, h = boxes.astype(float).T
    corners = np.stack([y, x, y + h, x + w], axis=1)
    return corners.clip(0, np.array([*size, *size]))


def _overlaps(picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """IoU of the largest part's box, and of the best one's, at all levels, (2, 256).

    Args:
        picture: (rows, cols), uint8.
        boxes: Top, left, bottom, right, (m, 4).
    """
    answer = np.zeros((2, LEVELS))
    values = np.unique(picture)  # the mask alters at these levels only
    if len(values) > 1:
        place, area, corners = _parts(picture, values[:-1])
        order = np.lexsort((-area, place))
        iou = _iou(corners[order], boxes).max(axis=1)
        first = np.flatnonzero(np.diff(place[order], prepend=-1))
        each = np.stack([iou[first], np.maximum.reduceat(iou, first)])
        answer[:, values[0] : values[-1]] = each.repeat(np.diff(values), axis=1)
    return answer


def _parts(picture: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Place of the level (k,), area (k,), top, left, bottom, right (k, 4) of all parts.

    Every part has a local maximum. So where the mask was one part, and no local maximum
    was added since, it still is one, and needs no labeling; its area, which is then
    compared to none, is given as 0.
    """
    from scipy import ndimage

    whole, peaks = _extents(picture, levels), _peaks(picture)[levels]
    found, alone = [], 0
    for place in reversed(range(len(levels))):
        areas, corners = np.zeros(1, int), whole[place, None]
        if peaks[place] != alone:
            top, left, bottom, right = whole[place]
            mask = picture[top:bottom, left:right] > levels[place]
            labels, count = ndimage.label(mask, TOUCHING)
            alone = peaks[place] if count == 1 else 0
            if count > 1:
                areas = np.bincount(labels.ravel())[1:]
                corners = _corners(ndimage.find_objects(labels)) + [top, left] * 2
        found.append((np.full(len(areas), place), areas, corners))
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))


def _corners(objects) -> np.ndarray:
    """Slices of rows and columns as top, left, bottom, right, (k, 4)."""
    return np.array([(y.start, x.start, y.stop, x.stop) for y, x in objects])


def _peaks(picture: np.ndarray) -> np.ndarray:
    """How many pixels of local maxima are above each level, (256,)."""
    from skimage.morphology import local_maxima

    tops = np.bincount(picture[local_maxima(picture)], minlength=LEVELS)
    return tops.sum() - tops.cumsum()


def _extents(picture: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Top, left, bottom, right of all that is above each level, (levels, 4)."""
    ends = []
    for axis in (1, 0):
        hot = picture.max(axis=axis) > levels[:, None]  # (levels, side)
        ends.append((hot.argmax(axis=1), hot.shape[1] - hot[:, ::-1].argmax(axis=1)))
    (top, bottom), (left, right) = ends
    return np.stack([top, left, bottom, right], axis=1)


def _iou(corners: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """IoU of top, left, bottom, right (k, 4) with corners (m, 4) of boxes, (k, m)."""
    low = np.maximum(corners[:, None, :2], boxes[:, :2])
    high = np.minimum(corners[:, None, 2:], boxes[:, 2:])
    both = (high - low).clip(0).prod(axis=-1)
    own, other = ((c[:, 2:] - c[:, :2]).prod(axis=-1) for c in (corners, boxes))
    return both / (own[:, None] + other - both)
