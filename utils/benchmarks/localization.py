"""Localization metrics of all images at once against loops over images, classes."""

import numpy as np

from benchmarks.timing import Race

CLASSES = 14
SIZE = (256, 256)
COUNTS = (180, 146, 153, 123, 85, 79, 120, 98)  # boxes of NIH's classes; 880 images
IMAGES = 880
THRESHOLDS = (0.1, 0.25, 0.5)


def make_boxes(images: int) -> np.ndarray:
    """Rows image, x, y, w, h, class in NIH's proportions, at least one per image."""
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


def every_map(maps, boxes, size=SIZE) -> np.ndarray:
    """Accuracies by a loop over images, classes and thresholds, one map at a time.

    Maps are raw, (n, rows, cols, classes); boxes are rows image, x, y, w, h, class.

    Returns:
        Accuracies of the point and of IoBB, (1 + thresholds, classes); NaN without
        boxes.
    """
    hits = np.full((1 + len(THRESHOLDS), len(maps), maps.shape[-1]), np.nan)
    for image in range(len(maps)):
        for index in range(maps.shape[-1]):
            heat, rows = maps[image, :, :, index], _boxes_of(boxes, image, index)
            values = [_point(heat, rows, size)]
            values += [_iobb(heat, rows, size) > threshold for threshold in THRESHOLDS]
            if len(rows):
                hits[:, image, index] = values
    return _mean(hits)


def maps_with_boxes(maps, boxes, size=SIZE) -> np.ndarray:
    """Accuracies like :func:`every_map`, by a loop without unnecessary work.

    Maps without boxes are left out, and IoBB is computed once for all thresholds.
    """
    hits = np.full((1 + len(THRESHOLDS), len(maps), maps.shape[-1]), np.nan)
    for image, index in np.unique(boxes[:, [0, 5]].astype(int), axis=0):
        heat, rows = maps[image, :, :, index], _boxes_of(boxes, image, index)
        above = _iobb(heat, rows, size) > np.array(THRESHOLDS)
        hits[:, image, index] = [_point(heat, rows, size), *above]
    return _mean(hits)


def at_once(maps, boxes, size=SIZE) -> np.ndarray:
    """Accuracies like :func:`every_map`, by the package's metrics with intervals."""
    from kerasloc.metrics import iobb_accuracy, point_localization

    point = point_localization(maps, boxes, size)["per_class"]
    iobb = iobb_accuracy(maps, boxes, size, THRESHOLDS)["per_class"]
    return np.stack([point, *iobb])


def metrics(options) -> list[dict]:
    """Point localization and IoBB accuracy at three thresholds, against loops."""
    rng, side = np.random.default_rng(0), options.map_size
    shape = (options.images, side, side, CLASSES)
    maps, boxes = rng.standard_normal(shape, "float32"), make_boxes(options.images)
    few = min(options.loop_images, options.images)
    first = maps[:few], boxes[boxes[:, 0] < few]
    race, counts = Race("metrics"), f"{few} of {options.images} images"
    loop, lean = f"loop, {counts}", f"loop, maps with boxes only, {counts}"
    race.add(loop, lambda: every_map(*first), few)
    race.add(lean, lambda: maps_with_boxes(*first), few, {loop: None})
    race.add(
        f"at once, {options.images} images",
        lambda: at_once(maps, boxes),
        options.images,
        {loop: 10.0, lean: None},
    )
    return race.run(options.repeat)


def _boxes_of(boxes, image, index):
    return boxes[(boxes[:, 0] == image) & (boxes[:, 5] == index), 1:5]


def _point(heat, boxes, size):
    """True if the maximum of a map lies in a box, borders included."""
    from kerasloc.metrics import resize_maps

    row, col = np.unravel_index(resize_maps(heat, size).argmax(), size)
    return any(x <= col <= x + w and y <= row <= y + h for x, y, w, h in boxes)


def _iobb(heat, boxes, size):
    """Share of the pixels above half of the maximum that lies in boxes."""
    from kerasloc.boxes import to_mask
    from kerasloc.metrics import resize_maps

    heat = resize_maps(1 / (1 + np.exp(-heat)), size)
    predicted = heat / heat.max() > 0.5
    return (predicted & to_mask(boxes, size)).sum() / predicted.sum()


def _mean(hits):
    """Mean of (k, images, classes) over images that are not NaN; NaN without any."""
    counted = np.count_nonzero(~np.isnan(hits), axis=1)
    return np.where(counted, np.nansum(hits, axis=1) / np.maximum(counted, 1), np.nan)
