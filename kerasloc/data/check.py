"""A look at every file of a table before a long training starts."""

import collections
import concurrent.futures
import dataclasses
import hashlib
import logging
import os
import re

import numpy as np

from kerasloc.data.problems import listing
from kerasloc.data.table import SPLITS, Table, check_disjoint

BAR_FROM = 200

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class CheckReport:
    """What the check of a table found.

    Args:
        images: Number of images that are fine.
        skipped: (path, reason) of each image that was left out.
        warnings: What is odd but can be lived with, one text each.
    """

    images: int
    skipped: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The report as lines of text."""
        skipped = [f"{path}: {reason}" for path, reason in self.skipped]
        parts = [f"{self.images} images are fine, {len(skipped)} are left out."]
        parts += [listing(skipped)] if skipped else []
        parts += [f"Warnings:\n{listing(self.warnings)}"] if self.warnings else []
        return "\n".join(parts)


@dataclasses.dataclass(frozen=True)
class _Look:
    """What one file turned out to be; ``reason`` says why it cannot be used."""

    reason: str = ""
    warnings: tuple[str, ...] = ()
    orientation: int = 1
    digest: str = ""


def check(
    table: Table, on_error: str = "raise", progress: bool = True, channels: int = 3
) -> tuple[Table, CheckReport]:
    """The table with its orientations filled in, and a report on its files.

    Reads every image and mask with the decoder of the pipeline, in threads. Wrong are:
    missing and broken files, masks of another size than their image, boxes outside
    their image. Odd (a warning): boxes that stick out, equal files, classes without
    an image in a split.

    Args:
        table: The data.
        on_error: "raise" stops at wrong files; "skip" leaves them out.
        progress: Whether long checks show a progress bar.
        channels: Number of channels that the images are to be read with.

    Raises:
        ValueError: If files are wrong (and are not to be skipped), none is left, the
            last image of a class is left out, or a group or file is in two splits.
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f'on_error is "raise" or "skip". Received: {on_error!r}.')
    check_disjoint(table)
    looks = _look_at_all(table, progress, channels)
    good = np.array([not look.reason for look in looks], bool)
    wrong = [(row, looks[row].reason) for row in np.flatnonzero(~good)]
    if wrong and on_error == "raise":
        lines = [f"{table.paths[row]} (row {row}): {reason}" for row, reason in wrong]
        raise ValueError(
            f"Every file of the table can be read. Received: {len(wrong)} of "
            f"{len(table)} that cannot be used:\n{listing(lines)}\n"
            'Mend or remove them, or leave them out with on_error="skip".'
        )
    turned = np.array([look.orientation for look in looks], np.int32)
    left = dataclasses.replace(table, orientations=turned).subset(good)
    _check_what_is_left(table, left)
    report = CheckReport(
        images=len(left),
        skipped=tuple((str(table.paths[row]), reason) for row, reason in wrong),
        warnings=(
            *(text for look in looks for text in look.warnings),
            *_equal_files(table, looks),
            *_empty_classes(left),
        ),
    )
    level = logging.WARNING if report.skipped or report.warnings else logging.INFO
    logger.log(level, "%s", report)
    return left, report


def _look_at_all(table: Table, progress: bool, channels: int) -> list[_Look]:
    """A look at each image, in the order of the table."""
    from tqdm import tqdm

    boxes = collections.defaultdict(list)
    for box in table.boxes:
        boxes[int(box[0])].append(box[1:5])

    def look(row):
        return _look(table, row, np.reshape(boxes.get(row, []), (-1, 4)), channels)

    rows = range(len(table))
    quiet = not progress or len(table) < BAR_FROM
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = pool.map(look, rows)
        return list(
            tqdm(looks, "checking", total=len(rows), unit="image", disable=quiet)
        )


def _look(table: Table, row: int, boxes, channels: int) -> _Look:
    """What is to be said of one image."""
    import tensorflow as tf

    from kerasloc.data.decode import decode, decode_mask, read_orientation

    path, mask = str(table.paths[row]), str(table.masks[row])
    where = f"{path} (row {row})"
    try:
        with tf.device("CPU:0"):
            orientation = read_orientation(path)
            size = decode(path, orientation, channels).shape[:2]
            mask_size = decode_mask(mask, orientation).shape if mask else size
    except (OSError, tf.errors.OpError) as error:
        return _Look(reason=_reason(path, mask, error))
    if mask_size != size:
        return _Look(
            reason=f"its mask {mask} is {tuple(mask_size)}, the image {tuple(size)}"
        )
    outside, beyond = _boxes_outside(boxes, size)
    if len(outside):
        return _Look(
            reason=f"the box (x y w h: {outside[0]}) lies outside the {size[1]} x "
            f"{size[0]} pixels"
        )
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "md5").hexdigest()
    warnings = tuple(f"{where}: the box ({box}) sticks out" for box in beyond)
    return _Look("", warnings, orientation, digest)


def _boxes_outside(boxes, size):
    """Boxes (x, y, w, h) wholly outside the image and those that stick out, as texts.

    A hundredth of a pixel is rounding, not sticking out.
    """
    rows, cols = size
    x, y, w, h = boxes.T
    outside = (x >= cols) | (y >= rows) | (x + w <= 0) | (y + h <= 0)
    beyond = (np.minimum(x, y) < -0.01) | (x + w > cols + 0.01) | (y + h > rows + 0.01)
    return [
        [" ".join(f"{value:g}" for value in box) for box in boxes[chosen]]
        for chosen in (outside, beyond & ~outside)
    ]


def _reason(path: str, mask: str, error: Exception) -> str:
    """In plain words why a file cannot be read."""
    for file, what in ((path, ""), (mask, f"its mask {mask}: ")):
        if file and not os.path.exists(file):
            return f"{what}no such file"
        if file and os.path.isdir(file):
            return f"{what}a folder, not a file"
        if file and os.path.getsize(file) == 0:
            return f"{what}an empty file"
    message = getattr(error, "message", None) or str(error)
    message = re.sub(r"\{\{.*?\}\}\s*|\[Op:\w+\].*", "", message, flags=re.DOTALL)
    return f"cannot be decoded: {message.strip().splitlines()[0]}"


def _check_what_is_left(table: Table, left: Table) -> None:
    """Raise if nothing is left, or nothing of a class."""
    if not len(left):
        raise ValueError(
            f"A table holds images that can be read. Received: {len(table)} images, "
            "none of which can. Look at the paths and the kind of the files."
        )
    had, have = ((t.labels == 1).any(axis=0) for t in (table, left))
    gone = [
        name for name, lost in zip(table.class_names, had & ~have, strict=True) if lost
    ]
    if gone:
        raise ValueError(
            f"Every class keeps an image. Received: no file of {', '.join(gone)} can "
            "be read. Mend the files or leave the class out of the table."
        )


def _equal_files(table: Table, looks) -> list[str]:
    """A text for every set of files that hold the same."""
    rows = collections.defaultdict(list)
    for row, look in enumerate(looks):
        if look.digest:
            rows[look.digest].append(row)
    return [
        "equal files: "
        + ", ".join(f"{table.paths[row]} ({table.splits[row] or '-'})" for row in same)
        for same in rows.values()
        if len(same) > 1
    ]


def _empty_classes(table: Table) -> list[str]:
    """A text for every class that a split has no image of."""
    return [
        f"no image of {name} in {split or 'the table'}"
        for split in SPLITS
        if len(part := table.split(split))
        for name, count in zip(
            table.class_names, (part.labels == 1).sum(axis=0), strict=True
        )
        if count == 0
    ]
