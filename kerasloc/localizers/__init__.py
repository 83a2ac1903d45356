"""Wrappers: networks with predictions, maps, boxes and refinement for people."""

from kerasloc.localizers.base import Localizer
from kerasloc.localizers.explainer import ExplainerClassifier
from kerasloc.localizers.ham import HAM
from kerasloc.localizers.hrcam import FullModel, HalfModel
from kerasloc.localizers.loading import load, load_wrapper, newest_run
from kerasloc.localizers.maps import (
    FPN,
    PAN,
    Baseline,
    DeepLabV3Plus,
    Li2018,
    MapLocalizer,
    Pylon,
    UNet,
)
from kerasloc.models import families

__all__ = [
    "FPN",
    "HAM",
    "PAN",
    "Baseline",
    "DeepLabV3Plus",
    "ExplainerClassifier",
    "FullModel",
    "HalfModel",
    "Li2018",
    "Localizer",
    "MapLocalizer",
    "Pylon",
    "UNet",
    "load",
    "load_wrapper",
    "newest_run",
    "wrappers",
]


def wrappers() -> dict[str, type[Localizer]]:
    """Return every registered wrapper by the name of its family.

    Example:
        >>> wrappers()["pylon"].__name__
        'Pylon'
    """
    return {name: families.get(name).load("localizer") for name in families.names()}
