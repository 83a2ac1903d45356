"""Image-folder trees: ``train/CLASS/*.jpg``, ``test/CLASS/*.jpg``.

Boxes and masks come from an optional ``annotations.json`` in the root::

    {"settings": {...},
     "boxes": {"train/star/0001.png": [[x, y, w, h, "star"], ...], ...},
     "masks": {"train/star/0001.png": "masks/train/star/0001.png", ...}}

Paths are relative to the root with forward slashes; boxes are pixels of the image
after its EXIF rotation, (x, y) the upper left corner; a mask is nonzero where the
object is. ``settings`` describes the origin of the data and is not read.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from kerasloc.data.datasets.files import EXTENSIONS, PathLike, is_image
from kerasloc.data.problems import listing, report_problems
from kerasloc.data.table import Table
from kerasloc.io import read_text

FOLDERS = ("train", "val", "test")
ANNOTATIONS = "annotations.json"
SCHEME = """\
  ROOT/
    train/CLASS_A/*.jpg   train/CLASS_B/*.jpg
    test/CLASS_A/*.jpg    test/CLASS_B/*.jpg
    val/...               (optional)"""

logger = logging.getLogger(__name__)


def read_folders(root: PathLike, class_names: Iterable[str] | None = None) -> Table:
    """Read the images in ``train/CLASS``, ``test/CLASS`` and, if it exists, ``val``.

    Files are sorted; hidden ones and other types than .jpg, .jpeg, .png, .bmp and .gif
    (any case) are skipped. One of the folders is enough.

    Args:
        root: Folder that holds train, test or both.
        class_names: Classes in the order of the labels (those of a run, for its
            evaluation). None: the names of the class folders, sorted.

    Raises:
        ValueError: If the root is not such a tree, a class folder holds no image, there
            is one class only, or the folders or ``class_names`` hold different ones.
    """
    root = Path(root)
    existing = [split for split in FOLDERS if (root / split).is_dir()]
    images = {split: _images_by_class(root / split) for split in existing}
    if not images:
        received = f"{root}, which does not exist"
        if root.is_dir():
            content = sorted(p.name for p in root.glob("[!.]*"))[:10]
            received = (
                f"{root} with {', '.join(content) or 'nothing (an empty folder)'}"
            )
        rule = "Expected the folder train or test"
        raise ValueError(f"{rule}. Received: {received}. Use the layout:\n{SCHEME}")
    names = _common_classes(root, images, class_names)
    rows = [
        (path, split, index)
        for split, classes in images.items()
        for index, name in enumerate(names)
        for path in classes[name]
    ]
    paths, splits, indices = zip(*rows, strict=True)
    boxes, masks = _read_annotations(root, paths, names)
    labels = np.eye(len(names))[list(indices)]
    return Table(
        list(map(str, paths)), names, labels, boxes, masks=masks, splits=splits
    )


def _images_by_class(folder: Path) -> dict[str, list[Path]]:
    """Sorted images of each class folder, none empty."""
    classes = {
        path.name: sorted(p for p in path.iterdir() if is_image(p.name))
        for path in sorted(folder.iterdir())
        if path.is_dir() and not path.name.startswith(".")
    }
    if not classes:
        raise ValueError(
            f"Expected one folder per class in {folder}. Received: no folder in it. "
            f"Use the layout:\n{SCHEME}"
        )
    empty = [str(folder / name) for name, images in classes.items() if not images]
    rule = f"Expected images ({', '.join(EXTENSIONS)}) in every class folder"
    report_problems(empty, rule, remedy="Add images or remove the folder.")
    return classes


def _common_classes(
    root: Path, images: Mapping[str, Iterable[str]], class_names: Iterable[str] | None
) -> tuple[str, ...]:
    """The class names that all splits (and the caller) have in common."""
    sources = {str(root / split): set(names) for split, names in images.items()}
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


def _read_annotations(root: Path, paths: Sequence[Path], names: Sequence[str]):
    """Box rows (m, 6) and mask paths (n,) of ``annotations.json``, None without it."""
    file = root / ANNOTATIONS
    if not file.is_file():
        return None, None
    try:
        content = json.loads(read_text(file))
        boxes, masks = content.get("boxes", {}), content.get("masks", {})
    except (json.JSONDecodeError, AttributeError) as error:
        raise ValueError(
            f"Expected a json object with boxes and masks in {file}. Received: {error}."
            " Repair the file."
        ) from error
    rows = {path.relative_to(root).as_posix(): row for row, path in enumerate(paths)}
    absent = sorted((set(boxes) | set(masks)) - set(rows))
    if absent:
        message = "%s has %d images without a file:\n%s"
        logger.warning(message, file, len(absent), listing(absent))
    pairs = [(image, box) for image in rows for box in boxes.get(image, ())]
    report_problems(
        [f"{i}: {box}" for i, box in pairs if len(box) != 5 or box[4] not in names],
        f"Expected boxes [x, y, w, h, class of {', '.join(names)}] in {file}",
        remedy="Fix them.",
    )
    box_rows = [(rows[i], *box[:4], names.index(box[4])) for i, box in pairs]
    return box_rows, [str(root / masks[i]) if i in masks else "" for i in rows]
