"""Training, validation and test images: stratified splits of whole groups.

:func:`cut_validation` cuts validation images from training images. :func:`make_lists`
makes lists of images by the published protocols, for the 112,120 images of NIH
ChestX-ray14, 880 of them with boxes:

- "official": the official training and test images; validation images are cut from
  the training ones.
- "classification": five folds, each 70 % / 10 % / 20 % of the images with boxes and of
  those without.
- "no-boxes": test on all images with boxes, train on those without, 111,240 as
  published. Patients of a test image are left out here, so that fewer remain, and a
  validation share is kept of them, where the published code selects by the test images.
- "localization": five folds, test on 20 % of the images with boxes, train on the other
  80 % and on 50 % of those without; a validation share of either is kept.

A patient is always on one side. As patients move as a whole, shares hold approximately.
:mod:`kerasloc.data.image_lists` holds the lists as files and on a table; its functions
can be imported from here, too.

Reference:
    Ouyang et al., Learning hierarchical attention for weakly-supervised chest X-ray
    abnormality localization and diagnosis, IEEE TMI 40(10), 2021.
"""

import dataclasses

import numpy as np

from kerasloc.data.image_lists import (
    ANNOTATED,
    LISTED,
    apply_lists,
    has_boxes,
    image_names,
    keep_boxes,
    read_lists,
    write_lists,
)
from kerasloc.data.problems import check_choice
from kerasloc.data.stratify import choose_groups, deal_groups
from kerasloc.data.table import Table, check_disjoint

__all__ = [
    "FOLDED",
    "FOLDS",
    "PROTOCOLS",
    "apply_lists",
    "cut_validation",
    "keep_boxes",
    "make_lists",
    "read_lists",
    "write_lists",
]

PROTOCOLS = ("official", "classification", "no-boxes", "localization")
FOLDED = ("classification", "localization")
FOLDS = 5  # each tests 20 %
VAL_SHARE = 0.1
UNANNOTATED_SHARE = 0.5  # of the images without boxes, for "localization" to train on


def cut_validation(table: Table, share: float, seed: int = 0) -> Table:
    """Mark a share of the "train" images as "val".

    Stratified by class (for several labels per image: by every label), whole groups on
    one side, and, if possible, at least one image of every class on either side. A
    table that has "val" images is returned unchanged.

    Args:
        table: The data; its "test" and "" images stay unchanged.
        share: Share of the "train" images, between 0 and 1.
        seed: Seed of the choice; the same seed, the same images.

    Raises:
        ValueError: If the share is not between 0 and 1, or nothing can be cut.

    Examples:
        >>> table = Table(list("abcdef"), ("x", "y"), [[1, 0], [0, 1]] * 3,
        ...               splits=["train"] * 6)
        >>> cut_validation(table, 0.34)
        Table(6 images: 4 train, 2 val; 2 classes: x, y; 0 boxes; 0 masks)
    """
    if not 0 < share < 1:
        raise ValueError(
            f"Expected a validation share between 0 and 1. Received: {share}. Use 0.2 "
            "for a fifth of the training images."
        )
    if (table.splits == "val").any():
        return table
    rows = np.flatnonzero(table.splits == "train")
    positive = table.labels[rows] == 1
    strata = np.column_stack([positive, ~positive.any(axis=1)]).astype(int)
    names = np.char.add("g", table.groups[rows])
    groups = np.where(table.groups[rows] == "", rows.astype(str), names)
    _, units = np.unique(groups, return_inverse=True)
    chosen = choose_groups(strata, units, share, np.random.default_rng(seed))
    if not chosen.any():
        raise ValueError(
            "Expected training images of a class in two or more groups, to cut "
            f"validation images from. Received: {len(rows)} training images in "
            f"{len(np.unique(units))} groups. Add images, or mark them as val."
        )
    splits = table.splits.astype("<U5")
    splits[rows[chosen]] = "val"
    return dataclasses.replace(table, splits=splits)


