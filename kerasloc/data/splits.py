"""Training, validation and test images: stratified splits of whole groups.

Protocols of :func:`make_lists`, published for the 112,120 images of NIH ChestX-ray14,
880 of them with boxes:

- "official": the official training and test images, a share of the former validates.
- "classification": five folds, each 70 % / 10 % / 20 % of the images with boxes and of
  those without.
- "no-boxes": test on all images with boxes, train and validate on those without (the
  published code selects by the test images), except patients of a test image.
- "localization": five folds, test on 20 % of the images with boxes, train on the other
  80 % and on 50 % of those without; a validation share of either is kept.

A patient is always on one side; shares hold approximately.

Reference:
    Ouyang et al., Learning hierarchical attention for weakly-supervised chest X-ray
    abnormality localization and diagnosis, IEEE TMI 40(10), 2021.

scikit-learn's ``StratifiedGroupKFold`` takes one stratum per image, and equal shares.
"""

import dataclasses
import logging

import numpy as np

from kerasloc.data.image_lists import (  # noqa: F401 (some to be imported from here)
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
from kerasloc.data.table import Table, check_disjoint

logger = logging.getLogger(__name__)


def choose_groups(
    strata: np.ndarray, groups: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """Choose groups that hold about a share of every stratum.

    Random groups, as long as they bring the strata closer to their share; then the
    smallest that fill strata which have none. Every stratum keeps an image.

    Args:
        strata: Membership of each image, (images, strata) int.
        groups: Number of the group of each image, (images,) int.
        share: Share of the images, between 0 and 1.
        rng: Generator of the order of the groups.

    Returns:
        Mask of the images of the chosen groups, (images,).

    Examples:
        >>> groups = np.array([0, 0, 1, 1, 2, 2, 3, 3])
        >>> strata = np.ones((8, 1), int)
        >>> int(choose_groups(strata, groups, 0.5, np.random.default_rng(0)).sum())
        4
    """
    counts = _sum_by_group(strata, groups)
    total = counts.sum(axis=0)
    target = np.clip(np.round(share * total), 1, np.maximum(total - 1, 1))
    have = np.zeros_like(total)
    chosen = np.zeros(len(counts), bool)

    def leaves_some(new, group):
        return (new < total)[counts[group] > 0].all()

    for group in rng.permutation(len(counts)):
        new = have + counts[group]
        change = np.abs(target - new) / target - np.abs(target - have) / target
        if change.sum() < 0 and leaves_some(new, group):
            chosen[group], have = True, new
    for stratum in np.flatnonzero((have == 0) & (total > 1)):
        candidates = np.flatnonzero((counts[:, stratum] > 0) & ~chosen)
        by_size = np.argsort(counts[candidates].sum(axis=1), kind="stable")
        for group in candidates[by_size]:
            new = have + counts[group]
            if have[stratum] == 0 and leaves_some(new, group):
                chosen[group], have = True, new
    return chosen[groups]


def deal_groups(
    strata: np.ndarray, groups: np.ndarray, shares: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Deal groups to shares, so that every stratum is shared alike.

    Larger groups first, each to the share where the squares of the missing counts
    shrink most.

    Args:
        strata: Membership of each image, (images, strata) float: those with boxes,
            those without, and others, which together weigh as much as either of these.
        groups: Number of the group of each image, (images,) int.
        shares: Size of each share, (shares,), sum 1.
        rng: Generator of the order of groups of about the same size.

    Returns:
        Index of the share of each image, (images,).

    Examples:
        >>> strata = np.tile([1.0, 0.0, 1.0], (6, 1))
        >>> groups = np.array([0, 0, 1, 2, 3, 4])
        >>> deal_groups(strata, groups, np.array([0.5, 0.5]), np.random.default_rng(0))
        array([0, 0, 0, 1, 1, 1])
    """
    counts = _sum_by_group(strata, groups)
    boxed = counts[:, 0] > 0
    sizes = counts[:, :2].sum(axis=1)
    relative = counts / np.maximum(counts.sum(axis=0), 1)
    weights = np.ones(counts.shape[1])
    weights[:2] = len(weights) - 2
    size_class = np.frexp(sizes)[1]  # equal within a factor of two
    order = np.lexsort((rng.permutation(len(counts)), -size_class, ~boxed))
    missing = np.repeat(shares[:, None], len(weights), axis=1)  # (shares, strata)
    dealt = np.zeros(len(counts), int)
    for group in order:
        gain = ((2 * missing - relative[group]) * relative[group]) @ weights / shares
        dealt[group] = gain.argmax()
        missing[dealt[group]] -= relative[group]
    for members in (boxed, np.ones(len(counts), bool)):
        for share in range(len(shares)) if members.sum() >= len(shares) else ():
            held = np.bincount(dealt[members], minlength=len(shares))
            if not held[share]:  # the smallest group of the largest share fills it
                candidates = np.flatnonzero(members & (dealt == held.argmax()))
                dealt[candidates[sizes[candidates].argmin()]] = share
    return dealt[groups]


def _sum_by_group(strata: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sum of the strata over the images of each group, (groups, strata)."""
    counts = np.zeros((groups.max(initial=-1) + 1, strata.shape[1]), strata.dtype)
    np.add.at(counts, groups, strata)
    return counts


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
        seed: Seed of the choice.

    Raises:
        ValueError: If the share is not between 0 and 1, or nothing can be cut.

    Examples:
        >>> table = Table(list("abcdef"), ("x", "y"), [[1, 0], [0, 1]] * 3,
        ...               splits=["train"] * 6)
        >>> cut_validation(table, 0.34)
        Table(6 images: 4 train, 2 val; 2 classes: x, y; 0 boxes; 0 masks)
    """
    if not 0 < share < 1:
        raise ValueError(f"Expected share between 0 and 1. Received: {share}.")
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
            "Expected training images of a class in two or more groups. Received: "
            f"{len(rows)} training images in {len(np.unique(units))} groups."
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
        "train", "val", "test", and "annotated" if training images have boxes; sorted.

    Raises:
        ValueError: If the table does not have what the protocol needs, or an argument
            is out of range.

    Examples:
        >>> table = Table([f"{i}.png" for i in range(10)], ("x",), [[1]] * 10)
        >>> lists = make_lists(table, "classification", fold=1)
        >>> {name: len(images) for name, images in lists.items()}
        {'train': 7, 'val': 1, 'test': 2}
    """
    check_choice("protocol", protocol, PROTOCOLS)
    folds = FOLDS if protocol in FOLDED else 1
    if fold not in range(folds):
        rule = f"Expected a fold of {protocol} from 0 to {folds - 1}"
        raise ValueError(f"{rule}. Received: {fold!r}.")
    if not 0 < val_share < 0.5:
        rule = "Expected val_share between 0 and 0.5"
        raise ValueError(f"{rule}. Received: {val_share}. Use 0.1 for a tenth.")
    draw = _Draw(table, fold, seed, val_share)
    if protocol in ("no-boxes", "localization") and not draw.annotated.any():
        raise ValueError(
            f"Expected images with boxes to test on by the protocol {protocol}. "
            f"Received: {len(table)} images, none with a box. Use another protocol."
        )
    splits = getattr(draw, protocol.replace("-", "_"))()
    lists = {name: draw.names[splits == name].tolist() for name in LISTED}
    empty = [name for name, images in lists.items() if not images]
    if empty:
        raise ValueError(
            f"Expected patients for every list of {protocol}. Received: too few "
            f"patients for {', '.join(empty)}. Add some, or raise val_share."
        )
    annotated = draw.names[(splits == "train") & draw.annotated]
    return lists | ({ANNOTATED: annotated.tolist()} if annotated.size else {})


class _Draw:
    """The table sorted by name, random choices of its images, and the protocols.

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
        # of patients who have an image with boxes
        self.with_boxes = np.isin(self.units, self.units[boxed])

    def official(self) -> np.ndarray:
        """Splits of the table, with some "train" images made "val"."""
        splits = self.table.splits
        missing = [name for name in ("train", "test") if name not in splits]
        if missing:
            raise ValueError(
                "Expected official splits. Received: a table without "
                f"{' and '.join(missing)} images. Put the lists beside the data."
            )
        check_disjoint(self.table)
        if "val" in splits:
            return splits
        text = "no official validation images: %g of training validates (seed %d)"
        logger.warning(text, self.val_share, self.seed)
        return np.where(splits == "train", self._split(splits == "train"), splits)

    def classification(self) -> np.ndarray:
        """Splits with a fifth of the images to test on."""
        test = self._test_fold(np.ones(len(self.names), bool), "patients")
        return np.where(test, "test", self._split(~test, 1 - 1 / FOLDS))

    def no_boxes(self) -> np.ndarray:
        """Splits with the annotated images to test on, patients without to train on."""
        patients = len(np.unique(self.units[~self.with_boxes]))
        if patients < 2:
            raise ValueError(
                "Expected two or more patients without boxes to train and validate on. "
                f"Received: {self.annotated.sum()} of {len(self.names)} images with "
                f"boxes, {patients} patients without any. Add images."
            )
        return np.where(self.annotated, "test", self._split(~self.with_boxes))

    def localization(self) -> np.ndarray:
        """Splits with a fifth of the annotated to test on, half of the rest in use."""
        annotated, kind = self.annotated, "patients who have an image with boxes"
        test = self._test_fold(self.with_boxes, kind)
        sides = self._split(~test)
        total = round(UNANNOTATED_SHARE * (~annotated).sum())
        val = round(self.val_share * total)
        order = np.random.default_rng((self.seed, 2)).permutation(len(annotated))
        splits = np.where(annotated, np.where(test, "test", sides), "")
        for name, count in (("val", val), ("train", total - val)):
            splits[order[(~annotated & (sides == name))[order]][:count]] = name
        return splits

    def _test_fold(self, images: np.ndarray, kind: str) -> np.ndarray:
        """Mask of the test fold among some images (masks over all), (n,)."""
        count = len(np.unique(self.units[images]))
        if count < FOLDS:
            raise ValueError(
                f"Expected {FOLDS} {kind}, or more, for {FOLDS} folds. Received: "
                f"{count} (of {len(images)} images). Add images, or use official."
            )
        rng = np.random.default_rng(self.seed)
        return self._deal(images, np.full(FOLDS, 1 / FOLDS), rng) == self.fold

    def _split(self, images: np.ndarray, of_all: float = 1) -> np.ndarray:
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
