"""Decoded images kept in memory or in a file, so that they are read once."""

import hashlib
import json
import os
import pathlib

import numpy as np
import tensorflow as tf
from tqdm import tqdm


def load_cache(table, read, config):
    """All images, float32 (n, rows, cols, channels), and their files' sizes (n, 2).

    Args:
        table: The images.
        read: Function index -> image and size, of tensors.
        config: A pipeline's: size, channels, interpolation, and ``cache``: ``"memory"``
            or the path of a file, which is made when absent or made for other images.
    """
    shape = (len(table), *config.size, config.channels)
    if config.cache == "memory":
        images = np.empty(shape, np.float32)
        return images, _fill(images, read, "Reading images")
    path = pathlib.Path(config.cache).with_suffix(".npy")
    key, note = _key(table, shape, config.interpolation), path.with_suffix(".json")
    if path.is_file() and note.is_file():
        known = json.loads(note.read_text())
        if known["key"] == key:
            return np.load(path, mmap_mode="r"), np.array(known["sizes"], np.int32)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"partial-{os.getpid()}-{path.name}")
    images = np.lib.format.open_memmap(partial, "w+", np.float32, shape)
    sizes = _fill(images, read, f"Caching images in {path}")
    images.flush()
    note.unlink(missing_ok=True)  # never a new note beside old images
    os.replace(partial, path)
    note.write_text(json.dumps({"key": key, "sizes": sizes.tolist()}))
    return np.load(path, mmap_mode="r"), sizes


def _fill(images, read, title):
    data = tf.data.Dataset.range(len(images)).map(read, tf.data.AUTOTUNE)
    sizes = np.empty((len(images), 2), np.int32)
    bar = tqdm(data.as_numpy_iterator(), title, len(images), unit="image", leave=False)
    for index, (image, size) in enumerate(bar):
        images[index], sizes[index] = image, size
    return sizes


def _key(table, shape, interpolation) -> str:
    """What changes when a file, its size or date, or the answer's making does."""
    made = shape if interpolation == "bilinear" else (*shape, interpolation)
    digest = hashlib.sha256(repr(made).encode())
    for path, turn in zip(table.paths, table.orientations, strict=True):
        stat = os.stat(path)
        facts = (str(path), int(turn), stat.st_size, stat.st_mtime_ns)
        digest.update(repr(facts).encode())
    return digest.hexdigest()
