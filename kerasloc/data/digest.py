"""Record of a table, by which a resumed run notices that its data has changed."""

import hashlib
import os
from collections.abc import Iterable

import numpy as np

from kerasloc.data.table import Table

PART = 1 << 16  # bytes of the start, and of the end, of a file


def digest(table: Table, *, ordered: bool = False) -> dict[str, dict[str, list]]:
    """Count and digest the files, labels, boxes, masks and groups of every split.

    Files are compared by their size, their first and last 64 kB and their name below
    the folder that all of them are in, so that moved data is the same, and swapped
    folders of classes are not. Boxes and masks of no image have the digest of an empty
    text.

    Args:
        table: Images as they are read, before validation is cut.
        ordered: Whether the order of the training images counts, which draws from
            them depend on.

    Returns:
        Split -> kind -> count and digest.

    Examples:
        >>> table = Table(["a.png", "b.png"], ("cat", "dog"), [[1, 0], [0, 1]])
        >>> {kind: count for kind, (count, _) in digest(table)["train"].items()}
        {'files': 2, 'labels': 2, 'boxes': 0, 'masks': 0, 'groups': 0}
    """
    splits, names = np.asarray(table.splits), _relative(table.paths)
    masks = np.full(len(table), "", object)
    masks[table.masks != ""] = _relative(table.masks[table.masks != ""])
    if not (splits != "").any():  # all are for training
        splits = np.full(len(table), "train")
    result = {}
    for split in sorted(set(splits) - {""}):
        rows = np.flatnonzero(splits == split)
        if not (ordered and split == "train"):
            rows = rows[np.argsort(names[rows], kind="stable")]
        result[split] = _of_split(table, rows, names, masks)
    return result


def _of_split(
    table: Table, rows: np.ndarray, names: np.ndarray, masks: np.ndarray
) -> dict[str, list]:
    """Count and digest the rows of a split, in their order."""
    classes = np.array(table.class_names, object)
    boxes: dict[int, list[str]] = {}
    for image, *box, index in table.boxes.tolist():
        text = f"{classes[int(index)]} {box}"
        boxes.setdefault(int(image), []).append(text)
    labels = table.labels[rows]
    codes = np.where(np.isnan(labels), 2, labels).astype(np.int8)
    lines = {
        "files": [f"{names[r]} {_content(table.paths[r])}" for r in rows],
        "labels": [
            f"{names[r]} {row.tobytes().hex()}"
            for r, row in zip(rows, codes[:, np.argsort(classes)], strict=True)
        ],
        "boxes": [f"{names[r]} {sorted(boxes[r])}" for r in rows if r in boxes],
        "masks": [
            f"{names[r]} {masks[r]} {_content(table.masks[r])}"
            for r in rows
            if masks[r]
        ],
        "groups": [f"{names[r]} {table.groups[r]}" for r in rows if table.groups[r]],
    }
    lines["labels"].append(f"{sorted(classes)}")
    counts = {kind: len(texts) for kind, texts in lines.items()}
    counts["labels"] = int((labels == 1).sum())
    counts["boxes"] = sum(len(boxes.get(r, ())) for r in rows)
    counts["groups"] = len(set(table.groups[rows]) - {""})
    return {kind: [counts[kind], _digest(texts)] for kind, texts in lines.items()}


def _digest(lines: Iterable[str]) -> str:
    text = "\n".join(lines).encode(errors="surrogateescape")
    return hashlib.sha256(text).hexdigest()[:16]


def _relative(paths: np.ndarray) -> np.ndarray:
    """Return the names of files below the folder that they have in common."""
    texts = [str(path) for path in paths]
    try:
        folder = os.path.commonpath([os.path.dirname(text) for text in texts])
    except ValueError:  # none, or of several drives
        return np.array(texts, object)
    folder = os.path.join(folder, "") if folder else ""
    names = [text.removeprefix(folder).replace(os.sep, "/") for text in texts]
    return np.array(names, object)


def _content(path: str) -> str:
    """Size of a file and a digest of its start and its end."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            parts = file.read(PART)
            file.seek(max(0, size - PART))
            return f"{size} {hashlib.sha256(parts + file.read(PART)).hexdigest()}"
    except OSError:  # named when it is read
        return "-1"
