"""The one table that every data set becomes: paths, labels, boxes, masks, splits.

Everything behind it (the check, the ``tf.data`` pipeline, evaluation) reads this
table and nothing else.
"""

import dataclasses
import os

import numpy as np

from kerasloc import boxes as box_rows
from kerasloc.configs import classes_in_words
from kerasloc.data.problems import listing

SPLITS = ("train", "val", "test", "")


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """Images of a data set with what is known about each of them.

    Args:
        paths: Path of each image, (n,) str.
        class_names: Names of the classes, in the order of the columns of ``labels``.
        labels: 1 (there), 0 (not there) or NaN (unknown), (n, classes) float32.
        boxes: Rows image, x, y, w, h, class in pixels of the file's image after its
            EXIF rotation, (m, 6); ``image`` is an index of this table. None: no boxes.
        masks: Path of a mask image, "" where there is none, (n,) str. A mask is nonzero
            where the object of the image's label is; it is stored as its image is (the
            EXIF rotation of the image turns both).
        splits: "train", "val", "test" or "", (n,) str.
        groups: Patient or the like, "" where there is none, (n,) str.
        orientations: EXIF orientation, 1 to 8, (n,) int32; 1 until
            ``kerasloc.data.check`` has looked.

    Raises:
        ValueError: If a length, a shape or a value does not fit.
    """

    paths: np.ndarray
    class_names: tuple[str, ...]
    labels: np.ndarray
    boxes: np.ndarray | None = None
    masks: np.ndarray | None = None
    splits: np.ndarray | None = None
    groups: np.ndarray | None = None
    orientations: np.ndarray | None = None

    def __post_init__(self):
        """Convert every column to its type, fill what was left out, and check all."""
        count = len(self.paths)
        columns = {
            "paths": _strings(self.paths, count, "paths"),
            "class_names": tuple(str(name) for name in self.class_names),
            "labels": np.asarray(self.labels, np.float32),
            "boxes": box_rows.as_rows([] if self.boxes is None else self.boxes),
            "orientations": np.ones(count, np.int32)
            if self.orientations is None
            else np.asarray(self.orientations, np.int32),
        }
        for name in ("masks", "splits", "groups"):
            columns[name] = _strings(getattr(self, name), count, name)
        for name, column in columns.items():
            object.__setattr__(self, name, column)
        _check_labels(self)
        _check_boxes(self)
        _check_values(self)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.paths)

    def __repr__(self):
        counts = [f"{(self.splits == one).sum()} {one}" for one in SPLITS if one]
        splits = ", ".join(one for one in counts if not one.startswith("0 "))
        images = f"{len(self)} images{': ' if splits else ''}{splits}"
        shown = f"{len(self.boxes)} boxes; {(self.masks != '').sum()} masks"
        return f"Table({images}; {classes_in_words(self.class_names)}; {shown})"

    def subset(self, which) -> "Table":
        """The table of some of the images, its boxes numbered anew.

        Args:
            which: Indices (in any order, also repeated) or a boolean mask (n,).
        """
        which = np.asarray(which)
        rows = np.arange(len(self))[which if which.size else which.astype(int)]
        by_image = np.argsort(self.boxes[:, 0], kind="stable")
        images = self.boxes[by_image, 0]
        starts = np.searchsorted(images, rows, "left")
        counts = np.searchsorted(images, rows, "right") - starts
        first = np.cumsum(counts) - counts
        taken = np.arange(counts.sum()) + np.repeat(starts - first, counts)
        boxes = self.boxes[by_image[taken]]
        boxes[:, 0] = np.repeat(np.arange(len(rows)), counts)
        names = ("paths", "labels", "masks", "splits", "groups", "orientations")
        columns = {name: getattr(self, name)[rows] for name in names}
        return dataclasses.replace(self, boxes=boxes, **columns)

    def split(self, name: str) -> "Table":
        """The table of the images of one split (none at all is an empty table).

        Args:
            name: "train", "val", "test" or "".

        Raises:
            ValueError: If the name is another.
        """
        if name not in SPLITS:
            raise ValueError(
                f"A split is one of {', '.join(map(repr, SPLITS))}. Received: {name!r}."
            )
        return self.subset(self.splits == name)

    @property
    def multi_label(self) -> bool:
        """Whether some image has not exactly one known label."""
        return not (self.labels.sum(axis=1) == 1).all()

    @property
    def class_index(self) -> np.ndarray:
        """Index of the one class of each image, (n,) int.

        Raises:
            ValueError: If an image has no label, several or unknown ones.
        """
        if self.multi_label:
            bad = np.flatnonzero(self.labels.sum(axis=1) != 1)
            raise ValueError(
                "A class index needs exactly one known label per image. Received: "
                f"{len(bad)} images with another number, the first: "
                f"{self.paths[bad[0]]} (row {bad[0]}). Use labels (multi-label data)."
            )
        return self.labels.argmax(axis=1)


