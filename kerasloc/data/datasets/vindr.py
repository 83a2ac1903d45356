"""Table of VinDr-CXR from its csv files and PNG images made of its DICOM files.

``train.csv`` (Kaggle) or ``annotations_train.csv`` (PhysioNet) has one row per
radiologist and box, or per radiologist who found nothing: ``image_id``,
``class_name``, ``x_min``, ``y_min``, ``x_max``, ``y_max``, and maybe ``class_id`` and
``rad_id``. ``test.csv`` or ``annotations_test.csv`` holds the same of test images,
``image_labels_train.csv`` and ``image_labels_test.csv`` one column per finding.

Reference:
    Nguyen et al., VinDr-CXR: An open dataset of chest X-rays with radiologist's
    annotations, Scientific Data 9, 2022.
"""

import collections
import dataclasses
import logging
from pathlib import Path

import numpy as np

from kerasloc.data.datasets.reading import Box, Draft, finish, image_files, read_rows
from kerasloc.data.problems import check_on_error, complain, listing
from kerasloc.data.splits import cut_validation
from kerasloc.data.table import Table

VINDR_CLASSES = (
    "Aortic enlargement",
    "Atelectasis",
    "Calcification",
    "Cardiomegaly",
    "Consolidation",
    "ILD",
    "Infiltration",
    "Lung Opacity",
    "Nodule/Mass",
    "Other lesion",
    "Pleural effusion",
    "Pleural thickening",
    "Pneumothorax",
    "Pulmonary fibrosis",
)
NO_FINDING = "No finding"
OTHERS = (  # of the PhysioNet files only
    "Clavicle fracture",
    "Edema",
    "Emphysema",
    "Enlarged PA",
    "Lung cavity",
    "Lung cyst",
    "Mediastinal shift",
    "Rib fracture",
    "COPD",
    "Lung tumor",
    "Pneumonia",
    "Tuberculosis",
    "Other disease",
    "Other diseases",
)
ANNOTATIONS = {
    "train": ("train.csv", "annotations_train.csv"),
    "test": ("test.csv", "annotations_test.csv"),
}
CORNERS = ("x_min", "y_min", "x_max", "y_max")
RESIZED = "resize.csv"
FOLDERS = ("images", "train", "test", "png", "images/train", "images/test")
WAY_OUT = (
    "Make the PNG files with utils/dicom_to_png.py, which writes resize.csv "
    "(image_id, ratio) beside them, or write it yourself: ratio = side of the PNG / "
    "side of the DICOM image, 1 where nothing was resized."
)

logger = logging.getLogger(__name__)


def read_vindr(
    root, image_dir=None, *, test_share=0.2, seed=0, on_error="raise"
) -> Table:
    """Table of VinDr-CXR: 14 labels, all radiologists' boxes in pixels of the PNG.

    An image has a finding when one radiologist saw it (the union); boxes of several
    radiologists on one finding all stay. Boxes are scaled from the DICOM image to the
    file by ``resize.csv`` (``rows`` and ``cols`` of the DICOM image, or ``ratio``
    alone) or, without it, by the columns ``width`` and ``height`` (of the DICOM image)
    of the annotations. Findings of the PhysioNet files that are none of the 14 are left
    out. Patients are not known.

    Args:
        root: Folder with the csv files, or with the folder ``annotations`` of them.
        image_dir: Folder of the images. None: ``images``, ``train``, ``test`` ... in
            the root, or the root.
        test_share: Share of the images that become "test" when no file lists any (the
            test images of Kaggle have no labels). None: none.
        seed: Decides which.
        on_error: "raise", or "skip" to leave out, with a warning, rows without an image
            and boxes that are empty or outside their image.

    Raises:
        ValueError: If files are missing or say something else, or boxes cannot be
            scaled; lists what.
    """
    check_on_error(on_error)
    root = Path(root)
    draft = _read_annotations(root)
    found = image_files(root, image_dir, FOLDERS)
    files = {Path(name).stem: path for name, path in found.items()}
    draft.boxes = _scaled(draft.boxes, root, files)
    table = finish(draft, files, on_error)
    if test_share is None or (table.splits == "test").any():
        return table
    cut = cut_validation(table, test_share, seed).splits
    return dataclasses.replace(table, splits=np.where(cut == "val", "test", cut))


def _read_annotations(root: Path) -> Draft:
    """The draft of the annotations of both splits."""
    findings, splits, wheres, boxes = {}, {}, {}, []
    sources = []
    for split in ("train", "test"):
        path = _annotations(root, split)
        if path is None:
            continue
        sources.append(str(path))
        rows = read_rows(path, ("image_id", "class_name", *CORNERS))
        names = _classes(rows, path)
        boxes += _boxes(rows, names, path)
        seen = [
            (row["image_id"], cls) for (_, row), cls in zip(rows, names, strict=True)
        ]
        seen += _image_labels(path.with_name(f"image_labels_{split}.csv"))
        _check_one_split({image for image, _ in seen} & set(findings), sources)
        for number, row in rows:
            wheres.setdefault(row["image_id"], f"line {number} of {path.name}")
        for image, cls in seen:
            findings.setdefault(image, set()).add(cls)
            splits[image] = split
    labels = np.zeros((len(findings), len(VINDR_CLASSES)), np.float32)
    for row, classes in enumerate(findings.values()):
        labels[row, [cls for cls in classes if cls is not None]] = 1
    return Draft(
        source=", ".join(sources),
        class_names=VINDR_CLASSES,
        names=list(findings),
        wheres=[wheres.get(name, "image labels") for name in findings],
        labels=labels,
        splits=[splits[name] for name in findings],
        boxes=boxes,
    )


