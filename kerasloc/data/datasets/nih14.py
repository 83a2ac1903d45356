"""Table of NIH ChestX-ray14 from its official files or from one-hot csv files.

Read below the root, whatever is there: ``Data_Entry_2017.csv`` (or the v2020 one),
``train_val_list.txt``, ``test_list.txt``, ``BBox_List_2017.csv``, and the images in
``images``, in ``images_001`` ... ``images_012/images`` or in the root itself. Instead
of the entries: ``train.csv``, ``val.csv`` (or ``valid.csv``), ``test.csv`` with the
column ``Image Index`` and one column per class.

Reference:
    Wang et al., ChestX-ray8: Hospital-scale chest X-ray database and benchmarks, CVPR
    2017.
"""

import csv
import itertools
import logging
from pathlib import Path

import numpy as np

from kerasloc.data.datasets.reading import Box, Draft, finish, image_files, read_rows
from kerasloc.data.problems import complain, listing
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


def read_nih(root, image_dir=None, *, labels="auto", on_error="raise") -> Table:
    """Table of ChestX-ray14: 14 labels, boxes in pixels of the files, patients.

    Boxes, given for images of 1024 x 1024, are scaled to the size of each file. A box
    of a finding that the image is not labeled with stays, and so does the label; how
    many there are is logged, as are images that no row has. Images on no list have
    the split "".

    Args:
        root: Folder with the files above.
        image_dir: Folder of the images, or of their folders. None: below the root.
        labels: "entry" (the official csv), "onehot" (the split csv files; blank and -1
            are unknown), or "auto": the former if it is there.
        on_error: "raise", or "skip" to leave out, with a warning, rows without an image
            and boxes that are empty or outside their image.

    Raises:
        ValueError: If files are missing or say something else; lists what.
    """
    root = Path(root)
    draft = _read_labels(root, labels)
    if (root / BOXES).is_file():
        draft.boxes = _boxes(root / BOXES)
        _report_unlabeled(draft)
    return finish(draft, image_files(root, image_dir, FOLDERS), on_error)


def box_lines(path) -> list[tuple[int, str, str, tuple[float, ...]]]:
    """Line number, image, finding and (x, y, w, h) of each box in a BBox_List csv.

    Columns count by their place, as the header is broken; "Infiltrate" becomes
    "Infiltration".

    Args:
        path: ``BBox_List_2017.csv`` or another with its six columns.

    Raises:
        ValueError: If a row is something else; names its line.
    """
    rows, problems = [], []
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        next(lines, None)
        for line in lines:
            try:
                image, label, *box = (cell.strip() for cell in line[:6])
                x, y, w, h = map(float, box)
            except ValueError:
                problems.append(f"line {lines.line_num}: {line}")
                continue
            name = RENAMED.get(label, label)
            rows.append((lines.line_num, image, name, (x, y, w, h)))
    rule = f"{path}: a row is image, label, x, y, w, h"
    complain(problems, rule, way_out="Mend or remove these rows.")
    return rows


def _read_labels(root: Path, labels: str) -> Draft:
    """The draft of the csv files that are there or were asked for."""
    if labels not in ("auto", "entry", "onehot"):
        raise ValueError(
            f'labels is "auto", "entry" or "onehot". Received: {labels!r}.'
        )
    entries = [root / name for name in ENTRIES if (root / name).is_file()]
    one_hot = [root / name for name in ONE_HOT if (root / name).is_file()]
    if entries and labels != "onehot":
        if len(entries) > 1 or one_hot:
            logger.info("labels are those of %s", entries[0])
        return _from_entries(entries[0])
    if one_hot and labels != "entry":
        return _from_one_hot(one_hot)
    wanted = {"entry": ENTRIES, "onehot": tuple(ONE_HOT)}
    names = wanted.get(labels, (*ENTRIES, *ONE_HOT))
    raise ValueError(
        f"The labels of ChestX-ray14 are in one of {', '.join(names)}. Received: "
        f"{root}, which has none. Name the folder that the csv files lie in."
    )


def _from_entries(path: Path) -> Draft:
    """The draft of the official csv and the lists beside it."""
    rows = read_rows(path, (IMAGE, LABEL))
    findings = [
        [RENAMED.get(name.strip(), name.strip()) for name in row[LABEL].split("|")]
        for _, row in rows
    ]
    _check_known(itertools.chain.from_iterable(findings), path)
    labels = np.zeros((len(rows), len(NIH_CLASSES)), np.float32)
    for row, names in enumerate(findings):
        columns = [NIH_CLASSES.index(name) for name in names if name in NIH_CLASSES]
        labels[row, columns] = 1
        if names == [""]:
            labels[row] = np.nan
    names = [row[IMAGE] for _, row in rows]
    return Draft(
        source=str(path),
        class_names=NIH_CLASSES,
        names=names,
        wheres=[f"line {number}" for number, _ in rows],
        labels=labels,
        splits=_splits(path.parent, names),
        groups=[row.get(PATIENT, "").zfill(8) for _, row in rows]
        if PATIENT in rows[0][1]
        else _patients(names),
    )


