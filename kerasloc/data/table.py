"""The table of a dataset: paths, labels, boxes, masks, splits and groups of images."""

import dataclasses
import logging
import os
import re
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from kerasloc import boxes as box_rows
from kerasloc.configs import classes_in_words
from kerasloc.data.problems import check_bits, check_choice, listing, report_problems

SPLITS = ("train", "val", "test", "")
SYNONYMS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validate", "validation", "dev", "development"),
    "test": ("test", "testing"),
}
SHOWN_CLASSES = 40

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False, init=False)
class Table:
    """Images of a dataset with their annotations.

    Args:
        paths: Path of each image, (n,) str.
        class_names: Names of the classes, in the order of the columns of ``labels``.
        labels: 1 (present), 0 (absent) or NaN (unknown), (n, classes) float32.
        boxes: Rows image, x, y, w, h, class in pixels of the file's image after its
            EXIF rotation, (m, 6); ``image`` is an index of this table. None: no boxes.
        masks: Path of a mask, "" without one, (n,) str; nonzero on the object of the
            image's label. The EXIF rotation of the image turns both.
        splits: "train", "val", "test" or "", (n,) str.
        groups: Patient or the like, "" without one, (n,) str.
        orientations: EXIF orientation, 1 to 8, (n,) int32; 1 before
            ``kerasloc.data.check`` reads it.
        bits: Bits of the levels of 16-bit files, 1 to 16. None: 16.

    Raises:
        ValueError: If a length, a shape or a value does not fit.

    Examples:
        >>> table = Table(["a.png", "b.png"], ("cat", "dog"), [[1, 0], [0, 1]],
        ...               boxes=[[1, 5, 5, 20, 10, 1]], splits=["train", "test"])
        >>> table
        Table(2 images: 1 train, 1 test; 2 classes: cat, dog; 1 boxes; 0 masks)
        >>> table.split("test").boxes
        array([[ 0.,  5.,  5., 20., 10.,  1.]], dtype=float32)
    """

    paths: np.ndarray
    class_names: tuple[str, ...]
    labels: np.ndarray
    boxes: np.ndarray
    masks: np.ndarray
    splits: np.ndarray
    groups: np.ndarray
    orientations: np.ndarray
    bits: int | None

    def __init__(
        self,
        paths: npt.ArrayLike,
        class_names: Iterable[str],
        labels: npt.ArrayLike,
        boxes: npt.ArrayLike | None = None,
        *,
        masks: npt.ArrayLike | None = None,
        splits: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
        orientations: npt.ArrayLike | None = None,
        bits: int | None = None,
    ):
        check_bits(bits)
        count = len(np.atleast_1d(paths))
        orientations = np.ones(count) if orientations is None else orientations
        texts = {"paths": paths, "masks": masks, "splits": splits, "groups": groups}
        columns = {
            "class_names": tuple(str(name) for name in class_names),
            "labels": np.asarray(labels, np.float32),
            "boxes": box_rows.as_rows([] if boxes is None else boxes),
            "orientations": np.asarray(orientations, np.int32),
            "bits": bits,
            **{name: _strings(texts[name], count, name) for name in texts},
        }
        for name, column in columns.items():
            object.__setattr__(self, name, column)
        _check_labels(self)
        _check_boxes(self)
        _check_values(self)

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self):
        counts = {name: (self.splits == name).sum() for name in SPLITS if name}
        splits = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
        images = f"{len(self)} images{': ' if splits else ''}{splits}"
        annotations = f"{len(self.boxes)} boxes; {(self.masks != '').sum()} masks"
        return f"Table({images}; {classes_in_words(self.class_names)}; {annotations})"

    def subset(self, rows: npt.ArrayLike) -> "Table":
        """Select images, and renumber their boxes.

        Args:
            rows: Indices (in any order, also repeated) or a boolean mask (n,).
        """
        index = np.asarray(rows)
        index = np.arange(len(self))[index if index.size else index.astype(int)]
        by_image = np.argsort(self.boxes[:, 0], kind="stable")
        images = self.boxes[by_image, 0]
        starts = np.searchsorted(images, index, "left")
        counts = np.searchsorted(images, index, "right") - starts
        first = np.cumsum(counts) - counts
        selected = np.arange(counts.sum()) + np.repeat(starts - first, counts)
        boxes = self.boxes[by_image[selected]]
        boxes[:, 0] = np.repeat(np.arange(len(index)), counts)
        names = ("paths", "labels", "masks", "splits", "groups", "orientations")
        columns = {name: getattr(self, name)[index] for name in names}
        return dataclasses.replace(self, boxes=boxes, **columns)

    def split(self, name: str) -> "Table":
        """Select the images of "train", "val", "test" or ""; maybe none.

        Raises:
            ValueError: If it is another name.
        """
        check_choice("split", name, SPLITS)
        return self.subset(self.splits == name)

    @property
    def multi_label(self) -> bool:
        """True if an image has no, several or unknown labels."""
        return not (self.labels.sum(axis=1) == 1).all()

    @property
    def class_index(self) -> np.ndarray:
        """Class index of each image, (n,) int.

        Raises:
            ValueError: If an image has no, several or unknown labels.
        """
        if self.multi_label:
            bad = self.paths[self.labels.sum(axis=1) != 1]
            rule = "Expected exactly one label per image for a class index"
            report_problems(bad, rule, remedy="Use labels (multi-label data).")
        return self.labels.argmax(axis=1)


