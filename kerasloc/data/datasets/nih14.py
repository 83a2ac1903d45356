"""NIH ChestX-ray14 from its official files or from one-hot csv files.

Files below the root, each optional: ``Data_Entry_2017.csv`` (or the v2020 one),
``train_val_list.txt``, ``test_list.txt``, ``BBox_List_2017.csv``, and the images in
``images``, in ``images_001`` ... ``images_012/images`` or in the root itself. Instead
of the entries: ``train.csv``, ``val.csv``, ``test.csv`` (or synonyms such as
``Valid.csv``) with the column ``Image Index`` and one column per class.

Reference:
    Wang et al., ChestX-ray8: Hospital-scale chest X-ray database and benchmarks, CVPR
    2017.
"""

import itertools
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
    csv_files,
    image_files,
    image_sizes,
)
from kerasloc.data.problems import check_choice, check_on_error, report_problems
from kerasloc.data.table import Table
from kerasloc.io import read_text

NIH_CLASSES = split_names(
    "Atelectasis, Cardiomegaly, Effusion, Infiltration, Mass, Nodule, Pneumonia, "
    "Pneumothorax, Consolidation, Edema, Emphysema, Fibrosis, Pleural_Thickening, "
    "Hernia"
)
RENAMED = {"Infiltrate": "Infiltration"}  # boxes and labels differ here
NO_FINDING = "No Finding"
BOX_SIDE = 1024
ENTRIES = ("Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv")
LISTS = {"train": "train_val_list", "test": "test_list"}  # starts of the names
ONE_HOT = ("train.csv", "val.csv", "test.csv")  # or synonyms, such as Valid.csv
BOXES = "BBox_List_2017.csv"
ORIGINAL = {"Image Index": "image", "OriginalImage[Width": "cols", "Height]": "rows"}
IMAGE, LABEL, PATIENT = "Image Index", "Finding Labels", "Patient ID"
NESTED = ("images_*/images", "images_*")
FOLDERS = ("images", *NESTED, "images/images_*", "images/images_*/images")
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

    Boxes, published for images of 1024 x 1024, are scaled to the size of each file,
    which must not have the shape of the original turned by a right angle. A box of a
    finding that the image is not labeled with stays, and so does the label; their
    number is logged, as is that of images without a row. Images on no list have the
    split "".

    Args:
        root: Folder with the files above.
        image_dir: Folder of the images, or of their folders. None: below the root.
        labels: "entry" (the official csv), "onehot" (the split csv files; blank and -1
            are unknown), or "auto": the former if it exists.
        on_error: "raise", or "skip" (with a warning) missing images and invalid boxes.

    Raises:
        ValueError: If files are missing or invalid; lists the problems.
    """
    check_on_error(on_error)
    root = Path(root)
    rows, matrix = _read_labels(root, labels)
    files = image_files(root, image_dir, FOLDERS)
    boxes = None
    if (root / BOXES).is_file():
        boxes = _read_boxes(root / BOXES)
        _check_not_turned(rows, boxes["image"], files)
    table = reading.build_table(
        rows, NIH_CLASSES, matrix, files, boxes, source=root, on_error=on_error
    )
    reading.report_unlabeled(table)
    return table


def _check_not_turned(
    rows: pd.DataFrame, names: Iterable[str], files: Mapping[str, str]
) -> None:
    """Raise if files with boxes have the shape of their original, but turned."""
    boxed = [name for name in dict.fromkeys(names) if name in files]
    frame = sizes.size_frame(rows.rename(columns=ORIGINAL)).drop_duplicates("image")
    original = frame.set_index("image")[sizes.SIZE].reindex(boxed)
    measured = image_sizes([files[name] for name in boxed])
    file = pd.DataFrame(measured, boxed, sizes.SIZE)
    report_problems(
        original.index[sizes.is_turned(original, file)],
        "Expected files that are not turned against the original's width and height",
        remedy="Turn them back, as their boxes are not turned.",
    )


def read_box_list(path: PathLike) -> pd.DataFrame:
    """Read a BBox_List csv, whose published header is broken: image, label, x, y, w, h.

    "Infiltrate" becomes "Infiltration".

    Raises:
        ValueError: If a row is invalid; names its line.
    """
    frame = reading.read_table(path, names=("image", "label", *reading.XYWH))
    numbers = reading.to_numbers(frame[reading.XYWH])
    invalid = (numbers.isna() & ~frame[reading.XYWH].isin(["nan", "NaN"])).any(axis=1)
    report_problems(
        [f"{line}: {', '.join(cells)}" for line, *cells in frame[invalid].itertuples()],
        f"Expected image, label, x, y, w, h in every row of {path}",
        remedy="Fix or remove these rows.",
    )
    return frame.assign(label=frame["label"].replace(RENAMED), **numbers)


def _read_labels(root: Path, labels: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows and labels of the csv files that exist, or that ``labels`` selects."""
    names = {"entry": ENTRIES, "onehot": ONE_HOT, "auto": ENTRIES + ONE_HOT}
    check_choice("labels", labels, names)
    entries = [] if labels == "onehot" else [root / name for name in ENTRIES]
    one_hot = {} if labels == "entry" else by_split(csv_files(root))
    paths = [*filter(Path.is_file, entries), *one_hot.values()]
    if not paths:
        raise ValueError(
            "Expected the labels of ChestX-ray14 in one of "
            f"{', '.join(names[labels])}. Received: {root}, without these. "
            "Name the folder of the csv files."
        )
    if paths[0].name not in ENTRIES:
        return _read_one_hot(one_hot)
    if len(paths) > 1:
        logger.info("labels are those of %s", paths[0])
    return _read_entries(paths[0])