def _annotations(root: Path, split: str) -> Path | None:
    """The file that describes a split; None for a test split without labels."""
    places = [root / name for name in ANNOTATIONS[split]]
    places += [root / "annotations" / name for name in ANNOTATIONS[split]]
    path = next((place for place in places if place.is_file()), None)
    if path is None and split == "train":
        raise ValueError(
            f"The labels of VinDr-CXR are in {' or '.join(ANNOTATIONS['train'])}. "
            f"Received: {root}, which has none. Name the folder that the csv lies in."
        )
    if split == "train" or path is None:
        return path
    if "class_name" in read_rows(path, ("image_id",))[0][1]:
        return path
    logger.info("%s has no labels and is not used", path)
    return None


def _classes(rows, path: Path) -> list[int | None]:
    """Index of the class of each row; None for no finding and others."""
    index = {name: i for i, name in enumerate(VINDR_CLASSES)}
    known = {**index, NO_FINDING: len(index), **dict.fromkeys(OTHERS, -1)}
    names = collections.Counter(row["class_name"] for _, row in rows)
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(
            f"Findings are {', '.join(VINDR_CLASSES)} or {NO_FINDING}. Received: "
            f"unknown ones in {path}:\n{listing(unknown)}\nRename or remove them."
        )
    complain(
        [
            f"line {number}: {row['class_id']} for {row['class_name']}"
            for number, row in rows
            if row.get("class_id", "")
            and known[row["class_name"]] not in (-1, _number(row["class_id"]))
        ],
        f"{path}: class_id counts the findings by their names' order",
        way_out="Mend these rows.",
    )
    others = {name: names[name] for name in OTHERS if name in names}
    if others:
        logger.warning("%s: rows of other findings, left out: %s", path, others)
    return [index.get(row["class_name"]) for _, row in rows]


def _number(text: str) -> float:
    """The number, NaN where there is none."""
    try:
        return float(text)
    except ValueError:
        return np.nan


def _boxes(rows, classes, path: Path) -> list[Box]:
    """The boxes of the rows of known findings."""
    boxes, problems = [], []
    for (number, row), cls in zip(rows, classes, strict=True):
        corners = [row[name] for name in CORNERS]
        if cls is None or not any(corners):
            continue
        x, y, right, bottom = map(_number, corners)
        if not np.isfinite((x, y, right, bottom)).all():
            problems.append(f"line {number}: {', '.join(corners)}")
            continue
        size = tuple(_number(row.get(name, "")) for name in ("height", "width"))
        where = f"line {number} of {path.name}"
        boxes.append(
            Box(row["image_id"], where, x, y, right - x, bottom - y, cls, size)
        )
    rule = f"{path}: {', '.join(CORNERS)} are four numbers, or blank"
    complain(problems, rule, way_out="Mend or remove these rows.")
    return boxes


def _image_labels(path: Path) -> list[tuple[str, int | None]]:
    """Pairs of image and class index in a file with a column per finding."""
    if not path.is_file():
        return []
    pairs = []
    for _, row in read_rows(path, ("image_id", *VINDR_CLASSES)):
        pairs.append((row["image_id"], None))
        pairs += [
            (row["image_id"], cls)
            for cls, name in enumerate(VINDR_CLASSES)
            if row[name] in ("1", "1.0")
        ]
    return pairs


def _check_one_split(images, sources) -> None:
    """Raise if images stand in both files."""
    rule = f"An image is in one of {' and '.join(sources)}"
    complain(sorted(images), rule, way_out="Take it out of the other.")


def _is_size(size) -> bool:
    """Whether rows and columns are known."""
    return all(side > 0 for side in size)


def _scaled(boxes, root: Path, files: dict[str, str]) -> list[Box]:
    """The boxes in pixels of the files, or with the size that they were measured in."""
    folders = sorted({Path(path).parent for path in files.values()} | {root})
    tables = [folder / RESIZED for folder in folders if (folder / RESIZED).is_file()]
    resized = {
        row["image_id"]: row
        for table in tables
        for _, row in read_rows(table, ("image_id", "ratio"))
    }
    scaled, unknown = [], {}
    for box in boxes:
        row = resized.get(box.image, {})
        size = tuple(_number(row.get(name, "")) for name in ("rows", "cols"))
        ratio = _number(row.get("ratio", ""))
        if _is_size(size):
            scaled.append(box._replace(size=size))
        elif ratio > 0:
            place = (value * ratio for value in box[2:6])
            scaled.append(Box(box.image, box.where, *place, box.cls))
        else:
            scaled.append(box)
            if box.image in files and not _is_size(box.size):
                unknown.setdefault(box.image, f"{box.image} ({box.where})")
    rule = "The boxes of VinDr-CXR are scaled as the images were"
    complain(unknown.values(), rule, way_out=WAY_OUT)
    return scaled
