"""Localization metrics of all images at once against loops over images and classes."""

import numpy as np

from benchmarks.timing import Race

CLASSES = 14
SIZE = (256, 256)
COUNTS = (180, 146, 153, 123, 85, 79, 120, 98)  # boxes of NIH's classes; 880 images
IMAGES = 880
THRESHOLDS = (0.1, 0.25, 0.5)


def make_boxes(images: int) -> np.ndarray:
    """Rows image, x, y, w, h, class in NIH's proportions; every image has one.

    Args:
        images: How many; 880 get 984 boxes.
    """
    rng = np.random.default_rng(0)
    count = round(sum(COUNTS) * images / IMAGES)
    classes = np.repeat(np.arange(len(COUNTS)), COUNTS)
    classes = np.resize(rng.permutation(classes), count)
    owners = np.concatenate(
        [rng.permutation(images), rng.integers(0, images, count - images)]
    )
    width, height = rng.uniform(20, 100, (2, count))
    x, y = rng.random((2, count)) * (SIZE[1] - width, SIZE[0] - height)
    return np.stack([owners, x, y, width, height, classes], axis=1)


def every_one(maps, boxes, size=SIZE) -> np.ndarray:
    """Accuracies by a loop over images, classes and thresholds, one map at a time.

    Args:
        maps: Raw, (n, rows, cols, classes).
        boxes: Rows image, x, y, w, h, class.
        size: Of the images, (rows, cols).

    Returns:
        (1 + thresholds, classes): of the point, and of IoBB; NaN without boxes.
    """
    hits = np.full((1 + len(THRESHOLDS), len(maps), maps.shape[-1]), np.nan)
    for image in range(len(maps)):
        for index in range(maps.shape[-1]):
            one, own = maps[image, :, :, index], _own(boxes, image, index)
            found = [_point(one, own, size)]
            found += [_iobb(one, own, size) > threshold for threshold in THRESHOLDS]
            if len(own):
                hits[:, image, index] = found
    return _mean(hits)


def those_with_boxes(maps, boxes, size=SIZE) -> np.ndarray:
    """As :func:`every_one`, without work that nobody asked for.

    Maps without boxes are left out, and all thresholds look at one IoBB.

    Args:
        maps: As for :func:`every_one`.
        boxes: As for :func:`every_one`.
        size: As for :func:`every_one`.
    """
    hits = np.full((1 + len(THRESHOLDS), len(maps), maps.shape[-1]), np.nan)
    for image, index in np.unique(boxes[:, [0, 5]].astype(int), axis=0):
        one, own = maps[image, :, :, index], _own(boxes, image, index)
        above = _iobb(one, own, size) > np.array(THRESHOLDS)
        hits[:, image, index] = [_point(one, own, size), *above]
    return _mean(hits)


def at_once(maps, boxes, size=SIZE) -> np.ndarray:
    """What the loops answer, by the package's metrics (which give intervals, too).

    Args:
        maps: As for :func:`every_one`.
        boxes: As for :func:`every_one`.
        size: As for :func:`every_one`.
    """
    from kerasloc.metrics import iobb_accuracy, point_localization

    point = point_localization(maps, boxes, size)["per_class"]
    iobb = iobb_accuracy(maps, boxes, size, THRESHOLDS)["per_class"]
    return np.stack([point, *iobb])


def metrics(options) -> list[dict]:
    """Point localization and IoBB accuracy at three thresholds, against loops."""
    rng, side = np.random.default_rng(0), options.map_size
    shape = (options.images, side, side, CLASSES)
    maps, boxes = rng.standard_normal(shape, "float32"), make_boxes(options.images)
    part = min(options.loop_images, options.images)
    few, theirs = maps[:part], boxes[boxes[:, 0] < part]
    race, of = Race("metrics"), f"{part} of {options.images} images"
    loop, lean = f"loop, {of}", f"loop, maps with boxes only, {of}"
    ours = f"at once, {options.images} images"
    race.add(loop, lambda: every_one(few, theirs), part)
    race.add(lean, lambda: those_with_boxes(few, theirs), part)
    race.add(ours, lambda: at_once(maps, boxes), options.images)
    race.run(options.repeat)
    return [
        race.row(loop),
        race.row(lean, loop),
        race.row(ours, loop, 10.0),
        race.row(ours, lean),
    ]


def _own(boxes, image, index):
    return boxes[(boxes[:, 0] == image) & (boxes[:, 5] == index), 1:5]


def _point(one, own, size):
    """Whether the maximum of a map lies in a box, borders included."""
    from kerasloc.metrics import resize_maps

    row, col = np.unravel_index(resize_maps(one, size).argmax(), size)
    return any(x <= col <= x + w and y <= row <= y + h for x, y, w, h in own)


def _iobb(one, own, size):
    """The share of where a map exceeds half its maximum that lies in boxes."""
    from kerasloc.boxes import to_mask
    from kerasloc.metrics import resize_maps

    heat = resize_maps(1 / (1 + np.exp(-one)), size)
    predicted = heat / heat.max() > 0.5
    return (predicted & to_mask(own, size)).sum() / predicted.sum()


def _mean(hits):
    """Of (k, images, classes) over the images that are not NaN; NaN where none is."""
    counted = np.count_nonzero(~np.isnan(hits), axis=1)
    return np.where(counted, np.nansum(hits, axis=1) / np.maximum(counted, 1), np.nan)