def only_classes(table: Table, names) -> Table:
    """The images with exactly one of some classes, with that one label each.

    Unknown labels count as not there; boxes of other classes are left out.

    Args:
        table: The data.
        names: Two or more of its classes, in the order that labels are to have.

    Raises:
        ValueError: If they are not, or a class has no image left.
    """
    names, known = tuple(map(str, names)), table.class_names
    if len(names) < 2 or len(set(names)) < len(names) or not set(names) <= set(known):
        raise ValueError(
            f"Chosen are two or more classes among {', '.join(known)}. Received: "
            f"{', '.join(names) or 'none'}. Name others."
        )
    columns = [known.index(name) for name in names]
    positive = table.labels[:, columns] == 1
    rows = np.flatnonzero(positive.sum(axis=1) == 1)
    part, labels = table.subset(rows), positive[rows]
    counts = dict(zip(names, labels.sum(axis=0).tolist(), strict=True))
    if not all(counts.values()):
        raise ValueError(
            "Every chosen class has images with none of the others. Received: "
            f"{', '.join(f'{n} of {name}' for name, n in counts.items())}. Name others "
            f"among {', '.join(known)}."
        )
    boxes = part.boxes[np.isin(part.boxes[:, 5], columns)]
    boxes[:, 5] = [columns.index(index) for index in boxes[:, 5]]
    return dataclasses.replace(part, class_names=names, labels=labels, boxes=boxes)


def select_classes(table: Table, class_names) -> Table:
    """The table with some of its classes, in a given order; all images stay.

    Args:
        table: The data.
        class_names: Names among those of the table.

    Raises:
        ValueError: If one is not.
    """
    names = tuple(class_names)
    unknown = [name for name in names if name not in table.class_names]
    if unknown:
        raise ValueError(
            f"The classes are {', '.join(table.class_names)}. Received: "
            f"{', '.join(map(str, unknown))} besides."
        )
    columns = [table.class_names.index(name) for name in names]
    place = np.full(len(table.class_names), -1)
    place[columns] = np.arange(len(columns))
    boxes = table.boxes.copy()
    boxes[:, 5] = place[boxes[:, 5].astype(int)]
    return dataclasses.replace(
        table,
        class_names=names,
        labels=table.labels[:, columns],
        boxes=boxes[boxes[:, 5] >= 0],
    )


def check_disjoint(table: Table) -> None:
    """Make sure that no group (patient) and no file is in two splits.

    Args:
        table: The data; images whose split or group is "" are not compared.

    Raises:
        ValueError: If one is on two sides; lists which.
    """
    files = np.array([os.path.realpath(path) for path in table.paths], str)
    for what, keys in (("group", table.groups), ("file", files)):
        known = (keys != "") & (table.splits != "")
        pairs = np.unique(np.stack([keys[known], table.splits[known]]), axis=1)
        names, counts = np.unique(pairs[0], return_counts=True)
        shared = names[counts > 1]
        if len(shared):
            where = [
                f"{name}: {', '.join(pairs[1, pairs[0] == name])}" for name in shared
            ]
            raise ValueError(
                f"Every {what} (patient, for groups) is in one split only. Received: "
                f"{len(shared)} in several:\n{listing(where)}\n"
                "Move all of its images to one side."
            )


def _strings(values, count: int, name: str) -> np.ndarray:
    """The column as strings, "" everywhere when there is none."""
    column = np.full(count, "") if values is None else np.asarray(values)
    if column.shape != (count,):
        raise ValueError(
            f"{name} holds one entry per image, {count} here. Received: shape "
            f"{column.shape}."
        )
    return column.astype(str)


def _check_labels(table: Table) -> None:
    """Raise unless the labels are 0, 1 or NaN in one column per class name."""
    names, labels = table.class_names, table.labels
    if len(set(names)) != len(names) or "" in names or not names:
        raise ValueError(
            f"Class names are different, nonempty names. Received: {names}."
        )
    if labels.shape != (len(table), len(names)):
        raise ValueError(
            f"Labels are (images, classes), {(len(table), len(names))} here. "
            f"Received: shape {labels.shape}."
        )
    bad = np.argwhere(~(np.isnan(labels) | (labels == 0) | (labels == 1)))
    if len(bad):
        row, column = bad[0]
        raise ValueError(
            f"Labels are 1, 0 or NaN (unknown). Received: {labels[row, column]} for "
            f"{names[column]} in row {row} ({table.paths[row]}), {len(bad)} in all."
        )


def _check_boxes(table: Table) -> None:
    """Raise unless every box has an image, a class and a size."""
    image, _, _, width, height, cls = table.boxes.T
    for what, index, end in (
        ("image", image, len(table)),
        ("class", cls, len(table.class_names)),
    ):
        bad = np.flatnonzero((index % 1 != 0) | (index < 0) | (index >= end))
        if len(bad):
            raise ValueError(
                f"The {what} of a box is an index from 0 to {end - 1}. Received: "
                f"{index[bad[0]]:g} in box {bad[0]}."
            )
    bad = np.flatnonzero((width <= 0) | (height <= 0))
    if len(bad):
        row = int(image[bad[0]])
        raise ValueError(
            "Boxes have a positive width and height. Received: "
            f"{table.boxes[bad[0], 1:5]} for {table.paths[row]} (row {row})."
        )


def _check_values(table: Table) -> None:
    """Raise unless splits and orientations are known ones."""
    bad = np.flatnonzero(~np.isin(table.splits, SPLITS))
    if len(bad):
        raise ValueError(
            f"A split is one of {', '.join(map(repr, SPLITS))}. Received: "
            f"{str(table.splits[bad[0]])!r} in row {bad[0]}."
        )
    turned = table.orientations
    if turned.shape != (len(table),) or not ((turned >= 1) & (turned <= 8)).all():
        raise ValueError(
            "Orientations are one EXIF number from 1 to 8 per image. Received: "
            f"{np.unique(turned)} of shape {turned.shape}."
        )
