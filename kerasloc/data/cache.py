"""Decoded images kept in memory or in a file, so that files are read once."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from kerasloc.data.table import Table
from kerasloc.io import atomic_write, write_text

if TYPE_CHECKING:
    from kerasloc.data.pipeline import PipelineConfig


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
        images = np.lib.format.open_memmap(partial, "w+", np.float32, shape)
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
    digest = hashlib.sha256(repr(result).encode())
    for path, orientation in zip(table.paths, table.orientations, strict=True):
        stat = os.stat(path)
        facts = (str(path), int(orientation), stat.st_size, stat.st_mtime_ns)
        digest.update(repr(facts).encode())
    return digest.hexdigest()
