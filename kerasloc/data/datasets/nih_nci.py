"""NIH-NCI cervical cancer screening photographs, low against high grade.

The data is available on request only, and the names of its columns are not published:
this reader was tested on synthetic files alone, in the layout below.

The root holds folders (four in the release; any number is read), each with::

    FOLDER/*.csv          the covariates, one file, one row per image
    FOLDER/**/*.jpg       the images, at any depth
    FOLDER/masks/*        optional: NAME_mask.png or NAME.png for the image NAME.jpg

Columns, in any case, blanks, dashes and underscores not counted:

- image: ``image``, ``image_id``, ``image_name``, ``filename``, ``file`` or ``photo``;
- worst histology, a number: ``worst_histology``, ``worst_hist`` or ``histology``;
- patient: ``patient``, ``patient_id``, ``subject``, ``subject_id``, ``study_id``;
- optionally the session: ``session``, ``session_id``, ``visit``, ``visit_id``,
  ``visit_date``; without it, all images of a patient are one session.

Reference:
    Rio-Torto, Fernandes, Teixeira: Understanding the decisions of CNNs: an in-model
    approach, Pattern Recognition Letters 133, 2020.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd

from kerasloc.data.datasets.files import FileIndex, MaskIndex, PathLike, locate
from kerasloc.data.datasets.reading import Annotations, build_table, read_table
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
        on_error: "raise", or "skip" to leave out, with a warning, images that are
            missing and rows without an image's name, a histology or a patient.
        seed: Seed of the split.

    Raises:
        ValueError: If files or columns are missing or invalid; lists the problems.
    """
    check_on_error(on_error)
    tables = _find_tables(Path(root))
    rows = _read_rows(tables, on_error)
    labels = (rows["histology"] > LOW_GRADE).to_numpy(int)
    indices = {folder.name: FileIndex(folder) for folder in tables}
    names, files = locate(zip(rows["folder"], rows["image"], strict=True), indices)
    annotations = Annotations(
        source=str(root),
        class_names=NCI_CLASSES,
        names=names,
        locations=rows.index.tolist(),
        labels=np.eye(2)[labels],
        splits=_splits(rows, labels, seed),
        groups=rows["patient"].tolist(),
    )
    table = build_table(annotations, files, on_error)
    mask_indices = {folder.name: MaskIndex(folder / "masks") for folder in tables}
    masks = {
        files[name]: mask_indices[folder].find(files[name])
        for name, folder in zip(names, rows["folder"], strict=True)
        if name in files
    }
    column = np.array([masks[path] for path in table.paths.tolist()], str)
    return dataclasses.replace(table, masks=column)


def _find_tables(root: Path) -> dict[Path, Path]:
    """The covariate table of each folder that has one."""
    folders = [p for p in sorted(root.glob("*")) if p.is_dir()]
    tables = {
        folder: sorted(p for p in folder.iterdir() if p.suffix.lower() == ".csv")
        for folder in folders
    }
    tables = {folder: paths for folder, paths in tables.items() if paths}
    ambiguous = [", ".join(map(str, paths)) for paths in tables.values() if paths[1:]]
    if ambiguous or not tables:
        raise ValueError(
            f"Expected folders of images in {root}, each with one csv file of "
            "covariates. Received: "
            f"{'; '.join(ambiguous) or 'no folder with a csv file'}. Use one each."
        )
    return {folder: paths[0] for folder, paths in tables.items()}


def _read_rows(tables: dict[Path, Path], on_error: str) -> pd.DataFrame:
    """Valid rows of all tables: REQUIRED, session, folder."""
    rows = pd.concat([_read_covariates(folder, p) for folder, p in tables.items()])
    blank = rows[REQUIRED] == ""
    number = pd.to_numeric(rows["histology"], errors="coerce").astype(float)
    invalid = ~np.isfinite(number)
    rule = "Expected rows with an image, a worst histology and a patient"
    report_problems(
        [
            f"{line}: no {', no '.join(blank.columns[missing])}"
            if missing.any()
            else f"{line}: the worst histology is a number, not {histology!r}"
            for line, missing, histology, wrong in zip(
                rows.index, blank.to_numpy(), rows["histology"], invalid, strict=True
            )
            if wrong or missing.any()
        ],
        rule,
        on_error,
    )
    valid = rows.assign(histology=number)[~invalid & ~blank.any(axis=1)]
    if valid.empty:
        raise ValueError(f"{rule}. Received: {len(rows)} rows, all without. Add them.")
    return valid


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
            f"Expected rows with the columns image, histology and patient in {path}; "
            "case, blanks, dashes and underscores do not count. Received: "
            f"{len(frame)} rows with {received}; missing: {', '.join(missing)}. Rename "
            "its columns."
        )
    rows = pd.DataFrame(
        {name: frame[column] if column else "" for name, column in columns.items()}
    )
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
