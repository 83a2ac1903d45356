"""From raw maps of a layer's size to heat maps of the images'."""

import sys
import warnings

import numpy as np

from kerasloc.cams.methods import NOISE
from kerasloc.metrics import min_max, resize_maps

SHOWN = 10


def as_heat(maps, size, normalize: bool) -> np.ndarray:
    """Raw maps after ReLU, resized, and each scaled to [0, 1]; warns of empty ones.

    Args:
        maps: (n, rows, cols, classes), NaN where they are undefined.
        size: (rows, cols) of the answer.
        normalize: Whether they are scaled.

    Returns:
        (n, *size, classes), 0 throughout where nothing speaks for the class.
    """
    count, rows, cols, asked = maps.shape
    flat = np.moveaxis(maps, -1, 1).reshape(-1, rows, cols)
    flat = resize_maps(np.maximum(_defined(flat, asked), 0), size)
    heat = min_max(flat) if normalize else flat
    return np.moveaxis(heat.reshape(count, asked, *size), 1, -1)


def _defined(maps, asked) -> np.ndarray:
    """The maps, those without a hottest place 0; warns of the images that have one."""
    finite = np.isfinite(maps).all(axis=(1, 2))
    maps = np.where(finite[:, None, None], maps, 0)
    shown = np.maximum(maps, 0)
    noise = NOISE * np.abs(maps).max(axis=(1, 2))
    flat = np.flatnonzero(np.ptp(shown, axis=(1, 2)) <= noise)
    if len(flat):
        images = sorted(set((flat // asked).tolist()))
        broken = (
            f", NaN in {np.count_nonzero(~finite)} maps" if not finite.all() else ""
        )
        warnings.warn(
            "Nothing speaks for the class anywhere, or it is the same everywhere; the "
            f"heat map is 0. Images: {images[:SHOWN]}"
            f"{f' and {len(images) - SHOWN} more' if len(images) > SHOWN else ''}"
            f"{broken}.",
            stacklevel=_outside(),
        )
    return np.where(np.isin(np.arange(len(maps)), flat)[:, None, None], 0, maps)


def _outside() -> int:
    """How far up the caller of this function's caller is who is not of this package."""
    frame, level = sys._getframe(1), 1
    # a program that is executed as text has no name
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(__package__):
        frame, level = frame.f_back, level + 1
    return level
