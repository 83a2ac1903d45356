"""CheXpert from its official csv files.

Files below the root, each optional: ``train.csv`` ("train"), ``valid.csv`` ("val"),
``test.csv`` ("test"), and boxes in ``BBoxes.json`` or ``Annotations/BBoxes.json`` as
published with HAM: xmin, ymin, xmax, ymax in pixels of the image files.

Reference:
    Irvin et al., CheXpert: A large chest radiograph dataset with uncertainty labels and
    expert comparison, AAAI 2019.
"""

import collections
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kerasloc.data.class_names import choose_names, match_names
from kerasloc.data.datasets.files import PathLike, files_below
from kerasloc.data.datasets.ham_boxes import (
    CHEXPERT_IMAGE,
    check_convention,
    convert_boxes,
    read_boxes,
)
from kerasloc.data.datasets.reading import (
    Annotations,
    box_frame,
    build_table,
    read_table,
    report_unlabeled,
    to_labels,
)
from kerasloc.data.problems import (
    check_choice,
    check_on_error,
    listing,
    report_problems,
)
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
DEVICES = "Support Devices"  # occurs beside No Finding, too
FILES = {"train.csv": "train", "valid.csv": "val", "test.csv": "test"}
FOLDERS = ("CheXpert-v1.0-small", "CheXpert-v1.0")
BOXES = ("BBoxes.json", "Annotations/BBoxes.json")
PATH, VIEW = "Path", "Frontal/Lateral"
ABOUT = (PATH, "Sex", "Age", VIEW, "AP/PA")
FRONTAL, LATERAL = "frontal", "lateral"
UNCERTAIN = {"unknown": np.nan, "ones": 1.0, "zeros": 0.0}
BLANK = {"unknown": np.nan, "zeros": 0.0}
MINUS, EMPTY = 2, 3
CODES = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "-1": MINUS, "-1.0": MINUS, "": EMPTY}
CONVENTION_REMEDY = "Write them as xmin, ymin, xmax, ymax; now they are {}."

logger = logging.getLogger(__name__)


def read_chexpert(
    root: PathLike,
    image_dir: PathLike | None = None,
    *,
    uncertain: str = "unknown",
    blank: str = "zeros",
    frontal_only: bool = True,
    class_names: Iterable[str] | None = None,
    on_error: str = "raise",
) -> Table:
    """Read CheXpert: 13 labels, patients, and boxes where a file has them.

    "No Finding" is not a class: an image with it has a 0 wherever its row is blank.
    Boxes of classes that an image is not labeled with stay, and so do the labels; their
    number is logged. Only the files that rows name are queried.

    Args:
        root: Folder of the csv files, or the one above ``CheXpert-v1.0(-small)``.
        image_dir: Folder with ``train`` and ``valid`` of images. None: below the root.
        uncertain: Label of -1: "unknown" (NaN), "ones" or "zeros".
        blank: Label of a blank (not mentioned in the report): "zeros", as is the
            custom, or "unknown" (NaN).
        frontal_only: Leave out lateral views.
        class_names: Some of ``CHEXPERT_CLASSES``, in the order of the labels. None:
            all.
        on_error: "raise", or "skip" to leave out, with a warning, rows without an image
            and boxes that are empty or outside their image.

    Raises:
        ValueError: If files are missing or invalid, or boxes are in another convention;
            lists the problems.
    """
    check_on_error(on_error)
    check_choice("uncertain", uncertain, UNCERTAIN)
    check_choice("blank", blank, BLANK)
    names: tuple[str, ...] = CHEXPERT_CLASSES
    if class_names is not None:
        names = choose_names(class_names, CHEXPERT_CLASSES)
    root = Path(root)
    folder = _csv_folder(root)
    rows = _read_rows(folder, frontal_only)
    images = rows[PATH].map(_without_release).tolist()
    sources = dict.fromkeys(str(folder / file) for file in rows["file"])
    labels = _labels(rows, UNCERTAIN[uncertain], BLANK[blank], ", ".join(sources))
    files = files_below(
        _image_folders(folder if image_dir is None else Path(image_dir), rows), images
    )
    annotations = Annotations(
        source=", ".join(sources),
        class_names=names,
        names=images,
        locations=rows.index.tolist(),
        labels=labels[:, [CHEXPERT_CLASSES.index(name) for name in names]],
        splits=rows["file"].map(FILES).tolist(),
        groups=chexpert_patients(images),
        boxes=_boxes((folder, root), files, names),
    )
    table = build_table(annotations, files, on_error)
    report_unlabeled(table)
    return table


def chexpert_patients(names: Iterable[str]) -> list[str]:
    """Return the patient of each image by its path, "" where that has none.

    Args:
        names: Relative paths of images.

    Examples:
        >>> chexpert_patients(["train/patient00001/study1/view1_frontal.jpg", "a.jpg"])
        ['patient00001', '']
    """
    matches = map(CHEXPERT_IMAGE.fullmatch, names)
    return [match[1] if match else "" for match in matches]


