"""Which images of a table, and which classes of each, are shown."""

import dataclasses
import os

import numpy as np

from kerasloc.data.problems import listing
from kerasloc.data.table import Table


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which rows there are.

    Attributes:
        images: File names (also without folder or ending, or with more of the path),
            or indices in the table, in the order that the rows are to have; all when
            empty, those with boxes first.
        classes: Names, for every image these. When empty those that the image has
            boxes of; without boxes the true ones, without these the likeliest one.
        limit: How many rows there are at most; of a report, how many images.
        batch_size: Images at a time.
    """

    images: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    limit: int | None = None
    batch_size: int = 16

    def __post_init__(self):
        if self.limit is not None and self.limit < 1:
            raise ValueError(
                "limit is a positive number. Received: "
                f"{self.limit}. Leave it out for all."
            )
        if self.batch_size < 1:
            raise ValueError(f"batch_size is positive. Received: {self.batch_size}.")


def picked(table: Table, images=()) -> Table:
    """The table of the images that are asked for.

    Args:
        table: The images.
        images: As in :class:`Choice`.

    Raises:
        ValueError: If one is not there, or one name is that of several.
    """
    if not images:
        boxed = np.isin(np.arange(len(table)), table.boxes[:, 0])
        return table.subset(np.argsort(~boxed, kind="stable"))
    asked = {_normal(one) for one in images}
    places, problems = {}, []
    for row, path in enumerate(table.paths):
        for name in _names(str(path)) & asked:
            places.setdefault(name, []).append(row)
    rows = [places.get(_normal(one), _as_index(one, len(table))) for one in images]
    for one, found in zip(images, rows, strict=True):
        if not found:
            problems.append(f"{one}: no image has this name or index")
        elif len(found) > 1:
            some = ", ".join(table.paths[found[:3]])
            problems.append(f"{one}: {len(found)} images have this name: {some}")
    if problems:
        raise ValueError(
            "Images are picked by file name, by the end of a path, or by an index from "
            f"0 to {len(table) - 1}. Received:\n{listing(problems)}\nThe first image "
            f"is {table.paths[0]}."
        )
    return table.subset([found[0] for found in rows])


def positive_classes(table: Table) -> list[list[int]]:
    """The classes of each image: those with boxes, or else the true ones."""
    boxed = [set() for _ in range(len(table))]
    for row in table.boxes:
        boxed[int(row[0])].add(int(row[5]))
    labels = np.nan_to_num(table.labels) == 1
    true = (np.flatnonzero(row).tolist() for row in labels)
    return [sorted(some) or other for some, other in zip(boxed, true, strict=True)]


def true_classes(table: Table) -> list[list[int]]:
    """The class of each image, in a list, for models with one map for all classes.

    The first true one, or else the first with a box; none where neither is known.
    """
    labels = np.nan_to_num(table.labels) == 1
    true = (np.flatnonzero(row).tolist() for row in labels)
    pairs = zip(true, positive_classes(table), strict=True)
    return [(own or boxed)[:1] for own, boxed in pairs]


def class_indices(names, table: Table) -> list[int]:
    """Indices of classes by their names, each once.

    Args:
        names: Of classes of the table.
        table: The images.

    Raises:
        ValueError: If there is no such class.
    """
    known = table.class_names
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"Classes are among {', '.join(known[:20])}. Received: "
            f"{', '.join(map(repr, unknown))}."
        )
    return [known.index(name) for name in dict.fromkeys(names)]


def _normal(name) -> str:
    return str(name).replace("\\", "/").removeprefix("./")


def _names(path: str) -> set[str]:
    """What an image may be called: every end of its path, also without its ending."""
    parts = _normal(path).split("/")
    ends = ["/".join(parts[start:]) for start in range(len(parts))]
    return {*ends, *(os.path.splitext(end)[0] for end in ends)}


def _as_index(name, count: int) -> list[int]:
    """The one row of an index, none for what is no index."""
    text = str(name)
    return [int(text)] if text.isdecimal() and int(text) < count else []
