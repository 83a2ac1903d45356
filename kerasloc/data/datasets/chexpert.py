"""Table of CheXpert from its official csv files.

Read below the root, whatever is there: ``train.csv`` ("train"), ``valid.csv`` ("val"),
``test.csv`` ("test"), and boxes in ``BBoxes.json`` or ``Annotations/BBoxes.json`` as
published with HAM: xmin, ymin, xmax, ymax in pixels of the image files.

Reference:
    Irvin et al., CheXpert: A large chest radiograph dataset with uncertainty labels and
    expert comparison, AAAI 2019.
"""

import collections
import concurrent.futures
import itertools
import logging
import os
from pathlib import Path

import numpy as np

from kerasloc.data.datasets.ham_boxes import (
    CHEXPERT_IMAGE,
    check_convention,
    chosen_names,
    known_names,
    place_boxes,
    read_boxes,
)
from kerasloc.data.datasets.reading import Box, Draft, finish, read_rows
from kerasloc.data.problems import check_on_error, complain, listing
from kerasloc.data.table import Table

CHEXPERT_CLASSES = (
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
NO_FINDING = "No Finding"
DEVICES = "Support Devices"  # is there beside No Finding, too
FILES = {"train.csv": "train", "valid.csv": "val", "test.csv": "test"}
FOLDERS = ("CheXpert-v1.0-small", "CheXpert-v1.0")
BOXES = ("BBoxes.json", "Annotations/BBoxes.json")
PATH, VIEW = "Path", "Frontal/Lateral"
ABOUT = (PATH, "Sex", "Age", VIEW, "AP/PA")
FRONTAL, LATERAL = "frontal", "lateral"
UNCERTAIN = {"unknown": np.nan, "ones": 1.0, "zeros": 0.0}
BLANK = {"unknown": np.nan, "zeros": 0.0}
MINUS, EMPTY, STRANGE = 2, 3, 4
CODES = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "-1": MINUS, "-1.0": MINUS, "": EMPTY}
CHUNK = 2048
WAY_OUT = "Write them as xmin, ymin, xmax, ymax; now they are {}."

logger = logging.getLogger(__name__)


def read_chexpert(
    root,
    image_dir=None,
    *,
    uncertain="unknown",
    blank="zeros",
    frontal_only=True,
    class_names=None,
    on_error="raise",
) -> Table:
    """Table of CheXpert: 13 labels, patients, and boxes where a file has them.

    "No Finding" is no class: an image with it has a 0 wherever its row is blank. Boxes
    of classes that an image is not labeled with stay, and so do the labels; how many
    there are is logged. Only the files that rows ask for are looked at.

    Args:
        root: Folder of the csv files, or the one above ``CheXpert-v1.0(-small)``.
        image_dir: Folder with ``train`` and ``valid`` of images. None: below the root.
        uncertain: What -1 becomes: "unknown" (NaN), "ones" or "zeros".
        blank: What a blank (not mentioned in the report) becomes: "zeros", as is the
            custom, or "unknown" (NaN).
        frontal_only: Whether lateral views are left out.
        class_names: Some of ``CHEXPERT_CLASSES``, in the order that labels are to
            have. None: all.
        on_error: "raise", or "skip" to leave out, with a warning, rows without an image
            and boxes that are empty or outside their image.

    Raises:
        ValueError: If files are missing or say something else, or boxes are in another
            convention; lists what.
    """
    check_on_error(on_error)
    _check_policy("uncertain", uncertain, UNCERTAIN)
    _check_policy("blank", blank, BLANK)
    names = CHEXPERT_CLASSES
    if class_names is not None:
        names = chosen_names(class_names, CHEXPERT_CLASSES)
    root = Path(root)
    folder = _csv_folder(root)
    rows = _read_rows(folder, frontal_only)
    labels = _labels(rows, UNCERTAIN[uncertain], BLANK[blank])
    draft = _draft(folder, rows, labels, names)
    base = folder if image_dir is None else Path(image_dir)
    files = files_below(_image_folders(base, rows), draft.names)
    draft.boxes = _boxes((folder, root), files, names)
    table = finish(draft, files, on_error)
    _report_unlabeled(table)
    return table


