"""Table of ImagenetHVZ: horses against zebras, with masks of some images.

Read are ``data.csv`` (columns ``imageID`` and ``label``), ``images/LABEL/`` and, where
there are any, ``masks/LABEL/*_mask.JPEG``.

Reference:
    Rio-Torto, Fernandes, Teixeira: Understanding the decisions of CNNs: an in-model
    approach, Pattern Recognition Letters 133, 2020.
"""

import dataclasses
from pathlib import Path

import numpy as np

from kerasloc.data.datasets.files import FileIndex, MaskIndex, normal
from kerasloc.data.datasets.reading import Draft, finish, read_rows
from kerasloc.data.problems import check_on_error, complain
from kerasloc.data.table import Table

TABLE = "data.csv"
TEST_SHARE = 0.149
VAL_SHARE = 0.2  # of what is not for the test
SEED = 6


def read_imagenet_hvz(root, image_dir=None, *, on_error="raise") -> Table:
    """Table of ImagenetHVZ, or of any folder that is built like it.

    The split is made here, by class, from the rows of ``data.csv`` in their order: 14.9
    % "test", of the others 20 % "val", seed 6.

    Args:
        root: Folder with data.csv, images and masks.
        image_dir: Folder of the label folders. None: ``images``.
        on_error: "raise", or "skip" to leave out, with a warning, images that are
            missing or have no label.

    Raises:
        ValueError: If files are missing or say something else; lists what.
    """
    check_on_error(on_error)
    root = Path(root)
    images = root / "images" if image_dir is None else Path(image_dir)
    rows = _rows(root / TABLE, on_error)
    labels = np.array([row["label"] for _, row in rows], str)
    classes = np.unique(labels).tolist()
    names, files = _find(rows, {c: FileIndex(_folder(images, c)) for c in classes})
    draft = Draft(
        source=str(root / TABLE),
        class_names=tuple(classes),
        names=names,
        wheres=[f"line {n}" for n, _ in rows],
        labels=labels[:, None] == classes,
        splits=_splits(labels),
    )
    table = finish(draft, files, on_error)
    masks = {name: MaskIndex(_folder(root / "masks", name)) for name in classes}
    column = [
        masks[classes[index]].find(path)
        for index, path in zip(table.class_index, table.paths, strict=True)
    ]
    return dataclasses.replace(table, masks=column)


def _rows(path: Path, on_error: str) -> list[tuple[int, dict]]:
    """Numbered lines with an imageID and a label."""
    rows = read_rows(path, ("imageID", "label"))
    full = [(n, row) for n, row in rows if row["imageID"] and row["label"]]
    numbers = {n for n, _ in full}
    blank = [f"line {n}" for n, _ in rows if n not in numbers]
    complain(blank, f"{path}: every row has an imageID and a label", on_error)
    if not full:
        raise ValueError(
            f"{path} has rows with an imageID and a label. Received: none."
        )
    return full


def _find(rows, indices: dict[str, FileIndex]) -> tuple[list[str], dict[str, str]]:
    """Name of each row's image; paths by name, also of images without a row."""
    names, files = [], {}
    for _, row in rows:
        path = indices[row["label"]].find(row["imageID"])
        names.append(f"{row['label']}/{row['imageID'] if path is None else path.name}")
        if path is not None:
            files[names[-1]] = str(path)
    for label, index in indices.items():
        for path in index.paths:
            files.setdefault(f"{label}/{path.name}", str(path))
    return names, files


def _folder(place: Path, label: str) -> Path:
    """The folder of a label, however its accents are written."""
    if place.is_dir():
        for path in place.iterdir():
            if normal(path.name) == normal(label):
                return path
    return place / label


def _splits(labels) -> np.ndarray:
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
        counts = np.unique_counts(labels)
        received = zip(counts.values.tolist(), counts.counts.tolist(), strict=True)
        raise ValueError(
            "Test and validation images are taken of every class, of which there are "
            "two or more. Received: "
            f"{', '.join(f'{count} of {name}' for name, count in received)}. Add "
            "images, or give a csv file with the column split."
        ) from error
    return splits
