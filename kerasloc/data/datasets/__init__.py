"""One way to every data set that can be read: by its name."""

import inspect
from pathlib import Path

from kerasloc.data.datasets.chexpert import read_chexpert
from kerasloc.data.datasets.csv_table import read_csv
from kerasloc.data.datasets.folders import read_folders
from kerasloc.data.datasets.ham import read_ham
from kerasloc.data.datasets.imagenet_hvz import read_imagenet_hvz
from kerasloc.data.datasets.nih14 import read_nih
from kerasloc.data.datasets.nih_nci import read_nih_nci
from kerasloc.data.datasets.vindr import read_vindr
from kerasloc.data.datasets.voc import read_voc
from kerasloc.data.table import Table, select_classes

READERS = {
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


def read_dataset(name: str, root, class_names=None, **options) -> Table:
    """Table of a data set, whichever it is.

    Args:
        name: A key of ``READERS``: "nih14", "ham", "chexpert", "vindr", "voc",
            "imagenet-hvz", "nih-nci", "csv" or "folders".
        root: Its folder; for "csv" the file, or the folder of a ``data.csv``.
        class_names: Some of its classes, in the order that labels are to have; boxes of
            others are left out. None: all.
        **options: Of its reader; None is as good as not given. ``on_error`` may be
            given to every one (``kerasloc.data.check`` acts on it, too).

    Raises:
        ValueError: If there is no such data set, option or class, or the reader says
            so.
    """
    if name not in READERS:
        raise ValueError(
            f"A data set is one of {', '.join(READERS)}. Received: {name!r}."
        )
    reader, path = READERS[name], Path(root)
    known = list(inspect.signature(reader).parameters)[1:]
    options = {key: value for key, value in options.items() if value is not None}
    if "on_error" not in known:
        options.pop("on_error", None)
    strange = [option for option in options if option not in known]
    if strange:
        raise ValueError(
            f"The options of {name} are {', '.join(known)}. Received: "
            f"{', '.join(strange)} besides. Leave it out."
        )
    if "class_names" in known:
        path = path / CSV_NAME if name == "csv" and path.is_dir() else path
        return reader(path, class_names=class_names, **options)
    table = reader(path, **options)
    return table if class_names is None else select_classes(table, class_names)