def make_lists(
    table: Table,
    protocol: str,
    fold: int = 0,
    seed: int = 0,
    *,
    val_share: float = VAL_SHARE,
) -> dict[str, list[str]]:
    """List the images to train, validate and test on, and those with boxes to train on.

    The order of the table's rows does not matter. The five test folds of a seed have no
    image in common; together they are all images ("classification") or all images with
    boxes ("localization"). Labels are spread over the folds as evenly as patients let
    them. Images that a protocol does not use are on no list.

    Args:
        table: The data, with boxes and groups (patients; an image without is its own).
            Its splits count for "official" only.
        protocol: One of ``PROTOCOLS``, see above.
        fold: Number of the fold, 0 to 4; 0 for protocols without folds.
        seed: Seed of the choice; not negative.
        val_share: Share of the validation images: of all images ("classification") or
            of the training images (otherwise; "official" keeps existing ones).

    Returns:
        "train", "val", "test", sorted, and "annotated": the training images with boxes,
        if there are any.

    Raises:
        ValueError: If the table does not have what the protocol needs, or an argument
            is out of range.

    Examples:
        >>> table = Table([f"{i}.png" for i in range(10)], ("x",), [[1]] * 10)
        >>> lists = make_lists(table, "classification", fold=1)
        >>> {name: len(images) for name, images in lists.items()}
        {'train': 7, 'val': 1, 'test': 2}
    """
    _check_arguments(protocol, fold, val_share)
    draw = _Draw(table, fold, seed, val_share)
    split = {
        "official": _split_official,
        "classification": _split_classification,
        "no-boxes": _split_no_boxes,
        "localization": _split_localization,
    }[protocol]
    splits = split(draw)
    lists = {name: draw.names[splits == name].tolist() for name in LISTED}
    empty = [name for name, images in lists.items() if not images]
    if empty:
        raise ValueError(
            "Expected an image for every list, with all images of a patient on one. "
            f"Received: too few patients for {', '.join(empty)} (protocol {protocol}, "
            f"{len(table)} images). Add patients, or raise val_share."
        )
    annotated = draw.names[(splits == "train") & draw.annotated]
    return lists | ({ANNOTATED: annotated.tolist()} if annotated.size else {})


class _Draw:
    """The table sorted by name, and random choices of its images.

    ``units`` are numbers of patients; ``strata`` are to be spread evenly: the images
    with boxes, those without, and of either those with each label.
    """

    def __init__(self, table: Table, fold: int, seed: int, val_share: float):
        names = image_names(table)
        self.fold, self.seed, self.val_share = int(fold), seed, val_share
        self.table, self.names = table.subset(np.argsort(names)), np.sort(names)
        self.annotated = boxed = has_boxes(self.table)
        groups, labels = self.table.groups, self.table.labels == 1
        images = np.char.add("i", self.names)
        keys = np.where(groups == "", images, np.char.add("g", groups))
        self.units = np.unique(keys, return_inverse=True)[1]
        strata = [boxed, ~boxed, labels & boxed[:, None], labels & ~boxed[:, None]]
        self.strata = np.column_stack(strata).astype(float)

    def with_boxes(self) -> np.ndarray:
        """Mask of the images of patients who have an image with boxes, (n,)."""
        return np.isin(self.units, self.units[self.annotated])

    def test_fold(self, images: np.ndarray) -> np.ndarray:
        """Mask of the test fold among some images (masks over all), (n,)."""
        rng = np.random.default_rng(self.seed)
        return self._deal(images, np.full(FOLDS, 1 / FOLDS), rng) == self.fold

    def split(self, images: np.ndarray, of_all: float = 1) -> np.ndarray:
        """Split of some images, a share "val" and the rest "train"; "" for others.

        ``of_all``: their share of all images, if ``val_share`` is one of all.
        """
        rng = np.random.default_rng((self.seed, self.fold, 1))
        share = self.val_share / of_all
        side = self._deal(images, np.array([share, 1 - share]), rng)
        return np.array(["", "val", "train"])[side + 1]

    def _deal(self, images, shares, rng) -> np.ndarray:
        """Index of the share of each image, the same for a patient; -1 for others."""
        _, units = np.unique(self.units[images], return_inverse=True)
        dealt = np.full(len(images), -1)
        dealt[images] = deal_groups(self.strata[images], units, shares, rng)
        return dealt


