"""Validation of every file of a table before a long training starts."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from kerasloc.checks import likely_bits
from kerasloc.data.headers import MAX_PIXELS, read_header
from kerasloc.data.problems import check_on_error, decoding_reason, listing
from kerasloc.data.table import SPLITS, Table, check_disjoint
from kerasloc.processes import check_process

BAR_FROM = 200  # files, which take a few seconds
ROUNDING = 0.01  # pixels that a box may exceed its image by

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class CheckReport:
    """Result of :func:`check`.

    Examples:
        >>> print(CheckReport(5, skipped=(("a.png", "no such file"),)))
        5 images are fine, 1 are left out.
          a.png: no such file
    """

    images: int  # that are valid
    skipped: tuple[tuple[str, str], ...] = ()  # path and reason
    warnings: tuple[str, ...] = ()  # findings that do not prevent training

    def __str__(self) -> str:
        skipped = [f"{path}: {reason}" for path, reason in self.skipped]
        lines = [f"{self.images} images are fine, {len(skipped)} are left out."]
        lines += [listing(skipped)] if skipped else []
        lines += [f"Warnings:\n{listing(self.warnings)}"] if self.warnings else []
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class _File:
    """Result of one file; ``error`` is empty if it can be used."""

    error: str = ""
    warnings: tuple[str, ...] = ()
    orientation: int = 1
    digest: str = ""
    level: int = -1  # largest of a 16-bit file


def check(
    table: Table,
    on_error: str = "raise",
    progress: bool = True,
    channels: int = 3,
    *,
    max_pixels: int = MAX_PIXELS,
) -> tuple[Table, CheckReport]:
    """Read every image and mask, and fill in the orientations of the table.

    Errors are missing, broken and huge files, levels of more than the table's ``bits``,
    masks of another size than their image, and boxes outside their image. Warnings are
    boxes that exceed their image, equal files, 16-bit files all of which are dark, and
    classes without an image in a split.

    Args:
        table: Images, with boxes and masks.
        on_error: "raise" stops at errors; "skip" leaves such images out.
        progress: Progress bar for long checks.
        channels: Number of channels that the images are read with.
        max_pixels: Largest number of pixels of an image.

    Returns:
        Table of the valid images, and the report, which is logged, too.

    Raises:
        ValueError: If there are errors, a class has no image, or splits overlap.
    """
    check_on_error(on_error)
    check_disjoint(table)
    check_process()
    files = _check_files(table, progress, channels, max_pixels)
    valid = np.array([not file.error for file in files], bool)
    errors = [(row, files[row].error) for row in np.flatnonzero(~valid)]
    if errors and on_error == "raise":
        lines = [f"{table.paths[row]} (row {row}): {error}" for row, error in errors]
        raise ValueError(
            f"Expected files that can be read. Received: {len(errors)} of {len(table)} "
            f"that cannot be used:\n{listing(lines)}\n"
            "Repair or remove them, or leave them out with --on-error skip "
            '(on_error="skip" in Python).'
        )
    orientations = np.array([file.orientation for file in files], np.int32)
    remaining = dataclasses.replace(table, orientations=orientations).subset(valid)
    _check_remaining(table, remaining)
    skipped = tuple((str(table.paths[row]), error) for row, error in errors)
    warnings = [text for file in files for text in file.warnings]
    warnings += _dark_files(table, files) + _equal_files(table, files)
    warnings += _empty_classes(remaining)
    report = CheckReport(len(remaining), skipped, tuple(warnings))
    level = logging.WARNING if report.skipped or report.warnings else logging.INFO
    logger.log(level, "%s", report)
    return remaining, report


def _check_files(
    table: Table, progress: bool, channels: int, max_pixels: int
) -> list[_File]:
    from tqdm import tqdm

    boxes = collections.defaultdict(list)
    for image, *box, _ in table.boxes:
        boxes[int(image)].append(box)

    def check_row(row):
        box_rows = np.reshape(boxes[row], (-1, 4))
        return _check_file(table, row, box_rows, channels, max_pixels)

    quiet = not progress or len(table) < BAR_FROM
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        files = pool.map(check_row, range(len(table)))
        return list(tqdm(files, "checking", len(table), unit="image", disable=quiet))


def _check_file(
    table: Table, row: int, boxes: np.ndarray, channels: int, max_pixels: int
) -> _File:
    """Read one image and its mask; ``boxes`` are its rows x, y, w, h."""
    import tensorflow as tf

    from kerasloc.data.decode import check_levels, measure

    path, mask = str(table.paths[row]), str(table.masks[row])
    file = path
    try:
        header = read_header(path, max_pixels)
        with tf.device("CPU:0"):
            size, level = measure(path, channels)
            if table.bits is not None:
                check_levels(level, table.bits)
            mask_size, file = size, mask
            if mask:
                read_header(mask, max_pixels)
                mask_size = measure(mask, 3)[0]
    except (OSError, ValueError, tf.errors.OpError) as error:
        return _File(_reason(file, f"its mask {mask}: " * (file == mask), error))
    if header.orientation >= 5:  # which turns a mask, too
        size, mask_size = size[::-1], mask_size[::-1]
    if mask_size != size:
        return _File(f"its mask {mask} is {mask_size}, the image {size}")
    outside, beyond = _boxes_outside(boxes, size)
    if len(outside):
        pixels = f"{size[1]} x {size[0]} pixels"
        return _File(f"the box (x y w h: {outside[0]}) lies outside the {pixels}")
    with open(path, "rb") as content:
        digest = hashlib.file_digest(content, "md5").hexdigest()
    warnings = [f"{path} (row {row}): the box ({box}) sticks out" for box in beyond]
    return _File("", tuple(warnings), header.orientation, digest, level)


def _boxes_outside(boxes: np.ndarray, size) -> tuple[np.ndarray, np.ndarray]:
    """Texts of the boxes entirely outside the image, and of those partly outside."""
    rows, cols = size
    x, y, w, h = boxes.T
    outside = (x >= cols) | (y >= rows) | (x + w <= 0) | (y + h <= 0)
    beyond = (np.minimum(x, y) < -ROUNDING) | (x + w > cols + ROUNDING)
    beyond |= y + h > rows + ROUNDING
    texts = np.array([" ".join(f"{value:g}" for value in box) for box in boxes], str)
    return texts[outside], texts[beyond & ~outside]


def _reason(file: str, name: str, error: Exception) -> str:
    """Explain why a file cannot be read; ``name`` is what precedes the reason."""
    if not os.path.exists(file):
        return f"{name}no such file"
    if os.path.isdir(file):
        return f"{name}a folder, not a file"
    if os.path.getsize(file) == 0:
        return f"{name}an empty file"
    return f"{name}cannot be decoded: {decoding_reason(error)}"


def _check_remaining(table: Table, remaining: Table) -> None:
    """Raise if no image is valid, or a class has lost all its images."""
    if not len(remaining):
        raise ValueError(
            f"Expected images that can be read. Received: {len(table)} images, none of "
            "which can. Check the paths and the kind of the files."
        )
    before, after = ((t.labels == 1).any(axis=0) for t in (table, remaining))
    lost = np.array(table.class_names)[before & ~after]
    if lost.size:
        raise ValueError(
            f"Expected an image of every class. Received: no file of {', '.join(lost)} "
            "can be read. Repair the files or leave the class out of the table."
        )


def _dark_files(table: Table, files: Sequence[_File]) -> list[str]:
    """A warning if no level of the 16-bit files has more bits than common data."""
    most = max((file.level for file in files), default=-1)
    bits = likely_bits(most)
    if bits is None or table.bits is not None:
        return []
    return [
        f"no 16-bit file is bright, the largest of all levels is {most} of 65535: data "
        f"of {bits} bits is {16 - bits} bits too dark; read it with --bits {bits} "
        "(bits in Python), or with --bits 16 if it is dark indeed"
    ]


def _equal_files(table: Table, files: Sequence[_File]) -> list[str]:
    rows = collections.defaultdict(list)
    for row, file in enumerate(files):
        if file.digest:
            rows[file.digest].append(f"{table.paths[row]} ({table.splits[row] or '-'})")
    return [f"equal files: {', '.join(r)}" for r in rows.values() if len(r) > 1]


def _empty_classes(table: Table) -> list[str]:
    names = np.array(table.class_names)
    return [
        f"no image of {name} in {split or 'the table'}"
        for split in SPLITS
        if (table.splits == split).any()
        for name in names[~(table.labels[table.splits == split] == 1).any(axis=0)]
    ]


@contextlib.contextmanager
def naming_files(tables: Iterable[Table], channels: int = 3) -> Iterator[None]:
    """Name the files when TensorFlow fails to read images of tables inside the block.

    Raises:
        OSError: If files of the tables cannot be read any more.

    Examples:
        >>> with naming_files([]):
        ...     pass
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.ResourceExhaustedError:  # memory, or the disk of the logs
        raise
    except tf.errors.OpError as error:
        for table in tables:
            try:
                check(table, channels=channels)
            except ValueError as problem:
                lines = map(str.strip, str(problem).splitlines())
                raise OSError(" ".join(lines)) from error
        raise
