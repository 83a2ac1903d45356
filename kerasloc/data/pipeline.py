"""Batches of a table: read, resize, augment, normalize, batch, prefetch; in parallel.

Epoch e of a training run is determined by (seed, e), so that a resumed run sees the
same batches as an uninterrupted one. Decoded images are cached on request.
"""

import dataclasses
import hashlib
import json
import logging
import os
import pathlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tqdm import tqdm

from kerasloc.configs import check_rules, field_rules, option
from kerasloc.data.crf import decode_class_masks
from kerasloc.data.decode import decode_mask, decode_resized
from kerasloc.data.table import Table
from kerasloc.io import atomic_write, create_array, write_text
from kerasloc.processes import check_process

logger = logging.getLogger(__name__)

FIELDS = ("image", "labels", "boxes", "mask", "class_masks", "index")


@dataclasses.dataclass(frozen=True)
class PipelineConfig:
    """Settings of the batches of a table.

    Fields of an element are ``image`` (n, rows, cols, channels) in [0, 1], unless there
    are ``mean`` and ``std``, ``labels`` (n, classes), ``boxes`` (n, most, 5) rows x, y,
    w, h, class in pixels of the resized image, padded with rows of class -1, ``mask``
    (n, rows, cols) and ``class_masks`` (n, rows, cols, classes) boolean, of masks as
    :mod:`kerasloc.data.crf` writes them, and ``index`` (n,), rows of the table.

    Examples:
        >>> PipelineConfig((64, 64), batch_size=0)
        Traceback (most recent call last):
        ValueError: Expected batch_size of at least 1. Received: PipelineConfig(...).
    """

    size: tuple[int, int]  # rows and columns; aspect is not kept
    channels: int = option(3, "Number of channels of the images: 1 (gray) or 3.")
    batch_size: int = option(16, "Images in a batch; the last has the rest.", low=1)
    fields: tuple[str, ...] = option(("image", "labels"), "Contents of an element.")
    seed: int = option(0, "Seed of order and augmentation.")
    augment: Callable | None = None  # (example, seed) -> example
    cache: str | None = option(None, "``memory``, or path of a file of decoded images.")
    interpolation: str = option(
        "bilinear", "Interpolation with antialiasing.", choices=("bilinear", "bicubic")
    )
    mean: tuple[float, ...] | None = option(
        None, "Number per channel, subtracted from the augmented image in [0, 1]."
    )
    std: tuple[float, ...] | None = option(None, "Divisor per channel of the rest.")

    def __post_init__(self) -> None:
        if self.mean is None or self.std is None:
            normal = self.mean is self.std
        else:
            counts = (np.size(self.mean), np.size(self.std))
            normal = counts == (self.channels,) * 2 and min(self.std) > 0
        rules = {
            f"fields among {', '.join(FIELDS)}": set(self.fields) <= set(FIELDS),
            f"mean and std that are both None or both have {self.channels} number(s), "
            "std above 0": normal,
        }
        check_rules(field_rules(self) | rules, self)


def batches(table: Table, config: PipelineConfig) -> tf.data.Dataset:
    """Batch every image once, in the order of the table, without augmentation.

    Raises:
        ValueError: If the table is empty.
    """
    load = _loader(table, dataclasses.replace(config, augment=None))
    order = tf.data.Dataset.range(len(table))
    data = order.map(lambda index: load(index, [0, 0]), tf.data.AUTOTUNE)
    return data.batch(config.batch_size).prefetch(tf.data.AUTOTUNE)


def training_batches(
    table: Table,
    config: PipelineConfig,
    first_epoch: int = 0,
    weights: npt.ArrayLike | None = None,
) -> tf.data.Dataset:
    """Batch endless epochs of :func:`steps` batches, drawn by (seed, epoch).

    Args:
        table: Images.
        config: Settings.
        first_epoch: First epoch, from 0.
        weights: Relative frequencies (n,) for draws with replacement; None: each once.

    Raises:
        ValueError: If the table is empty.
    """
    count = len(table)
    if config.batch_size > count:
        text = "A batch of %d is larger than the %d images; every batch holds them all."
        logger.warning(text, config.batch_size, count)
    load = _loader(table, config)

    def shuffled(epoch):
        def element(index):
            return load(index, [config.seed, epoch * count + index])

        order = _order(count, [config.seed, epoch], weights)
        data = tf.data.Dataset.from_tensor_slices(order)
        return data.map(element, tf.data.AUTOTUNE).batch(config.batch_size)

    epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
    return epochs.flat_map(shuffled).prefetch(tf.data.AUTOTUNE)


def _order(count: int, seed: list, weights: npt.ArrayLike | None) -> tf.Tensor:
    """Indices of the images of an epoch, (count,) int64."""
    if weights is None:
        shuffle = tf.random.experimental.stateless_shuffle
        return shuffle(tf.range(count, dtype=tf.int64), seed)
    ends = np.cumsum(weights, dtype=float)
    draws = tf.random.stateless_uniform([count], seed, dtype=tf.float64) * ends[-1]
    return tf.cast(tf.searchsorted(ends, draws, side="right"), tf.int64)


