"""Readers of datasets, by name.

A new dataset is one file with a reader and one line in ``READERS``.
"""

import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from kerasloc.data.datasets.chexpert import read_chexpert
from kerasloc.data.datasets.csv_table import read_csv
from kerasloc.data.datasets.files import PathLike
from kerasloc.data.datasets.folders import read_folders
from kerasloc.data.datasets.ham import read_ham
from kerasloc.data.datasets.imagenet_hvz import read_imagenet_hvz
from kerasloc.data.datasets.nih14 import read_nih
from kerasloc.data.datasets.nih_nci import read_nih_nci
from kerasloc.data.datasets.vindr import read_vindr
from kerasloc.data.datasets.voc import read_voc
from kerasloc.data.problems import check_choice
from kerasloc.data.table import Table, select_classes

READERS: dict[str, Callable[..., Table]] = {
    "nih14": read_nih,
    "ham": read_ham,
    "chexpert": read_chexpert,
    "vindr": read_vindr,
    "voc": read_voc,
    "imagenet-hvz": read_imagenet_hvz,
    "nih-nci": read_nih_nci,
    "csv": read_csv,
    "folders": read_folders,
}
CSV_NAME = "data.csv"


def read_dataset(
    name: str, root: PathLike, class_names: Iterable[str] | None = None, **options: Any
) -> Table:
    """Read a dataset by its name.

    Args:
        name: Key of ``READERS``, such as "nih14", "csv" or "folders".
        root: Its folder; for "csv" the file, or the folder of a ``data.csv``.
        class_names: Some of its classes, in the order of the labels; boxes of others
            are left out. None: all.
        **options: Options of its reader, defaults if None; ``on_error`` for any.

    Raises:
        ValueError: If there is no such dataset, option or class, or from the reader.
    """
    check_choice("dataset", name, READERS)
    reader, path = READERS[name], Path(root)
    valid = list(inspect.signature(reader).parameters)[1:]
    options = {key: value for key, value in options.items() if value is not None}
    if "on_error" not in valid:
        options.pop("on_error", None)
    unknown = [option for option in options if option not in valid]
    if unknown:
        raise ValueError(
            f"Expected options of {name} among {', '.join(valid)}. Received: "
            f"{', '.join(unknown)} besides. Leave it out."
        )
    if "class_names" in valid:
        path = path / CSV_NAME if name == "csv" and path.is_dir() else path
        return reader(path, class_names=class_names, **options)
    table = reader(path, **options)
    return table if class_names is None else select_classes(table, class_names)
