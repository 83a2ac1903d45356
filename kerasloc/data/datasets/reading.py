"""What the readers of published data sets share: rows, images and boxes."""

import concurrent.futures
import csv
import dataclasses
import logging
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kerasloc.data.datasets.folders import EXTENSIONS
from kerasloc.data.problems import check_on_error, complain, listing
from kerasloc.data.table import Table

OWN = (np.nan, np.nan)

logger = logging.getLogger(__name__)


class Box(NamedTuple):
    """A box as a data set gives it.

    Attributes:
        image: Name of the image.
        where: What messages call it, such as "line 3".
        x, y, w, h: Pixels; (x, y) the upper left corner.
        cls: Index of its class.
        size: Rows and columns of the picture it was measured in; NaN: the file's.
    """

    image: str
    where: str
    x: float
    y: float
    w: float
    h: float
    cls: int
    size: tuple[float, float] = OWN


@dataclasses.dataclass
class Draft:
    """What the text files of a data set say, before its images were looked for.

    Args:
        source: What messages call the files.
        class_names: Names of the classes.
        names: Name of each image.
        wheres: Where each image is spoken of, such as "line 3 of train.csv".
        labels: 1, 0 or NaN, (n, classes).
        splits: Split of each image.
        groups: Patient of each image. None: unknown.
        boxes: In any order, also of images that are not among the names.
    """

    source: str
    class_names: tuple[str, ...]
    names: list[str]
    wheres: list[str]
    labels: np.ndarray
    splits: list[str]
    groups: list[str] | None = None
    boxes: list[Box] = dataclasses.field(default_factory=list)


def read_rows(path, needed) -> list[tuple[int, dict]]:
    """Lines of a csv file with their numbers, as dictionaries of trimmed texts.

    Short lines are filled up with "", blank ones are passed over.

    Args:
        path: The file.
        needed: Columns that it must have.

    Raises:
        ValueError: If it has no rows or lacks a column.
    """
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        columns = [name.strip() for name in next(lines, [])]
        blank = [""] * len(columns)
        rows = [
            (lines.line_num, [cell.strip() for cell in line + blank])
            for line in lines
            if line
        ]
    missing = [name for name in needed if name not in columns]
    if missing or not rows:
        raise ValueError(
            f"{path} has rows with the columns {', '.join(needed)}. Received: "
            f"{len(rows)} rows with {', '.join(columns) or 'no columns'}."
        )
    return [(number, dict(zip(columns, row, strict=False))) for number, row in rows]


def image_files(root, image_dir, below) -> dict[str, str]:
    """Paths of the images of a data set by file name, sorted.

    Args:
        root: Folder of the data set; looked at last.
        image_dir: Folder of the images; looked at first. None: below the root.
        below: Patterns of the folders below either, such as "images_*/images".

    Raises:
        ValueError: If there is no image at all.
    """
    base = Path(root if image_dir is None else image_dir)
    inside = [p for pattern in below for p in sorted(base.glob(pattern)) if p.is_dir()]
    groups = [inside, [base]] if image_dir is None else [[base], inside]
    for folders in groups:
        found = _images_in(folder for folder in folders if folder.is_dir())
        if found:
            return found
    places = ", ".join(str(base / pattern) for pattern in ("", *below))
    raise ValueError(
        f"The images ({', '.join(EXTENSIONS)}) lie in one of {places}. Received: no "
        "image there. Say where they are with image_dir."
    )


def image_sizes(paths) -> np.ndarray:
    """Rows and columns of image files by their headers, (n, 2); NaN: unreadable.

    Args:
        paths: Image files, (n,).
    """
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return np.array(list(pool.map(_size, paths)), float).reshape(-1, 2)


