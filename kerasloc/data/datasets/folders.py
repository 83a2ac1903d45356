"""Image-folder trees: ``train/CLASS/*.jpg``, ``test/CLASS/*.jpg``.

Boxes and masks come from an optional ``annotations.json`` in the root::

    {"settings": {...},
     "boxes": {"train/star/0001.png": [[x, y, w, h, "star"], ...], ...},
     "masks": {"train/star/0001.png": "masks/train/star/0001.png", ...}}

Paths are relative to the root with forward slashes; boxes are pixels of the image
after its EXIF rotation, (x, y) the upper left corner; a mask is nonzero where the
object is. ``settings`` describes the origin of the data and is not read.
"""

import collections
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from kerasloc.data.datasets.files import (
    EXTENSIONS,
    MASK_FOLDER,
    MASK_SUFFIX,
    PathLike,
    by_split,
    files_in,
    is_hidden,
    is_image,
)
from kerasloc.data.problems import listing, report_problems
from kerasloc.data.table import Table
from kerasloc.io import read_text

FOLDERS = ("train", "val", "test")
SHOWN_SUFFIXES = 8
ANNOTATIONS = "annotations.json"
SCHEME = """\
  ROOT/
    train/CLASS_A/*.jpg   train/CLASS_B/*.jpg
    test/CLASS_A/*.jpg    test/CLASS_B/*.jpg
    val/...               (optional)"""

logger = logging.getLogger(__name__)


def read_folders(root: PathLike, class_names: Iterable[str] | None = None) -> Table:
    """Read the images in ``train/CLASS``, ``test/CLASS`` and, if it exists, ``val``.

    The folders may have synonyms as names, in any case: training, valid, validation,
    dev, testing, ... One of them is enough. Images (``EXTENSIONS``, in any case) in
    folders below CLASS are its images, too, but those in ``masks``. Files are sorted,
    hidden ones are ignored; all others that are not read are counted in the log.

    Args:
        root: Folder that holds train, test or both.
        class_names: Classes in the order of the labels (those of a run, for its
            evaluation). None: the names of the class folders, sorted.

    Raises:
        ValueError: If the root is not such a tree, two folders are of the same split, a
            class folder holds no image, there is one class only, or the folders or
            ``class_names`` hold different ones.
    """
    root = Path(root)
    content = _visible(root) if root.is_dir() else []
    folders = by_split(filter(Path.is_dir, content))
    if not folders:
        received = f"{root}, which does not exist"
        if root.is_dir():
            listed = ", ".join(path.name for path in content[:10])
            received = f"{root} with {listed or 'nothing (an empty folder)'}"
        tables = [path for path in content if path.suffix.lower() == ".csv"]
        if tables:
            received += f" (a csv of labels is a dataset by itself: {tables[0]})"
        rule = "Expected the folder train or test"
        raise ValueError(f"{rule}. Received: {received}. Use the layout:\n{SCHEME}")
    boxes, masks = _read_annotations(root)
    used = {root / ANNOTATIONS, *(root / mask for mask in masks.values())}
    trees = {split: _files(_visible(path)) for split, path in folders.items()}
    images = {k: _images_by_class(folders[k], tree, used) for k, tree in trees.items()}
    by_folder = {folders[split]: classes for split, classes in images.items()}
    names = _common_classes(root, by_folder, class_names)
    rows = [
        (path, split, index)
        for split, classes in images.items()
        for index, name in enumerate(names)
        for path in classes[name]
    ]
    paths, splits, indices = zip(*rows, strict=True)
    trees["rest"] = _files(path for path in content if path not in folders.values())
    present = [path for tree in trees.values() for ps in tree.values() for path in ps]
    used |= set(paths)
    _report_unused(root, [path for path in present if path not in used])
    _report_doubtful(root, paths)
    relative = [path.relative_to(root).as_posix() for path in paths]
    absent = sorted({*boxes, *masks}.difference(relative))
    if absent:
        message = "%s has %d images without a file:\n%s"
        logger.warning(message, root / ANNOTATIONS, len(absent), listing(absent))
    return Table(
        list(map(str, paths)),
        names,
        np.eye(len(names))[list(indices)],
        _box_rows(root, boxes, relative, names),
        masks=[str(root / masks[i]) if i in masks else "" for i in relative],
        splits=splits,
    )


def _visible(folder: Path) -> list[Path]:
    """Sorted content of a folder without what is hidden."""
    return sorted(path for path in folder.iterdir() if not is_hidden(path.name))


