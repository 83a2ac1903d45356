"""ResNet and ResNeXt as torchvision defines them (v1.5), with taps after every stage.

The stride of a bottleneck sits on its 3 x 3, padding is symmetric, convolutions have no
bias: not the network of ``keras.applications``. Layer names are API: they are the
published parameter names with underscores, and the layer that ends a stage is called
``stage1`` ... ``stage5``.

Reference:
    He et al., Deep Residual Learning for Image Recognition, CVPR 2016; Xie et al.,
    Aggregated Residual Transformations for Deep Neural Networks, CVPR 2017.
"""

import re

import keras
from keras import layers

from kerasloc.backbones.configs import (
    ARCHITECTURES,
    ResNetConfig,
    architecture,
)
from kerasloc.layers import BatchNormalization

EPSILON = 1e-5
MOMENTUM = 0.9
STAGES = ("stage1", "stage2", "stage3", "stage4", "stage5")


def resnet(image, name: str = "resnet50", config: ResNetConfig | None = None) -> dict:
    """The features after every stage, by tap name.

    Args:
        image: Normalized images (n, rows, cols, channels), any channel count.
        name: One of :data:`ARCHITECTURES`.
        config: Strides, dilations and the hook.

    Returns:
        ``stage1`` (after the stem's ReLU, 1/2 of the image's size), ``stage2`` (1/4) to
        ``stage5`` (1/32 with the default strides).

    Raises:
        ValueError: If the name is none.
    """
    net, config = architecture(name), config or ResNetConfig()
    x = conv(image, 64, 7, "conv1", stride=2)
    x = layers.Activation("relu", name="stage1")(norm(x, "bn1"))
    taps = {"stage1": x}
    if config.pooling:
        # ReLU leaves nothing below 0, so zeros pad as minus infinity does.
        x = layers.ZeroPadding2D(1, name="maxpool_pad")(x)
        x = layers.MaxPooling2D(3, 2, name="maxpool")(x)
    x = _hook(config, x, "stem")
    for stage, count in enumerate(net.blocks):
        for index in range(count):
            prefix = f"layer{stage + 1}_{index}"
            last = STAGES[stage + 1] if index == count - 1 else f"{prefix}_relu"
            step = config.strides[stage] if index == 0 else 1
            x = _block(x, net, config, stage, (prefix, step, last))
            x = _hook(config, x, prefix)
        taps[STAGES[stage + 1]] = x
    return taps


def layers_of(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a model that belong to its backbone and have weights."""
    pattern = re.compile(r"conv1|bn1|layer[1-4]_\d+_.*")
    return [
        layer
        for layer in model.layers
        if layer.weights and pattern.fullmatch(layer.name)
    ]


def describe(kernels: dict) -> dict:
    """Which backbone kernels are of, and for how many channels; empty if of none.

    Args:
        kernels: Shapes (rows, cols, in, out) by layer name.
    """
    if "conv1" not in kernels or "layer1_0_conv2" not in kernels:
        return {}
    blocks = tuple(
        sum(
            re.fullmatch(rf"layer{stage}_\d+_conv1", name) is not None
            for name in kernels
        )
        for stage in (1, 2, 3, 4)
    )
    inner = kernels["layer1_0_conv2"][2:]
    for name, net in ARCHITECTURES.items():
        width = net.group_width * net.groups
        expected = (net.group_width, width)
        if (blocks, "layer1_0_conv3" in kernels) == (net.blocks, net.bottleneck) and (
            tuple(inner) == expected
        ):
            return {"backbone": name, "channels": int(kernels["conv1"][2])}
    return {}


def conv(x, filters: int, size: int, name: str, **options):
    """Convolution without bias, padded symmetrically.

    Args:
        x: Features.
        filters: Channels of the answer.
        size: Of the kernel; odd.
        name: Of the layer.
        **options: ``stride``, ``dilation`` and ``groups``, 1 each by default.
    """
    stride, dilation = options.get("stride", 1), options.get("dilation", 1)
    if stride > 1 and dilation % stride == 0:
        # Keras refuses both at once; dilated, every stride-th pixel is all that counts
        x = layers.MaxPooling2D(1, stride, name=f"{name}_stride")(x)
        stride, dilation = 1, dilation // stride
    padding = dilation * (size - 1) // 2
    if stride > 1 and padding:  # "same" would pad less on the upper left
        x = layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
    return layers.Conv2D(
        filters,
        size,
        strides=stride,
        dilation_rate=dilation,
        groups=options.get("groups", 1),
        padding="valid" if stride > 1 else "same",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(
            2.0, "fan_out", "untruncated_normal"
        ),
        name=name,
    )(x)


def norm(x, name: str):
    """Batch normalization with torch's constants."""
    return BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON, name=name)(x)


def _block(x, net, config, stage, place):
    """One residual block; ``place`` is its prefix, stride and last ReLU's name."""
    prefix, stride, last = place
    base, dilation = 64 * 2**stage, config.dilations[stage]
    width = base * net.expansion
    if net.bottleneck:
        inner = base * net.group_width // 64 * net.groups
        steps = [
            (inner, 1, {}),
            (inner, 3, {"stride": stride, "dilation": dilation, "groups": net.groups}),
            (width, 1, {}),
        ]
    else:
        second = dilation if config.dilate == "every" else 1
        first = {"stride": stride, "dilation": dilation}
        steps = [(base, 3, first), (base, 3, {"dilation": second})]
    y = x
    for number, (filters, size, options) in enumerate(steps, start=1):
        y = conv(y, filters, size, f"{prefix}_conv{number}", **options)
        y = norm(y, f"{prefix}_bn{number}")
        if number < len(steps):
            y = layers.Activation("relu", name=f"{prefix}_relu{number}")(y)
    if stride > 1 or x.shape[-1] != width:
        x = conv(x, width, 1, f"{prefix}_downsample_0", stride=stride)
        x = norm(x, f"{prefix}_downsample_1")
    y = layers.Add(name=f"{prefix}_add")([y, x])
    return layers.Activation("relu", name=last)(y)


def _hook(config, x, name):
    return x if config.after_block is None else config.after_block(x, name)
