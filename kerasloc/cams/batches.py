"""Answers of a model about many images, a few at a time."""

import keras
import numpy as np

from kerasloc.layers import has_accelerator


def run(model: keras.Model, images, *others):
    """The model's outputs for all images as arrays, in one forward pass each.

    Args:
        model: With one output, a list or a dict of them.
        images: (n, rows, cols, channels).
        *others: Further inputs with n entries.
    """
    batch_size = images_at_once(images.shape[1:3])
    inputs = [images, *others] if others else images
    parts = [
        model.predict_on_batch(_cut(inputs, slice(start, start + batch_size)))
        for start in range(0, len(images), batch_size)
    ]
    if not parts:
        raise ValueError("There is at least one image. Received: none.")
    if isinstance(parts[0], dict):
        return {k: np.concatenate([np.asarray(p[k]) for p in parts]) for k in parts[0]}
    if isinstance(parts[0], list):
        return [
            np.concatenate([np.asarray(one) for one in each])
            for each in zip(*parts, strict=True)
        ]
    return np.concatenate([np.asarray(part) for part in parts])


def images_at_once(size, pixels: int = 40_000) -> int:
    """How many images of a size to run together.

    A GPU wants many; on a CPU features that leave its cache cost more than what a
    larger batch saves (measured: 2 at 224 pixels, 4 at 96).

    Args:
        size: (rows, cols).
        pixels: Of all of them on a CPU, about; more for networks that soon have few.
    """
    if has_accelerator():
        return 32
    return max(2, min(32, pixels // (size[0] * size[1])))


def _cut(inputs, where):
    return [a[where] for a in inputs] if isinstance(inputs, list) else inputs[where]