def steps(table: Table, config: PipelineConfig) -> int:
    """Number of batches in an epoch."""
    return -(-len(table) // config.batch_size)


def _loader(table: Table, config: PipelineConfig) -> Callable:
    """Function (index, seed) -> element with the fields of the config."""
    check_process()
    if not len(table):
        raise ValueError("Expected at least one image. Received: an empty table.")
    columns = [table.labels, table.masks, table.orientations]
    labels, masks, orientations = map(tf.constant, columns)
    pixels, boxes = _pixels(table, config), _padded_boxes(table)
    size, most, classes = config.size, boxes.shape[1], len(table.class_names)

    def load(index, seed):
        image, file_size = pixels(index)
        example = {"image": image, "file_size": file_size}
        if "boxes" in config.fields:
            ratio = tf.constant(size, tf.float32) / tf.cast(file_size, tf.float32)
            y, x = ratio[0], ratio[1]
            rows = tf.gather(boxes, index) * tf.stack([x, y, x, y, 1.0])
            example["boxes"] = tf.boolean_mask(rows, rows[:, 4] >= 0)
        path = tf.gather(masks, index)
        if "mask" in config.fields:
            example["mask"] = _mask(path, orientations[index], size)
        if "class_masks" in config.fields:
            example["class_masks"] = decode_class_masks(path, size, classes)
        if config.augment is not None:
            example = config.augment(example, tf.cast(tf.stack(seed), tf.int64))
        if config.mean is not None:
            mean, std = np.float32(config.mean), np.float32(config.std)
            example["image"] = (example["image"] - mean) / std
        if "boxes" in example:
            padded = tf.concat(
                [example["boxes"], [[0.0, 0.0, 0.0, 0.0, -1.0]] * most], 0
            )
            example["boxes"] = tf.ensure_shape(padded[:most], (most, 5))
        example |= {"labels": tf.gather(labels, index), "index": index}
        return {name: example[name] for name in config.fields}

    # only users' augmentations may need AutoGraph, which takes its time
    return load if config.augment else tf.autograph.experimental.do_not_convert(load)


def _pixels(table: Table, config: PipelineConfig) -> Callable:
    """Function index -> resized image and size of the upright image in its file."""
    paths, orientations = tf.constant(table.paths), tf.constant(table.orientations)

    def read(index):
        file = tf.gather(paths, index), tf.gather(orientations, index)
        shape = config.channels, config.size, config.interpolation
        return decode_resized(*file, *shape, table.bits)

    if config.cache is None:
        return read
    images, sizes = load_cache(table, read, config)

    def recall(index):
        image = tf.numpy_function(lambda i: images[i], [index], tf.float32)
        image.set_shape((*config.size, config.channels))
        return image, tf.gather(tf.constant(sizes), index)

    return recall


def _mask(path: tf.Tensor, orientation: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Mask at the size of the image, nearest; empty without a file."""

    def read():
        mask = tf.cast(decode_mask(path, orientation), tf.float32)[..., None]
        return tf.image.resize(mask, size, method="nearest")[..., 0] > 0.5

    mask = tf.cond(path == "", lambda: tf.zeros(size, tf.bool), read)
    return tf.ensure_shape(mask, size)


def _padded_boxes(table: Table) -> tf.Tensor:
    """Rows x, y, w, h, class of every image, (n, most, 5), padded with class -1."""
    images = table.boxes[:, 0].astype(int)
    counts = np.bincount(images, minlength=len(table))
    padded = np.zeros((len(table), max(1, counts.max(initial=0)), 5), np.float32)
    padded[..., 4] = -1
    order = np.argsort(images, kind="stable")
    starts = (np.cumsum(counts) - counts)[images[order]]
    padded[images[order], np.arange(len(order)) - starts] = table.boxes[order, 1:]
    return tf.constant(padded)


def load_cache(
    table: Table, read: Callable, config: PipelineConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Return all decoded images, and write the cache file if absent or outdated.

    Args:
        table: Images.
        read: Function from an index to an image and its file's size, of tensors.
        config: Settings of the pipeline.

    Returns:
        Images (n, rows, cols, channels), and rows and columns in their files (n, 2).
    """
    shape = (len(table), *config.size, config.channels)
    if config.cache is None or config.cache == "memory":
        images = np.empty(shape, np.float32)
        return images, _fill(images, read, "Reading images")
    path = pathlib.Path(config.cache).with_suffix(".npy")
    key, note = _key(table, shape, config.interpolation), path.with_suffix(".json")
    if path.is_file() and note.is_file():
        recorded = json.loads(note.read_text())
        if recorded["key"] == key:
            return np.load(path, mmap_mode="r"), np.array(recorded["sizes"], np.int32)
    with atomic_write(path) as partial:
        images = create_array(partial, shape)
        sizes = _fill(images, read, f"Caching images in {path}")
        images.flush()
        note.unlink(missing_ok=True)  # never a new note beside old images
    write_text(note, json.dumps({"key": key, "sizes": sizes.tolist()}))
    return np.load(path, mmap_mode="r"), sizes


def _fill(images: np.ndarray, read: Callable, title: str) -> np.ndarray:
    data = tf.data.Dataset.range(len(images)).map(read, tf.data.AUTOTUNE)
    sizes = np.empty((len(images), 2), np.int32)
    bar = tqdm(data.as_numpy_iterator(), title, len(images), unit="image", leave=False)
    for index, (image, size) in enumerate(bar):
        images[index], sizes[index] = image, size
    return sizes


def _key(table: Table, shape: tuple, interpolation: str) -> str:
    """Hash of everything that the decoded images depend on."""
    result = shape if interpolation == "bilinear" else (*shape, interpolation)
    result = result if table.bits is None else (*result, table.bits)
    digest = hashlib.sha256(repr(result).encode())
    for path, orientation in zip(table.paths, table.orientations, strict=True):
        stat = os.stat(path)
        facts = (str(path), int(orientation), stat.st_size, stat.st_mtime_ns)
        digest.update(repr(facts).encode())
    return digest.hexdigest()
