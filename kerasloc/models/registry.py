"""The builders of networks that answer with logits and maps, by family name."""

from kerasloc.models import families
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


def normalization(family: str, channels: int) -> dict:
    """Return the published ``mean`` and ``std`` of a family's images."""
    return families.get(family).normalization(channels)


def option_defaults(family: str) -> dict:
    """Return the options besides the backbone, and their defaults."""
    defaults = families.option_defaults(family)
    return {key: value for key, value in defaults.items() if key != "backbone"}
