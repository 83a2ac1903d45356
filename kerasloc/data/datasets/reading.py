"""Common parts of the readers: csv and json files, and the table built from them."""

import collections
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kerasloc.data.datasets.files import PathLike, image_sizes, unreadable
from kerasloc.data.problems import listing, report_problems
from kerasloc.data.table import Table
from kerasloc.io import read_rows

XYWH = ["x", "y", "w", "h"]
BOX_COLUMNS = ["image", "location", *XYWH, "class_index", "rows", "cols"]

logger = logging.getLogger(__name__)


def box_frame(rows: Iterable[Sequence] = ()) -> pd.DataFrame:
    """Build the frame of boxes that :func:`build_table` takes.

    Rows are ``image`` (name), ``location`` (such as "line 3 of boxes.csv"), ``x, y, w,
    h`` (pixels) and ``class_index``. The columns ``rows, cols`` are the size of the
    image that a box was measured in; NaN: that of the file.
    """
    frame = pd.DataFrame(list(rows), columns=BOX_COLUMNS[:-2])
    return frame.reindex(columns=BOX_COLUMNS)


def read_table(
    path: PathLike, required: Iterable[str] = (), names: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read a csv file as stripped text, indexed by "line N of FILE".

    Blank lines are skipped. ``names`` replace those in the header.

    Raises:
        ValueError: If it lacks a ``required`` column or any row below these, repeats a
            column, or :func:`kerasloc.io.read_rows` refuses it.
    """
    path, required = Path(path), list(required)
    lines = read_rows(path, None if names is None else len(names))
    header = [name.strip() for name in lines[0][1]] if lines else []
    columns = header if names is None else list(names)
    repeated = [n for n, count in collections.Counter(columns).items() if count > 1]
    rule = f"Expected every column of {path} once"
    report_problems(filter(None, repeated), rule, remedy="Rename or remove them.")
    rows = {
        f"line {number} of {path.name}": [cell.strip() for cell in cells]
        for number, cells in lines[1:]
        if any(map(str.strip, cells))
    }
    frame = pd.DataFrame(rows.values(), list(rows), columns, dtype=object)
    if required or not lines:
        check_columns(path, frame, required or columns or ["image"])
    return frame.loc[:, ~frame.columns.duplicated()]  # of those without a name


def check_columns(
    path: PathLike,
    rows: pd.DataFrame,
    required: Iterable[str],
    remedy: str = "Add or rename what is missing.",
) -> None:
    """Raise a ValueError unless the table of a file has rows and these columns."""
    if rows.empty or not set(required) <= set(rows):
        raise ValueError(
            f"Expected rows with the comma-separated columns {', '.join(required)} in "
            f"{path}. Received: {len(rows)} rows with "
            f"{', '.join(rows.columns) or 'no columns'}. {remedy}"
        )


def to_numbers(cells: pd.DataFrame) -> pd.DataFrame:
    """Convert columns of text to numbers, NaN where it is not one.

    Examples:
        >>> to_numbers(pd.DataFrame({"x": ["1", "2.5"], "y": ["", "top"]})).to_numpy()
        array([[1. , nan],
               [2.5, nan]])
    """
    return cells.apply(pd.to_numeric, errors="coerce").astype(float)


def to_labels(
    cells: pd.DataFrame, values: Mapping[str, float], source: object, rule: str
) -> np.ndarray:
    """Convert text, a column per class, to labels, (n, classes) float32.

    Raises:
        ValueError: If a cell is none of ``values``, in words ``rule``; lists them.

    Examples:
        >>> cells = pd.DataFrame({"cat": ["1", ""], "dog": ["0", "1"]})
        >>> to_labels(cells, {"1": 1, "0": 0, "": np.nan}, "a.csv", "1, 0 or blank")
        array([[ 1.,  0.],
               [nan,  1.]], dtype=float32)
    """
    invalid = [
        f"{cells.index[i]}: {cells.iat[i, j]!r} for {cells.columns[j]}"
        for i, j in np.argwhere(~cells.isin(list(values)).to_numpy()).tolist()
    ]
    rule = f"Expected labels in {source} to be {rule}"
    report_problems(invalid, rule, remedy="Fix these cells.")
    return cells.apply(lambda column: column.map(dict(values))).to_numpy(np.float32)


def read_json(path: PathLike) -> dict[str, Any]:
    """Read the object in a json file.

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
            f"Expected json in {path}. Received: broken json, {error}. Repair the file."
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"Expected {path} to hold one json object with the images as its keys. "
            f"Received: {type(content).__name__}. Write {{image: ...}}."
        )
    return content


