"""PAN: pyramid attention and gated skips, its maps max-pooled to logits.

Reference:
    Li et al., Pyramid Attention Network for Semantic Segmentation, BMVC 2018; as PYLON
    compares with it (iScience 25(3), 2022).
"""

import functools
from collections.abc import Sequence

import keras
from keras import layers

from kerasloc.backbones import blocks
from kerasloc.backbones.blocks import conv_bn, conv_bn_relu, global_mean, resize_like
from kerasloc.backbones.resnet import resnet
from kerasloc.models.options import PANOptions

UP_TAPS = {"stage4": "gau3", "stage3": "gau2", "stage2": "gau1"}


def pan(
    input_shape: Sequence[int],
    classes: int,
    backbone: str = "resnet50",
    *,
    decoder_channels: int = 128,
    use_gap: bool = True,
) -> keras.Model:
    """Build the network: `logits` and `maps` (n, rows / 4, cols / 4, classes).

    Options as for :class:`~kerasloc.models.options.PANOptions`;
    ``input_shape`` is (rows, cols, channels), both sides multiples of 32.

    Raises:
        ValueError: If a size or an option is not allowed.
    """
    PANOptions(backbone, decoder_channels, use_gap)
    image = blocks.start(input_shape, classes)
    taps = resnet(image, backbone)
    deep = taps["stage5"]
    x = blocks.pyramid_attention(deep, decoder_channels, "fpa", deepest="down3_2")
    if use_gap:
        mean = global_mean(deep, "fpa_branch1_0")
        mean = conv_bn_relu(mean, decoder_channels, 1, "fpa_branch1_1")
        x = layers.Add(name="fpa_add")([x, resize_like(mean, x, "fpa_branch1_up")])
    for tap, name in UP_TAPS.items():
        x = _up(x, taps[tap], name, use_gap)
    return blocks.max_pooled(image, blocks.head(x, classes, 3), "pan")


def _options(kernels):
    return {
        "decoder_channels": int(kernels["fpa_mid_0_conv"][-1]),
        "use_gap": "fpa_branch1_1_conv" in kernels,
    }


describe = functools.partial(blocks.describe, options_of=_options)


def _up(coarse, fine, name: str, gated: bool):
    """Add the resized coarse features to the fine ones, gated by the coarse."""
    width = coarse.shape[-1]
    fine = conv_bn_relu(fine, width, 3, f"{name}_conv2")
    if gated:
        gate = global_mean(coarse, f"{name}_conv1_0")
        gate = conv_bn(gate, width, 1, f"{name}_conv1_1")
        gate = layers.Activation("sigmoid", name=f"{name}_gate")(gate)
        fine = layers.Multiply(name=f"{name}_multiply")([fine, gate])
    resized = resize_like(coarse, fine, f"{name}_up")
    return layers.Add(name=f"{name}_add")([resized, fine])