def _split_official(draw: _Draw) -> np.ndarray:
    """Splits of the table, with some "train" images made "val"."""
    missing = [name for name in ("train", "test") if name not in draw.table.splits]
    if missing:
        raise ValueError(
            "Expected the official splits of the dataset for the protocol official. "
            f"Received: a table without {' and '.join(missing)} images. Put the "
            "official lists beside the data, or use classification."
        )
    check_disjoint(draw.table)
    splits = draw.table.splits
    if "val" in splits:
        return splits
    return np.where(splits == "train", draw.split(splits == "train"), splits)


def _split_classification(draw: _Draw) -> np.ndarray:
    """Splits with a fifth of the images to test on."""
    _check_patients(draw, draw.units, "patients")
    test = draw.test_fold(np.ones(len(draw.names), bool))
    return np.where(test, "test", draw.split(~test, 1 - 1 / FOLDS))


def _split_no_boxes(draw: _Draw) -> np.ndarray:
    """Splits with the annotated images to test on, patients without to train on."""
    _check_annotated(draw, "no-boxes")
    without = ~draw.with_boxes()
    patients = len(np.unique(draw.units[without]))
    if patients < 2:
        raise ValueError(
            "Expected images of two or more patients without any box, to train and "
            "validate on by the protocol no-boxes. Received: "
            f"{draw.annotated.sum()} of {len(without)} images with boxes, {patients} "
            "patients without any. Add images without boxes, or use localization "
            "(and train with --box-share 0)."
        )
    return np.where(draw.annotated, "test", draw.split(without))


def _split_localization(draw: _Draw) -> np.ndarray:
    """Splits with a fifth of the annotated to test on, half of the others in use."""
    _check_annotated(draw, "localization")
    annotated = draw.annotated
    boxed = draw.units[annotated]
    _check_patients(draw, boxed, "patients who have an image with boxes")
    test = draw.test_fold(draw.with_boxes())
    sides = draw.split(~test)
    total = round(UNANNOTATED_SHARE * (~annotated).sum())
    val = round(draw.val_share * total)
    order = np.random.default_rng((draw.seed, 2)).permutation(len(annotated))
    splits = np.where(annotated, np.where(test, "test", sides), "")
    for name, count in (("val", val), ("train", total - val)):
        splits[order[(~annotated & (sides == name))[order]][:count]] = name
    return splits


def _check_arguments(protocol: str, fold: int, val_share: float) -> None:
    """Raise unless protocol, fold and share are valid."""
    check_choice("protocol", protocol, PROTOCOLS)
    folds = FOLDS if protocol in FOLDED else 1
    if fold not in range(folds):
        raise ValueError(
            f"Expected a fold of {protocol} from 0 to {folds - 1}. Received: {fold!r}."
        )
    if not 0 < val_share < 0.5:
        raise ValueError(
            f"Expected val_share between 0 and 0.5. Received: {val_share}. Use 0.1 for "
            "a tenth."
        )


def _check_annotated(draw: _Draw, protocol: str) -> None:
    """Raise unless an image has a box."""
    if not draw.annotated.any():
        raise ValueError(
            f"Expected images with boxes to test on by the protocol {protocol}. "
            f"Received: {len(draw.names)} images, none with a box. Put the file of the "
            "boxes beside the data, or use classification or official."
        )


def _check_patients(draw: _Draw, units: np.ndarray, kind: str) -> None:
    """Raise unless every test fold can get a patient."""
    count = len(np.unique(units))
    if count < FOLDS:
        raise ValueError(
            f"Expected {FOLDS} {kind}, or more, for {FOLDS} folds. Received: {count} "
            f"(of {len(draw.names)} images). Add images, or use official."
        )
