"""Reading of data: one table for every data set, and one pipeline from it.

The names below are imported when first used, so that this package alone does not
import TensorFlow.
"""

import importlib

from kerasloc.data.check import check  # first, or its module would take its name

_HOME = {
    "Table": "tables",
    "check_disjoint": "tables",
    "cut_validation": "tables",
    "CheckReport": "check",
    "read_folders": "folders",
    "read_csv": "csv_table",
    "read_dataset": "sets",
    "select_classes": "sets",
    "NIH_CLASSES": "nih",
    "read_nih": "nih",
    "read_ham": "ham_files",
    "CHEXPERT_CLASSES": "chexpert",
    "read_chexpert": "chexpert",
    "VINDR_CLASSES": "vindr",
    "read_vindr": "vindr",
    "VOC_CLASSES": "voc",
    "read_voc": "voc",
    "SyntheticConfig": "synthetic",
    "default_folder": "synthetic",
    "ClassMapper": "class_mapper",
    "load_image": "samples",
    "num_classes": "samples",
    "num_images": "samples",
    "read_image": "samples",
    "test_images": "samples",
}

__all__ = [
    "CHEXPERT_CLASSES",
    "NIH_CLASSES",
    "VINDR_CLASSES",
    "VOC_CLASSES",
    "CheckReport",
    "ClassMapper",
    "SyntheticConfig",
    "Table",
    "check",
    "check_disjoint",
    "cut_validation",
    "default_folder",
    "load_image",
    "num_classes",
    "num_images",
    "read_chexpert",
    "read_csv",
    "read_dataset",
    "read_folders",
    "read_ham",
    "read_image",
    "read_nih",
    "read_vindr",
    "read_voc",
    "select_classes",
    "test_images",
]


def __getattr__(name: str):
    """The public name, from the module it lives in."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
