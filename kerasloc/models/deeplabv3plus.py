"""DeepLabV3+ over a dilated ResNet, its maps max-pooled to logits.

Reference:
    Chen et al., Encoder-Decoder with Atrous Separable Convolution for Semantic Image
    Segmentation, ECCV 2018; as PYLON compares with it (iScience 25(3), 2022).
"""

import re

import keras
from keras import layers

from kerasloc.backbones import blocks
from kerasloc.backbones.blocks import (
    check,
    conv,
    global_mean,
    head,
    max_pooled,
    norm_relu,
    resize_like,
    separable,
    start,
)
from kerasloc.backbones.resnet import ResNetConfig, resnet

ENCODERS = {
    16: ResNetConfig(strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2)),
    8: ResNetConfig(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
}
SKIP_CHANNELS = 48
ATROUS = r"aspp_0_convs_\d+_0_0"


def deeplabv3plus(
    input_shape, classes: int, backbone: str = "resnet50", **options
) -> keras.Model:
    """The network: `logits` (n, classes) and `maps` (n, rows / 4, cols / 4, classes).

    Args:
        input_shape: Rows, columns, channels; both sides multiples of 32.
        classes: How many.
        backbone: One of :data:`kerasloc.backbones.resnet.ARCHITECTURES`.
        **options: ``decoder_channels`` (256), ``output_stride`` (16 or 8),
            ``atrous_rates`` ((12, 24, 36)), ``aspp``: ``original``, or ``nogap``
            without the branch that sees the whole image.

    Raises:
        ValueError: If a size or an option does not fit.
        TypeError: If an option is unknown.
    """
    config = settings(**options)
    image = start(input_shape, classes)
    taps = resnet(image, backbone, ENCODERS[config["output_stride"]])
    width = config["decoder_channels"]
    x = _pyramid(taps["stage5"], config)  # (n, rows / stride, cols / stride, width)
    x = norm_relu(separable(x, width, 3, "aspp_1"), "aspp_2")
    skip = conv(taps["stage2"], SKIP_CHANNELS, 1, "block1_0", bias=False)
    skip = norm_relu(skip, "block1_1")
    x = layers.Concatenate(name="decoder_concat")([resize_like(x, skip, "up"), skip])
    x = norm_relu(separable(x, width, 3, "block2_0"), "block2_1")
    return max_pooled(image, head(x, classes, 1), "deeplabv3plus")


def describe(arrays) -> dict:
    """What shapes tell (not the stride, and the rates only by their number).

    See :mod:`kerasloc.backbones.blocks`.
    """

    def options(kernels):
        width = int(kernels["aspp_0_project_0"][-1])
        far = [name for name in kernels if re.fullmatch(ATROUS, name)]
        whole = f"aspp_0_convs_{len(far) + 1}_1" in kernels
        return {"decoder_channels": width, "aspp": "original" if whole else "nogap"}

    return blocks.describe(arrays, blocks.HEAD, options)


def _pyramid(x, config: dict):
    """Atrous spatial pyramid pooling: several fields of view, joined and projected."""
    width = config["decoder_channels"]
    near = conv(x, width, 1, "aspp_0_convs_0_0", bias=False)
    branches = [norm_relu(near, "aspp_0_convs_0_1")]
    for index, rate in enumerate(config["atrous_rates"], start=1):
        name = f"aspp_0_convs_{index}"
        far = separable(x, width, 3, f"{name}_0", rate)
        branches.append(norm_relu(far, f"{name}_1"))
    if config["aspp"] == "original":
        name = f"aspp_0_convs_{len(branches)}"
        whole = conv(global_mean(x, f"{name}_0"), width, 1, f"{name}_1", bias=False)
        whole = norm_relu(whole, f"{name}_2")
        branches.append(resize_like(whole, x, f"{name}_up"))
    joined = layers.Concatenate(name="aspp_0_concat")(branches)
    joined = conv(joined, width, 1, "aspp_0_project_0", bias=False)
    joined = norm_relu(joined, "aspp_0_project_1")
    return layers.Dropout(0.5, name="aspp_0_dropout")(joined)


def settings(
    *,
    decoder_channels=256,
    output_stride=16,
    atrous_rates=(12, 24, 36),
    aspp="original",
) -> dict:
    """The checked options."""
    config = dict(locals())
    rules = {
        "decoder_channels is at least 1": decoder_channels >= 1,
        "output_stride is 16 or 8": output_stride in ENCODERS,
        "atrous_rates are whole numbers from 1": len(atrous_rates) > 0
        and all(int(rate) == rate >= 1 for rate in atrous_rates),
        "aspp is 'original' or 'nogap'": aspp in ("original", "nogap"),
    }
    check(rules, config)
    return config
