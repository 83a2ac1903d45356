"""A page of results that a browser opens without any network: index.html and images.

Maps are transparent pictures, so that the browser can blend any with the image.
"""

import dataclasses
import html
import importlib.resources
import io
import json
import math
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from kerasloc.io import atomic_write, printable, write_bytes, write_text
from kerasloc.plotting.panels import as_rgb, check_heat
from kerasloc.plotting.style import class_colors

QUALITY = 85  # of JPEG
LEVELS = 32  # of a map; the browser interpolates between them
MAP_BYTES = 45_000  # of all maps of an image in total
SIDES = (256, 160, 96, 64)  # pixels of a map's longer side, the first that fits


def write_input(path: str | os.PathLike, image: npt.ArrayLike) -> list[int]:
    """Write an image as for ``overlay`` as JPEG; returns its rows and columns."""
    pixels = np.round(255 * as_rgb(image)).astype(np.uint8)
    gray = (pixels == pixels[..., :1]).all()
    picture = Image.fromarray(pixels[..., 0] if gray else pixels)
    with atomic_write(path) as partial:
        picture.save(partial, quality=QUALITY, optimize=True)
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
        write_bytes(f"{stem}-{name}.png", picture)
    return ranges


def write_mask(path: str | os.PathLike, mask: npt.ArrayLike) -> None:
    """Write a mask (rows, cols) as PNG, white where true and clear elsewhere."""
    picture = _png(np.asarray(mask, np.uint8), "#ffffff", 2)
    write_bytes(path, picture)


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


FOLDER = "images"
PICTURES = re.compile(r"\d{5,}(-\d+|-abnormality|-mask)?\.(jpg|png)")
ABNORMALITY = "#ff4d5e"
COLUMNS = ("class", "probability", "label", "predicted", "hit", "x", "y", "low", "high")


@dataclasses.dataclass(frozen=True, eq=False)
class ReportClass:
    """One class of one image."""

    index: int
    heat: np.ndarray  # heat map of any size, (rows, cols), [0, 1]
    probability: float
    label: float  # 1, 0 or NaN (unknown)
    predicted: bool
    hit: bool | None  # the maximum of the map lies in a box; None without boxes
    point: tuple[int, int]  # x, y of the maximum of the map, pixels of the image


@dataclasses.dataclass(frozen=True, eq=False)
class ReportImage:
    """One image with its annotations and the outputs of a model."""

    image: np.ndarray  # (rows, cols) or (rows, cols, 1 or 3), [0, 1]
    name: str  # to show, such as the path of the file
    classes: Sequence[ReportClass]  # that have a map, in the order of the page
    boxes: np.ndarray  # rows x, y, w, h, class, pixels of the image, (k, 5)
    abnormality: np.ndarray | None = None  # heat map of any class, (rows, cols), [0, 1]
    abnormality_probability: float | None = None
    mask: np.ndarray | None = None  # boolean (rows, cols) of the object of the label


@dataclasses.dataclass(frozen=True)
class ReportConfig:
    """Texts and thresholds of a page.

    Attributes:
        thresholds: Probability above which a class is predicted, one for all or one per
            class; None where the most probable class is predicted.
        scaling: Meaning of 0 and 1 on a heat map, in a few words.
        attention: Name of the heat map of a class.
    """

    title: str
    class_names: tuple[str, ...]
    thresholds: tuple[float, ...] | None = None
    scaling: str = "Heat as the model answers it, from 0 to 1"
    attention: str = "Class attention"


