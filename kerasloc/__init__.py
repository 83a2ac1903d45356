"""kerasloc: where in the image is what the classifier saw, and how good is that answer?

Wrappers such as ``Pylon`` hold a network and offer ``predict``, ``generate_cams``,
``heatmaps`` and ``refine``; ``cam`` explains any other Keras classifier. They are
imported when first used, so that ``import kerasloc`` loads no deep-learning library.
"""

import importlib

from kerasloc import processes as processes  # before forks, which it watches

__version__ = "0.1.0"

_PUBLIC = (
    "Baseline",
    "DeepLabV3Plus",
    "ExplainerClassifier",
    "FPN",
    "FullModel",
    "HAM",
    "HalfModel",
    "Li2018",
    "PAN",
    "Pylon",
    "UNet",
    "cam",
    "load",
)
_MODULES = {**dict.fromkeys(_PUBLIC, "localizers"), "cam": "cams"}
__all__ = list(_PUBLIC)


def __getattr__(name):
    if name in _MODULES:
        return getattr(importlib.import_module(f"kerasloc.{_MODULES[name]}"), name)
    try:
        return importlib.import_module(f"kerasloc.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"kerasloc.{name}":
            raise
    raise AttributeError(f"kerasloc has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
