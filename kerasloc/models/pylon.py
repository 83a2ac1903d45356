"""PYLON: a classifier whose logits are the maxima of accurate, high-resolution maps.

Reference:
    Preechakul, Sriswasdi, Kijsirikul, Chuangsuwanich: Improved image classification
    explainability with high-accuracy heatmaps, iScience 25(3), 2022.
"""

import functools
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerasloc.backbones import blocks
from kerasloc.backbones.blocks import conv_bn_relu
from kerasloc.backbones.resnet import resnet
from kerasloc.models.options import PylonOptions

UP_TAPS = ("stage4", "stage3", "stage2")


def pylon(
    input_shape: Sequence[int],
    classes: int,
    backbone: str = "resnet50",
    *,
    decoder_channels: int = 128,
    use_pa: bool = True,
    up_type: str = "2layer",
    up_kernel_size: int = 1,
    n_up: int = 3,
    head_kernel_size: int = 1,
) -> keras.Model:
    """Build the network: `logits` and `maps` (n, rows / 4, cols / 4, classes).

    Options as for :class:`~kerasloc.models.options.PylonOptions`;
    ``input_shape`` is (rows, cols, channels), both sides multiples of 32.

    Raises:
        ValueError: If a size or an option is not allowed.
    """
    options = PylonOptions(
        backbone,
        decoder_channels,
        use_pa,
        up_type,
        up_kernel_size,
        n_up,
        head_kernel_size,
    )
    image = blocks.start(input_shape, classes)
    taps = resnet(image, backbone)  # stage5: (n, rows / 32, cols / 32, 512 or 2048)
    if use_pa:
        x = blocks.pyramid_attention(taps["stage5"], decoder_channels, "pa")
    else:
        x = conv_bn_relu(taps["stage5"], decoder_channels, 1, "pa_mid_0")
    for index, tap in enumerate(UP_TAPS[:n_up]):
        x = _up(x, taps[tap], f"up{3 - index}", options)  # to the tap's size
    maps = blocks.head(x, classes, head_kernel_size)
    return blocks.max_pooled(image, maps, "pylon")


def _options(kernels) -> dict:
    two = "up3_conv1_0_conv" in kernels
    first = kernels.get("up3_conv1_0_conv" if two else "up3_conv1_conv")
    options: dict[str, Any] = {
        "decoder_channels": int(kernels["pa_mid_0_conv"][-1]),
        "use_pa": "pa_down1_1_conv" in kernels,
        "n_up": len({name[:3] for name in kernels if name.startswith("up")}),
        "head_kernel_size": int(kernels[blocks.HEAD][0]),
    }
    if first is not None:
        up_type = "2layer" if two else "1layer"
        options |= {"up_type": up_type, "up_kernel_size": int(first[0])}
    return options


describe = functools.partial(blocks.describe, options_of=_options)


def _up(coarse, fine, name: str, options: PylonOptions):
    """Add the resized coarse features to the fine ones at the decoder's width."""
    width, size = options.decoder_channels, options.up_kernel_size
    if options.up_type == "2layer":
        fine = conv_bn_relu(fine, fine.shape[-1], size, f"{name}_conv1_0")
        fine = conv_bn_relu(fine, width, size, f"{name}_conv1_1")
    else:
        fine = conv_bn_relu(fine, width, size, f"{name}_conv1")
    resized = blocks.resize_like(coarse, fine, f"{name}_up")
    return layers.Add(name=f"{name}_add")([fine, resized])
