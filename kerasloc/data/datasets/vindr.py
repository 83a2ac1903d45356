"""VinDr-CXR from its csv files and PNG images made of its DICOM files.

``train.csv`` (Kaggle) or ``annotations_train.csv`` (PhysioNet) has one row per
radiologist and box, or per radiologist without a finding: ``image_id``,
``class_name``, ``x_min``, ``y_min``, ``x_max``, ``y_max``, and maybe ``class_id`` and
``rad_id``. ``test.csv`` or ``annotations_test.csv`` holds the same of test images, and
``val.csv`` (or a synonym, such as ``Valid.csv``) that of validation images, if any;
``image_labels_train.csv`` and ``image_labels_test.csv`` one column per finding.

Reference:
    Nguyen et al., VinDr-CXR: An open dataset of chest X-rays with radiologist's
    annotations, Scientific Data 9, 2022.
"""

import dataclasses
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from kerasloc.data.class_names import split_names
from kerasloc.data.datasets import reading, sizes
from kerasloc.data.datasets.files import (
    PathLike,
    by_split,
    by_stem,
    csv_files,
    image_files,
)
from kerasloc.data.problems import check_on_error, report_problems
from kerasloc.data.splits import cut_validation
from kerasloc.data.table import Table

VINDR_CLASSES = split_names(
    "Aortic enlargement, Atelectasis, Calcification, Cardiomegaly, Consolidation, ILD, "
    "Infiltration, Lung Opacity, Nodule/Mass, Other lesion, Pleural effusion, "
    "Pleural thickening, Pneumothorax, Pulmonary fibrosis"
)
NO_FINDING = "No finding"
OTHER_FINDINGS = split_names(  # of the PhysioNet files only
    "Clavicle fracture, Edema, Emphysema, Enlarged PA, Lung cavity, Lung cyst, "
    "Mediastinal shift, Rib fracture, COPD, Lung tumor, Pneumonia, Tuberculosis, "
    "Other disease, Other diseases"
)
PREFIX = "annotations_"
CELLS = {"": 0, "0": 0, "0.0": 0, "1": 1, "1.0": 1}
CORNERS = ["x_min", "y_min", "x_max", "y_max"]
FOLDERS = ("images", "train", "test", "png", "images/train", "images/test")
SLACK = 0.02  # of a side, that a box may exceed its image by

logger = logging.getLogger(__name__)


def read_vindr(
    root: PathLike,
    image_dir: PathLike | None = None,
    *,
    test_share: float | None = 0.2,
    seed: int = 0,
    on_error: str = "raise",
) -> Table:
    """Read VinDr-CXR: 14 labels, the boxes of all radiologists in pixels of the PNG.

    An image has a finding if one radiologist reports it; all boxes on it stay. They are
    scaled from the DICOM image, whose size is read from ``resize.csv`` (``rows`` and
    ``cols``, or ``ratio`` alone), Kaggle's ``train_meta.csv`` (``dim0`` and ``dim1``),
    both in the root, beside the images or a folder above, and the columns ``width`` and
    ``height`` of the annotations; where these contradict each other or the file, it is
    an error. Files may be squashed to squares, but not with a ``ratio`` alone. Findings
    of the PhysioNet files that are not among the 14 are left out. Patients are unknown.

    Args:
        root: Folder with the csv files, or with the folder ``annotations`` of them.
        image_dir: Folder of the images. None: below the root.
        test_share: Share of the images that become "test" if no file lists any (the
            test images of Kaggle have no labels). None: no test images.
        seed: Seed of the choice of these.
        on_error: "raise", or "skip" (with a warning) missing images and invalid boxes.

    Raises:
        ValueError: If files are missing or invalid, or boxes cannot be scaled.
    """
    check_on_error(on_error)
    root = Path(root)
    files = by_split(csv_files(root) + csv_files(root / "annotations"), PREFIX)
    if "train" not in files:
        raise ValueError(
            f"Expected the labels of VinDr-CXR in train.csv or {PREFIX}train.csv. "
            f"Received: {root}, which has neither. Name the folder of the csv file."
        )
    findings = pd.concat([_read_split(path, k) for k, path in files.items()])
    counts = findings.groupby("image_id")["split"].nunique()
    repeated = sorted(counts.index[counts > 1])
    rule = f"Expected an image of {root} in one of the files of splits"
    report_problems(repeated, rule, remedy="Remove it from the other.")
    rows = findings[~findings["image_id"].duplicated()][["image_id", "split"]]
    image, index = pd.factorize(findings["image_id"])[0], findings["class_index"]
    labels = np.zeros((len(rows), len(VINDR_CLASSES)), np.float32)
    labels[image[index >= 0], index[index >= 0]] = 1
    images = by_stem(image_files(root, image_dir, FOLDERS))
    table = reading.build_table(
        rows.rename(columns={"image_id": "name"}),
        VINDR_CLASSES,
        labels,
        images,
        _measured(_boxes(findings), (root, image_dir or root), images, on_error),
        source=root,
        on_error=on_error,
    )
    if test_share is None or (table.splits == "test").any():
        return table
    training = dataclasses.replace(
        table, splits=np.char.replace(table.splits, "val", "")
    )
    cut = cut_validation(training, test_share, seed).splits == "val"
    message = "%s lists no labels of test images: %d of %d images are kept for testing"
    logger.warning(message, root, cut.sum(), len(cut))
    return dataclasses.replace(table, splits=np.where(cut, "test", table.splits))


