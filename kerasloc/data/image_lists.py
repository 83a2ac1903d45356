"""Lists of images: read from files, written to files, and applied to a table.

A list is a text file with one image name per line, ``train``, ``val``, ``test`` (or
their synonyms, such as ``Validation.txt``) and ``annotated``: the training images whose
boxes are used in training; also in the folders of the release of HAM,
``Main/train.txt`` ... and ``bbox/*.txt`` (annotated).

Reference:
    Ouyang et al., Learning hierarchical attention for weakly-supervised chest X-ray
    abnormality localization and diagnosis, IEEE TMI 40(10), 2021.
"""

import collections
import dataclasses
import logging
import os
import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from kerasloc.data.problems import (
    check_choice,
    check_on_error,
    listing,
    report_problems,
)
from kerasloc.data.table import Table, split_of
from kerasloc.io import read_text, write_text

LISTED = ("train", "val", "test")  # an image is on at most one of them
ANNOTATED = "annotated"
LISTS = (*LISTED, ANNOTATED)
EXAMPLES = "train.txt, Main/train.txt, val.txt, test.txt, annotated.txt, bbox/*.txt"

PathLike = str | os.PathLike[str]
Lists = Mapping[str, Iterable[str]]

logger = logging.getLogger(__name__)


def read_lists(folder: PathLike) -> dict[str, list[str]]:
    """Read the names of the images on each list of a folder, in their order.

    Blank lines do not count, nor do repeated names of a list. Text files that are no
    list are named in the log.

    Raises:
        ValueError: If there is no list, two files for one, no training image, an empty
            list "annotated", or an image on two of train, val and test.
    """
    folder = Path(folder)
    files = _find_files(folder)
    if not files:
        below = sorted(path.name for path in folder.glob("*/") if _find_files(path))
        advice = f"Name one of {', '.join(below)} in it. " if below else ""
        raise ValueError(
            f"Expected lists, such as {EXAMPLES}. Received: "
            f"{folder}, without any. {advice}Use utils/make_splits.py to make them."
        )
    for name in LISTED:
        doubles = [str(path) for path in files.get(name, ()) if len(files[name]) > 1]
        rule = f"Expected one file for the list {name}"
        report_problems(doubles, rule, remedy="Remove all but one.")
    unused = sorted({*_texts(folder)}.difference(*files.values()))
    if unused:
        message = "%d text files are no list of images and not used:\n%s"
        logger.warning(message, len(unused), listing(map(str, unused)))
    lists = {}
    for name, paths in files.items():
        texts = "\n".join(read_text(path) for path in paths)
        names = map(str.strip, texts.split("\n"))
        lists[name] = list(dict.fromkeys(filter(None, names)))
    _check_lists(lists, str(folder))
    return lists


def write_lists(folder: PathLike, lists: Lists) -> None:
    """Write each list to ``NAME.txt`` in a folder, sorted, one name per line.

    Existing files stay if they have the same content; otherwise nothing is written.

    Args:
        folder: Folder, made if it does not exist.
        lists: Image names by "train", "val", "test" and "annotated".

    Raises:
        ValueError: If the folder holds other lists, or ``lists`` are not valid.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_lists(folder, {"train": ["b.png", "a.png"], "test": ["c.png"]})
        ...     read_lists(folder)
        {'train': ['a.png', 'b.png'], 'test': ['c.png']}
    """
    folder = Path(folder)
    _check_lists(lists, "the lists")
    names = sorted({name for images in lists.values() for name in images})
    invalid = [repr(n) for n in names if n != n.strip() or "\n" in n or not n]
    rule = "Expected image names without blanks at their ends or line breaks"
    report_problems(invalid, rule, remedy="Rename the files.")
    texts = {
        folder / f"{name}.txt": "".join(f"{image}\n" for image in sorted(set(images)))
        for name, images in lists.items()
    }
    existing = [path for paths in _find_files(folder).values() for path in paths]
    conflicting = [str(p) for p in existing if read_text(p) != texts.get(p)]
    rule = f"Expected no other lists in {folder}, as they are not overwritten"
    report_problems(conflicting, rule, remedy="Remove these, or use another folder.")
    for path in sorted(set(texts) - set(existing)):
        write_text(path, texts[path])


