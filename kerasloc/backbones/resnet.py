"""ResNet and ResNeXt as torchvision defines them (v1.5), with taps after every stage.

The stride of a bottleneck sits on its 3 x 3, padding is symmetric, convolutions have no
bias: not the network of ``keras.applications``. Layer names are API: they are the
published parameter names with underscores, and the layer that ends a stage is called
``stage1`` ... ``stage5``.

Reference:
    He et al., Deep Residual Learning for Image Recognition, CVPR 2016; Xie et al.,
    Aggregated Residual Transformations for Deep Neural Networks, CVPR 2017.
"""

import dataclasses
import re
from collections.abc import Callable

import keras
from keras import layers

from kerasloc.layers import BatchNormalization

EPSILON = 1e-5
MOMENTUM = 0.9
STAGES = ("stage1", "stage2", "stage3", "stage4", "stage5")


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What distinguishes one ResNet from another.

    Attributes:
        blocks: Residual blocks of the four stages.
        bottleneck: Whether a block is 1x1, 3x3, 1x1 or two 3x3.
        groups: Of the 3x3 of a bottleneck.
        group_width: Channels of a group at the first stage.
    """

    blocks: tuple[int, int, int, int]
    bottleneck: bool
    groups: int = 1
    group_width: int = 64

    @property
    def expansion(self) -> int:
        """Channels that leave a block, over those of its stage's base width."""
        return 4 if self.bottleneck else 1


ARCHITECTURES = {
    "resnet18": Architecture((2, 2, 2, 2), bottleneck=False),
    "resnet34": Architecture((3, 4, 6, 3), bottleneck=False),
    "resnet50": Architecture((3, 4, 6, 3), bottleneck=True),
    "resnet101": Architecture((3, 4, 23, 3), bottleneck=True),
    "resnet152": Architecture((3, 8, 36, 3), bottleneck=True),
    "resnext50_32x4d": Architecture((3, 4, 6, 3), True, 32, 4),
    "resnext101_32x8d": Architecture((3, 4, 23, 3), True, 32, 8),
}


@dataclasses.dataclass(frozen=True)
class ResNetConfig:
    """How the stages go through the image; the defaults are torchvision's.

    Attributes:
        strides: Of the four stages after the stem, on their first block.
        dilations: Of the four stages.
        dilate: ``every``: all 3x3 of a stage are dilated; ``first``: the second 3x3 of
            a basic block is not (HAM).
        pooling: Whether the stem ends in its max-pooling.
        after_block: Function ``(features, name) -> features`` behind the stem's pooling
            (``stem``) and every block (``layer1_0``, ...), or None.
    """

    strides: tuple[int, int, int, int] = (1, 2, 2, 2)
    dilations: tuple[int, int, int, int] = (1, 1, 1, 1)
    dilate: str = "every"
    pooling: bool = True
    after_block: Callable | None = None

    def __post_init__(self):
        numbers = (*self.strides, *self.dilations)
        lengths = {len(self.strides), len(self.dilations)}
        if lengths != {4} or any(int(one) != one or one < 1 for one in numbers):
            raise ValueError(
                "Strides and dilations are four whole numbers from 1 each. Received: "
                f"{self.strides!r} and {self.dilations!r}."
            )
        pairs = zip(self.strides, self.dilations, strict=True)
        if any(dilation > 1 and dilation % stride for stride, dilation in pairs):
            raise ValueError(
                "A dilation is 1 or a multiple of its stage's stride. Received: "
                f"{self.strides!r} and {self.dilations!r}."
            )
        if self.dilate not in ("every", "first"):
            raise ValueError(
                f"dilate is 'every' or 'first'. Received: {self.dilate!r}."
            )


def architecture(name: str) -> Architecture:
    """The sizes of a network by name.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in ARCHITECTURES:
        raise ValueError(
            f"A backbone is one of {', '.join(ARCHITECTURES)}. Received: {name!r}."
        )
    return ARCHITECTURES[name]


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
