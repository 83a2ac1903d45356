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
from collections.abc import Mapping
from typing import Any

import keras
from keras import layers

from kerasloc.backbones import configs
from kerasloc.backbones.configs import ARCHITECTURES, Architecture, ResNetConfig
from kerasloc.layers import BatchNormalization

EPSILON = 1e-5
MOMENTUM = 0.9
STAGES = ("stage1", "stage2", "stage3", "stage4", "stage5")


def resnet(
    image: keras.KerasTensor,
    name: str | Architecture = "resnet50",
    config: ResNetConfig | None = None,
) -> dict[str, keras.KerasTensor]:
    """Build a ResNet on normalized images of any channel count.

    ``config`` has strides, dilations and the hook; torchvision's by default.

    Returns:
        Features ``stage1`` (after the stem's ReLU, 1/2 of the image's size), ``stage2``
        (1/4) to ``stage5`` (1/32 with the default strides).
    """
    net = name if isinstance(name, Architecture) else configs.architecture(name)
    config = config or ResNetConfig()
    x = conv(image, 64, 7, "conv1", stride=2)
    x = layers.Activation("relu", name="stage1")(norm(x, "bn1"))
    taps = {"stage1": x}
    if config.pooling:
        # features are not below 0, so zeros pad as minus infinity does
        x = layers.ZeroPadding2D(1, name="maxpool_pad")(x)
        x = layers.MaxPooling2D(3, 2, name="maxpool")(x)
    x = _hook(config, x, "stem")
    for stage, count in enumerate(net.blocks):
        for index in range(count):
            x = _block(x, net, config, stage, index)
            x = _hook(config, x, f"layer{stage + 1}_{index}")
        taps[STAGES[stage + 1]] = x
    return taps


def layers_of(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers with weights of a model's backbone."""
    pattern = re.compile(r"conv1|bn1|layer[1-4]_\d+_.*")
    return [x for x in model.layers if x.weights and pattern.fullmatch(x.name)]


def describe(kernels: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Recognize a backbone by the shapes (rows, cols, in, out) of its kernels.

    Returns:
        ``backbone`` and ``channels`` of the images; empty without a ResNet.

    Examples:
        >>> describe({"conv1": (7, 7, 3, 64)})
        {}
    """
    if "conv1" not in kernels or "layer1_0_conv2" not in kernels:
        return {}
    blocks = tuple(
        sum(bool(re.fullmatch(rf"layer{stage}_\d+_conv1", x)) for x in kernels)
        for stage in (1, 2, 3, 4)
    )
    sizes = (blocks, "layer1_0_conv3" in kernels, *kernels["layer1_0_conv2"][2:])
    for name, net in ARCHITECTURES.items():
        width = net.group_width * net.groups
        if sizes == (net.blocks, net.bottleneck, net.group_width, width):
            return {"backbone": name, "channels": int(kernels["conv1"][2])}
    return {}


def conv(
    x: keras.KerasTensor,
    filters: int,
    size: int,
    name: str,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> keras.KerasTensor:
    """Apply a convolution without bias, padded symmetrically; the kernel is odd.

    Examples:
        >>> image = keras.Input((32, 32, 3))
        >>> conv(image, 8, 3, "conv1", stride=2).shape
        (None, 16, 16, 8)
    """
    if stride > 1 and dilation % stride == 0:
        # Keras refuses both at once; dilated, only every stride-th pixel counts
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
        groups=groups,
        padding="valid" if stride > 1 else "same",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(
            2.0, "fan_out", "untruncated_normal"
        ),
        name=name,
    )(x)


def norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Apply batch normalization with torch's constants."""
    return BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON, name=name)(x)


def _norm_relu(x, prefix, number):
    x = norm(x, f"{prefix}_bn{number}")
    return layers.Activation("relu", name=f"{prefix}_relu{number}")(x)


def _block(x, net, config, stage, index):
    """Residual block ``layerSTAGE_INDEX``; the last of a stage ends in its tap."""
    prefix = f"layer{stage + 1}_{index}"
    stride = config.strides[stage] if index == 0 else 1
    base, dilation = 64 * 2**stage, config.dilations[stage]
    width = base * net.expansion
    if net.bottleneck:
        inner, groups = base * net.group_width // 64 * net.groups, net.groups
        y = _norm_relu(conv(x, inner, 1, f"{prefix}_conv1"), prefix, 1)
        shape = {"stride": stride, "dilation": dilation, "groups": groups}
        y = _norm_relu(conv(y, inner, 3, f"{prefix}_conv2", **shape), prefix, 2)
        y = norm(conv(y, width, 1, f"{prefix}_conv3"), f"{prefix}_bn3")
    else:
        second = dilation if config.dilate == "every" else 1
        y = conv(x, base, 3, f"{prefix}_conv1", stride=stride, dilation=dilation)
        y = conv(_norm_relu(y, prefix, 1), base, 3, f"{prefix}_conv2", dilation=second)
        y = norm(y, f"{prefix}_bn2")
    if stride > 1 or x.shape[-1] != width:
        x = conv(x, width, 1, f"{prefix}_downsample_0", stride=stride)
        x = norm(x, f"{prefix}_downsample_1")
    y = layers.Add(name=f"{prefix}_add")([y, x])
    last = index == net.blocks[stage] - 1
    name = STAGES[stage + 1] if last else f"{prefix}_relu"
    return layers.Activation("relu", name=name)(y)


def _hook(config, x, name):
    return x if config.after_block is None else config.after_block(x, name)
