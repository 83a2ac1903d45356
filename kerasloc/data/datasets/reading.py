"""Common parts of the readers: csv and json files, and the table built from them."""

import collections
import csv
import dataclasses
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kerasloc.data.datasets.files import PathLike, image_sizes
from kerasloc.data.problems import listing, report_problems
from kerasloc.data.table import Table

XYWH = ["x", "y", "w", "h"]
BOX_COLUMNS = ["image", "location", *XYWH, "class_index", "rows", "cols"]

logger = logging.getLogger(__name__)


def box_frame(rows: Iterable[Sequence] = ()) -> pd.DataFrame:
    """Build the frame of boxes that :class:`Annotations` takes.

    Args:
        rows: Rows of ``image`` (name), ``location`` (such as "line 3 of boxes.csv"),
            ``x, y, w, h`` (pixels) and ``class_index``. The columns ``rows, cols`` are
            the size of the image that a box was measured in; NaN: that of the file.
    """
    return pd.DataFrame(list(rows), columns=BOX_COLUMNS[:-2]).reindex(
        columns=BOX_COLUMNS
    )


@dataclasses.dataclass
class Annotations:
    """Contents of the annotation files of a dataset, before its images are located.

    Args:
        source: Names of the files, for messages.
        class_names: Names of the classes.
        names: Name of each image.
        locations: Location of each image in the files, such as "line 3 of train.csv".
        labels: 1, 0 or NaN, (n, classes).
        splits: Split of each image.
        groups: Patient of each image. None: unknown.
        boxes: See :func:`box_frame`; in any order, also of images without a row.
    """

    source: str
    class_names: Sequence[str]
    names: Sequence[str]
    locations: Sequence[str]
    labels: np.ndarray
    splits: npt.ArrayLike
    groups: npt.ArrayLike | None = None
    boxes: pd.DataFrame = dataclasses.field(default_factory=box_frame)