def _read_entries(path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows and labels of the official csv and the lists beside it."""
    rows = reading.read_table(path, (IMAGE, LABEL))
    cells = rows[LABEL].replace(r"\bInfiltrate\b", "Infiltration", regex=True)
    findings = [set(map(str.strip, cell.split("|"))) for cell in cells]
    _check_findings(itertools.chain.from_iterable(findings), path)
    labels = np.array([[c in row for c in NIH_CLASSES] for row in findings], np.float32)
    labels[rows[LABEL] == ""] = np.nan
    splits = _official_splits(path.parent, rows[IMAGE].tolist())
    rows = _with_patients(rows).assign(split=splits)
    if PATIENT in rows:
        rows["group"] = rows[PATIENT].str.zfill(8)
    return rows, labels


def _read_one_hot(paths: Mapping[str, Path]) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows and labels of csv files with a column per class, one file per split."""
    rows = pd.concat([_one_hot_columns(p).assign(split=k) for k, p in paths.items()])
    cells = rows[list(NIH_CLASSES)].apply(lambda column: column.str.lower())
    rule = "1, 0, or blank or -1 (unknown)"
    labels = reading.to_labels(cells, CELLS, ", ".join(map(str, paths.values())), rule)
    return _with_patients(rows), labels


def _one_hot_columns(path: Path) -> pd.DataFrame:
    """Rows of a one-hot csv with the image and one column per class."""
    frame = reading.read_table(path, (IMAGE,)).rename(columns=RENAMED)
    missing = [name for name in NIH_CLASSES if name not in frame]
    if missing:
        raise ValueError(
            f"Expected a column for each of {', '.join(NIH_CLASSES)} in {path}. "
            f"Received: none for {', '.join(missing)}. Add it, blank if unknown."
        )
    _check_findings({*frame.columns.tolist()} - {IMAGE, LABEL, PATIENT}, path)
    return frame[[IMAGE, *NIH_CLASSES]]


def _with_patients(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with their names and patients: 00013118_008.png -> 00013118."""
    groups = [Path(name).stem.split("_")[0] for name in rows[IMAGE]]
    return rows.assign(name=rows[IMAGE], group=groups)


def _check_findings(names: Iterable[str], source: Path) -> None:
    """Raise if a name is not a finding."""
    unknown = sorted(set(names) - {*NIH_CLASSES, NO_FINDING, ""})
    rule = f"Expected labels in {source} among {', '.join(NIH_CLASSES)}, {NO_FINDING}"
    report_problems(unknown, rule, remedy="Rename or remove them.")


def _official_splits(root: Path, names: list[str]) -> list[str]:
    """Split of each image by the official lists."""
    files = [path for path in root.iterdir() if path.suffix.lower() == ".txt"]
    lists: dict[str, list[str]] = {}
    for split, start in LISTS.items():
        paths = [path for path in files if path.name.lower().startswith(start)]
        twice = map(str, sorted(paths) if len(paths) > 1 else ())
        rule = f"Expected one file {start}.txt in {root}"
        report_problems(twice, rule, remedy="Remove all but one.")
        for path in paths:
            lists[split] = read_text(path).split()
    if not lists:
        message = (
            "%s has no train_val_list.txt and no test_list.txt: images are not split"
        )
        logger.warning(message, root)
    listed = reading.merge_lists(lists, root)
    splits = [listed.get(name, "") for name in names]
    unlisted, absent = splits.count(""), len(set(listed) - set(names))
    if listed and (unlisted or absent):
        message = "%s: %d images are on no list; %d on the lists have no row"
        logger.warning(message, root, unlisted, absent)
    return splits


def _read_boxes(path: Path) -> pd.DataFrame:
    """Boxes of the official list."""
    frame = read_box_list(path)
    _check_findings(frame["label"], path)
    frame = frame[frame["label"].isin(NIH_CLASSES)]
    index = frame["label"].map(NIH_CLASSES.index)
    frame = frame.assign(location=frame.index, class_index=index)
    return frame.assign(rows=BOX_SIDE, cols=BOX_SIDE)
