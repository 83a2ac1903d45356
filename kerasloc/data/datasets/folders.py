"""Table of an image-folder tree: ``train/CLASS/*.jpg``, ``test/CLASS/*.jpg``.

Boxes and masks come from an optional ``annotations.json`` in the root::

    {"settings": {...},
     "boxes": {"train/star/0001.png": [[x, y, w, h, "star"], ...], ...},
     "masks": {"train/star/0001.png": "masks/train/star/0001.png", ...}}

Paths are relative to the root with forward slashes; boxes are pixels of the image
after its EXIF rotation, (x, y) the upper left corner; a mask is nonzero where the
object is. ``settings`` is whatever its maker wants to remember.
"""

import json
import logging
from pathlib import Path

import numpy as np

from kerasloc.data.problems import listing
from kerasloc.data.table import Table

EXTENSIONS = (".jpeg", ".jpg", ".png", ".bmp", ".gif")
FOLDERS = ("train", "val", "test")
ANNOTATIONS = "annotations.json"
SCHEME = """\
  ROOT/
    train/CLASS_A/*.jpg   train/CLASS_B/*.jpg
    test/CLASS_A/*.jpg    test/CLASS_B/*.jpg
    val/...               (optional)"""

logger = logging.getLogger(__name__)


def read_folders(root, class_names=None) -> Table:
    """Table of the images in ``train/CLASS``, ``test/CLASS`` and, if there, ``val``.

    Files are sorted; hidden ones and those of other kinds than .jpg, .jpeg, .png,
    .bmp and .gif (any case) are passed over. One of the folders is enough.

    Args:
        root: Folder that holds train, test or both.
        class_names: Classes in the order that labels are to have (the ones of a run,
            for its evaluation). None: the names of the class folders, sorted.

    Raises:
        ValueError: If the root is not such a tree, a class folder holds no image, there
            is one class only, or train, val and test (or ``class_names``) hold
            different classes.
    """
    root = Path(root)
    found = {
        split: _images_by_class(root / split)
        for split in FOLDERS
        if (root / split).is_dir()
    }
    if not found:
        raise ValueError(f"{_what_came(root)} Expected is:\n{SCHEME}")
    names = _agreed_classes(root, found, class_names)
    paths, splits, indices = [], [], []
    for split, classes in found.items():
        for index, name in enumerate(names):
            paths += classes[name]
            splits += [split] * len(classes[name])
            indices += [index] * len(classes[name])
    boxes, masks = _annotations(root, paths, names)
    return Table(
        paths=np.array([str(path) for path in paths]),
        class_names=names,
        labels=np.eye(len(names), dtype=np.float32)[indices],
        boxes=boxes,
        masks=masks,
        splits=np.array(splits),
    )


def _what_came(root: Path) -> str:
    """Why the root is no tree of image folders."""
    if not root.is_dir():
        return f"The root of the images is a folder. Received: {root}, which is none."
    content = sorted(p.name for p in root.iterdir() if not p.name.startswith("."))
    seen = ", ".join(content[:10]) if content else "nothing (an empty folder)"
    return f"The root holds the folder train or test. Received: {root} with {seen}."


def _images_by_class(folder: Path) -> dict[str, list[Path]]:
    """Sorted images of each class folder, none empty."""
    classes = {
        path.name: sorted(p for p in path.iterdir() if _is_image(p))
        for path in sorted(folder.iterdir())
        if path.is_dir() and not path.name.startswith(".")
    }
    if not classes:
        raise ValueError(
            f"{folder} holds one folder per class. Received: no folder in it. "
            f"Expected is:\n{SCHEME}"
        )
    empty = [str(folder / name) for name, images in classes.items() if not images]
    if empty:
        raise ValueError(
            f"Every class folder holds images ({', '.join(EXTENSIONS)}). Received: "
            f"none in\n{listing(empty)}\nAdd images or remove the folder."
        )
    return classes


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")


def _agreed_classes(root: Path, found: dict, class_names) -> tuple[str, ...]:
    """The class names that all splits (and the caller) agree on."""
    lists = {str(root / split): set(classes) for split, classes in found.items()}
    if class_names is not None:
        lists["class_names"] = set(class_names)
    union = set().union(*lists.values())
    missing = [
        f"{where} lacks {', '.join(sorted(union - names))}"
        for where, names in lists.items()
        if names != union
    ]
    if missing:
        raise ValueError(
            "Train, val and test (and the run's class names) hold the same classes. "
            f"Received: different ones:\n{listing(missing)}"
        )
    if len(union) < 2:
        raise ValueError(
            "Telling classes apart needs two or more. Received: one class, "
            f"{union.pop()!r}, in {root}. Add a folder of images without it."
        )
    return tuple(sorted(union) if class_names is None else class_names)


def _annotations(root: Path, paths, names):
    """Box rows (m, 6) and mask paths (n,) of ``annotations.json``, None without it."""
    file = root / ANNOTATIONS
    if not file.is_file():
        return None, None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        boxes, masks = content.get("boxes", {}), content.get("masks", {})
    except (json.JSONDecodeError, AttributeError) as error:
        raise ValueError(
            f"{file} is a JSON object with boxes and masks. Received: {error}."
        ) from error
    known = {path.relative_to(root).as_posix(): row for row, path in enumerate(paths)}
    strange = sorted((set(boxes) | set(masks)) - set(known))
    if strange:
        logger.warning(
            "%s speaks of %d images that are not there:\n%s",
            file,
            len(strange),
            listing(strange),
        )
    rows = [
        (known[image], *_box(file, image, box, names))
        for image, image_boxes in boxes.items()
        if image in known
        for box in image_boxes
    ]
    rows.sort(key=lambda row: row[0])
    return rows, np.array([str(root / masks[i]) if i in masks else "" for i in known])


def _box(file: Path, image: str, box, names) -> tuple:
    """x, y, w, h and the class index of a box ``[x, y, w, h, class name]``."""
    if len(box) != 5 or box[4] not in names:
        raise ValueError(
            f"A box in {file} is [x, y, w, h, class name] with a class of the folders "
            f"({', '.join(names)}). Received: {box} for {image}."
        )
    return (*box[:4], names.index(box[4]))
