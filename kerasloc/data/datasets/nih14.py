"""NIH ChestX-ray14 from its official files or from one-hot csv files.

Files below the root, each optional: ``Data_Entry_2017.csv`` (or the v2020 one),
``train_val_list.txt``, ``test_list.txt``, ``BBox_List_2017.csv``, and the images in
``images``, in ``images_001`` ... ``images_012/images`` or in the root itself. Instead
of the entries: ``train.csv``, ``val.csv`` (or ``valid.csv``), ``test.csv`` with the
column ``Image Index`` and one column per class.

Reference:
    Wang et al., ChestX-ray8: Hospital-scale chest X-ray database and benchmarks, CVPR
    2017.
"""

import itertools
import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from kerasloc.data.datasets.files import PathLike, image_files
from kerasloc.data.datasets.reading import (
    XYWH,
    Annotations,
    build_table,
    read_table,
    report_unlabeled,
    to_labels,
    to_numbers,
)
from kerasloc.data.problems import check_choice, check_on_error, report_problems
from kerasloc.data.table import Table

NIH_CLASSES = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
RENAMED = {"Infiltrate": "Infiltration"}  # boxes and labels differ here
NO_FINDING = "No Finding"
BOX_SIDE = 1024
ENTRIES = ("Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv")
LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}
ONE_HOT = {
    "train.csv": "train",
    "val.csv": "val",
    "valid.csv": "val",
    "test.csv": "test",
}
BOXES = "BBox_List_2017.csv"
IMAGE, LABEL, PATIENT = "Image Index", "Finding Labels", "Patient ID"
FOLDERS = (
    "images",
    "images_*/images",
    "images_*",
    "images/images_*",
    "images/images_*/images",
)
CELLS = {"": np.nan, "-1": np.nan, "-1.0": np.nan, "nan": np.nan}
CELLS |= {"0": 0.0, "0.0": 0.0, "1": 1.0, "1.0": 1.0}

logger = logging.getLogger(__name__)


def read_nih(
    root: PathLike,
    image_dir: PathLike | None = None,
    *,
    labels: str = "auto",
    on_error: str = "raise",
) -> Table:
    """Read ChestX-ray14: 14 labels, boxes in pixels of the files, patients.

    Boxes, published for images of 1024 x 1024, are scaled to the size of each file. A
    box of a finding that the image is not labeled with stays, and so does the label;
    their number is logged, as is that of images without a row. Images on no list have
    the split "".

    Args:
        root: Folder with the files above.
        image_dir: Folder of the images, or of their folders. None: below the root.
        labels: "entry" (the official csv), "onehot" (the split csv files; blank and -1
            are unknown), or "auto": the former if it exists.
        on_error: "raise", or "skip" to leave out, with a warning, rows without an image
            and boxes that are empty or outside their image.

    Raises:
        ValueError: If files are missing or invalid; lists the problems.
    """
    check_on_error(on_error)
    root = Path(root)
    annotations = _read_labels(root, labels)
    if (root / BOXES).is_file():
        annotations.boxes = _read_boxes(root / BOXES)
    table = build_table(annotations, image_files(root, image_dir, FOLDERS), on_error)
    report_unlabeled(table)
    return table


def read_box_list(path: PathLike) -> pd.DataFrame:
    """Read a BBox_List csv: columns ``image, label, x, y, w, h``.

    Columns go by their position, as the published header is broken; "Infiltrate"
    becomes "Infiltration".

    Args:
        path: ``BBox_List_2017.csv`` or another with its six columns.

    Raises:
        ValueError: If a row is invalid; names its line.
    """
    frame = read_table(path, names=("image", "label", *XYWH))
    numbers = to_numbers(frame[XYWH])
    invalid = numbers.isna() & ~frame[XYWH].isin(["nan", "NaN"])
    report_problems(
        [
            f"{line}: {', '.join(cells)}"
            for line, *cells in frame[invalid.any(axis=1)].itertuples()
        ],
        f"Expected image, label, x, y, w, h in every row of {path}",
        remedy="Fix or remove these rows.",
    )
    return frame.assign(label=frame["label"].replace(RENAMED), **numbers)


