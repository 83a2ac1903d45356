"""VinDr-CXR from its csv files and PNG images made of its DICOM files.

``train.csv`` (Kaggle) or ``annotations_train.csv`` (PhysioNet) has one row per
radiologist and box, or per radiologist without a finding: ``image_id``,
``class_name``, ``x_min``, ``y_min``, ``x_max``, ``y_max``, and maybe ``class_id`` and
``rad_id``. ``test.csv`` or ``annotations_test.csv`` holds the same of test images,
``image_labels_train.csv`` and ``image_labels_test.csv`` one column per finding.

Reference:
    Nguyen et al., VinDr-CXR: An open dataset of chest X-rays with radiologist's
    annotations, Scientific Data 9, 2022.
"""

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pandas as pd

from kerasloc.data.datasets.files import PathLike, image_files
from kerasloc.data.datasets.reading import (
    BOX_COLUMNS,
    XYWH,
    Annotations,
    build_table,
    read_table,
    to_numbers,
)
from kerasloc.data.problems import check_on_error, report_problems
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
OTHER_FINDINGS = (  # of the PhysioNet files only
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
CORNERS = ["x_min", "y_min", "x_max", "y_max"]
RESIZE_TABLE = "resize.csv"
FOLDERS = ("images", "train", "test", "png", "images/train", "images/test")
RESIZE_REMEDY = (
    "Make the PNG files with utils/dicom_to_png.py, which writes resize.csv "
    "(image_id, ratio) beside them, or write it yourself: ratio = side of the PNG / "
    "side of the DICOM image, 1 where nothing was resized."
)

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

    An image has a finding if one radiologist reports it (the union); boxes of several
    radiologists on one finding all stay. Boxes are scaled from the DICOM image to the
    file by ``resize.csv`` (``rows`` and ``cols`` of the DICOM image, or ``ratio``
    alone) or, without it, by the columns ``width`` and ``height`` (of the DICOM image)
    of the annotations. Findings of the PhysioNet files that are not among the 14 are
    left out. Patients are unknown.

    Args:
        root: Folder with the csv files, or with the folder ``annotations`` of them.
        image_dir: Folder of the images. None: ``images``, ``train``, ``test`` ... in
            the root, or the root.
        test_share: Share of the images that become "test" if no file lists any (the
            test images of Kaggle have no labels). None: no test images.
        seed: Seed of the choice of these.
        on_error: "raise", or "skip" to leave out, with a warning, rows without an image
            and boxes that are empty or outside their image.

    Raises:
        ValueError: If files are missing or invalid, or boxes cannot be scaled; lists
            the problems.
    """
    check_on_error(on_error)
    root = Path(root)
    annotations = _read_annotations(root)
    images = image_files(root, image_dir, FOLDERS)
    files = {Path(name).stem: path for name, path in images.items()}
    annotations.boxes = _scale(annotations.boxes, root, files)
    table = build_table(annotations, files, on_error)
    if test_share is None or (table.splits == "test").any():
        return table
    splits = cut_validation(table, test_share, seed).splits
    return dataclasses.replace(table, splits=np.where(splits == "val", "test", splits))


def _read_annotations(root: Path) -> Annotations:
    """Annotations of both splits."""
    paths = {split: _find_annotations(root, split) for split in ANNOTATIONS}
    rows = pd.concat([_read_split(p, split) for split, p in paths.items() if p])
    sources = [str(path) for path in paths.values() if path]
    counts = rows.groupby("image_id")["split"].nunique()
    rule = f"Expected an image in one of {' and '.join(sources)}"
    repeated = sorted(counts.index[counts > 1])
    report_problems(repeated, rule, remedy="Remove it from the other.")
    image, names = pd.factorize(rows["image_id"])
    first = np.unique(image, return_index=True)[1]
    positive = (rows["class_index"] >= 0).to_numpy()
    matrix = np.zeros((len(names), len(VINDR_CLASSES)), np.float32)
    matrix[image[positive], rows["class_index"][positive]] = 1
    return Annotations(
        source=", ".join(sources),
        class_names=VINDR_CLASSES,
        names=names.tolist(),
        locations=rows.index[first].tolist(),
        labels=matrix,
        splits=rows["split"].iloc[first].tolist(),
        boxes=_boxes(rows),
    )


def _read_split(path: Path, split: str) -> pd.DataFrame:
    """Rows of an annotation file and of the image labels beside it."""
    labels = _read_image_labels(path.with_name(f"image_labels_{split}.csv"))
    return pd.concat([_read_findings(path), labels]).fillna("").assign(split=split)


def _find_annotations(root: Path, split: str) -> Path | None:
    """The file that describes a split; None for a test split without labels."""
    candidates = [root / name for name in ANNOTATIONS[split]]
    candidates += [root / "annotations" / name for name in ANNOTATIONS[split]]
    path = next(filter(Path.is_file, candidates), None)
    if path is None and split == "train":
        raise ValueError(
            "Expected the labels of VinDr-CXR in "
            f"{' or '.join(ANNOTATIONS['train'])}. Received: {root}, which has neither."
            " Name the folder of the csv file."
        )
    if split == "train" or path is None or "class_name" in read_table(path):
        return path
    logger.info("%s has no labels and is not used", path)
    return None


def _read_findings(path: Path) -> pd.DataFrame:
    """Rows of an annotation file with their ``class_index``, -1 for no class."""
    rows = read_table(path, ("image_id", "class_name", *CORNERS))
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
    corners = to_numbers(rows[CORNERS])
    invalid = ~np.isfinite(corners).all(axis=1)
    report_problems(
        [f"{line}: {', '.join(c)}" for line, *c in rows[CORNERS][invalid].itertuples()],
        f"Expected four numbers, or blanks, in {', '.join(CORNERS)}",
        remedy="Fix or remove these rows.",
    )
    left, top, right, bottom = corners.to_numpy().T
    size = to_numbers(rows.reindex(columns=["height", "width"]))
    return pd.DataFrame(
        {
            "image": rows["image_id"],
            "location": rows.index,
            "x": left,
            "y": top,
            "w": right - left,
            "h": bottom - top,
            "class_index": rows["class_index"],
            "rows": size["height"],
            "cols": size["width"],
        }
    )


def _read_image_labels(path: Path) -> pd.DataFrame | None:
    """Rows of ``image_id`` and ``class_index`` from a file with a column per class."""
    if not path.is_file():
        return None
    rows = read_table(path, ("image_id", *VINDR_CLASSES))
    positive = rows[list(VINDR_CLASSES)].isin(["1", "1.0"]).to_numpy()
    positive = np.column_stack([np.ones(len(rows), bool), positive])  # also the normal
    row, column = np.nonzero(positive)
    return rows[["image_id"]].iloc[row].assign(class_index=column - 1)


def _scale(boxes: pd.DataFrame, root: Path, files: dict[str, str]) -> pd.DataFrame:
    """Boxes in pixels of the files, or with the size that they were measured in."""
    folders = sorted({Path(path).parent for path in files.values()} | {root})
    paths = filter(Path.is_file, (folder / RESIZE_TABLE for folder in folders))
    tables = [read_table(path, ("image_id", "ratio")) for path in paths]
    columns = ["image_id", "ratio", "rows", "cols"]
    resize = pd.concat([pd.DataFrame(columns=columns), *tables])[columns]
    resize = to_numbers(
        resize.drop_duplicates("image_id", keep="last").set_index("image_id")
    )
    resize = resize.reindex(boxes["image"]).set_axis(boxes.index)
    resize = resize.where(resize > 0)
    sized = resize[["rows", "cols"]].notna().all(axis=1)
    by_ratio = ~sized & resize["ratio"].notna()
    size = boxes[["rows", "cols"]].where(boxes[["rows", "cols"]] > 0)
    size = size.mask(sized, resize[["rows", "cols"]]).mask(by_ratio)
    size[size.isna().any(axis=1)] = np.nan
    unknown = boxes[~by_ratio & size["rows"].isna() & boxes["image"].isin(files)]
    unknown = unknown.drop_duplicates("image")
    report_problems(
        (unknown["image"] + " (" + unknown["location"] + ")").tolist(),
        "Expected the size or ratio of every resized image with boxes",
        remedy=RESIZE_REMEDY,
    )
    scale = resize["ratio"].where(by_ratio, 1.0)
    scaled = boxes.assign(rows=size["rows"], cols=size["cols"])
    scaled[XYWH] = scaled[XYWH].mul(scale, axis=0)
    return scaled[BOX_COLUMNS]
