"""Reading of data: one table for every dataset, and one pipeline from it.

The names below are imported when first used, so that this package alone does not
import TensorFlow.
"""

import importlib
from typing import Any

_NAMES = {
    "table": "Table check_disjoint only_classes select_classes",
    "splits": "cut_validation",
    "validate": "CheckReport check",
    "datasets": "read_chexpert read_csv read_dataset read_folders read_ham "
    "read_imagenet_hvz read_nih read_nih_nci read_vindr read_voc",
    "datasets.chexpert": "CHEXPERT_CLASSES",
    "datasets.nih14": "NIH_CLASSES",
    "datasets.nih_nci": "NCI_CLASSES",
    "datasets.vindr": "VINDR_CLASSES",
    "datasets.voc": "VOC_CLASSES",
    "synthetic": "PolygonConfig SyntheticConfig default_folder default_polygons "
    "other_masks write_polygons",
    "class_names": "ClassMapper",
    "samples": "load_image num_classes num_images read_image test_images",
}
_MODULES = {name: module for module, ns in _NAMES.items() for name in ns.split()}

__all__ = sorted(_MODULES)  # noqa: PLE0605 (a list)


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
