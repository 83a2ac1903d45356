"""Table of the NIH-NCI cervical cancer screening photographs, low against high grade.

The data is given out on request only, and the names of its columns are not published:
this reader says below what it expects, and was tried on made-up files alone.

Expected is a root with folders (four, as given out; any number is read), each with::

    FOLDER/*.csv          the covariates, one file, one row an image
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

import csv
import dataclasses
import re
from pathlib import Path

import numpy as np

from kerasloc.data.datasets.files import FileIndex, MaskIndex
from kerasloc.data.datasets.reading import Draft, finish, read_rows
from kerasloc.data.problems import check_on_error, complain
from kerasloc.data.splits import cut_validation
from kerasloc.data.table import Table

NCI_CLASSES = ("low grade", "high grade")
LOW_GRADE = 1  # the worst histology that still is
TEST_SHARE = 0.05
VAL_SHARE = 0.2  # of what is not for the test
COLUMNS = {
    "image": ("image", "imageid", "imagename", "filename", "file", "photo"),
    "histology": ("worsthistology", "worsthist", "histology"),
    "patient": ("patient", "patientid", "subject", "subjectid", "studyid"),
    "session": ("session", "sessionid", "visit", "visitid", "visitdate"),
}
NEEDED = ("image", "histology", "patient")


def read_nih_nci(root, *, on_error="raise", seed=0) -> Table:
    """Table of the screening photographs: class 0 up to histology 1, class 1 above.

    The split is made here: 5 % of the sessions "test", of the others 20 % "val", by
    class, all sessions of a patient on one side. Patients of the same name in several
    folders are one.

    Args:
        root: Folder of the folders described above.
        on_error: "raise", or "skip" to leave out, with a warning, images that are
            missing and rows without an image's name, a histology or a patient.
        seed: Decides which sessions are for what.

    Raises:
        ValueError: If files or columns are missing or say something else; lists what.
    """
    check_on_error(on_error)
    folders = _folders(Path(root))
    rows = _rows(folders, on_error)
    names, files = _find(rows)
    draft = Draft(
        source=str(root),
        class_names=NCI_CLASSES,
        names=names,
        wheres=[row.where for row in rows],
        labels=np.eye(2)[[row.label for row in rows]],
        splits=_splits(rows, seed),
        groups=[row.patient for row in rows],
    )
    table = finish(draft, files, on_error)
    masks = {folder: MaskIndex(folder / "masks") for folder in folders}
    places = {
        files[name]: row.folder
        for name, row in zip(names, rows, strict=True)
        if name in files
    }
    column = [masks[places[path]].find(path) for path in table.paths.tolist()]
    return dataclasses.replace(table, masks=column)


@dataclasses.dataclass(frozen=True)
class _Row:
    """What a line of a covariate table says."""

    folder: Path
    where: str
    image: str
    label: int
    patient: str
    session: str


def _folders(root: Path) -> dict[Path, Path]:
    """The covariate table of each folder that has one."""
    inside = sorted(root.iterdir()) if root.is_dir() else []
    tables = {
        folder: sorted(p for p in folder.iterdir() if p.suffix.lower() == ".csv")
        for folder in inside
        if folder.is_dir()
    }
    tables = {folder: paths for folder, paths in tables.items() if paths}
    several = [", ".join(map(str, paths)) for paths in tables.values() if paths[1:]]
    if several or not tables:
        raise ValueError(
            f"{root} holds folders of images, each with one csv file of covariates. "
            f"Received: {'; '.join(several) or 'no folder with a csv file'}."
        )
    return {folder: paths[0] for folder, paths in tables.items()}


def _rows(folders: dict[Path, Path], on_error: str) -> list[_Row]:
    """Rows of all tables that say what is needed."""
    rows, problems = [], []
    for folder, path in folders.items():
        for number, line in _lines(path):
            where = f"{path}, line {number}"
            try:
                rows.append(_parse(line, folder, where))
            except ValueError as error:
                problems.append(f"{where}: {error}")
    rule = "Rows have an image, a worst histology and a patient"
    complain(problems, rule, on_error)
    if not rows:
        raise ValueError(f"{rule}. Received: none of {len(problems)} rows has them.")
    return rows


def _lines(path: Path) -> list[tuple[int, dict]]:
    """Numbered lines as dictionaries by our names of the columns."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        columns = [name.strip() for name in next(csv.reader(file), [])]
    plain = {re.sub(r"[\s_-]", "", name).lower(): name for name in columns[::-1]}
    ours = {
        name: next((plain[word] for word in words if word in plain), None)
        for name, words in COLUMNS.items()
    }
    missing = [f"{n} ({', '.join(COLUMNS[n])})" for n in NEEDED if ours[n] is None]
    if missing:
        raise ValueError(
            f"{path} has the columns image, histology and patient, case, blanks, "
            f"dashes and underscores not counted; it lacks {'; '.join(missing)}. "
            f"Received: {', '.join(columns) or 'no columns'}. Rename its columns."
        )
    known = {name: column for name, column in ours.items() if column is not None}
    return [
        (number, {name: line[column] for name, column in known.items()})
        for number, line in read_rows(path, known.values())
    ]


def _parse(line: dict, folder: Path, where: str) -> _Row:
    """What a line says; a ValueError says what is wrong with it."""
    blank = [name for name in NEEDED if not line[name]]
    if blank:
        raise ValueError(f"no {', no '.join(blank)}")
    try:
        histology = float(line["histology"])
    except ValueError:
        histology = np.nan
    if not np.isfinite(histology):
        raise ValueError(f"the worst histology is a number, not {line['histology']!r}")
    return _Row(
        folder=folder,
        where=where,
        image=line["image"],
        label=int(histology > LOW_GRADE),
        patient=line["patient"],
        session=line.get("session", ""),
    )


def _find(rows: list[_Row]) -> tuple[list[str], dict[str, str]]:
    """Name of each row's image, and the path of each name that has a file."""
    indices = {folder: FileIndex(folder) for folder in {row.folder for row in rows}}
    names, files = [], {}
    for row in rows:
        path = indices[row.folder].find(row.image)
        below = row.image if path is None else path.relative_to(row.folder).as_posix()
        names.append(f"{row.folder.name}/{below}")
        files |= {} if path is None else {names[-1]: str(path)}
    return names, files


def _splits(rows: list[_Row], seed) -> np.ndarray:
    """Split of each image: sessions by class, patients as a whole, (n,) str."""
    keys = [(row.patient, row.session) for row in rows]
    sessions = {key: at for at, key in enumerate(dict.fromkeys(keys))}
    own = np.array([sessions[key] for key in keys])
    labels = np.zeros(len(sessions), int)
    np.maximum.at(labels, own, [row.label for row in rows])
    table = Table(
        paths=np.arange(len(sessions)).astype(str),
        class_names=NCI_CLASSES,
        labels=np.eye(2)[labels],
        splits=["train"] * len(sessions),
        groups=[patient for patient, _ in sessions],
    )
    test = cut_validation(table, TEST_SHARE, seed).splits == "val"
    rest = np.flatnonzero(~test)
    splits = np.full(len(sessions), "test", "<U5")
    splits[rest] = cut_validation(table.subset(rest), VAL_SHARE, seed).splits
    return splits[own]
