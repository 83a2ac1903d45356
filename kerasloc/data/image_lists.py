"""Lists of images: read from files, written to files, and put on a table.

A list is a text file with one image name a line. There are ``train``, ``val``, ``test``
and ``annotated``: the training images whose boxes are learned from. Read are, below a
folder, ``train.txt``, ``val.txt`` (or ``valid.txt``), ``test.txt``, ``annotated.txt``,
and those of the release of HAM: ``Main/train.txt``, ``Main/val.txt``, ``Main/test.txt``
and ``bbox/*.txt``, every one of which names annotated images.

Reference:
    Ouyang et al., Learning hierarchical attention for weakly-supervised chest X-ray
    abnormality localization and diagnosis, IEEE TMI 40(10), 2021.
"""

import collections
import dataclasses
import logging
import os
import posixpath
from pathlib import Path

import numpy as np

from kerasloc.data.problems import check_on_error, complain, listing
from kerasloc.data.table import Table

LISTED = ("train", "val", "test")  # an image is on one of them at most
ANNOTATED = "annotated"
PLACES = {
    "train": ("train.txt", "Main/train.txt"),
    "val": ("val.txt", "valid.txt", "Main/val.txt", "Main/valid.txt"),
    "test": ("test.txt", "Main/test.txt"),
    ANNOTATED: ("annotated.txt", "bbox/*.txt"),
}

logger = logging.getLogger(__name__)


def read_lists(folder) -> dict[str, list[str]]:
    """Names of the images on each list of a folder, in the order of the files.

    Args:
        folder: Where the files above lie. Blank lines are passed over; a name that is
            twice on one list counts once.

    Returns:
        "train", and those of "val", "test" and "annotated" that are there.

    Raises:
        ValueError: If there is no list, two files for one, no training image, an empty
            list "annotated", or an image on two of train, val and test.
    """
    folder = Path(folder)
    files = _files(folder)
    if not files:
        below = sorted(path.name for path in folder.glob("*/") if _files(path))
        way_out = f"Name one of {', '.join(below)} in it. " if below else ""
        raise ValueError(
            f"Lists of images are {', '.join(sum(PLACES.values(), ()))} in a folder. "
            f"Received: {folder}, which has none. {way_out}"
            "utils/make_splits.py makes some."
        )
    for name in LISTED:
        if len(files.get(name, ())) > 1:
            raise ValueError(
                f"The list {name} is one file. Received: "
                f"{', '.join(map(str, files[name]))}. Remove all but one."
            )
    lists = {
        name: list(dict.fromkeys(line for path in paths for line in _lines(path)))
        for name, paths in files.items()
    }
    check_lists(lists, str(folder))
    return lists


