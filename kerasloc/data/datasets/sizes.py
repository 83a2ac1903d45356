"""Sizes of original images, in which boxes are measured, against those of the files."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kerasloc.data.datasets.files import DICOM, image_sizes
from kerasloc.data.datasets.reading import read_table, to_numbers
from kerasloc.data.problems import report_problems

TABLES = ("resize.csv", "train_meta.csv", "test_meta.csv")
SIZE, RATIO = ["rows", "cols"], ["ratio"]
SPELLINGS = (("rows", "dim0", "height"), ("cols", "dim1", "width"), ("ratio",))
REMEDY = (
    "Write resize.csv beside the images, as utils/dicom_to_png.py does, with the "
    "columns image_id, rows, cols: the size of the DICOM image; or put Kaggle's "
    "train_meta.csv (image_id, dim0, dim1) there."
)


def read_sizes(folders: Iterable[Path]) -> pd.DataFrame:
    """Read the tables of sizes in some folders: image, rows, cols, ratio, source.

    ``rows`` and ``cols`` (``dim0`` and ``dim1`` in Kaggle's tables) are those of the
    original image, ``ratio`` is the side of its file over that side; NaN if missing.

    Raises:
        ValueError: If a table has neither a size nor a ratio.
    """
    frames = []
    for path in (folder / name for folder in folders for name in TABLES):
        if not path.is_file():
            continue
        table = read_table(path, ("image_id",))
        columns = [next((n for n in ns if n in table), ns[0]) for ns in SPELLINGS]
        if not (set(columns[:2]) <= set(table) or columns[2] in table):
            raise ValueError(
                f"Expected the columns rows and cols in {path}. Received: "
                f"{', '.join(table.columns.tolist())}. {REMEDY}"
            )
        numbers = to_numbers(table.reindex(columns=columns))
        numbers = numbers.set_axis(SIZE + RATIO, axis=1)
        frames.append(numbers.assign(image=table["image_id"], source=str(path)))
    return size_frame(pd.concat(frames) if frames else pd.DataFrame())


def size_frame(sizes: pd.DataFrame) -> pd.DataFrame:
    """Complete the columns of :func:`read_sizes`; numbers that are not above 0: NaN."""
    sizes = sizes.reindex(columns=["image", *SIZE, *RATIO, "source"])
    numbers = to_numbers(sizes[SIZE + RATIO])
    return sizes.assign(**numbers.where(np.isfinite(numbers) & (numbers > 0)))


def original_sizes(sizes: pd.DataFrame, files: Mapping[str, str]) -> pd.DataFrame:
    """Combine the sizes of originals from several sources, and check their files.

    Files may be squashed to squares, or all of them to another shape; then only rows
    and cols tell the scale of boxes. A DICOM file is an original.

    Args:
        sizes: See :func:`read_sizes`.
        files: Path of each image of interest by name.

    Returns:
        Rows and cols of each original, NaN where unknown; indexed by name.

    Raises:
        ValueError: If sources contradict each other or a file, or a ratio alone comes
            with a square file.
    """
    names = list(files)
    file = pd.DataFrame(image_sizes(list(files.values())), names, SIZE)
    sizes = sizes[sizes["image"].isin(names)]
    original = _unique(sizes, SIZE).reindex(names)
    ratio = _unique(sizes, RATIO)["ratio"].reindex(names)
    by_ratio = original["rows"].isna() & ratio.notna()
    square = by_ratio & (file["rows"] == file["cols"])
    report_problems(
        [f"{name}: {_in_words(file, name)}" for name in file.index[square]],
        "Expected the original size of square files, which may have been squashed; a "
        "ratio alone does not tell",
        remedy=REMEDY,
    )
    dicom = pd.Series([p.lower().endswith(DICOM) for p in files.values()], names, bool)
    resized = original.notna().all(axis=1) & (original != file).any(axis=1)
    wrong = _contradicts(original, file, ratio) | (dicom & resized)
    report_problems(
        [
            f"{name}: {_in_words(original, name)}, its file {_in_words(file, name)}"
            for name in file.index[wrong & file["rows"].notna()]
        ],
        "Expected the shape of the original (rows x cols) to be that of its file",
        remedy=f"Correct it. {REMEDY}",
    )
    # files that cannot be read have no size, and are reported with the table
    original = original.mask(by_ratio, file.fillna(np.inf).div(ratio, axis=0))
    return original.mask(original["rows"].isna() & dicom, file)


def _unique(sizes: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The values of each image, the same in all sources; indexed by image."""
    values = sizes.dropna(subset=columns)
    different = values.drop_duplicates(["image", *columns])
    repeated = different[different["image"].duplicated(keep=False)]
    lines = [
        f"{image}: "
        + ", ".join(
            f"{' x '.join(f'{value:g}' for value in row)} ({source})"
            for *row, source in rows[[*columns, "source"]].to_numpy().tolist()
        )
        for image, rows in repeated.groupby("image")
    ]
    rule = f"Expected the same {' x '.join(columns)} of an image in all tables"
    report_problems(lines, rule, remedy="Correct or remove the wrong ones.")
    return different.set_index("image")[columns]


def is_turned(original: pd.DataFrame, file: pd.DataFrame) -> pd.Series:
    """Mask of the files with the shape of their original turned by a right angle.

    Examples:
        >>> sizes = pd.DataFrame([[100, 200], [200, 100]], columns=SIZE)
        >>> is_turned(sizes, sizes[::-1].reset_index(drop=True)).tolist()
        [True, True]
        >>> is_turned(sizes, sizes / 2).tolist()
        [False, False]
    """
    turned = original.set_axis(SIZE[::-1], axis=1)
    return _is_alike(turned, file) & ~_is_alike(original, file)


def _is_alike(original: pd.DataFrame, file: pd.DataFrame) -> pd.Series:
    """Mask of the files of the shape of their original, rounded to whole pixels."""
    difference = file["rows"] * original["cols"] - file["cols"] * original["rows"]
    return difference.abs() <= original[SIZE].sum(axis=1)


def _contradicts(
    original: pd.DataFrame, file: pd.DataFrame, ratio: pd.Series
) -> pd.Series:
    """Mask of the files that cannot be made of their original: turned, or cropped.

    Files of the shape of their original can, squares, if the ratio is that of a side,
    and files that are all of the same size, most of them not of their original's shape.
    """
    alike = _is_alike(original, file)
    fixed = len(file) > 1 and len(file.drop_duplicates()) == 1 and alike.mean() < 0.5
    squashed = fixed | (file["rows"] == file["cols"])
    off = (original.mul(ratio, axis=0) - file).abs().min(axis=1) > 1
    wrong = is_turned(original, file) | ~squashed | (ratio.notna() & off)
    return wrong & ~alike & original["rows"].notna()


def _in_words(sizes: pd.DataFrame, name: str) -> str:
    """Rows x cols of an image."""
    return " x ".join(f"{side:g}" for side in sizes.loc[name])
