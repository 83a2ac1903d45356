"""Table of a user's own csv file: images, labels, and optional boxes or masks.

Columns: ``image`` (a path), and either ``label`` (names joined by ``|``; blank: none
of the classes) or one column per class with 1, 0 or blank (unknown). Optional:
``split``, ``group``, ``mask``, and boxes in ``x, y, w, h`` (pixels), one a row;
several rows of one image are its several boxes.
"""

import csv
import dataclasses
import logging
from pathlib import Path

import numpy as np

from kerasloc.data.problems import listing
from kerasloc.data.table import SPLITS, Table

BOX = ("x", "y", "w", "h")
RESERVED = ("image", "label", "split", "group", "mask", "box_label", *BOX)

logger = logging.getLogger(__name__)


def read_csv(path, image_dir=None, class_names=None) -> Table:
    """Table of a csv file with the columns described above.

    A box belongs to the class in ``box_label`` or, without that column, to the one
    label of its row; then the labels of an image are those of all its rows.

    Args:
        path: The csv file, with a header, separated by commas.
        image_dir: Folder that ``image`` and ``mask`` are relative to. None: the folder
            of the csv file.
        class_names: Classes in the order that labels are to have. None: the names in
            ``label``, sorted, or the class columns as they stand.

    Raises:
        ValueError: If a column is missing or rows are wrong; names each row by its line
            in the file.
    """
    path = Path(path)
    folder = path.parent if image_dir is None else Path(image_dir)
    lines, columns = _read_lines(path)
    names = _class_names(path, lines, columns, class_names)
    images, problems = {}, []
    for number, line in lines:
        try:
            row = _parse(line, names, folder)
            _merge(images.setdefault(row.path, row), row)
        except ValueError as error:
            problems.append(f"line {number} ({line['image']}): {error}")
    if problems:
        raise ValueError(
            f"{path}: {len(problems)} rows are wrong:\n{listing(problems)}"
        )
    rows = list(images.values())
    return Table(
        paths=[row.path for row in rows],
        class_names=names,
        labels=[row.labels for row in rows],
        boxes=[(i, *box) for i, row in enumerate(rows) for box in row.boxes],
        masks=[row.mask for row in rows],
        splits=[row.split for row in rows],
        groups=[row.group for row in rows],
    )


@dataclasses.dataclass(eq=False)
class _Row:
    """What one line, and then all lines of an image, say of it."""

    path: str
    labels: np.ndarray
    mask: str
    split: str
    group: str
    boxes: list
    boxes_own_labels: bool


def _read_lines(path: Path) -> tuple[list[tuple[int, dict]], list[str]]:
    """Numbered lines as dictionaries of trimmed texts, and the columns."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, restval="", restkey="")
        columns = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = columns
        lines = [
            (reader.line_num, {k: v.strip() for k, v in line.items() if k})
            for line in reader
        ]
    boxes = [name for name in BOX if name in columns]
    if "image" not in columns or len(boxes) not in (0, 4) or not lines:
        raise ValueError(
            f"{path} has rows under a header with image, label (or one column per "
            "class) and, for boxes, all of x, y, w, h; separated by commas. Received: "
            f"{len(lines)} rows under {', '.join(columns) or 'no header'}."
        )
    return lines, columns


def _class_names(path: Path, lines, columns, class_names) -> tuple[str, ...]:
    """The classes of the file, in the caller's order if that is given."""
    others = [name for name in columns if name and name not in RESERVED]
    if "label" in columns:
        if others:
            logger.info("%s: columns not used: %s", path, ", ".join(others))
        others = sorted({name for _, line in lines for name in _labels_of(line)})
    if class_names is not None and not set(others) <= set(class_names):
        strange = ", ".join(sorted(set(others) - set(class_names)))
        raise ValueError(
            f"The classes of {path} are among {', '.join(class_names)}. Received: "
            f"{strange} besides."
        )
    if not others:
        raise ValueError(
            f"{path} names classes: in the column label, or one column per class. "
            f"Received: the columns {', '.join(columns)} and no class."
        )
    return tuple(others if class_names is None else class_names)


def _labels_of(line: dict) -> list[str]:
    return [name.strip() for name in line["label"].split("|") if name.strip()]


def _parse(line: dict, names, folder: Path) -> _Row:
    """What a line says; a ValueError says what is wrong with it."""
    path = folder / line["image"]
    if not line["image"] or not path.is_file():
        raise ValueError(f"there is no such image in {folder}")
    if line.get("split", "") not in SPLITS:
        raise ValueError(f"split is train, val, test or blank, not {line['split']!r}")
    labels = _labels(line, names)
    return _Row(
        path=str(path),
        labels=labels,
        mask=str(folder / line["mask"]) if line.get("mask") else "",
        split=line.get("split", ""),
        group=line.get("group", ""),
        boxes=_boxes(line, labels, names),
        boxes_own_labels="label" in line and "box_label" not in line,
    )


def _labels(line: dict, names) -> np.ndarray:
    """1, 0 or NaN per class."""
    if "label" in line:
        own = _labels_of(line)
        return np.array([float(name in own) for name in names], np.float32)
    values = {"": np.nan, "0": 0, "0.0": 0, "1": 1, "1.0": 1}
    bad = [name for name in names if line.get(name, "") not in values]
    if bad:
        raise ValueError(f"{bad[0]} is 1, 0 or blank (unknown), not {line[bad[0]]!r}")
    return np.array([values[line.get(name, "")] for name in names], np.float32)


def _boxes(line: dict, labels, names) -> list[tuple]:
    """No box or one: x, y, w, h and the index of its class."""
    if not any(line.get(name) for name in BOX):
        return []
    try:
        x, y, w, h = (float(line[name]) for name in BOX)
    except ValueError:
        raise ValueError("x, y, w, h of a box are four numbers") from None
    if not np.isfinite((x, y, w, h)).all() or w <= 0 or h <= 0:
        raise ValueError(f"the box has no size: w is {w:g}, h is {h:g}")
    if "box_label" in line:
        own = [i for i, name in enumerate(names) if name == line["box_label"]]
    else:
        own = np.flatnonzero(labels == 1)
    if len(own) != 1:
        raise ValueError(
            "a box belongs to one class: the one label of its row or, if a row has "
            "several, the one in the column box_label"
        )
    if labels[own[0]] == 0:
        raise ValueError(f"contradictory: a box of {names[own[0]]}, which is not there")
    return [(x, y, w, h, int(own[0]))]


def _merge(image: _Row, row: _Row) -> None:
    """Add a further row of an image to what is known of it."""
    if image is row:
        return
    several_boxes = bool(image.boxes and row.boxes)
    same_labels = np.array_equal(image.labels, row.labels, equal_nan=True)
    if not same_labels and not (several_boxes and row.boxes_own_labels):
        raise ValueError("contradictory labels: an earlier row has others")
    for name in ("mask", "split", "group"):
        if getattr(image, name) != getattr(row, name):
            raise ValueError(f"contradictory: an earlier row has another {name}")
    if not several_boxes or row.boxes[0] in image.boxes:
        raise ValueError("duplicate row: this image stands above already")
    image.labels = np.fmax(image.labels, row.labels)
    image.boxes += row.boxes
