"""A csv file with images, labels, and optional boxes or masks.

Columns: ``image`` (a path; also called ``filename``, ``path``, ``image_id``...), and
either ``label`` (names joined by ``|``; blank: none of the classes) or one column per
class with 1, 0 or blank (unknown). Optional: ``split``, ``group``, ``mask``, and boxes
in ``x, y, w, h`` or ``xmin, ymin, xmax, ymax`` (pixels), one per row, of the class in
``box_label``; several rows of an image are its boxes. Further columns are listed in a
warning and not used; without ``label``, so are those of metadata, such as ``sex``.
"""

import dataclasses
import functools
import logging
import os
import re
from collections.abc import Hashable, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd

from kerasloc.data.class_names import spelling
from kerasloc.data.datasets.files import EXTENSIONS, PathLike
from kerasloc.data.datasets.reading import XYWH, check_columns, read_table
from kerasloc.data.problems import check_choice, listing, report_problems
from kerasloc.data.table import SPLITS, Table, split_of

CORNERS = ["xmin", "ymin", "xmax", "ymax"]
BOX_COLUMNS = (XYWH, CORNERS)
NAMES = ("image", "label", "split", "group", "mask", "box_label", *CORNERS)
RESERVED = (*NAMES, *XYWH)
SPELLINGS = {  # of columns, beside their names in any case
    "image": "image imagepath filepath path filename file imagefile imagename imageid",
    "label": "label labels",
}
# columns that describe an image or a patient: names, or their first or last word
METADATA = """
    age sex gender male female view viewposition patient patientid patientsex patientage
    subject subjectid study studyid imageid series site hospital scanner institution
    race ethnicity laterality fold id uid unnamed
"""
FLAGS = """
    ap pa appa frontal lateral frontallateral val valid validation test istrain isval
    istest index row number date year weight height width bmi followup batch source
    center centre cohort device modality orientation channels frames
"""
CELLS = {"": np.nan, "0": 0.0, "0.0": 0.0, "1": 1.0, "1.0": 1.0}
INVALID_LABELS = ("-1", "-1.0", "nan")  # as other files write unknown ones
TYPOS = 0.1  # share of a class's cells up to which others are errors
LABEL_HINT = "Write classes of these names in a column `label`. "
COLUMN_HINT = (
    "Write a header, and a row an image: its file in `image` (or `filename`, `path`, "
    "`image_id`), its class in `label`."
)
GROUP_HINT = (
    "Rename the column of the patient (or the like) to `group`, to keep its images in "
    "one split."
)

logger = logging.getLogger(__name__)


def read_csv(
    path: PathLike,
    image_dir: PathLike | None = None,
    class_names: Sequence[str] | None = None,
) -> Table:
    """Read a csv file with the columns described above.

    A box belongs to the class in ``box_label`` or, without that column, to the only
    label of its row; then the labels of an image are those of all its rows. A box
    that rows repeat counts once, and the number of these rows is logged.

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
    frame = _with_names(read_table(path))
    check_columns(path, frame, ("image",), COLUMN_HINT)
    for box in BOX_COLUMNS:
        if 0 < len(set(box) & set(frame)) < len(box):
            raise ValueError(
                f"Expected all of {', '.join(box)} for boxes in {path}, or none. "
                f"Received: the columns {', '.join(frame.columns)}. Add the rest."
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
    boxes = [
        (i, *box)
        for i, boxes in enumerate(rows["boxes"])
        for box in dict.fromkeys(boxes)
    ]
    if repeated := int(rows["boxes"].map(len).sum()) - len(boxes):
        _warn_once(f"{path}: {repeated} rows repeat a box, which counts once.")
    columns: dict[str, Any] = {
        f"{name}s": rows[name] for name in ("mask", "split", "group")
    }
    table = Table(
        rows["path"], names, np.stack(rows["labels"].tolist()), boxes, **columns
    )
    _check_pixels(path, table.boxes[:, 1:5])
    return table


@dataclasses.dataclass(eq=False)
class _Row:
    """Content of a line, and then of all lines of an image."""

    path: str
    labels: np.ndarray
    mask: str
    split: str
    group: str
    boxes: list[tuple[float, ...]]


@functools.cache
def _warn_once(message: str) -> None:
    """Log a warning once, however often a file is read in a run."""
    logger.warning(message)


def _with_names(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with the names above for columns in other spellings."""
    columns = {spelling(name): name for name in reversed(frame.columns.tolist())}
    sides = XYWH if set(XYWH) <= set(columns) else []  # X alone may be a class
    names = {}
    for name in (*NAMES, *sides):
        spellings = SPELLINGS.get(name, spelling(name)).split()
        matches = [columns[key] for key in spellings if key in columns]
        if matches and name not in frame:
            names[matches[0]] = name
    return frame.rename(columns=names)


