"""Options of the families' networks, with their help: loads no deep-learning library.

A builder has the same options as keyword arguments with the same defaults; wrappers,
command lines and documentation are made from these classes.
"""

import dataclasses

from kerasloc.backbones.configs import ARCHITECTURES, DenseNetConfig
from kerasloc.configs import check_rules, option

BACKBONES = tuple(ARCHITECTURES)
CLASSIFIERS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "vgg")
HrcamOptions = DenseNetConfig
_DECODER = "Number of channels of the decoder."


@dataclasses.dataclass(frozen=True)
class BackboneOptions:
    """Options of every network over a ResNet.

    Attributes:
        backbone: Name of the backbone.
    """

    backbone: str = option("resnet50", "Backbone.", choices=BACKBONES)


@dataclasses.dataclass(frozen=True)
class PylonOptions(BackboneOptions):
    """Options of PYLON.

    Attributes:
        decoder_channels: Number of channels of the decoder.
        use_pa: Whether the deepest features go through the pyramid attention.
        up_type: Convolutions of an up module: ``2layer`` or ``1layer``.
        up_kernel_size: Kernel size of the up modules, odd.
        n_up: Number of up modules, 0 to 3; each doubles the size of the maps.
        head_kernel_size: Kernel size of the last convolution, odd.
    """

    decoder_channels: int = option(128, _DECODER)
    use_pa: bool = option(True, "Pyramid attention on the deepest features.")
    up_type: str = option(
        "2layer", "Convolutions of an up module.", choices=("2layer", "1layer")
    )
    up_kernel_size: int = option(1, "Kernel size of the up modules, odd.")
    n_up: int = option(
        3,
        "Number of up modules; each doubles the size of the maps.",
        choices=(0, 1, 2, 3),
    )
    head_kernel_size: int = option(1, "Kernel size of the last convolution, odd.")

    def __post_init__(self):
        sizes = (self.up_kernel_size, self.head_kernel_size)
        rules = {
            "decoder_channels of at least 1": self.decoder_channels >= 1,
            "up_type of '2layer' or '1layer'": self.up_type in ("2layer", "1layer"),
            "n_up of 0, 1, 2 or 3": self.n_up in (0, 1, 2, 3),
            "odd kernel sizes": all(size > 0 and size % 2 == 1 for size in sizes),
        }
        check_rules(rules, self)


@dataclasses.dataclass(frozen=True)
class BaselineOptions(BackboneOptions):
    """Options of the plain classifier.

    Attributes:
        pooling: Pooling of a map to its logit: ``max`` or ``avg``.
    """

    pooling: str = option(
        "max", "Pooling of a map to its logit.", choices=("max", "avg")
    )

    def __post_init__(self):
        rules = {"pooling of 'max' or 'avg'": self.pooling in ("max", "avg")}
        check_rules(rules, repr(self.pooling))


@dataclasses.dataclass(frozen=True)
class Li2018Options(BackboneOptions):
    """Options of Li 2018.

    Attributes:
        decoder_channels: Number of channels of the 3 x 3 convolution.
        out_size: Rows and columns of the grid of patches.
        min_val: Lower bound of the probabilities' scaled complements, in (0, 1); see
            :class:`kerasloc.layers.MultipleInstancePooling`.
    """

    decoder_channels: int = option(512, "Number of channels of the 3 x 3 convolution.")
    out_size: int = option(20, "Rows and columns of the grid of patches.")
    min_val: float = option(
        0.98, "Lower bound of the factors of multiple-instance pooling, in (0, 1)."
    )

    def __post_init__(self):
        rules = {"decoder_channels of at least 1": self.decoder_channels >= 1}
        check_rules(rules, self.decoder_channels)


@dataclasses.dataclass(frozen=True)
class FPNOptions(BackboneOptions):
    """Options of the feature pyramid network.

    Attributes:
        pyramid_channels: Number of channels of the pyramid.
        decoder_channels: Number of channels of the decoder.
        norm: Normalization of the decoder: ``batchnorm`` or ``groupnorm``.
        groups: Number of groups of the group normalization.
    """

    pyramid_channels: int = option(256, "Number of channels of the pyramid.")
    decoder_channels: int = option(128, _DECODER)
    norm: str = option(
        "batchnorm",
        "Normalization of the decoder.",
        choices=("batchnorm", "groupnorm"),
    )
    groups: int = option(32, "Number of groups of the group normalization.")

    def __post_init__(self):
        widths = (self.pyramid_channels, self.decoder_channels)
        norms = ("batchnorm", "groupnorm")
        rules = {
            "widths of at least 1": min(widths) >= 1,
            "norm of 'batchnorm' or 'groupnorm'": self.norm in norms,
            "groups that divide decoder_channels": self.groups >= 1
            and (self.norm == "batchnorm" or self.decoder_channels % self.groups == 0),
        }
        check_rules(rules, self)


