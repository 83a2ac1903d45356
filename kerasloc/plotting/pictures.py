"""Small picture files for a browser to stack: images, heat maps, masks."""

import io
import os
import pathlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from PIL import Image

from kerasloc.plotting.panels import as_rgb, check_heat

QUALITY = 85  # of JPEG
LEVELS = 32  # of a map; the browser interpolates between them
MAP_BYTES = 45_000  # of all maps of an image in total
SIDES = (256, 160, 96, 64)  # pixels of a map's longer side, the first that fits


def write_input(path: str | os.PathLike, image: npt.ArrayLike) -> list[int]:
    """Write an image as for ``overlay`` as JPEG; returns its rows and columns."""
    pixels = np.round(255 * as_rgb(image)).astype(np.uint8)
    gray = (pixels == pixels[..., :1]).all()
    picture = Image.fromarray(pixels[..., 0] if gray else pixels)
    picture.save(path, quality=QUALITY, optimize=True)
    return list(pixels.shape[:2])


def write_maps(
    stem: str | os.PathLike, maps: Mapping[int | str, tuple[np.ndarray, str]]
) -> dict[int | str, tuple[float, float]]:
    """Write maps as PNG, clear at their minimum and of full color at their maximum.

    Args:
        stem: Start of the files' paths; a dash, the name and ``.png`` follow.
        maps: Heat map (rows, cols) in [0, 1] and color ``#rrggbb``, by name.

    Returns:
        Minimum and maximum of every map, by name.
    """
    ranges: dict[int | str, tuple[float, float]] = {}
    sides = list(SIDES)
    for name, (heatmap, color) in maps.items():
        heat = np.asarray(heatmap, np.float32)
        if heat.ndim != 2 or not heat.size:
            received = f"{name!r} with shape {heat.shape}"
            raise ValueError(f"Expected heat maps (rows, cols). Received: {received}.")
        check_heat(heat)
        low, high = ranges[name] = float(heat.min()), float(heat.max())
        heat = (heat - low) / (high - low if high > low else 1)
        picture = _map_png(heat, color, sides[0])
        while len(picture) * len(maps) > MAP_BYTES and len(sides) > 1:
            sides.pop(0)  # for the maps that follow, too
            picture = _map_png(heat, color, sides[0])
        pathlib.Path(f"{stem}-{name}.png").write_bytes(picture)
    return ranges


def write_mask(path: str | os.PathLike, mask: npt.ArrayLike) -> None:
    """Write a mask (rows, cols) as PNG, white where true and clear elsewhere."""
    picture = _png(np.asarray(mask, np.uint8), "#ffffff", 2)
    pathlib.Path(path).write_bytes(picture)


def _map_png(heat: np.ndarray, color: str, side: int) -> bytes:
    """A PNG of a map in [0, 1], its longer side at most so long."""
    factor = side / max(heat.shape)
    if factor < 1:  # averaged
        size = [max(1, round(length * factor)) for length in heat.shape[::-1]]
        heat = np.asarray(Image.fromarray(heat).resize(size, Image.Resampling.BILINEAR))
    levels = np.round(heat.clip(0, 1) * (LEVELS - 1))
    return _png(levels.astype(np.uint8), color, LEVELS)


def _png(levels: np.ndarray, color: str, count: int) -> bytes:
    """A PNG of one color, more opaque at higher levels."""
    rows, cols = levels.shape
    picture = Image.frombytes("P", (cols, rows), levels.tobytes())
    picture.putpalette([int(color[i : i + 2], 16) for i in (1, 3, 5)] * count)
    opaque = bytes(round(255 * level / (count - 1)) for level in range(count))
    file = io.BytesIO()
    picture.save(file, "PNG", transparency=opaque)
    return file.getvalue()
