"""Files that are written whole or not at all: text, csv, json, HDF5 and figures."""

import codecs
import contextlib
import csv
import io
import json
import math
import numbers
import os
import pathlib
import re
import types
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

PARTIAL = "partial-"
# What OWASP lists, behind blanks and apostrophes, too; a lone sign is no formula.
FORMULA = re.compile(r"'*(\s*[=+\-@\uff1d\uff0b\uff0d\uff20].|[\t\r\n])", re.DOTALL)
# Categories of what is not seen, or moves what is: controls, formats, separators.
HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"  # letters by category
MARKS = {  # byte order marks, the longer ones first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}


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
    partial = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, path)
    except OSError as error:
        named = error.filename not in (None, str(partial), str(path.parent))
        if named or isinstance(error.__cause__, OSError):
            raise  # it names a file
        reason = error.strerror or str(error).splitlines()[0]
        raise OSError(
            f"Expected a file that can be written. Received: {path} ({reason}). What "
            "was there before is unchanged. Free the disk, or write elsewhere."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # the first error counts
            partial.unlink(missing_ok=True)


class Hdf5File(io.BytesIO):
    """An HDF5 file in memory, which ``save_weights`` of Keras takes for its path.

    After a failed write, as on a full disk, HDF5 can never close its file, and crashes
    when the process ends. Memory is written by :meth:`write_to` without it.

    Example:
        >>> str(Hdf5File("last.weights.h5"))
        'last.weights.h5'
    """

    def __init__(self, name: str | os.PathLike):
        super().__init__()
        self._name = str(name)

    def __str__(self) -> str:
        return self._name

    def write_to(self, path: str | os.PathLike) -> None:
        """Replace a file in one step."""
        write_bytes(path, self.getbuffer())


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


def write_bytes(path: str | os.PathLike, data: bytes | memoryview) -> None:
    """Replace a file in one step."""
    with atomic_write(path) as partial:
        partial.write_bytes(data)


def write_figure(path: str | os.PathLike, figure: "Figure", dpi: float) -> None:
    """Replace a picture of a figure in one step."""
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=dpi)


