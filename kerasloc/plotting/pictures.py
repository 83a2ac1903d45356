"""Small pictures that a browser lays over each other: images, heat maps, masks."""

import io
import pathlib

import numpy as np

from kerasloc.plotting.overlays import as_rgb

QUALITY = 85  # of JPEG
LEVELS = 32  # of a map; the browser interpolates between them
MAP_BYTES = 45_000  # of all maps of an image together
SIDES = (256, 160, 96, 64)  # pixels of a map's longer side, the first that fits in


def write_input(path, image) -> list[int]:
    """Writes an image as JPEG, gray where it is; gives its rows and columns.

    Args:
        path: Of the picture.
        image: (rows, cols) or (rows, cols, 1 or 3); uint8, uint16 or float in [0, 1].

    Raises:
        TypeError: If the image is of another type.
        ValueError: If a shape or a value does not fit.
    """
    from PIL import Image

    pixels = np.round(255 * as_rgb(image)).astype(np.uint8)
    gray = (pixels == pixels[..., :1]).all()
    shown = Image.fromarray(pixels[..., 0] if gray else pixels)
    shown.save(path, quality=QUALITY, optimize=True)
    return list(pixels.shape[:2])


def write_maps(stem, maps: dict) -> list[tuple[float, float]]:
    """Writes maps, clear where they are lowest and of full color where highest.

    Args:
        stem: What their paths begin with; a dash, the name and ``.png`` follow.
        maps: Heat map (rows, cols) in [0, 1] and color ``#rrggbb``, by name.

    Returns:
        The lowest and the highest value of each.

    Raises:
        ValueError: If a map is not as described.
    """
    ranges, sides = [], list(SIDES)
    for name, (heat, color) in maps.items():
        scaled, low, high = _scaled(heat)
        picture = _map_picture(scaled, color, sides[0])
        while len(picture) * len(maps) > MAP_BYTES and len(sides) > 1:
            sides.pop(0)  # for the maps that follow, too
            picture = _map_picture(scaled, color, sides[0])
        pathlib.Path(f"{stem}-{name}.png").write_bytes(picture)
        ranges.append((low, high))
    return ranges


def write_mask(path, mask):
    """Writes a boolean mask (rows, cols), white where it is true and clear elsewhere.

    Args:
        path: Of the picture.
        mask: The mask.
    """
    picture = _picture(np.asarray(mask, np.uint8), "#ffffff", 2)
    pathlib.Path(path).write_bytes(picture)


def _scaled(heat):
    """A map from 0 to 1, its lowest and its highest value."""
    heat = np.asarray(heat, np.float32)
    if heat.ndim != 2 or not heat.size or not (heat.min() >= 0 and heat.max() <= 1):
        extent = f", from {heat.min()} to {heat.max()}" if heat.size else ""
        raise ValueError(
            "A heat map is (rows, cols), in [0, 1]. Received: shape "
            f"{heat.shape}{extent}."
        )
    low, high = float(heat.min()), float(heat.max())
    return (heat - low) / (high - low if high > low else 1), low, high


def _map_picture(scaled, color: str, side: int) -> bytes:
    levels = np.round(_at_most(scaled, side).clip(0, 1) * (LEVELS - 1))
    return _picture(levels.astype(np.uint8), color, LEVELS)


def _picture(levels: np.ndarray, color: str, count: int) -> bytes:
    """A png of one color, the more opaque the higher the level."""
    from PIL import Image

    rows, cols = levels.shape
    shown = Image.frombytes("P", (cols, rows), levels.tobytes())
    shown.putpalette([int(color[i : i + 2], 16) for i in (1, 3, 5)] * count)
    opaque = bytes(round(255 * level / (count - 1)) for level in range(count))
    file = io.BytesIO()
    shown.save(file, "PNG", transparency=opaque)
    return file.getvalue()


def _at_most(values: np.ndarray, side: int) -> np.ndarray:
    """The map with its longer side at most that long, averaged where it shrinks."""
    from PIL import Image

    rows, cols = values.shape
    share = side / max(rows, cols)
    if share >= 1:
        return values
    size = (max(1, round(cols * share)), max(1, round(rows * share)))
    resized = Image.fromarray(values).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(resized)