def split_of(name: str) -> str | None:
    """Return the split that a name of a folder, list or cell stands for, in any case.

    Examples:
        >>> split_of("Validation"), split_of("test_set"), split_of("masks")
        ('val', 'test', None)
    """
    word = re.sub(r"[\s_-]|(set|data|images)$", "", name.strip().lower())
    return next((split for split, words in SYNONYMS.items() if word in words), None)


def select_classes(table: Table, class_names: Iterable[str]) -> Table:
    """Select and order classes; all images stay.

    Raises:
        ValueError: If a name is not one of the table.

    Examples:
        >>> table = Table(["a.png"], ("cat", "dog"), [[1, 0]])
        >>> select_classes(table, ["dog"]).labels
        array([[0.]], dtype=float32)
    """
    names = tuple(class_names)
    unknown = [str(name) for name in names if name not in table.class_names]
    if unknown:
        raise ValueError(
            f"Expected classes among {', '.join(table.class_names)}. Received: "
            f"{', '.join(unknown)} besides."
        )
    columns = [table.class_names.index(name) for name in names]
    index = np.full(len(table.class_names), -1)
    index[columns] = np.arange(len(columns))
    boxes, labels = table.boxes.copy(), table.labels[:, columns]
    boxes[:, 5] = index[boxes[:, 5].astype(int)]
    boxes = boxes[boxes[:, 5] >= 0]
    return dataclasses.replace(table, class_names=names, labels=labels, boxes=boxes)


def only_classes(table: Table, names: Iterable[str]) -> Table:
    """Select the images with exactly one of some classes, and that label.

    Unknown labels count as absent; boxes of other classes are left out.

    Args:
        table: The data.
        names: Two or more of its classes, in the order of the new labels.

    Raises:
        ValueError: If they are not, or a class has no image left.

    Examples:
        >>> table = Table(["a", "b"], ("x", "y", "z"), [[1, 0, 1], [0, 1, 1]])
        >>> only_classes(table, ["y", "x"]).class_index
        array([1, 0])
    """
    names, valid = tuple(map(str, names)), table.class_names
    if len(names) < 2 or len(set(names)) < len(names) or not set(names) <= set(valid):
        raise ValueError(
            f"Expected two or more classes among {', '.join(valid)}. Received: "
            f"{', '.join(names) or 'none'}. Use other names."
        )
    positive = table.labels[:, [valid.index(name) for name in names]] == 1
    rows = np.flatnonzero(positive.sum(axis=1) == 1)
    counts = positive[rows].sum(axis=0)
    if not counts.all():
        received = [f"{n} of {name}" for name, n in zip(names, counts, strict=True)]
        raise ValueError(
            "Expected images with only one of the classes for each of them. Received: "
            f"{', '.join(received)}. Use others among {', '.join(valid)}."
        )
    selected = select_classes(table.subset(rows), names)
    return dataclasses.replace(selected, labels=positive[rows])


def check_disjoint(table: Table) -> None:
    """Validate that no group (patient) and no file is in two splits; "" is no group.

    Raises:
        ValueError: If a group or file is; lists all.

    Examples:
        >>> check_disjoint(Table(["a", "b"], ("x", "y"), [[1, 0], [0, 1]],
        ...                      splits=["train", "test"], groups=["p1", "p1"]))
        Traceback (most recent call last):
        ValueError: Expected every group (such as a patient) in one split only...
    """
    files = np.array(list(map(os.path.realpath, table.paths)), str)
    kinds = {"group (such as a patient)": table.groups, "file": files}
    for kind, values in kinds.items():
        compared = (values != "") & (table.splits != "")
        pairs = np.stack([values[compared], table.splits[compared]])
        keys, splits = np.unique(pairs, axis=1)
        names, counts = np.unique(keys, return_counts=True)
        shared = names[counts > 1]
        report_problems(
            [f"{name}: {', '.join(splits[keys == name])}" for name in shared],
            f"Expected every {kind} in one split only",
            remedy="Move all of its images to one split.",
        )


