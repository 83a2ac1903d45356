"""U-Net over a ResNet, its maps max-pooled to logits.

Reference:
    Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation,
    MICCAI 2015; as PYLON compares with it (iScience 25(3), 2022).
"""

import keras
from keras import layers

from kerasloc.backbones import blocks
from kerasloc.backbones.blocks import check, conv, head, max_pooled, norm_relu, start
from kerasloc.backbones.resnet import resnet

SKIPS = ("stage4", "stage3", "stage2", "stage1", None)


def unet(
    input_shape,
    classes: int,
    backbone: str = "resnet50",
    decoder_channels: tuple[int, ...] = (256, 128, 64, 32, 16),
) -> keras.Model:
    """The network: `logits` (n, classes) and `maps` (n, rows, cols, classes).

    Args:
        input_shape: Rows, columns, channels; both sides multiples of 32.
        classes: How many.
        backbone: One of :data:`kerasloc.backbones.resnet.ARCHITECTURES`.
        decoder_channels: Widths of the five blocks, the deepest first; published for
            NIH: 256, 128, 64, 64, 64.

    Raises:
        ValueError: If a size or an option does not fit.
    """
    widths = tuple(decoder_channels)
    fits = len(widths) == len(SKIPS) and min(widths) >= 1
    check({"decoder_channels are five widths from 1": fits}, widths)
    image = start(input_shape, classes)
    taps = resnet(image, backbone)
    x = taps["stage5"]
    for index, (width, tap) in enumerate(zip(widths, SKIPS, strict=True)):
        name = f"blocks_{index}"
        x = layers.UpSampling2D(2, interpolation="nearest", name=f"{name}_up")(x)
        if tap is not None:
            x = layers.Concatenate(name=f"{name}_concat")([x, taps[tap]])
        for part in ("conv1", "conv2"):
            x = conv(x, width, 3, f"{name}_{part}_0", bias=False)
            x = norm_relu(x, f"{name}_{part}_1")
    return max_pooled(image, head(x, classes, 3), "unet")


def describe(arrays) -> dict:
    """What shapes tell; see :mod:`kerasloc.backbones.blocks`."""

    def options(kernels):
        names = [f"blocks_{index}_conv2_0" for index in range(len(SKIPS))]
        return {"decoder_channels": [int(kernels[name][-1]) for name in names]}

    return blocks.describe(arrays, blocks.HEAD, options)
