"""A csv file with images, labels, and optional boxes or masks.

Columns: ``image`` (a path), and either ``label`` (names joined by ``|``; blank: none
of the classes) or one column per class with 1, 0 or blank (unknown). Optional:
``split``, ``group``, ``mask``, and boxes in ``x, y, w, h`` (pixels), one per row;
several rows of an image are its boxes.
"""

import dataclasses
import logging
from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kerasloc.data.datasets.files import PathLike
from kerasloc.data.datasets.reading import XYWH, read_table
from kerasloc.data.problems import check_choice, report_problems
from kerasloc.data.table import SPLITS, Table, split_of

RESERVED = ("image", "label", "split", "group", "mask", "box_label", *XYWH)
CELLS = {"": np.nan, "0": 0.0, "0.0": 0.0, "1": 1.0, "1.0": 1.0}

logger = logging.getLogger(__name__)


def read_csv(
    path: PathLike,
    image_dir: PathLike | None = None,
    class_names: Sequence[str] | None = None,
) -> Table:
    """Read a csv file with the columns described above.

    A box belongs to the class in ``box_label`` or, without that column, to the only
    label of its row; then the labels of an image are those of all its rows.

    Args:
        path: Comma-separated file with a header.
        image_dir: Folder of ``image`` and ``mask``. None: that of the csv file.
        class_names: Classes in the order of the labels. None: the names in ``label``,
            sorted, or the class columns in their order.

    Raises:
        ValueError: If a column is missing or rows are invalid; names their lines.
    """
    path = Path(path)
    folder = path.parent if image_dir is None else Path(image_dir)
    frame = read_table(path, ("image",))
    if 0 < len(set(XYWH) & set(frame)) < len(XYWH):
        raise ValueError(
            f"Expected all of x, y, w, h for boxes in {path}, or none. Received: the "
            f"columns {', '.join(frame.columns.tolist())}. Add the missing ones."
        )
    names = _class_names(path, frame, class_names)
    per_box = "label" in frame and "box_label" not in frame  # labels, one per box
    images: dict[str, _Row] = {}
    problems = []
    for location, cells in zip(frame.index, frame.to_dict("records"), strict=True):
        try:
            row = _parse(cells, names, folder)
            _merge(images.setdefault(row.path, row), row, per_box)
        except ValueError as error:
            problems.append(f"{location} ({cells['image']}): {error}")
    report_problems(problems, f"Expected valid rows in {path}", remedy="Fix them.")
    rows = pd.DataFrame(list(images.values()))
    boxes = [(i, *box) for i, boxes in enumerate(rows["boxes"]) for box in boxes]
    columns = {f"{name}s": rows[name] for name in ("mask", "split", "group")}
    return Table(
        rows["path"], names, np.stack(rows["labels"].tolist()), boxes, **columns
    )


@dataclasses.dataclass(eq=False)
class _Row:
    """Content of a line, and then of all lines of an image."""

    path: str
    labels: np.ndarray
    mask: str
    split: str
    group: str
    boxes: list[tuple[float, ...]]


def _class_names(
    path: Path, frame: pd.DataFrame, class_names: Sequence[str] | None
) -> tuple[str, ...]:
    """The classes of the file, in the caller's order if there is one."""
    columns: list[str] = frame.columns.tolist()
    names = [name for name in columns if name and name not in RESERVED]
    if "label" in frame:
        if names:
            logger.info("%s: columns not used: %s", path, ", ".join(names))
        names = sorted({n for cell in frame["label"] for n in _split_labels(cell)})
    for name in names:
        check_choice(f"every class of {path}", name, class_names or names)
    if not names:
        raise ValueError(
            f"Expected labels, or one column per class, in {path}. Received: the "
            f"columns {', '.join(columns)} and no class. Add labels."
        )
    return tuple(names if class_names is None else class_names)


def _split_labels(cell: str) -> list[str]:
    return [name.strip() for name in cell.split("|") if name.strip()]


def _parse(cells: dict[Hashable, str], names: Sequence[str], folder: Path) -> _Row:
    """Parse a line; a ValueError describes its problem."""
    path = folder / cells["image"]
    if not cells["image"] or not path.is_file():
        raise ValueError(f"there is no such image in {folder}")
    split = cells.get("split", "")
    split = split_of(split) or split
    check_choice("split", split, SPLITS)
    mask = str(folder / cells["mask"]) if cells.get("mask") else ""
    labels = _labels(cells, names)
    boxes = _boxes(cells, labels, names)
    return _Row(str(path), labels, mask, split, cells.get("group", ""), boxes)


def _labels(cells: dict[Hashable, str], names: Sequence[str]) -> np.ndarray:
    """1, 0 or NaN per class."""
    if "label" in cells:
        positive = _split_labels(cells["label"])
        return np.array([name in positive for name in names], np.float32)
    for name in names:
        if cells.get(name, "") not in CELLS:
            raise ValueError(f"{name} is 1, 0 or blank (unknown), not {cells[name]!r}")
    return np.array([CELLS[cells.get(name, "")] for name in names], np.float32)


def _boxes(
    cells: dict[Hashable, str], labels: np.ndarray, names: Sequence[str]
) -> list[tuple[float, ...]]:
    """No box or one: x, y, w, h and class index."""
    if not any(cells.get(name) for name in XYWH):
        return []
    try:
        x, y, w, h = (float(cells[name]) for name in XYWH)
    except ValueError:
        raise ValueError("x, y, w, h of a box are four numbers") from None
    if not np.isfinite((x, y, w, h)).all() or w <= 0 or h <= 0:
        raise ValueError(f"the box has no size: w is {w:g}, h is {h:g}")
    if "box_label" in cells:
        classes = [i for i, name in enumerate(names) if name == cells["box_label"]]
    else:
        classes = np.flatnonzero(labels == 1).tolist()
    if len(classes) != 1:
        raise ValueError("a box has one class: the only label of its row or box_label")
    (index,) = classes
    if labels[index] == 0:
        raise ValueError(f"contradictory: a box of {names[index]}, which is not there")
    return [(x, y, w, h, index)]


def _merge(image: _Row, row: _Row, per_box: bool) -> None:
    """Add another row of an image to its earlier ones."""
    if image is row:
        return
    with_boxes = bool(image.boxes and row.boxes)
    same_labels = np.array_equal(image.labels, row.labels, equal_nan=True)
    if not same_labels and not (with_boxes and per_box):
        raise ValueError("contradictory labels: an earlier row has others")
    for name in ("mask", "split", "group"):
        if getattr(image, name) != getattr(row, name):
            raise ValueError(f"contradictory: an earlier row has another {name}")
    if not with_boxes or row.boxes[0] in image.boxes:
        raise ValueError("duplicate row: an earlier row has this image")
    image.labels = np.fmax(image.labels, row.labels)
    image.boxes += row.boxes