def report_classes(tables: Mapping[str, Table]) -> None:
    """Log how many images show each class, do not, or are unknown to.

    A class that all or none of the labeled images show is a warning.

    Args:
        tables: Tables of the same classes by their split, such as "train" and "val".

    Examples:
        >>> report_classes({"train": Table(["a", "b"], ("x",), [[1], [0]])})
    """
    columns: dict[tuple[str, str], np.ndarray] = {}
    lacking: list[str] = []
    names = next(iter(tables.values())).class_names
    for split, table in tables.items():
        labels = table.labels
        masks = {"with": labels == 1, "without": labels == 0, "?": np.isnan(labels)}
        counts = {kind: mask.sum(axis=0) for kind, mask in masks.items()}
        columns |= {(split, k): n for k, n in counts.items() if k != "?" or n.any()}
        lacking += [
            f"no image {kind} {name} in {split}"
            for kind in ("with", "without")
            for name, count in zip(names, counts[kind], strict=True)
            if len(table) and not count
        ]
    text = pd.DataFrame(columns, names).to_string(max_rows=SHOWN_CLASSES)
    sizes = ", ".join(f"{len(table)} {split}" for split, table in tables.items())
    logger.info("Images with, without, and unknown (?) by class, %s:\n%s", sizes, text)
    if lacking:
        logger.warning(
            "Accuracy, AUROC and average precision of a class mean nothing where all "
            "or none of the images show it. Add images, or leave the class out:\n%s",
            listing(lacking),
        )


def _strings(values: npt.ArrayLike | None, count: int, name: str) -> np.ndarray:
    """The column as strings, "" everywhere without one."""
    column = np.full(count, "") if values is None else np.asarray(values)
    if column.shape != (count,):
        raise ValueError(
            f"Expected {name} with one entry per image, ({count},), "
            f'"" if absent. Received: shape {column.shape}.'
        )
    return column.astype(str)


def _check_labels(table: Table) -> None:
    """Raise unless the labels are 0, 1 or NaN in one column per class name."""
    names, labels = table.class_names, table.labels
    if len(set(names)) != len(names) or "" in names or not names:
        raise ValueError(f"Expected different names as class_names. Received: {names}.")
    if labels.shape != (len(table), len(names)):
        raise ValueError(
            f"Expected labels (images, classes) = {(len(table), len(names))}. "
            f"Received: shape {labels.shape}. Use one column per class name."
        )
    bad = np.argwhere(~(np.isnan(labels) | (labels == 0) | (labels == 1)))
    cells = [
        f"{labels[i, j]} for {names[j]} in row {i} ({table.paths[i]})" for i, j in bad
    ]
    report_problems(cells, "Expected labels 1, 0 or NaN (unknown)", remedy="Fix them.")


def _check_boxes(table: Table) -> None:
    """Raise unless every box has an image, a class and a size."""
    image, _, _, width, height, index = table.boxes.T
    limits = {"image": (image, len(table)), "class": (index, len(table.class_names))}
    for name, (values, end) in limits.items():
        bad = np.flatnonzero((values % 1 != 0) | (values < 0) | (values >= end))
        problems = [f"{values[i]:g} in box {i}" for i in bad]
        rule = f"Expected the {name} of a box to be an index from 0 to {end - 1}"
        report_problems(problems, rule, remedy="Fix them.")
    bad = table.boxes[(width <= 0) | (height <= 0)]
    rows = zip(bad, bad[:, 0].astype(int), strict=True)
    problems = [f"{box[1:5]} for {table.paths[i]} (row {i})" for box, i in rows]
    rule = "Expected boxes with a positive width and height"
    report_problems(problems, rule, remedy="Fix them.")


def _check_values(table: Table) -> None:
    """Raise unless splits and orientations are valid."""
    for row in np.flatnonzero(~np.isin(table.splits, SPLITS)):
        check_choice(f"splits[{row}]", str(table.splits[row]), SPLITS)
    turned = table.orientations
    if turned.shape != (len(table),) or not ((turned >= 1) & (turned <= 8)).all():
        raise ValueError(
            "Expected one EXIF orientation from 1 to 8 per image. Received: "
            f"{np.unique(turned)} of shape {turned.shape}."
        )