def files_below(folders, names) -> dict[str, str]:
    """Paths of those names (relative paths) that are files in one of the folders.

    Asks for these files only, in threads: CheXpert has nearly as many folders as
    images, so a listing of all would take longer.

    Args:
        folders: Where to look, the likeliest first.
        names: Relative paths with forward slashes.
    """
    found, missing = {}, list(names)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for folder in map(str, folders):
            if not os.path.isdir(folder):
                continue
            parts = [missing[i : i + CHUNK] for i in range(0, len(missing), CHUNK)]
            here = pool.map(_files_of, itertools.repeat(folder), parts)
            found.update(itertools.chain.from_iterable(here))
            missing = [name for name in missing if name not in found]
    return found


def chexpert_patients(names) -> list[str]:
    """Patient of each image by its path, "" where that has none.

    Args:
        names: Paths such as "train/patient00001/study1/view1_frontal.jpg".
    """
    matches = map(CHEXPERT_IMAGE.fullmatch, names)
    return [match[1] if match else "" for match in matches]


def _check_policy(name: str, value, known) -> None:
    """Raise unless the policy is a known one."""
    if value not in known:
        raise ValueError(
            f"{name} is one of {', '.join(map(repr, known))}. Received: {value!r}."
        )


def _csv_folder(root: Path) -> Path:
    """The folder that the csv files lie in: the root or one below."""
    places = [root, *(root / name for name in FOLDERS)]
    found = [p for p in places if any((p / name).is_file() for name in FILES)]
    if not found:
        raise ValueError(
            f"The labels of CheXpert are in {', '.join(FILES)}. Received: {root}, "
            f"which has none, nor has {' or '.join(FOLDERS)} in it. Name their folder."
        )
    if len(found) > 1 and root not in found:
        raise ValueError(
            f"The root holds one release of CheXpert. Received: {root} with "
            f"{' and '.join(p.name for p in found)}. Name one of the two."
        )
    return found[0]


def _relative(path: str) -> str:
    """The path of a csv without the name of the release before it."""
    first, _, rest = path.partition("/")
    return rest if first in FOLDERS else path


def _read_rows(folder: Path, frontal_only: bool) -> list[tuple[int, dict, str]]:
    """Line, cells by known column and csv file of each image that is wanted."""
    rows = []
    for file in FILES:
        if (folder / file).is_file():
            own = _known_columns(read_rows(folder / file, (PATH,)), folder / file)
            rows += [(number, row, file) for number, row in own]
    if not frontal_only:
        return rows
    views = [_view(row) for _, row, _ in rows]
    complain(
        [
            f"{_where(row)}: {row[1][PATH]}"
            for row, view in zip(rows, views, strict=True)
            if view not in (FRONTAL, LATERAL)
        ],
        f"{VIEW} is {FRONTAL} or {LATERAL}, or the file name says so",
        way_out="Mend these rows, or take all with frontal_only=False.",
    )
    frontal = [row for row, view in zip(rows, views, strict=True) if view == FRONTAL]
    if not frontal:
        raise ValueError(
            f"Some views are frontal. Received: {len(rows)} rows in {folder}, none of "
            "them. Take the lateral ones with frontal_only=False."
        )
    return frontal


def _draft(folder: Path, rows, labels, names) -> Draft:
    """The draft of rows with their labels, restricted to some classes."""
    images = [_relative(row[PATH]) for _, row, _ in rows]
    files = dict.fromkeys(file for _, _, file in rows)
    return Draft(
        source=", ".join(str(folder / file) for file in files),
        class_names=names,
        names=images,
        wheres=[_where(row) for row in rows],
        labels=labels[:, [CHEXPERT_CLASSES.index(name) for name in names]],
        splits=[FILES[file] for _, _, file in rows],
        groups=chexpert_patients(images),
    )


def _image_folders(base: Path, rows) -> list[Path]:
    """Where images may lie: of several releases in the one that the rows name."""
    named = {row[PATH].partition("/")[0] for _, row, _ in rows}
    releases = [name for name in FOLDERS if name in named] or FOLDERS
    return [base, *(base / name for name in releases), base / "images"]


