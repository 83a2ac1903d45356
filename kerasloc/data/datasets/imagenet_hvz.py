"""ImagenetHVZ: horses against zebras, with masks of some images.

Files below the root: ``data.csv`` (columns ``imageID`` and ``label``),
``images/LABEL/`` and, optionally, ``masks/LABEL/*_mask.JPEG``.

Reference:
    Rio-Torto, Fernandes, Teixeira: Understanding the decisions of CNNs: an in-model
    approach, Pattern Recognition Letters 133, 2020.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from kerasloc.data.datasets import files, reading
from kerasloc.data.datasets.files import PathLike, normalize
from kerasloc.data.problems import check_on_error, listing, report_problems
from kerasloc.data.table import Table

TABLE = "data.csv"
IMAGE, LABEL = "imageID", "label"
TEST_SHARE = 0.149
VAL_SHARE = 0.2  # of the images that are not for the test
SEED = 6

logger = logging.getLogger(__name__)


def read_imagenet_hvz(
    root: PathLike, image_dir: PathLike | None = None, *, on_error: str = "raise"
) -> Table:
    """Read ImagenetHVZ, or any folder in its layout.

    The split is made here, by class, from the rows of ``data.csv`` in their order: 14.9
    % "test", of the others 20 % "val", seed 6.

    Args:
        root: Folder with data.csv, images and masks.
        image_dir: Folder of the label folders. None: ``images``.
        on_error: "raise", or "skip" (with a warning) images without a file or a label.

    Raises:
        ValueError: If files are missing or invalid; lists the problems.
    """
    check_on_error(on_error)
    root = Path(root)
    images = root / "images" if image_dir is None else Path(image_dir)
    rows = _read_rows(root / TABLE, on_error)
    labels = rows[LABEL].to_numpy(str)
    classes = np.unique(labels).tolist()
    indices = {n: files.FileIndex(_label_folder(images, n)) for n in classes}
    names, paths = files.locate(zip(labels, rows[IMAGE], strict=True), indices)
    _report_unlabeled_folders(images, classes)
    rows = pd.DataFrame({"name": names, "split": _splits(labels)}, rows.index)
    one_hot = labels[:, None] == classes
    table = reading.build_table(
        rows, classes, one_hot, paths, source=root / TABLE, on_error=on_error
    )
    folders = [_label_folder(root / "masks", name) for name in classes]
    return files.add_masks(table, [folders[index] for index in table.class_index])


def _read_rows(path: Path, on_error: str) -> pd.DataFrame:
    """Rows with an imageID and a label."""
    rows = reading.read_table(path, (IMAGE, LABEL))
    complete = (rows[IMAGE] != "") & (rows[LABEL] != "")
    rule = f"Expected rows with an {IMAGE} and a {LABEL} in {path}"
    report_problems(rows.index[~complete], rule, on_error)
    if not complete.any():
        raise ValueError(f"{rule}. Received: {len(rows)} rows, all without. Add some.")
    return rows[complete]


def _label_folder(parent: Path, label: str) -> Path:
    """The folder of a label, in either spelling of its accents."""
    matches = (p for p in parent.glob("*") if normalize(p.name) == normalize(label))
    return next(matches, parent / label)


def _report_unlabeled_folders(images: Path, labels: Iterable[str]) -> None:
    """Log the numbers of images in folders of no label."""
    folders = {p: files.files_in(p) for p in sorted(images.glob("*/"))}
    names = [*map(normalize, labels)]
    lines = [
        f"{folder}: {sum(files.is_image(path.name) for path in paths)} images"
        for folder, paths in folders.items()
        if paths and normalize(folder.name) not in names
    ]
    if lines:
        message = "%d folders have the name of no label and are not used:\n%s"
        logger.warning(message, len(lines), listing(lines))


def _splits(labels: np.ndarray) -> np.ndarray:
    """Split of each image by its class, (n,) str."""
    from sklearn.model_selection import train_test_split

    splits = np.full(len(labels), "train", "<U5")
    try:
        for name, share in (("test", TEST_SHARE), ("val", VAL_SHARE)):
            rest = np.flatnonzero(splits == "train")
            _, taken = train_test_split(
                rest, test_size=share, random_state=SEED, stratify=labels[rest]
            )
            splits[taken] = name
    except ValueError as error:
        classes, counts = np.unique(labels, return_counts=True)
        received = [f"{n} of {name}" for name, n in zip(classes, counts, strict=True)]
        raise ValueError(
            "Expected two or more classes, with images for every split. Received: "
            f"{', '.join(received)}. Add images."
        ) from error
    return splits