@dataclasses.dataclass(frozen=True)
class UNetOptions(BackboneOptions):
    """Options of the U-Net.

    Attributes:
        decoder_channels: Numbers of channels of the five blocks, the deepest first;
            published for NIH: 256, 128, 64, 64, 64.
    """

    decoder_channels: tuple[int, ...] = option(
        (256, 128, 64, 32, 16),
        "Numbers of channels of the five blocks, the deepest first.",
    )

    def __post_init__(self):
        widths = tuple(self.decoder_channels)
        fits = len(widths) == 5 and min(widths) >= 1
        check_rules({"decoder_channels of five widths from 1": fits}, widths)


@dataclasses.dataclass(frozen=True)
class DeepLabV3PlusOptions(BackboneOptions):
    """Options of DeepLabV3+.

    Attributes:
        decoder_channels: Number of channels of the decoder.
        output_stride: Size of the image over that of the deepest features: 16 or 8.
        atrous_rates: Dilation rates of the atrous pyramid in features.
        aspp: Atrous pyramid: ``original``, or ``nogap`` without the image-wide branch.
    """

    decoder_channels: int = option(256, _DECODER)
    output_stride: int = option(
        16, "Size of the image over that of the deepest features.", choices=(16, 8)
    )
    atrous_rates: tuple[int, ...] = option(
        (12, 24, 36), "Dilation rates of the atrous pyramid in features."
    )
    aspp: str = option(
        "original",
        "Atrous pyramid; nogap leaves the image-wide branch out.",
        choices=("original", "nogap"),
    )

    def __post_init__(self):
        rates = self.atrous_rates
        rules = {
            "decoder_channels of at least 1": self.decoder_channels >= 1,
            "output_stride of 16 or 8": self.output_stride in (16, 8),
            "atrous_rates of whole numbers from 1": len(rates) > 0
            and all(int(rate) == rate >= 1 for rate in rates),
            "aspp of 'original' or 'nogap'": self.aspp in ("original", "nogap"),
        }
        check_rules(rules, self)


@dataclasses.dataclass(frozen=True)
class PANOptions(BackboneOptions):
    """Options of the pyramid attention network.

    Attributes:
        decoder_channels: Number of channels of the decoder.
        use_gap: Whether means over the whole image take part: the global branch of the
            attention and the gates of the skips.
    """

    decoder_channels: int = option(128, _DECODER)
    use_gap: bool = option(
        True, "Means over the whole image in the attention and the gates."
    )

    def __post_init__(self):
        rules = {"decoder_channels of at least 1": self.decoder_channels >= 1}
        check_rules(rules, self.decoder_channels)


@dataclasses.dataclass(frozen=True)
class HamOptions(BackboneOptions):
    """Options of HAM.

    Attributes:
        downsampling: Size of the image over that of the features: 8, 16 or 32.
        using_pooling: Whether the stem ends in its max-pooling.
        using_dilation: Whether the last stages are dilated.
    """

    downsampling: int = option(
        8, "Size of the image over that of the features.", choices=(8, 16, 32)
    )
    using_pooling: bool = option(True, "Max-pooling in the stem.")
    using_dilation: bool = option(True, "Dilation of the last stages.")

    def __post_init__(self):
        rules = {"downsampling of 8, 16 or 32": self.downsampling in (8, 16, 32)}
        check_rules(rules, self)


@dataclasses.dataclass(frozen=True)
class ExplainerOptions:
    """Options of the explainer-classifier.

    Attributes:
        classifier: Name of the classifier's architecture.
        init_bias: Initial last bias of the explanation: a large one makes the first
            explanations white, so that the classifier is not disturbed.
    """

    classifier: str = option(
        "resnet18", "Classifier.", choices=CLASSIFIERS, flags=("--clf", "-clf")
    )
    init_bias: float = option(
        3.0, "Initial last bias of the explanation; large: white first explanations."
    )

    def __post_init__(self):
        rule = f"classifier of {', '.join(CLASSIFIERS)}"
        check_rules({rule: self.classifier in CLASSIFIERS}, repr(self.classifier))