def read_table(
    path: PathLike, required: Iterable[str] = (), names: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read a csv file as stripped text, indexed by "line N of FILE".

    Short lines are padded with "", long ones are cut, blank ones are skipped. Of equal
    columns the last counts.

    Args:
        path: Comma-separated file with a header.
        required: Columns that it must have, with rows below them.
        names: Names of the columns, in the place of those in the header.

    Raises:
        ValueError: If it lacks a required column or the rows.
    """
    path, required = Path(path), list(required)
    # the csv module, as pandas neither counts lines nor takes ones that are too long
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        header = [name.strip() for name in next(lines, [])]
        columns = header if names is None else list(names)
        padding = [""] * len(columns)
        rows, index = [], []
        for cells in filter(None, lines):
            rows.append([cell.strip() for cell in (cells + padding)[: len(columns)]])
            index.append(f"line {lines.line_num} of {path.name}")
    if required and not (rows and set(required) <= set(columns)):
        raise ValueError(
            f"Expected rows with the comma-separated columns {', '.join(required)} in "
            f"{path}. Received: {len(rows)} rows with "
            f"{', '.join(columns) or 'no columns'}."
        )
    frame = pd.DataFrame(rows, index, columns, dtype=object)
    return frame.loc[:, ~frame.columns.duplicated(keep="last")]


def to_numbers(cells: pd.DataFrame) -> pd.DataFrame:
    """Convert text to numbers, NaN where it is not one.

    Args:
        cells: Columns of text.

    Examples:
        >>> to_numbers(pd.DataFrame({"x": ["1", "2.5"], "y": ["", "top"]})).to_numpy()
        array([[1. , nan],
               [2.5, nan]])
    """
    return cells.apply(pd.to_numeric, errors="coerce").astype(float)


def to_labels(
    cells: pd.DataFrame, values: Mapping[str, float], source: object, rule: str
) -> np.ndarray:
    """Convert text to labels, (n, classes) float32.

    Args:
        cells: Columns of text, one per class, indexed by their location.
        values: Label of each text.
        source: File name for messages.
        rule: Valid texts, in words.

    Raises:
        ValueError: If a cell holds another text; lists them with line and column.

    Examples:
        >>> cells = pd.DataFrame({"cat": ["1", ""], "dog": ["0", "1"]})
        >>> to_labels(cells, {"1": 1, "0": 0, "": np.nan}, "a.csv", "1, 0 or blank")
        array([[ 1.,  0.],
               [nan,  1.]], dtype=float32)
    """
    report_problems(
        [
            f"{cells.index[i]}: {cells.iat[i, j]!r} for {cells.columns[j]}"
            for i, j in np.argwhere(~cells.isin(list(values)).to_numpy()).tolist()
        ],
        f"Expected labels in {source} to be {rule}",
        remedy="Fix these cells.",
    )
    return cells.apply(lambda column: column.map(dict(values))).to_numpy(np.float32)


def read_json(path: PathLike) -> dict[str, Any]:
    """Read the object in a json file.

    Args:
        path: The file.

    Raises:
        ValueError: If the json is broken, not an object, or has a key twice.
    """

    def unique(pairs):
        counts = collections.Counter(key for key, _ in pairs)
        repeated = [f"{key!r}, {n} times" for key, n in counts.items() if n > 1]
        rule = f"Expected every key of an object in {path} once"
        report_problems(repeated, rule, remedy="Merge or remove them.")
        return dict(pairs)

    text = Path(path).read_bytes()
    try:
        content = json.loads(text, object_pairs_hook=unique)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"Expected json in {path}. Received: broken json, {error}. Repair the "
            "file, or download it again."
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"Expected {path} to hold one json object with the images as its keys. "
            f"Received: {type(content).__name__}. Write {{image: ...}}."
        )
    return content


def build_table(
    annotations: Annotations, files: Mapping[str, str], on_error: str
) -> Table:
    """Locate the images of annotations, scale and validate their boxes.

    Args:
        annotations: Contents of the annotation files.
        files: Path of each image by name.
        on_error: "raise" or "skip" for images that are missing and boxes that are
            empty or outside their image.

    Raises:
        ValueError: If something is wrong (and not to be skipped), or no image is left.
    """
    _check_unique(annotations)
    present = _check_present(annotations, files, on_error)
    paths = np.array([files.get(name, "") for name in annotations.names], str)
    rows = {name: row for row, name in enumerate(annotations.names) if present[row]}
    boxes = annotations.boxes.assign(row=annotations.boxes["image"].map(rows))
    boxes = boxes.dropna(subset="row")
    if len(boxes) < len(annotations.boxes):
        lost = len(annotations.boxes) - len(boxes)
        logger.warning("%s: %d boxes of images without a row", annotations.source, lost)
    boxed, image = np.unique(boxes["row"].to_numpy(int), return_inverse=True)
    sizes = image_sizes(paths[boxed])
    broken = boxed[np.isnan(sizes[:, 0])]
    report_problems(paths[broken], "Expected readable images with boxes", on_error)
    present[broken] = False
    table = Table(
        paths=paths,
        class_names=annotations.class_names,
        labels=annotations.labels,
        boxes=_scaled_boxes(boxes, sizes[image], on_error),
        splits=annotations.splits,
        groups=annotations.groups,
    )
    return table.subset(present)


def report_unlabeled(table: Table) -> None:
    """Log the boxes of classes that their images are not labeled with.

    Args:
        table: Images with boxes.
    """
    images, classes = table.boxes[:, [0, 5]].astype(int).T
    unlabeled = np.flatnonzero(table.labels[images, classes] != 1)
    if len(unlabeled):
        logger.warning(
            "%d boxes are of findings that the image is not labeled with; boxes and "
            "labels stay unchanged:\n%s",
            len(unlabeled),
            listing(
                f"{table.paths[images[i]]}: {table.class_names[classes[i]]}"
                for i in unlabeled
            ),
        )


def _check_unique(annotations: Annotations) -> None:
    """Raise if an image has two rows."""
    first: dict[str, str] = {}
    repeated = [
        f"{name}: {first[name]} and {location}"
        for name, location in zip(annotations.names, annotations.locations, strict=True)
        if first.setdefault(name, location) != location
    ]
    rule = f"Expected one row per image in {annotations.source}"
    report_problems(repeated, rule, remedy="Remove the others.")


def _check_present(annotations: Annotations, files, on_error: str) -> np.ndarray:
    """Mask of the rows whose image has a file, (n,); reports the others."""
    names, locations = annotations.names, annotations.locations
    present = np.array([name in files for name in names], bool)
    missing = [
        f"{names[i]} ({locations[i]})" for i in np.flatnonzero(~present).tolist()
    ]
    rule = f"Expected an image for every row of {annotations.source}"
    if not present.any():
        raise ValueError(
            f"{rule}. Received: {len(missing)} rows, all without:\n{listing(missing)}\n"
            "Use image_dir to name their folder."
        )
    report_problems(
        missing,
        rule,
        on_error,
        'Use image_dir to name their folder, or skip such rows with on_error="skip".',
    )
    unused = sorted(set(files) - set(names))
    if unused:
        logger.warning(
            "%s: no row has %d of the images:\n%s",
            annotations.source,
            len(unused),
            listing(unused, 3),
        )
    return present


def _scaled_boxes(boxes: pd.DataFrame, sizes: np.ndarray, on_error: str) -> np.ndarray:
    """Box rows (m, 6) in pixels of the files, without those that cover no pixel.

    Args:
        boxes: Boxes with the ``row`` of their image.
        sizes: Rows and columns of the file of each box, (m, 2).
        on_error: "raise" or "skip" for boxes that cover no pixel.
    """
    measured = boxes[["rows", "cols"]].to_numpy(float)
    scale = np.where(np.isnan(measured), 1.0, sizes / measured)[:, ::-1]  # x before y
    original = boxes[XYWH].to_numpy(float)
    scaled = original * np.tile(scale, 2)
    x, y, w, h = scaled.T
    height, width = sizes.T
    empty = ~((w > 0) & (h > 0) & np.isfinite(scaled).all(axis=1))
    outside = (x >= width) | (y >= height) | (x + w <= 0) | (y + h <= 0)
    report_problems(
        [
            f"{boxes['image'].iat[i]} ({boxes['location'].iat[i]}): "
            + " ".join(f"{value:g}" for value in original[i])
            + (" has no size" if empty[i] else " lies outside the image")
            for i in np.flatnonzero(empty | outside).tolist()
        ],
        "Expected boxes (x y w h) with a size, inside their image",
        on_error,
    )
    rows = np.column_stack([boxes["row"], scaled, boxes["class_index"]]).astype(float)
    rows = rows[~(empty | outside)]
    return rows[np.argsort(rows[:, 0], kind="stable")]
