"""PYLON: a classifier whose logits are the maxima of accurate, high-resolution maps.

Reference:
    Preechakul, Sriswasdi, Kijsirikul, Chuangsuwanich: Improved image classification
    explainability with high-accuracy heatmaps, iScience 25(3), 2022.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerasloc.backbones import blocks
from kerasloc.backbones.blocks import (
    conv_bn_relu,
    head,
    max_pooled,
    pyramid_attention,
    resize_like,
    start,
)
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

    Args:
        input_shape: Rows, columns, channels; both sides multiples of 32.
        classes: Number of classes.
        backbone: Name of one of :data:`kerasloc.backbones.configs.ARCHITECTURES`.
        decoder_channels: Number of channels of the decoder.
        use_pa: Whether the deepest features go through the pyramid attention.
        up_type: Convolutions of an up module: ``2layer`` or ``1layer``.
        up_kernel_size: Kernel size of the up modules, odd.
        n_up: Number of up modules, 0 to 3; each doubles the size of the maps.
        head_kernel_size: Kernel size of the last convolution, odd.

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
    image = start(input_shape, classes)
    taps = resnet(image, backbone)  # stage5: (n, rows / 32, cols / 32, 512 or 2048)
    if use_pa:
        x = pyramid_attention(taps["stage5"], decoder_channels, "pa")
    else:
        x = conv_bn_relu(taps["stage5"], decoder_channels, 1, "pa_mid_0")
    for index, tap in enumerate(UP_TAPS[:n_up]):
        x = _up(x, taps[tap], f"up{3 - index}", options)  # to the tap's size
    maps = head(x, classes, head_kernel_size)
    return max_pooled(image, maps, "pylon")


def describe(arrays: blocks.Arrays) -> dict:
    """Describe the network of weights; see :mod:`kerasloc.backbones.blocks`."""
    return blocks.describe(arrays, blocks.HEAD, _options)


def _options(kernels) -> dict:
    two = "up3_conv1_0_conv" in kernels
    first = kernels.get("up3_conv1_0_conv" if two else "up3_conv1_conv")
    options: dict[str, Any] = {
        "decoder_channels": int(kernels["pa_mid_0_conv"][-1]),
        "use_pa": "pa_down1_1_conv" in kernels,
        "n_up": sum(
            any(name.startswith(f"up{up}_") for name in kernels) for up in (1, 2, 3)
        ),
        "head_kernel_size": int(kernels[blocks.HEAD][0]),
    }
    if first is not None:
        options |= {
            "up_type": "2layer" if two else "1layer",
            "up_kernel_size": int(first[0]),
        }
    return options


def _up(coarse, fine, name: str, options: PylonOptions):
    """Add the resized coarse features to the fine ones at the decoder's width."""
    width, size = options.decoder_channels, options.up_kernel_size
    if options.up_type == "2layer":
        fine = conv_bn_relu(fine, fine.shape[-1], size, f"{name}_conv1_0")
        fine = conv_bn_relu(fine, width, size, f"{name}_conv1_1")
    else:
        fine = conv_bn_relu(fine, width, size, f"{name}_conv1")
    resized = resize_like(coarse, fine, f"{name}_up")
    return layers.Add(name=f"{name}_add")([fine, resized])
