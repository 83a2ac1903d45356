"""The wrappers: a network that takes images and answers people."""

from kerasloc.localizers.base import Localizer
from kerasloc.localizers.explainer import ExplainerClassifier
from kerasloc.localizers.ham import HAM
from kerasloc.localizers.hrcam import FullModel, HalfModel
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
from kerasloc.localizers.resolve import load

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
    "wrappers",
]


def wrappers() -> dict[str, type[Localizer]]:
    """Every wrapper by its family's name."""
    rivals = (Baseline, Li2018, FPN, UNet, DeepLabV3Plus, PAN)
    classes = (HalfModel, FullModel, Pylon, *rivals, HAM, ExplainerClassifier)
    return {wrapper.family: wrapper for wrapper in classes}
