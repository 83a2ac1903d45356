"""From a table to batches: read, resize, augment, normalize, batch, prefetch.

All of it is seeded and parallel.

What epoch e of a training run sees is decided by (seed, e) alone, so a run that was
killed and goes on sees what it would have seen.
"""

import dataclasses
import logging
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from kerasloc.data.cache import load_cache
from kerasloc.data.decode import decode_mask, decode_resized
from kerasloc.data.table import Table

logger = logging.getLogger(__name__)

FIELDS = ("image", "labels", "boxes", "mask", "class_masks", "index")
INTERPOLATIONS = ("bilinear", "bicubic")


@dataclasses.dataclass(frozen=True)
class PipelineConfig:
    """How a table becomes batches.

    Attributes:
        size: Rows and columns that images are resized to (not keeping their aspect).
        channels: 1 (gray) or 3.
        batch_size: Images in a batch; the last batch of an epoch may be smaller.
        fields: What an element holds: ``image`` (n, rows, cols, channels) in [0, 1],
            unless there are ``mean`` and ``std``,
            ``labels`` (n, classes), ``boxes`` (n, most, 5) rows x, y, w, h, class in
            pixels of the resized image, class -1 where an image has fewer, ``mask``
            (n, rows, cols) boolean, ``class_masks`` (n, rows, cols, classes) boolean
            of masks as :mod:`kerasloc.data.crf` writes them, ``index`` (n,) rows of
            the table.
        seed: Decides order and augmentation.
        augment: Function ``(example, seed) -> example``, see ``data.augment``.
        cache: ``None``, ``"memory"``, or the path of a file: decoded images are kept.
        interpolation: ``"bilinear"`` or ``"bicubic"``, both with antialiasing.
        mean: Number per channel, taken from the image in [0, 1] as the last step, after
            augmentation; None for no normalization.
        std: Number per channel that the rest is divided by; given with ``mean``.
    """

    size: tuple[int, int]
    channels: int = 3
    batch_size: int = 16
    fields: tuple[str, ...] = ("image", "labels")
    seed: int = 0
    augment: Callable | None = None
    cache: str | None = None
    interpolation: str = "bilinear"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self):
        if self.batch_size < 1 or not set(self.fields) <= set(FIELDS):
            raise ValueError(
                f"batch_size is positive and fields are among {FIELDS}. Received: "
                f"{self.batch_size} and {self.fields}."
            )
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"interpolation is one of {', '.join(INTERPOLATIONS)}. Received: "
                f"{self.interpolation!r}."
            )
        self._check_normalization()

    def _check_normalization(self):
        if self.mean is None and self.std is None:
            return
        counts = [np.size(v) for v in (self.mean, self.std) if v is not None]
        if counts != [self.channels] * 2 or not np.min(self.std) > 0:
            raise ValueError(
                f"mean and std are both None or both have {self.channels} number(s), "
                f"one per channel, std above 0. Received: {self.mean} and {self.std}."
            )


def batches(table: Table, config: PipelineConfig) -> tf.data.Dataset:
    """Every image once, in the table's order, never augmented.

    Args:
        table: The images.
        config: Its ``augment`` is ignored.
    """
    load = _loader(table, dataclasses.replace(config, augment=None))
    order = tf.data.Dataset.range(len(table))
    data = order.map(lambda index: load(index, [0, 0]), tf.data.AUTOTUNE)
    return data.batch(config.batch_size).prefetch(tf.data.AUTOTUNE)


def training_batches(
    table: Table, config: PipelineConfig, first_epoch: int = 0, weights=None
) -> tf.data.Dataset:
    """Epoch after epoch without end, each in its own order and augmented.

    Fit with ``steps_per_epoch=steps(table, config)``.

    Args:
        table: The images.
        config: How.
        first_epoch: Where to begin, from 0.
        weights: How often each image is drawn beside the others, (n,), above 0: an
            epoch is then as many images, drawn with replacement. None: each once.
    """
    if config.batch_size > len(table):
        logger.warning(
            "A batch of %d is larger than the %d images; every batch holds them all.",
            config.batch_size,
            len(table),
        )
    load = _loader(table, config)
    count = len(table)

    def one_epoch(epoch):
        order = _order(count, [config.seed, epoch], weights)
        return (
            tf.data.Dataset.from_tensor_slices(order)
            .map(
                lambda index: load(index, [config.seed, epoch * count + index]),
                tf.data.AUTOTUNE,
            )
            .batch(config.batch_size)
        )

    epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
    return epochs.flat_map(one_epoch).prefetch(tf.data.AUTOTUNE)