def _csv_folder(root: Path) -> Path:
    """The folder of the csv files: the root or one below."""
    candidates = [root, *(root / name for name in FOLDERS)]
    folders = [p for p in candidates if any((p / name).is_file() for name in FILES)]
    if not folders:
        raise ValueError(
            f"Expected the labels of CheXpert in {', '.join(FILES)}. Received: {root}, "
            f"without these, as is {' or '.join(FOLDERS)} in it. Name their folder."
        )
    if len(folders) > 1 and root not in folders:
        raise ValueError(
            f"Expected one release of CheXpert in the root. Received: {root} with "
            f"{' and '.join(p.name for p in folders)}. Name one of the two."
        )
    return folders[0]


def _without_release(path: str) -> str:
    """The path of a csv without the name of the release before it."""
    first, _, rest = path.partition("/")
    return rest if first in FOLDERS else path


def _read_rows(folder: Path, frontal_only: bool) -> pd.DataFrame:
    """Cells by valid column, and csv file, of each selected image."""
    paths = [folder / file for file in FILES if (folder / file).is_file()]
    frames = [_valid_columns(read_table(path, (PATH,)), path) for path in paths]
    rows = pd.concat(frames).fillna("")
    if not frontal_only:
        return rows
    by_name = rows[PATH].map(lambda path: Path(path).stem.rpartition("_")[2])
    views = rows[VIEW].where(rows[VIEW] != "", by_name) if VIEW in rows else by_name
    views = views.str.lower()
    invalid = ~views.isin([FRONTAL, LATERAL])
    report_problems(
        [f"{line}: {path}" for line, path in rows.loc[invalid, PATH].items()],
        f"Expected {VIEW}, or the file name, to be {FRONTAL} or {LATERAL}",
        remedy="Fix these rows, or read all of them with frontal_only=False.",
    )
    if not (views == FRONTAL).any():
        raise ValueError(
            f"Expected frontal views. Received: {len(rows)} lateral ones in {folder}. "
            "Read them with frontal_only=False."
        )
    return rows[views == FRONTAL]


def _image_folders(base: Path, rows: pd.DataFrame) -> list[Path]:
    """Candidate folders of the images: of several releases the one that rows name."""
    named = set(rows[PATH].str.partition("/")[0])
    releases = [name for name in FOLDERS if name in named] or FOLDERS
    return [base, *(base / name for name in releases), base / "images"]


def _valid_columns(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The rows with the valid spelling of their columns, all classes among them."""
    columns: list[str] = rows.columns.tolist()
    written = {name: 1 for name in columns if name not in (*ABOUT, "")}
    names = match_names(written, (*CHEXPERT_CLASSES, NO_FINDING), path)
    missing = [name for name in CHEXPERT_CLASSES if name not in names.values()]
    if missing or len(set(names.values())) < len(names):
        raise ValueError(
            f"Expected one column in {path} for each of {', '.join(CHEXPERT_CLASSES)}. "
            f"Received: {', '.join(written)}; missing: {', '.join(missing) or 'none'}. "
            "Add missing ones, with blank cells if unknown; remove double ones."
        )
    return rows.rename(columns=names).assign(file=path.name)


def _labels(
    rows: pd.DataFrame, uncertain: float, blank: float, source: str
) -> np.ndarray:
    """1, 0 or NaN, (n, classes), of the cells under both policies."""
    cells = rows.reindex(columns=[*CHEXPERT_CLASSES, NO_FINDING], fill_value="")
    codes = to_labels(cells, CODES, source, "1, 0, -1 (uncertain) or blank")
    codes, normal = codes[:, :-1], codes[:, -1:] == 1
    findings = (codes == 1) & (np.array(CHEXPERT_CLASSES) != DEVICES)
    contradictory = rows.index[(findings & normal).any(axis=1)]
    if len(contradictory):
        logger.warning(
            "%d rows have %s and findings; the findings stay:\n%s",
            len(contradictory),
            NO_FINDING,
            listing(contradictory),
        )
    labels = np.where(codes == MINUS, uncertain, codes)
    labels = np.where(codes == EMPTY, np.where(normal, 0.0, blank), labels)
    return labels.astype(np.float32)


def _boxes(folders: Iterable[Path], files, names: Sequence[str]) -> pd.DataFrame:
    """Boxes of HAM's file, if it exists."""
    candidates = (folder / name for folder in folders for name in BOXES)
    path = next(filter(Path.is_file, candidates), None)
    if path is None:
        return box_frame()
    raw = read_boxes(path)
    raw["image"] = raw["image"].map(_without_release)
    matches = match_names(collections.Counter(raw["label"]), CHEXPERT_CLASSES, path)
    check_convention(raw, files, "xyxy", path, CONVENTION_REMEDY)
    return convert_boxes(raw.assign(label=raw["label"].map(matches)), names, "xyxy")
