"""A page of results that a browser opens without any network: index.html and images.

Maps lie beside the page as transparent pictures, one per image and class, so that the
browser can lay any of them over the image.
"""

import dataclasses
import html
import importlib.resources
import json
import math
import os
import pathlib
import re

import numpy as np

from kerasloc.plotting import pictures
from kerasloc.plotting.palette import class_colors

FOLDER = "images"
OURS = re.compile(r"\d{5,}(-\d+|-abnormality|-mask)?\.(jpg|png)")
ABNORMALITY = "#ff4d5e"
COLUMNS = (
    "class",
    "probability",
    "label",
    "predicted",
    "hit",
    "x",
    "y",
    "low",
    "high",
)


@dataclasses.dataclass(frozen=True, eq=False)
class ReportClass:
    """One class of one image.

    Attributes:
        index: Of the class.
        heat: Heat map of any size, (rows, cols), [0, 1].
        probability: [0, 1].
        label: 1, 0 or NaN (unknown).
        predicted: Whether the model says that the class is there.
        hit: Whether the maximum of the map lies in a box; None where there is none.
        point: x, y of the maximum of the map, pixels of the image.
    """

    index: int
    heat: np.ndarray
    probability: float
    label: float
    predicted: bool
    hit: bool | None
    point: tuple[int, int]


@dataclasses.dataclass(frozen=True, eq=False)
class ReportImage:
    """One image with what is known about it and what a model answered.

    Attributes:
        image: (rows, cols) or (rows, cols, 1 or 3), [0, 1].
        name: What people know it by, such as its path.
        classes: Those that have a map on the page, in the order of the page.
        boxes: Rows x, y, w, h, class, pixels of the image, (k, 5).
        abnormality: Heat map of "anything at all", (rows, cols), [0, 1]; of models
            that have one.
        abnormality_probability: Of the same.
        mask: Boolean (rows, cols), where the label's object is; None where unknown.
    """

    image: np.ndarray
    name: str
    classes: tuple[ReportClass, ...]
    boxes: np.ndarray
    abnormality: np.ndarray | None = None
    abnormality_probability: float | None = None
    mask: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class ReportConfig:
    """What a page says about all of its images.

    Attributes:
        title: Of the page.
        class_names: In the order of the class indices.
        thresholds: Probability above which a class is said to be there, one for all or
            one per class; None where an image has the likeliest class.
        scaling: What 0 and 1 are on a heat map, in a few words.
        attention: What a heat map of a class is called.
    """

    title: str
    class_names: tuple[str, ...]
    thresholds: tuple[float, ...] | None = None
    scaling: str = "Heat as the model answers it, from 0 to 1"
    attention: str = "Class attention"


def write_report(folder, images, config: ReportConfig) -> int:
    """Writes index.html and the pictures that it shows; gives the number of images.

    Pictures are written while the images are taken, the page at last, in one step.
    What an earlier call has left is removed, no other file is.

    Args:
        folder: Made when absent.
        images: Iterable of :class:`ReportImage`; held one at a time.
        config: Title, classes and the like.

    Raises:
        ValueError: If there is no image, or one does not fit.
    """
    folder = pathlib.Path(folder)
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    _remove_old(folder)
    colors = [_hex(color) for color in class_colors(len(config.class_names))]
    rows = []
    for number, image in enumerate(images, start=1):
        stem = folder / FOLDER / f"{number:05d}"
        rows.append({"id": number, **_write_image(stem, image, colors)})
    if not rows:
        raise ValueError("A page has at least one image. Received: none.")
    page = _page(config, colors, rows)
    waiting = folder / "index.html.new"
    waiting.write_text(page, encoding="utf-8")
    os.replace(waiting, folder / "index.html")
    return len(rows)


def _remove_old(folder: pathlib.Path):
    (folder / "index.html").unlink(missing_ok=True)
    for path in (folder / FOLDER).iterdir():
        if OURS.fullmatch(path.name):
            path.unlink()


def _page(config: ReportConfig, colors, rows) -> str:
    """The text of index.html."""
    count = len(colors)
    thresholds = np.full(count, np.nan)
    if config.thresholds is not None:
        thresholds = np.broadcast_to(np.asarray(config.thresholds, float), count)
    classes = zip(config.class_names, colors, thresholds, strict=True)
    data = {
        "title": config.title,
        "scaling": config.scaling,
        "attention": config.attention,
        "abnormality": ABNORMALITY,
        "classes": [
            {"name": str(name), "color": color, "threshold": _number(threshold)}
            for name, color, threshold in classes
        ],
        "columns": COLUMNS,
        "images": rows,
    }
    parts = {
        "title": html.escape(config.title),
        "style": _source("style.css"),
        "script": _source("page.js"),
        "data": _as_json(data),
    }
    # in one pass: nothing that is put in is looked through again
    return re.sub(r"{{(\w+)}}", lambda m: parts[m[1]], _source("index.html"))


def _source(name: str) -> str:
    folder = importlib.resources.files("kerasloc.plotting") / "web"
    return (folder / name).read_text(encoding="utf-8")


def _as_json(data) -> str:
    """Strict json that can stand in a script element: no letter of it ends one."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _write_image(stem: pathlib.Path, image: ReportImage, colors) -> dict:
    """Writes the pictures of an image; gives what the page has to know about it."""
    size = pictures.write_input(f"{stem}.jpg", image.image)
    maps = {one.index: (one.heat, colors[one.index]) for one in image.classes}
    if image.abnormality is not None:
        maps["abnormality"] = image.abnormality, ABNORMALITY
    ranges = dict(zip(maps, pictures.write_maps(stem, maps), strict=True))
    rows = [_answers(one, ranges[one.index]) for one in image.classes]
    abnormality = None
    if image.abnormality is not None:
        low, high = map(_rounded, ranges["abnormality"])
        chance = _number(image.abnormality_probability)
        abnormality = {"probability": chance, "low": low, "high": high}
    has_mask = image.mask is not None and bool(np.any(image.mask))
    if has_mask:
        pictures.write_mask(f"{stem}-mask.png", image.mask)
    boxes = np.reshape(image.boxes, (-1, 5))
    return {
        "name": str(image.name),
        "size": size,
        "classes": rows,
        "boxes": [[*map(_rounded, box[:4].tolist()), int(box[4])] for box in boxes],
        "abnormality": abnormality,
        "mask": has_mask,
    }


def _answers(one: ReportClass, extent) -> list:
    """The row of a class, in the order of the columns."""
    hit = None if one.hit is None else int(one.hit)
    label = None if math.isnan(one.label) else int(one.label)
    answer = (_number(one.probability), label, int(one.predicted), hit)
    return [one.index, *answer, *map(int, one.point), *map(_rounded, extent)]


def _hex(color) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in color.tolist())


def _rounded(value: float) -> float:
    return round(float(value), 4)


def _number(value) -> float | None:
    """The number to four digits, None for NaN and for none."""
    return None if value is None or math.isnan(value) else _rounded(value)
