"""The builders of networks that answer with logits and maps, by family name."""

from kerasloc.models.baseline import baseline
from kerasloc.models.deeplabv3plus import deeplabv3plus
from kerasloc.models.fpn import fpn
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
}
