"""The builders of networks that answer with logits and maps, by family name."""

import inspect
import sys

from kerasloc.models.baseline import baseline
from kerasloc.models.deeplabv3plus import deeplabv3plus
from kerasloc.models.fpn import fpn
from kerasloc.models.ham import ham
from kerasloc.models.li2018 import li2018
from kerasloc.models.pan import pan
from kerasloc.models.pylon import pylon
from kerasloc.models.unet import unet

BUILDERS = {
    "pylon": pylon,
    "baseline": baseline,
    "li2018": li2018,
    "fpn": fpn,
    "unet": unet,
    "deeplabv3plus": deeplabv3plus,
    "pan": pan,
    "ham": ham,
}

XRAY = {"mean": (0.4984,), "std": (0.2483,)}
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
HALF = {"mean": (0.5,), "std": (0.5,)}


def normalization(family: str, channels: int) -> dict:
    """Published ``mean`` and ``std`` of a family's images.

    HAM: a half. The others: those of chest X-rays, ImageNet's for 3 channels.
    """
    if family == "ham":
        return HALF
    return IMAGENET if channels == 3 else XRAY


def option_defaults(family: str) -> dict:
    """The options of a family's builder besides the backbone, and their defaults.

    Raises:
        ValueError: If there is no such family.
    """
    if family not in BUILDERS:
        raise ValueError(
            f"A model is one of {', '.join(BUILDERS)}. Received: {family!r}."
        )
    builder = BUILDERS[family]
    takes = getattr(sys.modules[builder.__module__], "settings", builder)
    return {
        name: parameter.default
        for name, parameter in inspect.signature(takes).parameters.items()
        if name not in ("input_shape", "classes", "backbone")
    }