def apply_lists(table: Table, lists: Lists, on_error: str = "raise") -> Table:
    """Set the splits of a table by lists; images on none of them have "".

    With a list "annotated", training images that are not on it lose their boxes.
    Validation and test images keep theirs for the evaluation.

    Args:
        table: The data; its splits are replaced.
        lists: Image names by "train", "val", "test" and "annotated". A name is that of
            a file or any end of its path, such as ``patient1/study1/view1.jpg``.
        on_error: "raise", or "skip" (with a warning) names that the table lacks.

    Raises:
        ValueError: If the lists are not valid (see ``read_lists``), or a name matches
            no image, several images, or an image that another list has.

    Examples:
        >>> table = Table(["x/a.png", "x/b.png"], ("cat",), [[1], [0]])
        >>> lists = {"train": ["b.png"], "test": ["x/a.png"]}
        >>> apply_lists(table, lists).splits.tolist()
        ['test', 'train']
    """
    check_on_error(on_error)
    _check_lists(lists, "the lists")
    rows = _match_rows(table, lists, on_error)
    for name in ("train", ANNOTATED):
        if name in rows and not rows[name].size:
            raise ValueError(
                f'Expected images of the table on the list "{name}". Received: '
                f"{len(list(lists[name]))} unknown names. Use lists of this dataset."
            )
    splits = np.full(len(table), "", "<U5")
    rule = "Expected an image on one list only, by whatever name"
    for name in LISTED:
        listed = rows.get(name, np.zeros(0, int))
        double = listed[splits[listed] != ""]
        problems = [f"{table.paths[row]}: {splits[row]}, {name}" for row in double]
        report_problems(problems, rule, remedy="Remove it from the other.")
        splits[listed] = name
    if ANNOTATED not in rows:
        return dataclasses.replace(table, splits=splits)
    annotated = np.isin(np.arange(len(table)), rows[ANNOTATED])
    without = annotated & (splits == "train") & ~has_boxes(table)
    if without.any():
        message = "%d training images on the list annotated have no boxes:\n%s"
        logger.warning(message, without.sum(), listing(table.paths[without], 3))
    return _without_boxes(table, (splits == "train") & ~annotated, splits)


def keep_boxes(table: Table, share: float, seed: int = 0) -> Table:
    """Keep the boxes of only a share of the training images that have some.

    Validation and test images keep theirs. A smaller share of the same seed is a subset
    of a larger one; the order of the rows does not matter.

    Args:
        table: The data.
        share: Share of the images, 0 (none) to 1 (all); above 0, at least one image.
        seed: Seed of the choice.

    Raises:
        ValueError: If the share is outside [0, 1].

    Examples:
        >>> boxes = [[i, 0, 0, 5, 5, 0] for i in range(4)]
        >>> splits = ["train"] * 4
        >>> table = Table(list("abcd"), ("cat",), [[1]] * 4, boxes, splits=splits)
        >>> len(keep_boxes(table, 0.5).boxes)
        2
    """
    if not 0 <= share <= 1:
        raise ValueError(f"Expected share in [0, 1]. Received: {share}.")
    rows = np.flatnonzero(has_boxes(table) & (table.splits == "train"))
    rows = rows[np.argsort(image_names(table)[rows])]
    count = max(round(share * len(rows)), int(share > 0))
    lost = np.zeros(len(table), bool)
    lost[np.random.default_rng(seed).permutation(rows)[count:]] = True
    return _without_boxes(table, lost, table.splits)


def has_boxes(table: Table) -> np.ndarray:
    """Mask of the images of a table with boxes, boolean (n,)."""
    return np.isin(np.arange(len(table)), table.boxes[:, 0].astype(int))