def build_table(
    rows: pd.DataFrame,
    class_names: Sequence[str],
    labels: npt.ArrayLike,
    files: Mapping[str, str],
    boxes: pd.DataFrame | None = None,
    *,
    source: object,
    on_error: str,
) -> Table:
    """Locate the images that annotation files name, scale and validate their boxes.

    Args:
        rows: Columns ``name`` and, optionally, ``split`` and ``group`` of each image,
            indexed by its location in the files, such as "line 3 of train.csv".
        class_names: Names of the classes.
        labels: 1, 0 or NaN, (n, classes).
        files: Path of each image by name.
        boxes: See :func:`box_frame`; in any order, also of images without a row.
        source: Folder of the annotations, for messages.
        on_error: "raise", or "skip" missing images and invalid boxes.

    Raises:
        ValueError: If something is wrong (and not to be skipped), or no image is left.
    """
    present = _check_rows(rows["name"], files, source, on_error)
    paths = np.array([files.get(name, "") for name in rows["name"]], str)
    index = {name: row for row, name in enumerate(rows["name"]) if present[row]}
    boxes = box_frame() if boxes is None else boxes
    located = boxes.assign(row=boxes["image"].map(index)).dropna(subset="row")
    if len(located) < len(boxes):
        lost = len(boxes) - len(located)
        logger.warning("%s: %d boxes of images without a row", source, lost)
    boxed, image = np.unique(located["row"].to_numpy(int), return_inverse=True)
    sizes = image_sizes(paths[boxed])
    broken = boxed[np.isnan(sizes[:, 0])]
    problems = map(unreadable, paths[broken])
    report_problems(problems, "Expected readable images with boxes", on_error)
    present[broken] = False
    table = Table(
        paths,
        class_names,
        labels,
        _scaled_boxes(located, sizes[image], on_error),
        splits=rows.get("split"),
        groups=rows.get("group"),
    )
    return table.subset(present)


def merge_lists(lists: Mapping[str, Iterable[str]], source: object) -> dict[str, str]:
    """Map the images on lists, by split, to their split.

    Raises:
        ValueError: If an image is on two lists.
    """
    splits: dict[str, str] = {}
    repeated = [
        f"{image}: {splits[image]} and {split}"
        for split, images in lists.items()
        for image in images
        if splits.setdefault(image, split) != split
    ]
    rule = f"Expected an image on one of the lists of {source}"
    report_problems(repeated, rule, remedy="Remove it from the other.")
    return splits


def report_unlabeled(table: Table) -> None:
    """Log the boxes of classes that their images are not labeled with."""
    images, classes = table.boxes[:, [0, 5]].astype(int).T
    pairs = [
        f"{table.paths[image]}: {table.class_names[index]}"
        for image, index in zip(images, classes, strict=True)
        if table.labels[image, index] != 1
    ]
    if pairs:
        message = "%d boxes are of findings that the image is not labeled with:\n%s"
        logger.warning(message, len(pairs), listing(pairs))


def _check_rows(
    names: pd.Series, files: Mapping[str, str], source: object, on_error: str
) -> np.ndarray:
    """Mask of the images with a file, (n,); reports the others, and double ones."""
    first = dict(zip(names[::-1], names.index[::-1], strict=True))
    report_problems(
        [f"{n}: {first[n]} and {at}" for at, n in names[names.duplicated()].items()],
        f"Expected one row per image in {source}",
        remedy="Remove the others.",
    )
    present = np.array([name in files for name in names], bool)
    missing = [f"{name} ({location})" for location, name in names[~present].items()]
    rule = f"Expected an image for every row of {source}"
    if not present.any():
        raise ValueError(
            f"{rule}. Received: {len(missing)} rows, all without:\n{listing(missing)}\n"
            "Use --image-dir (image_dir in Python) to name their folder."
        )
    remedy = (
        "Use --image-dir (image_dir) to name their folder, or skip them with "
        '--on-error skip (on_error="skip").'
    )
    report_problems(missing, rule, on_error, remedy)
    unused = sorted(set(files) - set(names))
    if unused:
        message = "%s: no row has %d of the images:\n%s"
        logger.warning(message, source, len(unused), listing(unused, 3))
    return present


def _scaled_boxes(boxes: pd.DataFrame, sizes: np.ndarray, on_error: str) -> np.ndarray:
    """Box rows (m, 6) in pixels of files of sizes (m, 2), none that covers no pixel."""
    measured = boxes[["rows", "cols"]].to_numpy(float)
    scale = np.where(np.isnan(measured), 1.0, sizes / measured)[:, ::-1]  # x before y
    original = boxes[XYWH].to_numpy(float)
    scaled = original * np.tile(scale, 2)
    x, y, w, h = scaled.T
    height, width = sizes.T
    empty = ~((w > 0) & (h > 0) & np.isfinite(scaled).all(axis=1))
    outside = (x >= width) | (y >= height) | (x + w <= 0) | (y + h <= 0)
    invalid = [
        f"{boxes['image'].iat[i]} ({boxes['location'].iat[i]}): "
        + " ".join(f"{value:g}" for value in original[i])
        + (" has no size" if empty[i] else " lies outside the image")
        for i in np.flatnonzero(empty | outside).tolist()
    ]
    rule = "Expected boxes (x y w h) with a size, inside their image"
    report_problems(invalid, rule, on_error)
    rows = np.column_stack([boxes["row"], scaled, boxes["class_index"]]).astype(float)
    rows = rows[~(empty | outside)]
    return rows[np.argsort(rows[:, 0], kind="stable")]
