"""Who trains, validates and tests: lists of images by the published protocols.

Published, for the 112,120 images of NIH ChestX-ray14, 880 of them with boxes:

- "official": the official training and test images; validation images are cut from
  the training ones.
- "classification": five folds, each 70 % / 10 % / 20 % of the images with boxes and of
  those without.
- "no-boxes": test on all images with boxes, train on those without, 111,240 as
  published. Patients of a test image are left out here, so that fewer remain, and a
  validation part is kept of them, where the published code selects by the test images.
- "localization": five folds, test on 20 % of the images with boxes, train on the other
  80 % and on 50 % of those without; a validation part of either is kept for selection.

A patient is always on one side. As patients move as a whole, shares hold about, not
exactly. The lists as files and on a table: ``kerasloc.data.image_lists``, all of which
is here, too.

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
UNANNOTATED_SHARE = 0.5  # "localization" learns from this many of the images without


def cut_validation(table: Table, share: float, seed: int = 0) -> Table:
    """The table with a share of its "train" images marked "val".

    Stratified by class (for several labels per image: by every label), whole groups on
    one side, and, where possible, at least one image of every class on either side.
    A table that has "val" images already comes back as it is.

    Args:
        table: The data; its "test" and "" images stay what they are.
        share: Share of the "train" images, between 0 and 1.
        seed: Whatever decides which images go; the same seed, the same images.

    Raises:
        ValueError: If the share is not between 0 and 1, or nothing can be cut off.
    """
    if not 0 < share < 1:
        raise ValueError(
            f"The validation share lies between 0 and 1. Received: {share}. "
            "Say 0.2 for a fifth of the training images."
        )
    if (table.splits == "val").any():
        return table
    rows = np.flatnonzero(table.splits == "train")
    known = table.labels[rows] == 1
    strata = np.column_stack([known, ~known.any(axis=1)]).astype(int)
    alone = rows.astype(str)
    groups = np.where(
        table.groups[rows] == "", alone, np.char.add("g", table.groups[rows])
    )
    _, units = np.unique(groups, return_inverse=True)
    counts = np.zeros((units.max(initial=-1) + 1, strata.shape[1]), int)
    np.add.at(counts, units, strata)
    taken = _choose(counts, share, np.random.default_rng(seed))
    if not taken.any():
        raise ValueError(
            "Validation images are cut off the training images, at least one of a "
            f"class with two or more groups. Received: {len(rows)} training images in "
            f"{len(counts)} groups. Add images, or mark validation images yourself."
        )
    splits = table.splits.astype("<U5")
    splits[rows[taken[units]]] = "val"
    return dataclasses.replace(table, splits=splits)


def make_lists(
    table: Table, protocol: str, fold: int = 0, seed: int = 0, *, val_share=VAL_SHARE
) -> dict[str, list[str]]:
    """Names of the images to train, validate and test on, and whose boxes are learned.

    The order of the table's rows does not matter. The five test folds of a seed have no
    image in common; together they are all images ("classification") or all images with
    boxes ("localization"). Labels are spread over the folds as evenly as patients let
    them. Images that a protocol has no use for are on no list.

    Args:
        table: The data, with boxes and groups (patients; an image without is its own).
            Its splits count for "official" only.
        protocol: One of ``PROTOCOLS``, see above.
        fold: 0 to 4; 0 where the protocol has no folds.
        seed: Whatever decides which images; not negative.
        val_share: Validation images: of all ("classification") or of the training
            images (the others; "official" keeps validation images that are there).

    Returns:
        "train", "val", "test", sorted, and "annotated": the training images with boxes,
        where there are some.

    Raises:
        ValueError: If the table does not have what the protocol needs, or an argument
            is out of range.
    """
    _check_arguments(protocol, fold, val_share)
    names = image_names(table)
    table = table.subset(np.argsort(names))
    draw = _Draw(table, np.sort(names), int(fold), seed, val_share)
    makers = (_official, _classification, _no_boxes, _localization)
    splits = dict(zip(PROTOCOLS, makers, strict=True))[protocol](draw)
    lists = {name: draw.names[splits == name].tolist() for name in LISTED}
    empty = [name for name, images in lists.items() if not images]
    if empty:
        raise ValueError(
            "Every list gets an image, and all images of a patient are on one. "
            f"Received: too few patients for {', '.join(empty)} (protocol {protocol}, "
            f"{len(names)} images). Add patients, or raise val_share."
        )
    learned = draw.names[(splits == "train") & draw.annotated]
    return lists | ({ANNOTATED: learned.tolist()} if learned.size else {})


@dataclasses.dataclass(frozen=True, eq=False)
class _Draw:
    """The table by name, and what is drawn from it.

    ``units`` are numbers of patients, ``strata`` is what is spread evenly: the images
    with boxes, those without, and of either those with each label.
    """

    table: Table
    names: np.ndarray
    fold: int
    seed: int
    val_share: float
    annotated: np.ndarray = dataclasses.field(init=False)
    units: np.ndarray = dataclasses.field(init=False)
    strata: np.ndarray = dataclasses.field(init=False)

    def __post_init__(self):
        groups, labels = self.table.groups, self.table.labels == 1
        keys = np.where(
            groups == "", np.char.add("i", self.names), np.char.add("g", groups)
        )
        boxed = has_boxes(self.table)
        columns = [boxed, ~boxed, labels & boxed[:, None], labels & ~boxed[:, None]]
        found = {
            "annotated": boxed,
            "units": np.unique(keys, return_inverse=True)[1],
            "strata": np.column_stack(columns).astype(float),
        }
        for name, value in found.items():
            object.__setattr__(self, name, value)

    def with_boxes(self) -> np.ndarray:
        """Whether each image is of a patient who has an image with boxes."""
        return np.isin(self.units, self.units[self.annotated])

    def test_fold(self, images) -> np.ndarray:
        """Whether each image is in the test fold, of some images (masks over all)."""
        rng = np.random.default_rng(self.seed)
        return self._deal(images, np.full(FOLDS, 1 / FOLDS), rng) == self.fold

    def split(self, images, of_all: float = 1) -> np.ndarray:
        """Split of some images, a share "val" and the rest "train"; "" for others.

        ``of_all``: how many of all images they are, if the share is one of all.
        """
        rng = np.random.default_rng((self.seed, self.fold, 1))
        share = self.val_share / of_all
        part = self._deal(images, np.array([share, 1 - share]), rng)
        return np.array(["", "val", "train"])[part + 1]

    def _deal(self, images, shares, rng) -> np.ndarray:
        """Part of each image, whole patients in one; -1 for other images."""
        _, units = np.unique(self.units[images], return_inverse=True)
        counts = np.zeros((units.max() + 1, self.strata.shape[1]))
        np.add.at(counts, units, self.strata[images])
        part = np.full(len(images), -1)
        part[images] = _deal_units(counts, shares, rng)[units]
        return part


def _official(draw: _Draw) -> np.ndarray:
    """Split of each image: as the table has it, and some "train" made "val"."""
    missing = [name for name in ("train", "test") if name not in draw.table.splits]
    if missing:
        raise ValueError(
            "The protocol official takes the splits that the data set brings along. "
            f"Received: a table without {' and '.join(missing)} images. Put the "
            "official lists beside the data, or use classification."
        )
    check_disjoint(draw.table)
    splits = draw.table.splits
    if "val" in splits:
        return splits
    return np.where(splits == "train", draw.split(splits == "train"), splits)


def _classification(draw: _Draw) -> np.ndarray:
    """Split of each image: a fifth to test on, the other ones parted."""
    _check_patients(draw, draw.units, "patients")
    test = draw.test_fold(np.ones(len(draw.names), bool))
    splits = draw.split(~test, 1 - 1 / FOLDS)
    return np.where(test, "test", splits)


def _no_boxes(draw: _Draw) -> np.ndarray:
    """Split of each image: the annotated to test on, patients without to learn."""
    _check_annotated(draw, "no-boxes")
    others = ~draw.with_boxes()
    patients = len(np.unique(draw.units[others]))
    if patients < 2:
        raise ValueError(
            "The protocol no-boxes learns from, and validates on, images of two or "
            "more patients of whom no image has a box. Received: "
            f"{draw.annotated.sum()} of {len(others)} images with boxes, {patients} "
            "patients without any. Add images without boxes, or use localization "
            "(and train with --box-share 0)."
        )
    return np.where(draw.annotated, "test", draw.split(others))


def _localization(draw: _Draw) -> np.ndarray:
    """Split of each image: a fifth of the annotated to test on, half of the others."""
    _check_annotated(draw, "localization")
    annotated = draw.annotated
    boxed = draw.units[annotated]
    _check_patients(draw, boxed, "patients who have an image with boxes")
    test = draw.test_fold(draw.with_boxes())
    sides = draw.split(~test)
    wanted = round(UNANNOTATED_SHARE * (~annotated).sum())
    val = round(draw.val_share * wanted)
    order = np.random.default_rng((draw.seed, 2)).permutation(len(annotated))
    splits = np.where(annotated, np.where(test, "test", sides), "")
    for name, count in (("val", val), ("train", wanted - val)):
        splits[order[(~annotated & (sides == name))[order]][:count]] = name
    return splits


def _deal_units(counts, shares, rng) -> np.ndarray:
    """Part of each patient, (patients,) int, so that every stratum is shared alike.

    Larger patients first, each to the part where the squares of what is missing
    shrink most.

    Args:
        counts: Images in each stratum, (patients, strata): those with boxes, those
            without, and others, which together weigh as much as one of these two.
        shares: Of each part, (parts,), sum 1.
        rng: Generator that orders patients of about the same size.
    """
    boxed = counts[:, 0] > 0
    sizes = counts[:, :2].sum(axis=1)
    owns = counts / np.maximum(counts.sum(axis=0), 1)
    weights = np.ones(counts.shape[1])
    weights[:2] = len(weights) - 2
    size_class = np.frexp(sizes)[1]  # alike within a factor of two
    order = np.lexsort((rng.permutation(len(counts)), -size_class, ~boxed))
    missing = np.repeat(shares[:, None], len(weights), axis=1)  # (parts, strata)
    dealt = np.zeros(len(counts), int)
    for unit in order:
        gain = ((2 * missing - owns[unit]) * owns[unit]) @ weights / shares
        dealt[unit] = gain.argmax()
        missing[dealt[unit]] -= owns[unit]
    for some in (boxed, np.ones(len(counts), bool)):
        _fill_empty(dealt, some, sizes, len(shares))
    return dealt


def _fill_empty(dealt, some, sizes, parts: int) -> None:
    """Give a part that has none of some patients the smallest of who has most."""
    if some.sum() < parts:
        return
    for part in range(parts):
        held = np.bincount(dealt[some], minlength=parts)
        if not held[part]:
            theirs = np.flatnonzero(some & (dealt == held.argmax()))
            dealt[theirs[sizes[theirs].argmin()]] = part


def _check_arguments(protocol, fold, val_share) -> None:
    """Raise unless protocol, fold and share are ones that there are."""
    if protocol not in PROTOCOLS:
        raise ValueError(
            f"A protocol is one of {', '.join(PROTOCOLS)}. Received: {protocol!r}."
        )
    folds = FOLDS if protocol in FOLDED else 1
    if fold not in range(folds):
        raise ValueError(
            f"A fold of {protocol} is a number from 0 to {folds - 1}. Received: "
            f"{fold!r}."
        )
    if not 0 < val_share < 0.5:
        raise ValueError(
            "The validation share lies between 0 and 0.5. Received: "
            f"{val_share}. Say 0.1 for a tenth."
        )


def _check_annotated(draw: _Draw, protocol: str) -> None:
    """Raise unless some image has a box."""
    if not draw.annotated.any():
        raise ValueError(
            f"The protocol {protocol} needs images with boxes to test on. Received: "
            f"{len(draw.names)} images, none with a box. Put the boxes' file beside "
            "the data, or use classification or official."
        )


def _check_patients(draw: _Draw, units, who: str) -> None:
    """Raise unless there are enough patients for a test fold each."""
    count = len(np.unique(units))
    if count < FOLDS:
        raise ValueError(
            f"{FOLDS} folds need {FOLDS} {who}, or more. Received: {count} (of "
            f"{len(draw.names)} images). Add images, or use official."
        )


def _choose(counts, share: float, rng) -> np.ndarray:
    """Which units (unit, stratum counts) to cut off, boolean (units,)."""
    total = counts.sum(axis=0)
    target = np.clip(np.round(share * total), 1, np.maximum(total - 1, 1))
    have = np.zeros_like(total)
    taken = np.zeros(len(counts), bool)
    for unit in rng.permutation(len(counts)):
        new = have + counts[unit]
        better = np.abs(target - new) / target - np.abs(target - have) / target
        if better.sum() < 0 and _leaves_some(new, total, counts[unit]):
            taken[unit], have = True, new
    for stratum in np.flatnonzero((have == 0) & (total > 1)):
        candidates = np.flatnonzero((counts[:, stratum] > 0) & ~taken)
        for unit in candidates[
            np.argsort(counts[candidates].sum(axis=1), kind="stable")
        ]:
            new = have + counts[unit]
            if have[stratum] == 0 and _leaves_some(new, total, counts[unit]):
                taken[unit], have = True, new
    return taken


def _leaves_some(cut, total, unit) -> bool:
    """Whether the strata of the unit keep an image when ``cut`` of ``total`` go."""
    return bool((cut < total)[unit > 0].all())
