"""Files that are written whole or not at all: text, csv and json."""

import contextlib
import csv
import json
import math
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

PARTIAL = "partial-"


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Replace a file in one step, so that a killed process leaves the old or the new.

    Yields the path of a partial file with the target's suffixes in its folder, made
    when absent. It replaces the target at the end, and is removed if the block raises.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> with atomic_write(folder / "a.txt") as partial:
        ...     partial.touch()
        >>> [file.name for file in folder.iterdir()]
        ['a.txt']
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partial(folder: str | os.PathLike) -> None:
    """Remove the partial files that a killed process left in a folder."""
    for path in pathlib.Path(folder).glob(f"{PARTIAL}*"):
        path.unlink()


def write_text(path: str | os.PathLike, text: str) -> None:
    """Replace a UTF-8 text file in one step."""
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, value: object) -> None:
    """Replace a json file in one step; see :func:`jsonable`."""
    write_text(path, json.dumps(jsonable(value), indent=2, allow_nan=False))


def jsonable(value: object) -> object:
    """Convert a value to what json holds; NaN and infinity to None.

    Example:
        >>> jsonable({"mean": np.float32(0.5), "low": float("nan"), "size": (2, 3)})
        {'mean': 0.5, 'low': None, 'size': [2, 3]}
    """
    if isinstance(value, Mapping):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return jsonable(value.tolist())
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, pathlib.PurePath) else value


def write_csv(path: str | os.PathLike, rows: Sequence[Mapping[str, object]]) -> None:
    """Replace a csv file in one step; columns are all keys, missing values empty."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with (
        atomic_write(path) as partial,
        open(partial, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: str | os.PathLike) -> list[dict[str, str]]:
    """Read the rows of a csv file with a header, as text by column name."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