def create_array(path: str | os.PathLike, shape: tuple[int, ...]) -> np.memmap:
    """Create a ``.npy`` file of float32 numbers as a memory map.

    Its bytes are reserved, as writing to a full disk through a map kills the process.

    Raises:
        OSError: If they do not fit on the disk.
    """
    try:
        array = np.lib.format.open_memmap(path, "w+", np.float32, shape)
        if hasattr(os, "posix_fallocate"):
            with open(path, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    return array


def printable(text: object, keep: str = "") -> str:
    r"""Write characters that are not seen, or turn the text around, as escapes.

    Args:
        text: Text, such as the name of a file or class.
        keep: Characters of it that stay, such as line breaks.

    Examples:
        >>> printable("mass\u202egnp.png")
        'mass\\u202egnp.png'
    """
    return "".join(
        letter.encode("unicode_escape").decode()
        if letter not in keep
        and (unicodedata.category(letter) in HIDDEN or letter in BLANK)
        else letter
        for letter in str(text)
    )


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
    """Replace a csv file in one step; columns are all keys, missing values empty.

    Text is written by :func:`as_cell`, which :func:`read_csv` undoes.
    """
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with (
        atomic_write(path) as partial,
        open(partial, "w", newline="", encoding="utf-8") as file,
    ):
        # with both characters of line ends, the writer quotes both in text
        lines = types.SimpleNamespace(write=lambda line: file.write(line[:-2] + "\n"))
        writer = csv.writer(lines, lineterminator="\r\n")
        writer.writerow(map(as_cell, columns))
        writer.writerows([as_cell(row.get(c, "")) for c in columns] for row in rows)


def as_cell(value: object) -> object:
    """Quote what a spreadsheet takes for a formula by an apostrophe; numbers are kept.

    Examples:
        >>> as_cell("=1+1.png"), as_cell("-lesion"), as_cell(-1.5), as_cell("a-b")
        ("'=1+1.png", "'-lesion", -1.5, 'a-b')
    """
    if value is None or isinstance(value, numbers.Number):
        return value
    text = str(value)
    return f"'{text}" if FORMULA.match(text) else text


def from_cell(text: str) -> str:
    """Remove the apostrophe of :func:`as_cell`.

    Examples:
        >>> from_cell("'-lesion"), from_cell("'a'")
        ('-lesion', "'a'")
    """
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def read_csv(path: str | os.PathLike) -> list[dict[str, str]]:
    """Read the rows of a csv file with a header, as text by column name.

    Raises:
        ValueError: See :func:`read_rows`.
    """
    lines = read_rows(path)
    header = lines.pop(0)[1] if lines else []
    return [dict(zip(header, cells, strict=True)) for _, cells in lines]


def read_rows(
    path: str | os.PathLike, width: int | None = None
) -> list[tuple[int, list[str]]]:
    r"""Read the lines of a csv file, the header first: their numbers and their fields.

    Blank lines are skipped, and blank fields beyond the width are dropped.

    Args:
        path: Comma-separated file.
        width: Number of fields below the header. None: that of the header.

    Raises:
        ValueError: If the file is no text, quotes do not close, columns are not
            separated by commas, or a line has more or fewer fields; names the lines.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "a.csv")
        >>> write_text(path, "image,label\na.png,cat\n")
        >>> read_rows(path)
        [(1, ['image', 'label']), (2, ['a.png', 'cat'])]
    """
    lines = _split_fields(path)
    header = _without_blank_end(lines[0][1]) if lines else []
    if len(header) == 1 and (separators := set(header[0]) & set(";\t")):
        raise ValueError(
            f"Expected comma-separated columns in {path}. Received: the header "
            f"{header[0]!r}. Save it with commas in place of {separators.pop()!r}."
        )
    size = len(header) if width is None else width
    rows = [
        (n, row[:size] + _without_blank_end(row[size:]))
        for n, row in lines[1:]
        if len(row) > 1 or row[0].strip() or size == 1
    ]
    wrong = [f"line {n} with {len(row)}" for n, row in rows if len(row) != size]
    if wrong:
        more = f", and {len(wrong) - 10} more" if len(wrong) > 10 else ""
        raise ValueError(
            f"Expected {size} fields in every line of {path}, as in its header. "
            f"Received: {', '.join(wrong[:10])}{more}. Quote fields that hold commas, "
            "and write a comma for every blank one."
        )
    return [(lines[0][0], header), *rows] if lines else []


def read_text(path: str | os.PathLike) -> str:
    """Read a text file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.

    Raises:
        ValueError: If it is in another encoding or no text; names the file.
    """
    data = pathlib.Path(path).read_bytes()
    marked = (name for mark, name in MARKS.items() if data.startswith(mark))
    try:
        text = data.decode(next(marked, "utf-8"))
        if "\0" not in text:
            return text
        line = text.count("\n", 0, text.index("\0")) + 1
        received = f"a NUL character in line {line}"
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        received = f"{error.encoding} with the byte {byte:#04x} in line {line}"
    raise ValueError(
        f"Expected text in UTF-8, or UTF-16 with a byte order mark, in {path}. "
        f"Received: {received}. Save it as UTF-8 (in a spreadsheet: CSV UTF-8)."
    )


def _split_fields(path: str | os.PathLike) -> list[tuple[int, list[str]]]:
    """Number and fields of each line that is not blank."""
    text = io.StringIO(read_text(path), newline="")
    reader = csv.reader(text, skipinitialspace=True, strict=True)
    lines, start = [], 1
    try:
        for fields in reader:
            lines += [(start, [*map(from_cell, fields)])] if fields else []
            start = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"Expected comma-separated fields, quoted in pairs, in {path}. Received: "
            f"{error}, from line {start} on. Fix its quotes."
        ) from None
    return lines


def _without_blank_end(cells: list[str]) -> list[str]:
    """The fields up to the last that is not blank."""
    filled = [number for number, cell in enumerate(cells, 1) if cell.strip()]
    return cells[: max(filled, default=0)]


def weights_in_memory(model: "keras.Model", name: str | os.PathLike) -> Hdf5File:
    """Return the file that ``save_weights`` writes."""
    memory = Hdf5File(name)
    model.save_weights(memory)
    return memory
