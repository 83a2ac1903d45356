"""PYLON: a classifier whose logits are the maxima of accurate, high-resolution maps.

Reference:
    Preechakul, Sriswasdi, Kijsirikul, Chuangsuwanich: Improved image classification
    explainability with high-accuracy heatmaps, iScience 25(3), 2022.
"""

import keras
from keras import layers

from kerasloc.backbones import blocks
from kerasloc.backbones.blocks import (
    check,
    conv_bn_relu,
    head,
    max_pooled,
    pyramid_attention,
    resize_like,
    start,
)
from kerasloc.backbones.resnet import resnet

UP_TAPS = ("stage4", "stage3", "stage2")


def pylon(
    input_shape, classes: int, backbone: str = "resnet50", **options
) -> keras.Model:
    """The network: `logits` (n, classes) and `maps` (n, rows / 4, cols / 4, classes).

    Args:
        input_shape: Rows, columns, channels; both sides multiples of 32.
        classes: How many.
        backbone: One of :data:`kerasloc.backbones.resnet.ARCHITECTURES`.
        **options: ``decoder_channels`` (128), ``use_pa`` (True): the pyramid attention
            on the deepest features; ``n_up`` (3): up modules, 0 to 3, each doubles the
            size of the maps; ``up_type`` (``2layer`` or ``1layer``), ``up_kernel_size``
            (1) and ``head_kernel_size`` (1), odd.

    Raises:
        ValueError: If a size or an option does not fit.
        TypeError: If an option is unknown.
    """
    config = settings(**options)
    image = start(input_shape, classes)
    taps = resnet(image, backbone)  # stage5: (n, rows / 32, cols / 32, 512 or 2048)
    width = config["decoder_channels"]
    if config["use_pa"]:
        x = pyramid_attention(taps["stage5"], width, "pa")
    else:
        x = conv_bn_relu(taps["stage5"], width, 1, "pa_mid_0")
    for index, tap in enumerate(UP_TAPS[: config["n_up"]]):
        x = _up(x, taps[tap], f"up{3 - index}", config)  # to the tap's size
    maps = head(x, classes, config["head_kernel_size"])
    return max_pooled(image, maps, "pylon")


def describe(arrays) -> dict:
    """What shapes tell; see :mod:`kerasloc.backbones.blocks`."""
    return blocks.describe(arrays, blocks.HEAD, _options)


def _options(kernels) -> dict:
    two = "up3_conv1_0_conv" in kernels
    first = kernels.get("up3_conv1_0_conv" if two else "up3_conv1_conv")
    options = {
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


def _up(coarse, fine, name: str, config: dict):
    """The finer features at the decoder's width, plus the coarser ones resized."""
    width, size = config["decoder_channels"], config["up_kernel_size"]
    if config["up_type"] == "2layer":
        fine = conv_bn_relu(fine, fine.shape[-1], size, f"{name}_conv1_0")
        fine = conv_bn_relu(fine, width, size, f"{name}_conv1_1")
    else:
        fine = conv_bn_relu(fine, width, size, f"{name}_conv1")
    resized = resize_like(coarse, fine, f"{name}_up")
    return layers.Add(name=f"{name}_add")([fine, resized])


def settings(
    *,
    decoder_channels=128,
    use_pa=True,
    up_type="2layer",
    up_kernel_size=1,
    n_up=3,
    head_kernel_size=1,
) -> dict:
    """The checked options."""
    config = dict(locals())
    rules = {
        "decoder_channels is at least 1": decoder_channels >= 1,
        "up_type is '2layer' or '1layer'": up_type in ("2layer", "1layer"),
        "n_up is 0, 1, 2 or 3": n_up in (0, 1, 2, 3),
        "kernel sizes are odd": all(
            size > 0 and size % 2 == 1 for size in (up_kernel_size, head_kernel_size)
        ),
    }
    check(rules, config)
    return config
