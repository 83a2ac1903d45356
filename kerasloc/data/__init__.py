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
    "only_classes": "tables",
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
    "read_imagenet_hvz": "imagenet_hvz",
    "NCI_CLASSES": "nih_nci",
    "read_nih_nci": "nih_nci",
    "SyntheticConfig": "synthetic",
    "default_folder": "synthetic",
    "PolygonConfig": "polygons",
    "default_polygons": "polygons",
    "other_masks": "polygons",
    "write_polygons": "polygons",
    "ClassMapper": "class_mapper",
    "load_image": "samples",
    "num_classes": "samples",
    "num_images": "samples",
    "read_image": "samples",
    "test_images": "samples",
}

__all__ = [
    "CHEXPERT_CLASSES",
    "NCI_CLASSES",
    "NIH_CLASSES",
    "VINDR_CLASSES",
    "VOC_CLASSES",
    "CheckReport",
    "ClassMapper",
    "PolygonConfig",
    "SyntheticConfig",
    "Table",
    "check",
    "check_disjoint",
    "cut_validation",
    "default_folder",
    "default_polygons",
    "load_image",
    "num_classes",
    "num_images",
    "only_classes",
    "other_masks",
    "read_chexpert",
    "read_csv",
    "read_dataset",
    "read_folders",
    "read_ham",
    "read_image",
    "read_imagenet_hvz",
    "read_nih",
    "read_nih_nci",
    "read_vindr",
    "read_voc",
    "select_classes",
    "test_images",
    "write_polygons",
]


def __getattr__(name: str):
    """The public name, from the module it lives in."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