def _class_names(
    path: Path, frame: pd.DataFrame, class_names: Sequence[str] | None
) -> tuple[str, ...]:
    """The classes of the file, in the caller's order if there is one."""
    columns = [name for name in frame.columns.tolist() if name not in RESERVED]
    if "label" in frame:
        unused = {name: name or "a column without a name" for name in columns}
        names = sorted({n for cell in frame["label"] for n in _split_labels(cell)})
    else:
        rest = [name for name in columns if name not in (class_names or ())]
        reasons = {name: _no_class(frame, name) for name in rest}
        unused = {name: reason for name, reason in reasons.items() if reason}
        names = [name for name in columns if name not in unused]
    for name in names:
        check_choice(f"every class of {path}", name, class_names or names)
    if not names:
        rule = f"Expected a column label, or one column per class, in {path}"
        remedy = "Write 1, 0 or blank in them, or class names in a column `label`."
        report_problems(unused.values(), rule, remedy=remedy)
        raise ValueError(
            f"{rule}. Received: the columns {', '.join(frame.columns)} and no class."
        )
    if unused:
        hint = LABEL_HINT * ("label" not in frame) + GROUP_HINT * ("group" not in frame)
        listed = listing(unused.values(), limit=len(unused))
        _warn_once(f"{path}: columns not used:\n{listed}\n{hint}".rstrip())
    return tuple(names if class_names is None else class_names)


def _no_class(frame: pd.DataFrame, name: str) -> str:
    """Why a column is no class, "" if it is."""
    words = re.findall(r"[A-Z]*[a-z]+|[A-Z]+|\d+", name)
    key, *ends = (spelling(word) for word in (name, *words[:1], *words[-1:]))
    metadata = METADATA.split()
    if key in (*metadata, *FLAGS.split()) or any(word in metadata for word in ends):
        return f"{name}, which is taken for metadata"
    cells = frame[name][frame[name] != ""]
    if cells.empty or not name:
        return f"{name}, which is blank" if name else "a column without a name"
    invalid = cells[~cells.isin(CELLS)]
    unknown = invalid.str.lower().isin(INVALID_LABELS).all()
    if unknown or len(invalid) <= TYPOS * len(cells):
        return ""
    row = invalid.index[0]
    return _invalid_label(f"{row} ({frame['image'][row]}): {name}", invalid[row])


def _invalid_label(name: str, cell: str) -> str:
    return f"{name} is 1, 0 or blank (unknown), not {cell!r}"


def _split_labels(cell: str) -> list[str]:
    return [name.strip() for name in cell.split("|") if name.strip()]


def _parse(cells: dict[Hashable, str], names: Sequence[str], folder: Path) -> _Row:
    """Parse a line; a ValueError describes its problem."""
    name, mask = cells["image"], cells.get("mask", "")
    path = name and _find(folder, name)
    if not path:
        windows = "\\" in name or PureWindowsPath(name).drive
        hint = "; write this Windows path relative to it, with /" if windows else ""
        raise ValueError(f"there is no such image in {folder}{hint}")
    mask = mask and (_find(folder, mask) or str(folder / mask))
    split = cells.get("split", "")
    split = split_of(split) or split
    check_choice("split", split, SPLITS)
    labels = _labels(cells, names)
    boxes = _boxes(cells, labels, names)
    return _Row(path, labels, mask, split, cells.get("group", ""), boxes)


def _find(folder: Path, name: str) -> str:
    r"""Path of a file, also by a name with \ for / or without extension; "" if none."""
    paths = [folder / name, folder / name.replace("\\", "/")]
    if match := next(filter(os.path.isfile, paths), None):
        return str(match)
    for extensions in (EXTENSIONS, [suffix.upper() for suffix in EXTENSIONS]):
        names = (f"{paths[1]}{extension}" for extension in extensions)
        if matches := list(filter(os.path.isfile, names)):
            break
    if len(matches) > 1:
        raise ValueError(f"there are several: {', '.join(matches)}")
    return matches[0] if matches else ""


def _labels(cells: dict[Hashable, str], names: Sequence[str]) -> np.ndarray:
    """1, 0 or NaN per class."""
    if "label" in cells:
        positive = _split_labels(cells["label"])
        return np.array([name in positive for name in names], np.float32)
    for name in names:
        if cells.get(name, "") not in CELLS:
            raise ValueError(_invalid_label(name, cells[name]))
    return np.array([CELLS[cells.get(name, "")] for name in names], np.float32)


def _boxes(
    cells: dict[Hashable, str], labels: np.ndarray, names: Sequence[str]
) -> list[tuple[float, ...]]:
    """No box or one: x, y, w, h and class index."""
    filled = [columns for columns in BOX_COLUMNS if any(map(cells.get, columns))]
    if not filled:
        return []
    boxes = [_box(cells, columns) for columns in filled]
    if not np.allclose(boxes[0], boxes[-1], rtol=0, atol=0.01):
        raise ValueError(f"contradictory: x, y, w, h of its two boxes are {boxes}")
    x, y, w, h = boxes[0]
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


def _box(cells: dict[Hashable, str], columns: Sequence[str]) -> tuple[float, ...]:
    """x, y, w, h."""
    try:
        x, y, w, h = (float(cells[name]) for name in columns)
    except ValueError:
        raise ValueError(f"{', '.join(columns)} of a box are four numbers") from None
    return (x, y, w, h) if columns is XYWH else (x, y, w - x, h - y)


def _check_pixels(path: Path, boxes: np.ndarray) -> None:
    """Raise if the boxes, x, y, w, h, are shares of the image."""
    if len(boxes) and (boxes[:, :2] + boxes[:, 2:] <= 1).all() and (boxes % 1).any():
        raise ValueError(
            f"Expected boxes of {path} in pixels. Received: all within 0..1. Multiply "
            "them by width and height of their images."
        )


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
    if not with_boxes:
        raise ValueError("duplicate row: an earlier row has this image")
    image.labels = np.fmax(image.labels, row.labels)
    image.boxes += row.boxes
