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
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kerasloc.data import problems
from kerasloc.data.class_names import choose_names, match_names, split_names
from kerasloc.data.datasets import ham_boxes, reading
from kerasloc.data.datasets.files import PathLike, by_split, csv_files, files_below
from kerasloc.data.table import Table

CHEXPERT_CLASSES = split_names(
    "Enlarged Cardiomediastinum, Cardiomegaly, Lung Opacity, Lung Lesion, Edema, "
    "Consolidation, Pneumonia, Atelectasis, Pneumothorax, Pleural Effusion, "
    "Pleural Other, Fracture, Support Devices"
)
NO_FINDING = "No Finding"
DEVICES = "Support Devices"  # occurs beside No Finding, too
FILES = ("train.csv", "valid.csv", "test.csv")  # or synonyms, such as val.csv
FOLDERS = ("CheXpert-v1.0-small", "CheXpert-v1.0")
BOXES = ("BBoxes.json", "Annotations/BBoxes.json")
PATH, VIEW = "Path", "Frontal/Lateral"
ABOUT = (PATH, "Sex", "Age", VIEW, "AP/PA")
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
        blank: Label of a finding that the report does not mention: "zeros", as is the
            custom, or "unknown" (NaN).
        frontal_only: Leave out lateral views.
        class_names: Some of ``CHEXPERT_CLASSES``, in the order of the labels.
        on_error: "raise", or "skip" (with a warning) missing images and invalid boxes.

    Raises:
        ValueError: If files are missing or invalid, or boxes in another convention.
    """
    problems.check_on_error(on_error)
    problems.check_choice("uncertain", uncertain, UNCERTAIN)
    problems.check_choice("blank", blank, BLANK)
    names = CHEXPERT_CLASSES
    if class_names is not None:
        names = choose_names(class_names, CHEXPERT_CLASSES)
    root = Path(root)
    folder = _csv_folder(root)
    rows = _read_rows(folder, frontal_only)
    images = rows[PATH].map(_without_release)
    matches = map(ham_boxes.CHEXPERT_IMAGE.fullmatch, images)
    patients = [match[1] if match else "" for match in matches]
    labels = _labels(rows, UNCERTAIN[uncertain], BLANK[blank], folder)
    base = folder if image_dir is None else Path(image_dir)
    named = set(rows[PATH].str.partition("/")[0])  # of several releases the named one
    releases = [name for name in FOLDERS if name in named] or FOLDERS
    candidates = [base, *(base / name for name in releases), base / "images"]
    files = files_below(candidates, images)
    table = reading.build_table(
        rows.assign(name=images, group=patients),
        names,
        labels[:, [CHEXPERT_CLASSES.index(name) for name in names]],
        files,
        _boxes((folder, root), files, names),
        source=folder,
        on_error=on_error,
    )
    reading.report_unlabeled(table)
    return table


def _csv_folder(root: Path) -> Path:
    """The folder of the csv files: the root or one below."""
    candidates = (root, *(root / name for name in FOLDERS))
    folders = [p for p in candidates if by_split(csv_files(p))]
    if not folders:
        raise ValueError(
            f"Expected the labels of CheXpert in {', '.join(FILES)}. Received: {root}, "
            "without these, as is any release in it. Name their folder."
        )
    if len(folders) > 1 and root not in folders:
        rule = f"Expected one release of CheXpert in {root}"
        releases = [path.name for path in folders]
        problems.report_problems(releases, rule, remedy="Name one of the two.")
    return folders[0]


def _without_release(path: str) -> str:
    """The path of a csv without the name of the release before it."""
    first, _, rest = path.partition("/")
    return rest if first in FOLDERS else path


def _read_rows(folder: Path, frontal_only: bool) -> pd.DataFrame:
    """Cells by valid column, and split, of each selected image."""
    files = by_split(csv_files(folder)).items()
    rows = pd.concat([_read_file(path).assign(split=k) for k, path in files]).fillna("")
    if not frontal_only:
        return rows
    views = rows[PATH].map(lambda path: Path(path).stem.rpartition("_")[2])
    if VIEW in rows:
        views = rows[VIEW].where(rows[VIEW] != "", views)
    views = views.str.lower()
    invalid = ~views.isin(["frontal", "lateral"])
    problems.report_problems(
        [f"{line}: {path}" for line, path in rows.loc[invalid, PATH].items()],
        f"Expected {VIEW}, or the file name, to be frontal or lateral",
        remedy="Fix these rows, or read all of them with frontal_only=False.",
    )
    if not (views == "frontal").any():
        raise ValueError(
            f"Expected frontal views. Received: {len(rows)} lateral ones in {folder}. "
            "Read them with frontal_only=False."
        )
    return rows[views == "frontal"]


def _read_file(path: Path) -> pd.DataFrame:
    """The rows with the valid spelling of their columns, all classes among them."""
    rows = reading.read_table(path, (PATH,))
    written = {n: 1 for n in rows.columns.tolist() if n not in (*ABOUT, "")}
    names = match_names(written, (*CHEXPERT_CLASSES, NO_FINDING), path)
    missing = [name for name in CHEXPERT_CLASSES if name not in names.values()]
    if missing or len(set(names.values())) < len(names):
        raise ValueError(
            f"Expected one column in {path} for each of {', '.join(CHEXPERT_CLASSES)}. "
            f"Received: {', '.join(written)}; missing: {', '.join(missing) or 'none'}. "
            "Add missing ones, with blank cells if unknown; remove double ones."
        )
    return rows.rename(columns=names)


def _labels(
    rows: pd.DataFrame, uncertain: float, blank: float, source: Path
) -> np.ndarray:
    """1, 0 or NaN, (n, classes), of the cells under both policies."""
    cells = rows.reindex(columns=[*CHEXPERT_CLASSES, NO_FINDING], fill_value="")
    codes = reading.to_labels(cells, CODES, source, "1, 0, -1 (uncertain) or blank")
    codes, normal = codes[:, :-1], codes[:, -1:] == 1
    findings = (codes == 1) & (np.array(CHEXPERT_CLASSES) != DEVICES)
    contradictory = rows.index[(findings & normal).any(axis=1)]
    if len(contradictory):
        message = "%d rows have No Finding and findings; the findings stay:\n%s"
        logger.warning(message, len(contradictory), problems.listing(contradictory))
    labels = np.where(codes == MINUS, uncertain, codes)
    return np.where(codes == EMPTY, np.where(normal, 0.0, blank), labels)


def _boxes(
    folders: Iterable[Path], files: Mapping[str, str], names: Sequence[str]
) -> pd.DataFrame | None:
    """Boxes of HAM's file, if it exists."""
    candidates = (folder / name for folder in folders for name in BOXES)
    path = next(filter(Path.is_file, candidates), None)
    if path is None:
        return None
    raw = ham_boxes.read_boxes(path)
    matches = match_names(collections.Counter(raw["label"]), CHEXPERT_CLASSES, path)
    images = raw["image"].map(_without_release)
    raw = raw.assign(image=images, label=raw["label"].map(matches))
    ham_boxes.check_convention(raw, files, "xyxy", path, CONVENTION_REMEDY)
    return ham_boxes.convert_boxes(raw, names, "xyxy")
