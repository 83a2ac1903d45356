"""DeepLabV3+ over a dilated ResNet, its maps max-pooled to logits.

Reference:
    Chen et al., Encoder-Decoder with Atrous Separable Convolution for Semantic Image
    Segmentation, ECCV 2018; as PYLON compares with it (iScience 25(3), 2022).
"""

import functools
import re
from collections.abc import Sequence

import keras
from keras import layers

from kerasloc.backbones import blocks
from kerasloc.backbones.blocks import conv, norm_relu, resize_like, separable
from kerasloc.backbones.configs import ResNetConfig
from kerasloc.backbones.resnet import resnet
from kerasloc.models.options import DeepLabV3PlusOptions

ENCODERS = {
    16: ResNetConfig(strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2)),
    8: ResNetConfig(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
}
SKIP_CHANNELS = 48
ATROUS = r"aspp_0_convs_\d+_0_0"


def deeplabv3plus(
    input_shape: Sequence[int],
    classes: int,
    backbone: str = "resnet50",
    *,
    decoder_channels: int = 256,
    output_stride: int = 16,
    atrous_rates: Sequence[int] = (12, 24, 36),
    aspp: str = "original",
) -> keras.Model:
    """Build the network: `logits` and `maps` (n, rows / 4, cols / 4, classes).

    Options as for :class:`~kerasloc.models.options.DeepLabV3PlusOptions`;
    ``input_shape`` is (rows, cols, channels), both sides multiples of 32.

    Raises:
        ValueError: If a size or an option is not allowed.
    """
    options = DeepLabV3PlusOptions(
        backbone, decoder_channels, output_stride, tuple(atrous_rates), aspp
    )
    image = blocks.start(input_shape, classes)
    taps = resnet(image, backbone, ENCODERS[output_stride])
    width = decoder_channels
    x = _pyramid(taps["stage5"], options)  # (n, rows / stride, cols / stride, width)
    x = norm_relu(separable(x, width, 3, "aspp_1"), "aspp_2")
    skip = conv(taps["stage2"], SKIP_CHANNELS, 1, "block1_0", bias=False)
    skip = norm_relu(skip, "block1_1")
    x = layers.Concatenate(name="decoder_concat")([resize_like(x, skip, "up"), skip])
    x = norm_relu(separable(x, width, 3, "block2_0"), "block2_1")
    return blocks.max_pooled(image, blocks.head(x, classes, 1), "deeplabv3plus")


def _options(kernels):  # stride and rates are not in the shapes
    width = int(kernels["aspp_0_project_0"][-1])
    atrous = sum(bool(re.fullmatch(ATROUS, name)) for name in kernels)
    pooled = f"aspp_0_convs_{atrous + 1}_1" in kernels
    return {"decoder_channels": width, "aspp": "original" if pooled else "nogap"}


describe = functools.partial(blocks.describe, options_of=_options)


def _pyramid(x, options: DeepLabV3PlusOptions):
    """Atrous spatial pyramid pooling: several fields of view, joined and projected."""
    width = options.decoder_channels
    near = conv(x, width, 1, "aspp_0_convs_0_0", bias=False)
    branches = [norm_relu(near, "aspp_0_convs_0_1")]
    for index, rate in enumerate(options.atrous_rates, start=1):
        name = f"aspp_0_convs_{index}"
        far = separable(x, width, 3, f"{name}_0", rate)
        branches.append(norm_relu(far, f"{name}_1"))
    if options.aspp == "original":
        name = f"aspp_0_convs_{len(branches)}"
        mean = blocks.global_mean(x, f"{name}_0")
        mean = conv(mean, width, 1, f"{name}_1", bias=False)
        mean = norm_relu(mean, f"{name}_2")
        branches.append(resize_like(mean, x, f"{name}_up"))
    joined = layers.Concatenate(name="aspp_0_concat")(branches)
    joined = conv(joined, width, 1, "aspp_0_project_0", bias=False)
    joined = norm_relu(joined, "aspp_0_project_1")
    return layers.Dropout(0.5, name="aspp_0_dropout")(joined)