def write_report(
    folder: str | os.PathLike, images: Iterable[ReportImage], config: ReportConfig
) -> int:
    """Write index.html and the pictures that it shows; returns the number of images.

    Pictures are written while the images are iterated, the page last, in one step.
    Files of an earlier call are removed, no other file is.

    Args:
        folder: Folder of the page, made when absent.
        images: Images, of which one at a time is held in memory.
        config: Title, classes and the like.

    Raises:
        ValueError: If there is no image, or one does not fit.

    Examples:
        >>> import tempfile
        >>> cat = ReportClass(0, np.eye(4), 0.9, 1.0, True, None, (0, 0))
        >>> image = ReportImage(np.zeros((8, 8)), "a.png", [cat], np.zeros((0, 5)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_report(folder, [image], ReportConfig("Cats", ("cat",)))
        1
    """
    folder = pathlib.Path(folder)
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    (folder / "index.html").unlink(missing_ok=True)
    for path in (folder / FOLDER).iterdir():
        if PICTURES.fullmatch(path.name):
            path.unlink()
    levels = np.round(255 * class_colors(len(config.class_names))).astype(int)
    colors = ["#{:02x}{:02x}{:02x}".format(*rgb) for rgb in levels]
    rows = []
    for number, image in enumerate(images, start=1):
        stem = folder / FOLDER / f"{number:05d}"
        rows.append({"id": number, **_write_image(stem, image, colors)})
    if not rows:
        raise ValueError("Expected at least one image. Received: images=[].")
    write_text(folder / "index.html", _page(config, colors, rows))
    return len(rows)


def _page(config: ReportConfig, colors: list[str], rows: list[dict]) -> str:
    thresholds = np.full(len(colors), np.nan)
    if config.thresholds is not None:
        thresholds = np.broadcast_to(np.asarray(config.thresholds, float), len(colors))
    classes = zip(config.class_names, colors, thresholds, strict=True)
    data = {
        **{k: printable(getattr(config, k)) for k in ("title", "scaling", "attention")},
        "abnormality": ABNORMALITY,
        "classes": [
            {"name": printable(name), "color": color, "threshold": _number(threshold)}
            for name, color, threshold in classes
        ],
        "columns": COLUMNS,
        "images": rows,
    }
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for letter in "<>&":  # no text ends the script element
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    fields = {"title": html.escape(printable(config.title)), "data": text}
    fields |= {"style": _source("style.css"), "script": _source("page.js")}
    # in one pass: braces in the fields are left alone
    return re.sub(r"{{(\w+)}}", lambda m: fields[m[1]], _source("index.html"))


def _source(name: str) -> str:
    folder = importlib.resources.files("kerasloc.plotting") / "web"
    return (folder / name).read_text(encoding="utf-8")


def _write_image(
    stem: pathlib.Path, image: ReportImage, colors: list[str]
) -> dict[str, Any]:
    """Write the pictures of an image; returns its row of the page's data."""
    size = write_input(f"{stem}.jpg", image.image)
    maps: dict[int | str, tuple[np.ndarray, str]] = {
        c.index: (c.heat, colors[c.index]) for c in image.classes
    }
    if image.abnormality is not None:
        maps["abnormality"] = image.abnormality, ABNORMALITY
    ranges, abnormality = write_maps(stem, maps), None
    if "abnormality" in ranges:
        low, high = map(_number, ranges["abnormality"])
        probability = _number(image.abnormality_probability)
        abnormality = {"probability": probability, "low": low, "high": high}
    has_mask = bool(np.any(image.mask))
    if image.mask is not None and has_mask:
        write_mask(f"{stem}-mask.png", image.mask)
    boxes = np.reshape(image.boxes, (-1, 5))
    return {
        "name": printable(image.name),
        "size": size,
        "classes": [_class_row(c, *ranges[c.index]) for c in image.classes],
        "boxes": [[*(round(float(v), 4) for v in b[:4]), int(b[4])] for b in boxes],
        "abnormality": abnormality,
        "mask": has_mask,
    }


def _class_row(row: ReportClass, low: float, high: float) -> list:
    """The values of a class, in the order of the columns."""
    return [
        row.index,
        _number(row.probability),
        None if math.isnan(row.label) else int(row.label),
        int(row.predicted),
        None if row.hit is None else int(row.hit),
        *map(int, row.point),
        *map(_number, (low, high)),
    ]


def _number(value: float | None) -> float | None:
    """The number rounded to four digits, None for NaN."""
    return None if value is None or math.isnan(value) else round(float(value), 4)
