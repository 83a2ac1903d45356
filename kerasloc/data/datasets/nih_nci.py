"""NIH-NCI cervical cancer screening photographs, low against high grade.

The data is available on request only, and the names of its columns are not published:
this reader was tested on synthetic files alone, in the layout below.

The root holds folders (four in the release; any number is read), each with::

    FOLDER/*.csv          the covariates, one file, one row per image
    FOLDER/**/*.jpg       the images, at any depth
    FOLDER/masks/*        optional: NAME_mask.png or NAME.png for the image NAME.jpg

Columns are those of ``COLUMNS``, in any case, blanks, dashes and underscores not
counted: the image, its worst histology (a number), the patient and, optionally, the
session; without it, all images of a patient are one session.

Reference:
    Rio-Torto, Fernandes, Teixeira: Understanding the decisions of CNNs: an in-model
    approach, Pattern Recognition Letters 133, 2020.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from kerasloc.data.datasets.files import FileIndex, PathLike, add_masks, locate
from kerasloc.data.datasets.reading import build_table, read_table
from kerasloc.data.problems import check_on_error, report_problems
from kerasloc.data.splits import cut_validation
from kerasloc.data.table import Table

NCI_CLASSES = ("low grade", "high grade")
LOW_GRADE = 1  # the highest worst histology of the class
TEST_SHARE = 0.05
VAL_SHARE = 0.2  # of the sessions that are not for the test
COLUMNS = {
    "image": ("image", "imageid", "imagename", "filename", "file", "photo"),
    "histology": ("worsthistology", "worsthist", "histology"),
    "patient": ("patient", "patientid", "subject", "subjectid", "studyid"),
    "session": ("session", "sessionid", "visit", "visitid", "visitdate"),
}
REQUIRED = ["image", "histology", "patient"]


def read_nih_nci(root: PathLike, *, on_error: str = "raise", seed: int = 0) -> Table:
    """Read the screening photographs: class 0 up to histology 1, class 1 above.

    The split is made here: 5 % of the sessions "test", of the others 20 % "val", by
    class, all sessions of a patient on one side. Patients of the same name in several
    folders are one.

    Args:
        root: Folder of the folders described above.
        on_error: "raise", or "skip" (with a warning) missing images and invalid rows.
        seed: Seed of the split.

    Raises:
        ValueError: If files or columns are missing or invalid; lists the problems.
    """
    check_on_error(on_error)
    root = Path(root)
    folders = _find_tables(root)
    rows = _read_rows(folders, on_error)
    labels = (rows["histology"] > LOW_GRADE).to_numpy(int)
    indices = {folder.name: FileIndex(folder) for folder in folders}
    names, files = locate(zip(rows["folder"], rows["image"], strict=True), indices)
    splits = _splits(rows, labels, seed)
    rows = rows.assign(name=names, split=splits, group=rows["patient"])
    table = build_table(
        rows, NCI_CLASSES, np.eye(2)[labels], files, source=root, on_error=on_error
    )
    parents = [Path(path).relative_to(root).parts[0] for path in table.paths]
    return add_masks(table, [root / parent / "masks" for parent in parents])


def _find_tables(root: Path) -> dict[Path, Path]:
    """The covariate table of each folder that has one."""
    tables: dict[Path, list[Path]] = {}
    for path in sorted(root.glob("*/*")):
        if path.suffix.lower() == ".csv":
            tables.setdefault(path.parent, []).append(path)
    ambiguous = [", ".join(map(str, paths)) for paths in tables.values() if paths[1:]]
    if ambiguous or not tables:
        received = "; ".join(ambiguous) or "no folder with a csv file"
        raise ValueError(
            f"Expected folders of images in {root}, each with one csv file of "
            f"covariates. Received: {received}. Use one each."
        )
    return {folder: path for folder, (path,) in tables.items()}


def _read_rows(tables: dict[Path, Path], on_error: str) -> pd.DataFrame:
    """Valid rows of all tables: REQUIRED, session, folder."""
    rows = pd.concat([_read_covariates(folder, p) for folder, p in tables.items()])
    number = pd.to_numeric(rows["histology"], errors="coerce").astype(float)
    valid = np.isfinite(number) & (rows[REQUIRED] != "").all(axis=1)
    invalid = rows.loc[~valid, REQUIRED].to_dict("index")
    rule = "Expected rows with an image, a patient and a number as worst histology"
    report_problems([f"{k}: {cells}" for k, cells in invalid.items()], rule, on_error)
    if not valid.any():
        raise ValueError(f"{rule}. Received: {len(rows)} rows, all without. Add them.")
    return rows.assign(histology=number)[valid]


def _read_covariates(folder: Path, path: Path) -> pd.DataFrame:
    """Rows of a table with the columns COLUMNS and ``folder``."""
    frame = read_table(path)
    plain = {re.sub(r"[\s_-]", "", name).lower(): name for name in frame.columns[::-1]}
    columns = {
        name: next((plain[word] for word in words if word in plain), None)
        for name, words in COLUMNS.items()
    }
    missing = [f"{n} ({', '.join(COLUMNS[n])})" for n in REQUIRED if not columns[n]]
    if missing or frame.empty:
        received = ", ".join(frame.columns.tolist()) or "no columns"
        raise ValueError(
            f"Expected rows with the columns image, histology and patient in {path}. "
            f"Received: {len(frame)} rows with {received}; missing: "
            f"{', '.join(missing)}. Rename its columns."
        )
    cells = {name: frame[column] if column else "" for name, column in columns.items()}
    rows = pd.DataFrame(cells)
    rows.index = [f"{path}, {line.split(' of ')[0]}" for line in rows.index]
    return rows.assign(folder=folder.name)


def _splits(rows: pd.DataFrame, labels: np.ndarray, seed: int) -> np.ndarray:
    """Split of each image: sessions by class, patients as a whole, (n,) str."""
    keys = pd.MultiIndex.from_frame(rows[["patient", "session"]])
    session, sessions = pd.factorize(keys)
    session_labels = np.zeros(len(sessions), int)
    np.maximum.at(session_labels, session, labels)
    table = Table(
        paths=np.arange(len(sessions)).astype(str),
        class_names=NCI_CLASSES,
        labels=np.eye(2)[session_labels],
        splits=["train"] * len(sessions),
        groups=sessions.get_level_values(0),
    )
    test = cut_validation(table, TEST_SHARE, seed).splits == "val"
    rest = np.flatnonzero(~test)
    splits = np.full(len(sessions), "test", "<U5")
    splits[rest] = cut_validation(table.subset(rest), VAL_SHARE, seed).splits
    return splits[session]