def _read_labels(root: Path, labels: str) -> Annotations:
    """Annotations of the csv files that exist, or that ``labels`` selects."""
    check_choice("labels", labels, ("auto", "entry", "onehot"))
    names = {"entry": ENTRIES, "onehot": tuple(ONE_HOT)}.get(
        labels, ENTRIES + tuple(ONE_HOT)
    )
    paths = [root / name for name in names if (root / name).is_file()]
    if not paths:
        raise ValueError(
            f"Expected the labels of ChestX-ray14 in one of {', '.join(names)}. "
            f"Received: {root}, without these. Name the folder of the csv files."
        )
    if paths[0].name not in ENTRIES:
        return _from_one_hot(paths)
    if len(paths) > 1:
        logger.info("labels are those of %s", paths[0])
    return _from_entries(paths[0])


def _from_entries(path: Path) -> Annotations:
    """Annotations of the official csv and the lists beside it."""
    frame = read_table(path, (IMAGE, LABEL))
    cells = frame[LABEL].replace(r"\bInfiltrate\b", "Infiltration", regex=True)
    findings = [set(map(str.strip, cell.split("|"))) for cell in cells]
    _check_findings(itertools.chain.from_iterable(findings), path)
    labels = np.array([[c in row for c in NIH_CLASSES] for row in findings], np.float32)
    labels[frame[LABEL] == ""] = np.nan
    names = frame[IMAGE].tolist()
    patients = frame[PATIENT].str.zfill(8).tolist() if PATIENT in frame else None
    return Annotations(
        source=str(path),
        class_names=NIH_CLASSES,
        names=names,
        locations=frame.index.tolist(),
        labels=labels,
        splits=_official_splits(path.parent, names),
        groups=patients or _patients(names),
    )


def _from_one_hot(paths: list[Path]) -> Annotations:
    """Annotations of csv files with a column per class, one file per split."""
    frame = pd.concat([_one_hot_columns(path) for path in paths])
    source = ", ".join(map(str, paths))
    cells = frame[list(NIH_CLASSES)].apply(lambda column: column.str.lower())
    names = frame[IMAGE].tolist()
    return Annotations(
        source=source,
        class_names=NIH_CLASSES,
        names=names,
        locations=frame.index.tolist(),
        labels=to_labels(cells, CELLS, source, "1, 0, or blank or -1 (unknown)"),
        splits=frame["split"],
        groups=_patients(names),
    )


def _one_hot_columns(path: Path) -> pd.DataFrame:
    """Rows of a one-hot csv with the image and one column per class."""
    frame = read_table(path, (IMAGE,)).rename(columns=RENAMED)
    missing = [name for name in NIH_CLASSES if name not in frame]
    if missing:
        raise ValueError(
            f"Expected a column for each of {', '.join(NIH_CLASSES)} in {path}. "
            f"Received: none for {', '.join(missing)}. Add it, with blank cells if "
            "unknown."
        )
    _check_findings({*frame.columns.tolist()} - {IMAGE, LABEL, PATIENT}, path)
    return frame[[IMAGE, *NIH_CLASSES]].assign(split=ONE_HOT[path.name])


def _check_findings(names: Iterable[str], source: Path) -> None:
    """Raise if a name is not a finding."""
    unknown = sorted(set(names) - {*NIH_CLASSES, NO_FINDING, ""})
    rule = f"Expected labels in {source} among {', '.join(NIH_CLASSES)}, {NO_FINDING}"
    report_problems(unknown, rule, remedy="Rename or remove them.")


def _patients(names: list[str]) -> list[str]:
    """Patient of each image by its name: 00013118_008.png -> 00013118."""
    return [Path(name).stem.split("_")[0] for name in names]


def _official_splits(root: Path, names: list[str]) -> list[str]:
    """Split of each image by the official lists."""
    listed: dict[str, str] = {}
    repeated = []
    for file, split in LISTS.items():
        if (root / file).is_file():
            for image in (root / file).read_text(encoding="utf-8").split():
                if listed.setdefault(image, split) != split:
                    repeated.append(image)
    rule = f"Expected an image on one of the lists {', '.join(LISTS)}"
    report_problems(repeated, rule, remedy="Remove it from the other.")
    splits = [listed.get(name, "") for name in names]
    unlisted, absent = splits.count(""), len(set(listed) - set(names))
    if listed and (unlisted or absent):
        logger.warning(
            "%s: %d images are on no list; %d on the lists have no row",
            root,
            unlisted,
            absent,
        )
    return splits


def _read_boxes(path: Path) -> pd.DataFrame:
    """Boxes of the official list."""
    frame = read_box_list(path)
    _check_findings(frame["label"], path)
    frame = frame[frame["label"].isin(NIH_CLASSES)]
    return frame.assign(
        location=frame.index,
        class_index=frame["label"].map(NIH_CLASSES.index),
        rows=BOX_SIDE,
        cols=BOX_SIDE,
    )