def _files(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    """Files below each path, or the path itself if it is a file."""
    return {path: files_in(path) if path.is_dir() else [path] for path in paths}


def _images_by_class(
    folder: Path, tree: Mapping[Path, list[Path]], used: set[Path]
) -> dict[str, list[Path]]:
    """Sorted images of each class folder, none empty, without the ``used`` masks."""
    files = {path: below for path, below in tree.items() if path.is_dir()}
    if not files:
        raise ValueError(
            f"Expected one folder per class in {folder}. Received: no folder in it. "
            f"Use the layout:\n{SCHEME}"
        )
    classes = {
        folder: [
            path
            for path in below
            if is_image(path.name) and path not in used
            if MASK_FOLDER not in map(str.lower, path.relative_to(folder).parts[:-1])
        ]
        for folder, below in files.items()
    }
    empty = [
        f"{folder}, with {_count_suffixes(files[folder])}"
        for folder, images in classes.items()
        if not images
    ]
    rule = f"Expected images ({', '.join(EXTENSIONS)}) in every class folder"
    report_problems(empty, rule, remedy="Add images or remove the folder.")
    return {folder.name: images for folder, images in classes.items()}


def _count_suffixes(paths: Iterable[Path]) -> str:
    """Format the numbers of files of each suffix: "2 .txt, 1 without suffix"."""
    counts = collections.Counter(p.suffix.lower() or "without suffix" for p in paths)
    texts = [f"{n} {suffix}" for suffix, n in counts.most_common(SHOWN_SUFFIXES)]
    rest = counts.total() - sum(n for _, n in counts.most_common(SHOWN_SUFFIXES))
    return ", ".join(texts + [f"{rest} of others"] * (rest > 0)) or "no file"


def _by_folder(root: Path, paths: Iterable[Path]) -> list[str]:
    """Format the numbers of files of each folder and suffix."""
    folders = collections.defaultdict(list)
    for path in paths:
        folders[path.parent.relative_to(root).as_posix()].append(path)
    return [f"{name}: {_count_suffixes(below)}" for name, below in folders.items()]


def _report_unused(root: Path, paths: Sequence[Path]) -> None:
    """Log the numbers of the files that are not read."""
    if paths:
        message = "%s: %d files are not used, %s:\n%s"
        lines = listing(_by_folder(root, paths))
        logger.warning(message, root, len(paths), _count_suffixes(paths), lines)


def _report_doubtful(root: Path, paths: Sequence[Path]) -> None:
    """Log images in folders below a class, and copies or masks of others there."""
    deep = [path for path in paths if len(path.relative_to(root).parts) > 3]
    if deep:
        message = "%s: %d images in folders below a class folder are of its class:\n%s"
        logger.warning(message, root, len(deep), listing(_by_folder(root, deep)))
    by_name = collections.defaultdict(list)
    for path in paths:
        by_name[path.with_name(path.stem.removesuffix(MASK_SUFFIX))].append(path.name)
    same = [
        f"{name.parent.relative_to(root).as_posix()}: {', '.join(files)}"
        for name, files in by_name.items()
        if len(files) > 1
    ]
    if same:
        message = "%s: %d names belong to several images, which are all used:\n%s"
        logger.warning(message, root, len(same), listing(same))


def _common_classes(
    root: Path, images: Mapping[Path, Iterable[str]], class_names: Iterable[str] | None
) -> tuple[str, ...]:
    """The class names that all splits (and the caller) have in common."""
    sources = {str(folder): set(names) for folder, names in images.items()}
    if class_names is not None:
        class_names = tuple(class_names)
        sources["class_names"] = set(class_names)
    union = set().union(*sources.values())
    lacks = {source: sorted(union - names) for source, names in sources.items()}
    report_problems(
        [
            f"{source} lacks {', '.join(names)}"
            for source, names in lacks.items()
            if names
        ],
        "Expected the same classes in train, val and test (and class_names)",
        remedy="Add or remove these folders.",
    )
    if len(union) < 2:
        raise ValueError(
            f"Expected two or more classes. Received: one class, {union.pop()!r}, in "
            f"{root}. Add a folder of images without it."
        )
    return tuple(sorted(union)) if class_names is None else class_names


def _read_annotations(root: Path) -> tuple[dict, dict]:
    """Boxes and mask of each image of ``annotations.json``, none without it."""
    file = root / ANNOTATIONS
    if not file.is_file():
        return {}, {}
    text = read_text(file)
    try:
        content = json.loads(text)
        return dict(content.get("boxes", {})), dict(content.get("masks", {}))
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"Expected a json object with boxes and masks in {file}. Received: {error}."
            " Repair the file."
        ) from error


def _box_rows(
    root: Path, boxes: Mapping, images: Sequence[str], names: Sequence[str]
) -> list[tuple]:
    """Box rows, (m, 6)."""
    pairs = [(row, box) for row, i in enumerate(images) for box in boxes.get(i, ())]
    report_problems(
        [
            f"{images[row]}: {box}"
            for row, box in pairs
            if not isinstance(box, list) or len(box) != 5 or box[4] not in names
        ],
        f"Expected boxes [x, y, w, h, class of {', '.join(names)}] in "
        f"{root / ANNOTATIONS}",
        remedy="Fix them.",
    )
    return [(row, *box[:4], names.index(box[4])) for row, box in pairs]