def image_names(table: Table) -> np.ndarray:
    """Shortest names that distinguish all images, (n,) str.

    File names, or with as many of their folders, the same for all, as it takes.

    Raises:
        ValueError: If two images have the same path.

    Examples:
        >>> table = Table(["x/p1/a.png", "x/p2/a.png"], ("cat",), [[1], [0]])
        >>> image_names(table).tolist()
        ['p1/a.png', 'p2/a.png']
    """
    split = [_split_path(path) for path in table.paths]
    for depth in range(1, max(map(len, split), default=0) + 1):
        names = ["/".join(words[-depth:]) for words in split]
        if len(set(names)) == len(names):
            return np.array(names, str)
    paths, counts = np.unique(table.paths, return_counts=True)
    rule = "Expected a different path for every image of the table"
    report_problems(paths[counts > 1], rule, remedy="Remove the other rows.")
    return np.zeros(0, str)


def _check_lists(lists: Lists, source: str) -> None:
    """Raise unless lists, called ``source``, are complete and disjoint."""
    for name in lists:
        check_choice("lists", name, LISTS)
    if not lists.get("train"):
        only = f"only {', '.join(lists)}" if lists else "none"
        received = "an empty one" if "train" in lists else only
        raise ValueError(
            f'Expected a list "train" with images. Received: {received} in {source}. '
            "Write it, one image name per line."
        )
    if ANNOTATED in lists and not lists[ANNOTATED]:
        raise ValueError(
            f'Expected images on the list "annotated". Received: an empty one in '
            f"{source}. Remove it to train on all boxes; --box-share 0 trains on none."
        )
    on: dict[str, list[str]] = {}
    for name in LISTED:
        for image in dict.fromkeys(lists.get(name, ())):
            on.setdefault(image, []).append(name)
    repeated = [f"{i}: {', '.join(names)}" for i, names in on.items() if names[1:]]
    rule = f"Expected an image of {source} on only one of {', '.join(LISTED)}"
    report_problems(repeated, rule, remedy="Remove it from the others.")


def _texts(folder: Path) -> list[Path]:
    """The text files in a folder and in HAM's folders below it, sorted."""
    folders = filter(Path.is_dir, (folder, folder / "Main", folder / "bbox"))
    paths = [path for parent in folders for path in sorted(parent.iterdir())]
    return [p for p in paths if p.suffix.lower() == ".txt" and p.name[0] != "."]


def _find_files(folder: Path) -> dict[str, list[Path]]:
    """The files of each list that exists."""
    files: dict[str, list[Path]] = {name: [] for name in LISTS}
    for path in _texts(folder):
        boxed = path.parent != folder and path.parent.name == "bbox"
        annotated = boxed or path.stem.lower() == ANNOTATED
        name = ANNOTATED if annotated else split_of(path.stem)
        if name:
            files[name].append(path)
    return {name: paths for name, paths in files.items() if paths}


def _split_path(path: str) -> tuple[str, ...]:
    """Folders and file name of a path."""
    return tuple(posixpath.normpath(str(path).replace(os.sep, "/")).split("/"))


def _match_rows(table: Table, lists: Lists, on_error: str) -> dict[str, np.ndarray]:
    """Rows of the images on each list, by any end of their paths."""
    ends = {name: _split_path(name) for images in lists.values() for name in images}
    rows_by_end = collections.defaultdict(set)
    depths = {len(end) for end in ends.values()}
    for row, path in enumerate(map(_split_path, table.paths)):
        for depth in depths:
            rows_by_end[path[-depth:]].add(row)
    rows = {name: sorted(rows_by_end.get(end, ())) for name, end in ends.items()}
    report_problems(
        [f"{n}: {', '.join(table.paths[r])}" for n, r in rows.items() if len(r) > 1],
        "Expected a name on a list to match one image",
        remedy="Write more of its path: patient1/view1.jpg, not view1.jpg.",
    )
    absent = [f"{i} ({name})" for name in lists for i in lists[name] if not rows[i]]
    report_problems(absent, "Expected the images on a list in the table", on_error)
    return {
        name: np.unique([row for image in images for row in rows[image]]).astype(int)
        for name, images in lists.items()
    }


def _without_boxes(table: Table, images: np.ndarray, splits: np.ndarray) -> Table:
    """The table with splits, and without the boxes of some images, boolean (n,)."""
    boxes = table.boxes[~images[table.boxes[:, 0].astype(int)]]
    return dataclasses.replace(table, boxes=boxes, splits=splits)