def write_lists(folder, lists) -> None:
    """Write each list to ``NAME.txt`` in a folder, sorted, one name a line.

    What is there already stays if it says the same; otherwise nothing is written.

    Args:
        folder: Made if need be.
        lists: Image names by "train", "val", "test" and "annotated".

    Raises:
        ValueError: If the folder holds other lists, or ``lists`` are none that could
            be read again.
    """
    folder = Path(folder)
    check_lists(lists, "the lists")
    names = sorted({name for named in lists.values() for name in named})
    odd = [repr(name) for name in names if name != name.strip() or "\n" in name]
    rule = "Image names on a list have no blanks at their ends and no line breaks"
    complain(odd + ["''"] * ("" in names), rule, way_out="Rename the files.")
    texts = {
        folder / f"{name}.txt": "".join(f"{image}\n" for image in sorted(set(named)))
        for name, named in lists.items()
    }
    there = [path for paths in _files(folder).values() for path in paths]
    others = [
        str(path)
        for path in there
        if path not in texts or path.read_text(encoding="utf-8") != texts[path]
    ]
    rule = f"{folder}: lists that say something else are not overwritten"
    complain(others, rule, way_out="Remove these, or name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(set(texts) - set(there)):
        partial = path.with_name(f"{path.name}.part")
        partial.write_text(texts[path], encoding="utf-8", newline="\n")
        os.replace(partial, path)


def apply_lists(table: Table, lists, on_error: str = "raise") -> Table:
    """The table with the splits of the lists; images on none of them have "".

    With a list "annotated", training images that are not on it lose their boxes.
    Validation and test images keep theirs: they are measured, not learned from.

    Args:
        table: The data; the splits it has are forgotten.
        lists: Image names by "train", "val", "test" and "annotated". A name is that of
            a file or any end of its path, such as ``patient1/study1/view1.jpg``.
        on_error: "raise", or "skip" to pass over, with a warning, names that the table
            does not have.

    Raises:
        ValueError: If the lists are none (see ``read_lists``), or a name fits no image,
            several images, or an image that another list has.
    """
    check_on_error(on_error)
    check_lists(lists, "the lists")
    rows = _rows(table, lists, on_error)
    for name in ("train", ANNOTATED):
        if name in rows and not rows[name].size:
            raise ValueError(
                f'The list "{name}" names images of the table. Received: none of '
                f"{len(lists[name])} is there. Are these the lists of other data?"
            )
    splits = np.full(len(table), "", "<U5")
    for name in LISTED:
        chosen = rows.get(name, np.zeros(0, int))
        twice = chosen[splits[chosen] != ""]
        complain(
            [f"{table.paths[row]}: {splits[row]}, {name}" for row in twice],
            "An image is on one list only, by whatever name",
            way_out="Take it off the other.",
        )
        splits[chosen] = name
    if ANNOTATED not in rows:
        return dataclasses.replace(table, splits=splits)
    learned = np.isin(np.arange(len(table)), rows[ANNOTATED])
    silent = learned & (splits == "train") & ~has_boxes(table)
    if silent.any():
        logger.warning(
            "%d training images on the list annotated have no boxes:\n%s",
            silent.sum(),
            listing(table.paths[silent], 3),
        )
    return _without_boxes(table, (splits == "train") & ~learned, splits)


def keep_boxes(table: Table, share: float, seed: int = 0) -> Table:
    """The table with the boxes of only a share of its training images that have some.

    Validation and test images keep theirs. A smaller share of the same seed is a part
    of a larger one; the order of the rows does not matter.

    Args:
        table: The data.
        share: Between 0 (none) and 1 (all), of the images; above 0, one at least.
        seed: Whatever decides which images.

    Raises:
        ValueError: If the share is outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(
            "The share of training images that keep their boxes lies in [0, 1]. "
            f"Received: {share}. Say 0.5 for half of them."
        )
    rows = np.flatnonzero(has_boxes(table) & (table.splits == "train"))
    rows = rows[np.argsort(image_names(table)[rows])]
    count = max(round(share * len(rows)), int(share > 0))
    lost = np.zeros(len(table), bool)
    lost[np.random.default_rng(seed).permutation(rows)[count:]] = True
    return _without_boxes(table, lost, table.splits)


def has_boxes(table: Table) -> np.ndarray:
    """Whether each image has a box, boolean (n,)."""
    return np.isin(np.arange(len(table)), table.boxes[:, 0].astype(int))


def image_names(table: Table) -> np.ndarray:
    """Shortest names that tell all images apart, (n,) str.

    File names, or as many folders more, for all of them, as it takes.

    Raises:
        ValueError: If two images have the same path.
    """
    parts = [_parts(path) for path in table.paths]
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(words[-depth:]) for words in parts]
        if len(set(names)) == len(names):
            return np.array(names, str)
    counts = collections.Counter(table.paths.tolist())
    twice = [path for path, count in counts.items() if count > 1]
    rule = "Every image of the table has a path of its own"
    complain(twice, rule, way_out="Remove the other rows.")
    return np.zeros(0, str)


def check_lists(lists, source: str) -> None:
    """Make sure that lists fit together.

    Args:
        lists: Image names by list.
        source: What messages call them.

    Raises:
        ValueError: If not; says what is wrong.
    """
    strange = [name for name in lists if name not in PLACES]
    if strange:
        raise ValueError(
            f"Lists are {', '.join(PLACES)}. Received: {', '.join(map(str, strange))}."
        )
    if not lists.get("train"):
        only = f"only {', '.join(lists)}" if lists else "none"
        what = "an empty one" if "train" in lists else only
        raise ValueError(
            f'The list "train" names images. Received: {what} in {source}. '
            "Write it, one image name a line."
        )
    if ANNOTATED in lists and not lists[ANNOTATED]:
        raise ValueError(
            'The list "annotated" names the training images whose boxes are learned '
            f"from. Received: an empty one in {source}. Remove it to learn from all "
            "boxes of the training images, or train with --box-share 0 from labels "
            "alone."
        )
    where = collections.defaultdict(list)
    for name in LISTED:
        for image in dict.fromkeys(lists.get(name, ())):
            where[image].append(name)
    twice = [f"{i}: {', '.join(on)}" for i, on in where.items() if len(on) > 1]
    rule = f"{source}: an image is on one of {', '.join(LISTED)}"
    complain(twice, rule, way_out="Take it off the others.")


def _files(folder: Path) -> dict[str, list[Path]]:
    """The files of each list that is there."""
    found = {
        name: [path for place in places for path in sorted(folder.glob(place))]
        for name, places in PLACES.items()
    }
    return {name: paths for name, paths in found.items() if paths}


def _lines(path: Path) -> list[str]:
    """The names in a file."""
    with path.open(encoding="utf-8-sig") as file:
        return [name for line in file if (name := line.strip())]


def _parts(path: str) -> tuple[str, ...]:
    """Folders and file name of a path."""
    return tuple(posixpath.normpath(str(path).replace(os.sep, "/")).split("/"))


def _rows(table: Table, lists, on_error: str) -> dict[str, np.ndarray]:
    """Rows of the images on each list."""
    paths = [_parts(path) for path in table.paths]
    wanted = {name: _parts(name) for named in lists.values() for name in named}
    known = {}
    for depth in sorted({len(parts) for parts in wanted.values()}):
        for row, parts in enumerate(paths):
            known.setdefault(parts[-depth:], []).append(row)
    found = {name: known.get(parts, []) for name, parts in wanted.items()}
    several = {name: sorted(set(rows)) for name, rows in found.items()}
    several = {name: rows for name, rows in several.items() if len(rows) > 1}
    complain(
        [f"{name}: {', '.join(table.paths[rows])}" for name, rows in several.items()],
        "A name on a list is that of one image",
        way_out="Say more of its path: patient1/view1.jpg, not view1.jpg.",
    )
    complain(
        [
            f"{image} ({name})"
            for name, named in lists.items()
            for image in named
            if not found[image]
        ],
        "Images on a list are in the table",
        on_error,
        'Take them off, or pass over them with on_error="skip".',
    )
    return {
        name: np.unique([found[image][0] for image in named if found[image]]).astype(
            int
        )
        for name, named in lists.items()
    }


def _without_boxes(table: Table, images, splits) -> Table:
    """The table with splits, and without the boxes of some images, boolean (n,)."""
    boxes = table.boxes[~images[table.boxes[:, 0].astype(int)]]
    return dataclasses.replace(table, boxes=boxes, splits=splits)