def _order(count: int, seed, weights):
    """The images of an epoch, (count,) int64."""
    if weights is None:
        shuffle = tf.random.experimental.stateless_shuffle
        return shuffle(tf.range(count, dtype=tf.int64), seed)
    ends = np.cumsum(weights, dtype=float)
    draws = tf.random.stateless_uniform([count], seed, dtype=tf.float64) * ends[-1]
    return tf.cast(tf.searchsorted(ends, draws, side="right"), tf.int64)


def steps(table: Table, config: PipelineConfig) -> int:
    """Batches in an epoch."""
    return -(-len(table) // config.batch_size)


def _loader(table, config):
    """Function (index, seed) -> element with the asked fields."""
    if not len(table):
        raise ValueError(
            "A pipeline needs at least one image. Received: an empty table."
        )
    pixels = _pixels(table, config)
    labels, boxes = tf.constant(table.labels), _padded_boxes(table)
    masks, turns = tf.constant(table.masks), tf.constant(table.orientations)
    most = boxes.shape[1]

    def load(index, seed):
        image, file_size = pixels(index)
        example = {"image": image, "file_size": file_size}
        if "boxes" in config.fields:
            ratio = tf.constant(config.size, tf.float32) / tf.cast(
                file_size, tf.float32
            )
            y, x = ratio[0], ratio[1]
            rows = tf.gather(boxes, index) * tf.stack([x, y, x, y, 1.0])
            example["boxes"] = tf.boolean_mask(rows, rows[:, 4] >= 0)
        if "mask" in config.fields:
            example["mask"] = _mask(tf.gather(masks, index), turns[index], config.size)
        if "class_masks" in config.fields:
            example["class_masks"] = _class_masks(
                tf.gather(masks, index), config.size, len(table.class_names)
            )
        if config.augment is not None:
            example = config.augment(example, tf.cast(tf.stack(seed), tf.int64))
        if config.mean is not None:
            mean, std = np.float32(config.mean), np.float32(config.std)
            example["image"] = (example["image"] - mean) / std
        if "boxes" in example:
            example["boxes"] = _pad(example["boxes"], most)
        example |= {"labels": tf.gather(labels, index), "index": index}
        return {name: example[name] for name in config.fields}

    # needs no AutoGraph, which takes its time; augmentations of people may
    return load if config.augment else tf.autograph.experimental.do_not_convert(load)


def _pixels(table, config):
    """Function index -> resized image and the size of its file's image."""
    paths, turns = tf.constant(table.paths), tf.constant(table.orientations)

    def read(index):
        path, turn = tf.gather(paths, index), tf.gather(turns, index)
        return decode_resized(
            path, turn, config.channels, config.size, config.interpolation
        )

    if config.cache is None:
        return read
    images, sizes = load_cache(table, read, config)

    def recall(index):
        image = tf.numpy_function(lambda i: images[i], [index], tf.float32)
        image.set_shape((*config.size, config.channels))
        return image, tf.gather(tf.constant(sizes), index)

    return recall


def _mask(path, orientation, size):
    """The mask at the image's size, nearest; nothing where there is no file."""

    def read():
        mask = tf.cast(decode_mask(path, orientation), tf.float32)[..., None]
        return tf.image.resize(mask, size, method="nearest")[..., 0] > 0.5

    mask = tf.cond(path == "", lambda: tf.zeros(size, tf.bool), read)
    mask.set_shape(size)
    return mask


def _class_masks(path, size, classes: int):
    """The masks of all classes, nearest; nothing where there is no file."""
    from kerasloc.data.crf import decode_class_masks

    return decode_class_masks(path, size, classes)


def _padded_boxes(table):
    """Rows x, y, w, h, class of every image, (n, most, 5), class -1 where none."""
    counts = np.bincount(table.boxes[:, 0].astype(int), minlength=len(table))
    padded = np.zeros((len(table), max(1, counts.max(initial=0)), 5), np.float32)
    padded[..., 4] = -1
    order = np.argsort(table.boxes[:, 0], kind="stable")
    image = table.boxes[order, 0].astype(int)
    place = np.arange(len(image)) - (np.cumsum(counts) - counts)[image]
    padded[image, place] = table.boxes[order, 1:]
    return tf.constant(padded)


def _pad(rows, most):
    missing = most - tf.shape(rows)[0]
    padding = tf.tile([[0.0, 0.0, 0.0, 0.0, -1.0]], [missing, 1])
    padded = tf.concat([rows, padding], axis=0)
    padded.set_shape((most, 5))
    return padded