def _from_one_hot(paths) -> Draft:
    """The draft of csv files with a column per class, one file per split."""
    names, wheres, labels, splits, problems = [], [], [], [], []
    for path in paths:
        rows = _with_known_columns(path)
        for number, row in rows:
            where = f"line {number} of {path.name}"
            cells = [row[name].lower() for name in NIH_CLASSES]
            bad = [cell for cell in cells if cell not in CELLS]
            problems += [f"{where}: {cell!r}" for cell in bad[:1]]
            names.append(row[IMAGE])
            wheres.append(where)
            labels.append([CELLS.get(cell, np.nan) for cell in cells])
        splits += [ONE_HOT[path.name]] * len(rows)
    rule = "Labels are 1, 0, or blank or -1 (unknown)"
    complain(problems, rule, way_out="Mend these rows.")
    source = ", ".join(str(path) for path in paths)
    labels = np.array(labels, np.float32)
    return Draft(source, NIH_CLASSES, names, wheres, labels, splits, _patients(names))


def _with_known_columns(path: Path) -> list[tuple[int, dict]]:
    """Numbered rows of a one-hot csv, whose columns are the classes."""
    rows = [
        (number, {RENAMED.get(name, name): cell for name, cell in row.items()})
        for number, row in read_rows(path, (IMAGE,))
    ]
    columns = rows[0][1]
    missing = [name for name in NIH_CLASSES if name not in columns]
    if missing:
        raise ValueError(
            f"{path} has a column for each of {', '.join(NIH_CLASSES)}. Received: none "
            f"for {', '.join(missing)}. Add it; leave its cells blank if unknown."
        )
    others = {IMAGE, LABEL, PATIENT, *NIH_CLASSES}
    _check_known([name for name in columns if name not in others], path)
    return rows


def _check_known(names, source) -> None:
    """Raise if a name is none of a finding."""
    unknown = sorted(set(names) - {*NIH_CLASSES, NO_FINDING, ""})
    if unknown:
        raise ValueError(
            f"Labels are {', '.join(NIH_CLASSES)} or {NO_FINDING}. Received: unknown "
            f"ones in {source}:\n{listing(unknown)}\nRename or remove them."
        )


def _patients(names) -> list[str]:
    """Patient of each image, by its name: 00013118_008.png -> 00013118."""
    return [Path(name).stem.split("_")[0] for name in names]


def _splits(root: Path, names) -> list[str]:
    """Split of each image by the official lists."""
    known, twice = {}, []
    for name, split in LISTS.items():
        if (root / name).is_file():
            for image in (root / name).read_text(encoding="utf-8").split():
                if known.setdefault(image, split) != split:
                    twice.append(image)
    rule = f"An image is on one of the lists {', '.join(LISTS)}"
    complain(twice, rule, way_out="Take it off the other.")
    splits = [known.get(name, "") for name in names]
    alone, strange = splits.count(""), len(set(known) - set(names))
    if known and (alone or strange):
        logger.warning(
            "%s: %d images are on no list; %d on the lists have no row",
            root,
            alone,
            strange,
        )
    return splits


def _boxes(path: Path) -> list[Box]:
    """The boxes of the official list."""
    lines = box_lines(path)
    _check_known((name for _, _, name, _ in lines), path)
    size = (BOX_SIDE, BOX_SIDE)
    return [
        Box(image, f"line {number}", *box, NIH_CLASSES.index(name), size)
        for number, image, name, box in lines
        if name in NIH_CLASSES
    ]


def _report_unlabeled(draft: Draft) -> None:
    """Log which boxes are of findings that their images are not labeled with."""
    rows = {name: row for row, name in enumerate(draft.names)}
    odd = [
        f"{box.image}: {draft.class_names[box.cls]}"
        for box in draft.boxes
        if box.image in rows and draft.labels[rows[box.image], box.cls] != 1
    ]
    if odd:
        logger.warning(
            "%d boxes are of findings that the image is not labeled with; boxes and "
            "labels stay as given:\n%s",
            len(odd),
            listing(odd),
        )