def _read_split(path: Path, split: str) -> pd.DataFrame | None:
    """Findings of a split and their image; None for test images without labels."""
    if split == "test" and "class_name" not in reading.read_table(path):
        logger.info("%s has no labels and is not used", path)
        return None
    frames = [_read_findings(path)]
    path = path.with_name(f"image_labels_{split}.csv")  # one column per class
    if path.is_file():
        rows = reading.read_table(path, ("image_id", *VINDR_CLASSES))
        cells = rows[list(VINDR_CLASSES)]
        positive = reading.to_labels(cells, CELLS, path, "1, 0 or blank") == 1
        row, index = np.nonzero(np.insert(positive, 0, True, axis=1))  # also the normal
        frames.append(rows[["image_id"]].iloc[row].assign(class_index=index - 1))
    return pd.concat(frames).fillna("").assign(split=split)


def _read_findings(path: Path) -> pd.DataFrame:
    """Rows of an annotation file with their ``class_index``, -1 for no class."""
    rows = reading.read_table(path, ("image_id", "class_name", *CORNERS))
    names = rows["class_name"]
    valid = (*VINDR_CLASSES, NO_FINDING)
    unknown = sorted(set(names) - {*valid, *OTHER_FINDINGS})
    rule = f"Expected findings in {path} among {', '.join(valid)}"
    report_problems(unknown, rule, remedy="Rename or remove them.")
    index = names.map({name: i for i, name in enumerate(valid)})
    if "class_id" in rows:
        ids = rows["class_id"]
        wrong = (ids != "") & index.notna() & (pd.to_numeric(ids, "coerce") != index)
        report_problems(
            [f"{line}: {ids[line]} for {names[line]}" for line in rows.index[wrong]],
            f"Expected class_id in {path} to count the findings in their order",
            remedy="Fix these rows.",
        )
    unused = names[index.isna()].value_counts().to_dict()
    if unused:
        logger.warning("%s: rows of other findings, left out: %s", path, unused)
    index = index.where(names != NO_FINDING).fillna(-1).astype(int)
    return rows.assign(class_index=index)


def _boxes(rows: pd.DataFrame) -> pd.DataFrame:
    """Boxes in pixels of the DICOM images, with its size where the file has it."""
    rows = rows[(rows["class_index"] >= 0) & (rows[CORNERS] != "").any(axis=1)]
    corners = reading.to_numbers(rows[CORNERS])
    invalid = ~np.isfinite(corners).all(axis=1)
    report_problems(
        [f"{line}: {', '.join(c)}" for line, *c in rows[CORNERS][invalid].itertuples()],
        f"Expected four numbers, or blanks, in {', '.join(CORNERS)}",
        remedy="Fix or remove these rows.",
    )
    boxes = corners.set_axis(reading.XYWH, axis=1)
    boxes[["w", "h"]] -= boxes[["x", "y"]].to_numpy()
    boxes[["image", "class_index"]] = rows[["image_id", "class_index"]]
    size = reading.to_numbers(rows.reindex(columns=["height", "width"]))
    boxes[["rows", "cols"]] = size.to_numpy()
    return boxes.assign(location=rows.index)


def _measured(
    boxes: pd.DataFrame,
    roots: Iterable[PathLike],
    files: Mapping[str, str],
    on_error: str,
) -> pd.DataFrame:
    """Boxes with the size of the image that they were measured in."""
    boxed = {name: files[name] for name in boxes["image"].unique() if name in files}
    folders = {Path(path).parent for path in files.values()}
    folders |= {folder.parent for folder in folders}.union(map(Path, roots))
    columns = boxes[["image", *sizes.SIZE]].assign(source=boxes["location"])
    frames = [sizes.read_sizes(sorted(folders)), sizes.size_frame(columns)]
    original = sizes.original_sizes(pd.concat(frames), boxed)
    boxes[sizes.SIZE] = original.reindex(boxes["image"]).to_numpy()
    unknown = boxes[boxes["rows"].isna() & boxes["image"].isin(boxed)]
    unknown = unknown.drop_duplicates("image")
    report_problems(
        (unknown["image"] + " (" + unknown["location"] + ")").tolist(),
        "Expected the size of the DICOM image of every image with boxes",
        remedy=sizes.REMEDY,
    )
    x, y, w, h, rows, cols = boxes[[*reading.XYWH, *sizes.SIZE]].to_numpy(float).T
    inside = (x < cols) & (y < rows)
    beyond = (x + w > cols * (1 + SLACK)) | (y + h > rows * (1 + SLACK))
    wrong = boxes[inside & beyond]
    report_problems(
        [
            f"{box.image} ({box.location}): up to {box.x + box.w:g}, {box.y + box.h:g} "
            f"in {box.cols:g} x {box.rows:g}"
            for box in wrong.itertuples()
        ],
        "Expected boxes (x, y) inside their DICOM image (cols x rows)",
        on_error,
        f"Correct the boxes or the size. {sizes.REMEDY}",
    )
    return boxes[~(inside & beyond)][reading.BOX_COLUMNS]
