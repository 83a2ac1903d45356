"""U-Net over a ResNet, its maps max-pooled to logits.

Reference:
    Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation,
    MICCAI 2015; as PYLON compares with it (iScience 25(3), 2022).
"""

import functools
from collections.abc import Sequence

import keras
from keras import layers

from kerasloc.backbones import blocks
from kerasloc.backbones.blocks import conv, head, max_pooled, norm_relu, start
from kerasloc.backbones.resnet import resnet
from kerasloc.models.options import UNetOptions

SKIPS = ("stage4", "stage3", "stage2", "stage1", None)


def unet(
    input_shape: Sequence[int],
    classes: int,
    backbone: str = "resnet50",
    decoder_channels: tuple[int, ...] = (256, 128, 64, 32, 16),
) -> keras.Model:
    """Build the network: `logits` and `maps` (n, rows, cols, classes).

    Options as for :class:`~kerasloc.models.options.UNetOptions`;
    ``input_shape`` is (rows, cols, channels), both sides multiples of 32.

    Raises:
        ValueError: If a size or an option is not allowed.
    """
    widths = UNetOptions(backbone, tuple(decoder_channels)).decoder_channels
    image = start(input_shape, classes)
    taps = resnet(image, backbone)
    x = taps["stage5"]
    for index, (width, tap) in enumerate(zip(widths, SKIPS, strict=True)):
        name = f"blocks_{index}"
        x = layers.UpSampling2D(2, interpolation="nearest", name=f"{name}_up")(x)
        if tap is not None:
            x = layers.Concatenate(name=f"{name}_concat")([x, taps[tap]])
        for step in ("conv1", "conv2"):
            x = conv(x, width, 3, f"{name}_{step}_0", bias=False)
            x = norm_relu(x, f"{name}_{step}_1")
    return max_pooled(image, head(x, classes, 3), "unet")


def _options(kernels):
    names = [f"blocks_{index}_conv2_0" for index in range(len(SKIPS))]
    return {"decoder_channels": [int(kernels[name][-1]) for name in names]}


describe = functools.partial(blocks.describe, options_of=_options)