def _view(row: dict) -> str:
    """What a row says of its view, in lower case; else what its file name says."""
    told = row.get(VIEW) or Path(row[PATH]).stem.rpartition("_")[2]
    return told.lower()


def _known_columns(rows, path: Path) -> list[tuple[int, dict]]:
    """The rows with their columns' names mended, all classes among them."""
    columns = rows[0][1]
    written = dict.fromkeys((name for name in columns if name not in (*ABOUT, "")), 1)
    names = known_names(written, (*CHEXPERT_CLASSES, NO_FINDING), path)
    missing = [name for name in CHEXPERT_CLASSES if name not in names.values()]
    if missing or len(set(names.values())) < len(names):
        raise ValueError(
            f"{path} has one column for each of {', '.join(CHEXPERT_CLASSES)}. "
            f"Received: {', '.join(written)}; missing: {', '.join(missing) or 'none'}. "
            "Add what is missing, with blank cells if unknown; remove what is double."
        )
    if all(name == meant for name, meant in names.items()):
        return rows
    return [
        (number, {names.get(name, name): cell for name, cell in row.items()})
        for number, row in rows
    ]


def _labels(rows, uncertain: float, blank: float) -> np.ndarray:
    """1, 0 or NaN, (n, classes), of the cells under both policies."""
    columns = (*CHEXPERT_CLASSES, NO_FINDING)
    codes = np.array(
        [
            [CODES.get(row.get(name, ""), STRANGE) for name in columns]
            for _, row, _ in rows
        ],
        np.int8,
    )
    strange = [
        f"{_where(rows[i])}: {rows[i][1][columns[j]]!r} for {columns[j]}"
        for i, j in np.argwhere(codes == STRANGE)
    ]
    rule = "Labels are 1, 0, -1 (uncertain) or blank"
    complain(strange, rule, way_out="Mend these cells.")
    cells, normal = codes[:, :-1], codes[:, -1:] == 1
    _report_contradictions(rows, cells, normal)
    labels = np.where(cells == MINUS, uncertain, cells)
    labels = np.where(cells == EMPTY, np.where(normal, 0.0, blank), labels)
    return labels.astype(np.float32)


def _report_contradictions(rows, cells, normal) -> None:
    """Log which rows have both findings and No Finding; devices are none."""
    findings = (cells == 1) & (np.array(CHEXPERT_CLASSES) != DEVICES)
    odd = np.flatnonzero((findings & normal).any(axis=1))
    if len(odd):
        logger.warning(
            "%d rows have %s and findings; the findings stay:\n%s",
            len(odd),
            NO_FINDING,
            listing(_where(rows[i]) for i in odd),
        )


def _where(row) -> str:
    """What messages call a row."""
    return f"line {row[0]} of {row[2]}"


def _files_of(folder: str, names) -> list[tuple[str, str]]:
    """Name and path of those names that are files in the folder."""
    paths = ((name, os.path.join(folder, name)) for name in names)
    return [(name, path) for name, path in paths if os.path.isfile(path)]


def _boxes(folders, files, names) -> list[Box]:
    """The boxes of HAM's file, if there is one."""
    places = [folder / name for folder in folders for name in BOXES]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return []
    raw = [box._replace(image=_relative(box.image)) for box in read_boxes(path)]
    counts = collections.Counter(box.label for box in raw)
    known = known_names(counts, CHEXPERT_CLASSES, path)
    check_convention(raw, files, "xyxy", path, WAY_OUT)
    classes = {
        name: names.index(meant) for name, meant in known.items() if meant in names
    }
    return place_boxes(raw, classes, "xyxy")


def _report_unlabeled(table: Table) -> None:
    """Log which boxes are of findings that their images are not labeled with."""
    images, classes = table.boxes[:, [0, 5]].astype(int).T
    odd = np.flatnonzero(table.labels[images, classes] != 1)
    if len(odd):
        logger.warning(
            "%d boxes are of findings that the image is not labeled with; boxes and "
            "labels stay as given:\n%s",
            len(odd),
            listing(
                f"{table.paths[images[i]]}: {table.class_names[classes[i]]}"
                for i in odd
            ),
        )