def finish(draft: Draft, files: dict[str, str], on_error: str) -> Table:
    """The table of a draft: its images found, its boxes scaled and checked.

    Args:
        draft: What the text files say.
        files: Path of each image by name.
        on_error: "raise" or "skip" for images that are missing and boxes that are
            empty or lie outside their image.

    Raises:
        ValueError: If something is wrong (and not to be skipped), or nothing is left.
    """
    check_on_error(on_error)
    _check_twice(draft)
    here = _which_are_there(draft, files, on_error)
    paths = np.array([files.get(name, "") for name in draft.names], str)
    rows = {name: row for row, name in enumerate(draft.names) if here[row]}
    boxes = [box for box in draft.boxes if box.image in rows]
    if len(boxes) < len(draft.boxes):
        lost = len(draft.boxes) - len(boxes)
        logger.warning("%s: %d boxes of images without a row", draft.source, lost)
    images = np.array([rows[box.image] for box in boxes], int)
    sizes = np.full((len(paths), 2), np.nan)
    boxed = np.unique(images)
    sizes[boxed] = image_sizes(paths[boxed])
    broken = boxed[np.isnan(sizes[boxed, 0])]
    complain(paths[broken], "Images with boxes can be opened", on_error)
    here[broken] = False
    table = Table(
        paths=paths,
        class_names=draft.class_names,
        labels=draft.labels,
        boxes=_usable_boxes(boxes, images, sizes, on_error),
        splits=draft.splits,
        groups=draft.groups,
    )
    return table.subset(here)


def _images_in(folders) -> dict[str, str]:
    """Path of each image of the folders, by name; the first of equal names."""
    found = {}
    for folder in folders:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.lower().endswith(EXTENSIONS) and not name.startswith("."):
                    found.setdefault(name, entry.path)
    return dict(sorted(found.items()))


def _size(path) -> tuple[float, float]:
    """Rows and columns of one file."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return OWN


def _check_twice(draft: Draft) -> None:
    """Raise if an image has two rows."""
    first, twice = {}, []
    for name, where in zip(draft.names, draft.wheres, strict=True):
        if first.setdefault(name, where) != where:
            twice.append(f"{name}: {first[name]} and {where}")
    rule = f"{draft.source}: an image has one row"
    complain(twice, rule, way_out="Remove the others.")


def _which_are_there(draft: Draft, files, on_error: str) -> np.ndarray:
    """Whether the image of each row has a file, boolean (n,)."""
    here = np.array([name in files for name in draft.names], bool)
    missing = [f"{draft.names[i]} ({draft.wheres[i]})" for i in np.flatnonzero(~here)]
    if not here.any():
        raise ValueError(
            f"{draft.source}: rows have images. Received: {len(missing)} rows, all "
            f"without:\n{listing(missing)}\nSay where they are with image_dir."
        )
    rule = f"{draft.source}: every row has its image"
    way_out = (
        "Say where they are with image_dir, or leave such rows out with "
        'on_error="skip".'
    )
    complain(missing, rule, on_error, way_out)
    unused = sorted(set(files) - set(draft.names))
    if unused:
        logger.warning(
            "%s: no row has %d of the images:\n%s",
            draft.source,
            len(unused),
            listing(unused, 3),
        )
    return here


def _usable_boxes(boxes, images, sizes, on_error: str) -> np.ndarray:
    """Box rows (m, 6) in pixels of the files, without those that mark nothing."""
    values = np.array([box[2:7] for box in boxes], float).reshape(-1, 5)
    measured = np.array([box.size for box in boxes], float).reshape(-1, 2)
    factor = np.where(np.isnan(measured), 1.0, sizes[images] / measured)[:, ::-1]
    place = values[:, :4] * np.tile(factor, 2)
    x, y, w, h = place.T
    height, width = sizes[images].T
    empty = ~((w > 0) & (h > 0) & np.isfinite(place).all(axis=1))
    outside = (x >= width) | (y >= height) | (x + w <= 0) | (y + h <= 0)
    wrong = [
        f"{boxes[i].image} ({boxes[i].where}): "
        + " ".join(f"{value:g}" for value in boxes[i][2:6])
        + (" has no size" if empty[i] else " lies outside the image")
        for i in np.flatnonzero(empty | outside)
    ]
    complain(wrong, "Boxes (x y w h) have a size and lie in their image", on_error)
    rows = np.column_stack([images, place, values[:, 4]])[~(empty | outside)]
    return rows[np.argsort(rows[:, 0], kind="stable")]
