"""Reading of data: one table for every data set, and one pipeline from it.

The names below are imported when first used, so that this package alone does not
import TensorFlow.
"""

import importlib

_HOME = {
    "Table": "table",
    "check": "validate",
    "check_disjoint": "table",
    "cut_validation": "splits",
    "only_classes": "table",
    "CheckReport": "validate",
    "read_folders": "datasets",
    "read_csv": "datasets",
    "read_dataset": "datasets",
    "select_classes": "table",
    "NIH_CLASSES": "datasets.nih14",
    "read_nih": "datasets",
    "read_ham": "datasets",
    "CHEXPERT_CLASSES": "datasets.chexpert",
    "read_chexpert": "datasets",
    "VINDR_CLASSES": "datasets.vindr",
    "read_vindr": "datasets",
    "VOC_CLASSES": "datasets.voc",
    "read_voc": "datasets",
    "read_imagenet_hvz": "datasets",
    "NCI_CLASSES": "datasets.nih_nci",
    "read_nih_nci": "datasets",
    "SyntheticConfig": "synthetic",
    "default_folder": "synthetic",
    "PolygonConfig": "synthetic",
    "default_polygons": "synthetic",
    "other_masks": "synthetic",
    "write_polygons": "synthetic",
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
