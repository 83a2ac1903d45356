"""Sizes of the backbones, apart from their layers: loads no deep-learning library."""

import dataclasses
from collections.abc import Callable
from typing import Any

from kerasloc.configs import check_rules, field_rules, option


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Sizes that distinguish one ResNet from another.

    Attributes:
        blocks: Number of residual blocks of the four stages.
        bottleneck: Whether a block is 1x1, 3x3, 1x1 or two 3x3.
        groups: Number of groups of a bottleneck's 3x3.
        group_width: Channels of a group at the first stage.
    """

    blocks: tuple[int, int, int, int]
    bottleneck: bool
    groups: int = 1
    group_width: int = 64

    @property
    def expansion(self) -> int:
        """Channels that leave a block, over the base width of its stage."""
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


def architecture(name: str) -> Architecture:
    """Return the sizes of a ResNet by name; a ValueError for other names.

    Examples:
        >>> architecture("resnet18").blocks
        (2, 2, 2, 2)
    """
    if name not in ARCHITECTURES:
        raise ValueError(
            f"Expected a backbone of {', '.join(ARCHITECTURES)}. Received: {name!r}."
        )
    return ARCHITECTURES[name]


@dataclasses.dataclass(frozen=True)
class ResNetConfig:
    """Strides and dilations of a ResNet; the defaults are torchvision's.

    Attributes:
        strides: Strides of the four stages after the stem, on their first block.
        dilations: Dilations of the four stages.
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
    after_block: Callable[..., Any] | None = None

    def __post_init__(self):
        numbers = (*self.strides, *self.dilations)
        lengths = {len(self.strides), len(self.dilations)}
        whole_numbers = all(int(x) == x and x >= 1 for x in numbers)
        rule = "strides and dilations of four whole numbers from 1 each"
        received = f"{self.strides!r} and {self.dilations!r}"
        check_rules({rule: lengths == {4} and whole_numbers}, received)
        pairs = zip(self.strides, self.dilations, strict=True)
        fits = all(
            dilation == 1 or dilation % stride == 0 for stride, dilation in pairs
        )
        rule = "dilations of 1 or a multiple of their stage's stride"
        check_rules({rule: fits}, received)
        rule = "dilate of 'every' or 'first'"
        check_rules({rule: self.dilate in ("every", "first")}, repr(self.dilate))


@dataclasses.dataclass(frozen=True)
class DenseNetConfig:
    """Sizes of a DenseNet-FCN; the defaults are the published ones.

    For a few hundred training steps use a momentum of 0.9; 0.99 settles later.
    """

    growth: int = option(16, "Number of channels that a dense layer adds.", low=1)
    blocks: int = option(4, "Number of dense blocks followed by pooling.", low=1)
    layers_per_block: int = option(4, "Number of dense layers of a block.", low=1)
    initial_filters: int = option(48, "Channels of the first convolution.", low=1)
    momentum: float = option(
        0.99, "Momentum of batch normalization's moving averages, in [0, 1)."
    )
    weight_decay: float = option(
        1e-4, "L2 penalty on the kernels of convolutions and classifier.", low=0
    )

    def __post_init__(self):
        rules = {"momentum in [0, 1)": 0 <= self.momentum < 1}
        check_rules(field_rules(self) | rules, self)

    @property
    def up_filters(self) -> int:
        """Number of channels that leave a block on the way up."""
        return self.growth * self.layers_per_block

    @property
    def stride(self) -> int:
        """Divisor of both sides of an image in pixels."""
        return 2 ** (self.blocks + 1)

    def l2(self) -> Any:
        """Return the weight penalty, or None without one."""
        import keras

        return keras.regularizers.L2(self.weight_decay) if self.weight_decay else None
