"""Options of the families' networks, with their help: loads no deep-learning library.

A builder has the same options as keyword arguments with the same defaults; wrappers,
command lines and documentation are made from these classes.
"""

import dataclasses

from kerasloc.backbones.configs import ARCHITECTURES, DenseNetConfig
from kerasloc.configs import check_rules, field_rules, option

BACKBONES = tuple(ARCHITECTURES)
CLASSIFIERS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "vgg")
HrcamOptions = DenseNetConfig
_DECODER = "Number of channels of the decoder."


@dataclasses.dataclass(frozen=True)
class BackboneOptions:
    """Options of every network over a ResNet."""

    backbone: str = option("resnet50", "Backbone.", choices=BACKBONES)

    def __post_init__(self):
        check_rules(field_rules(self) | self._rules(), self)

    def _rules(self) -> dict[str, bool]:
        return {}


@dataclasses.dataclass(frozen=True)
class PylonOptions(BackboneOptions):
    """Options of PYLON."""

    decoder_channels: int = option(128, _DECODER, low=1)
    use_pa: bool = option(True, "Pyramid attention on the deepest features.")
    up_type: str = option(
        "2layer", "Convolutions of an up module.", choices=("2layer", "1layer")
    )
    up_kernel_size: int = option(1, "Kernel size of the up modules, odd.", low=1)
    n_up: int = option(
        3, "Number of up modules; each doubles the maps' size.", choices=(0, 1, 2, 3)
    )
    head_kernel_size: int = option(1, "Kernel size of the last layer, odd.", low=1)

    def _rules(self) -> dict[str, bool]:
        fits = self.up_kernel_size % 2 == self.head_kernel_size % 2 == 1
        return {"odd kernel sizes": fits}


@dataclasses.dataclass(frozen=True)
class BaselineOptions(BackboneOptions):
    """Options of the plain classifier."""

    pooling: str = option("max", "Pooling of a map to a logit.", choices=("max", "avg"))


@dataclasses.dataclass(frozen=True)
class Li2018Options(BackboneOptions):
    """Options of Li 2018."""

    decoder_channels: int = option(512, "Channels of the 3 x 3 convolution.", low=1)
    out_size: int = option(20, "Rows and columns of the grid of patches.", low=1)
    min_val: float = option(
        0.98, "Lower bound of the factors of multiple-instance pooling, in (0, 1)."
    )


@dataclasses.dataclass(frozen=True)
class FPNOptions(BackboneOptions):
    """Options of the feature pyramid network."""

    pyramid_channels: int = option(256, "Number of channels of the pyramid.", low=1)
    decoder_channels: int = option(128, _DECODER, low=1)
    norm: str = option(
        "batchnorm", "Normalization of the decoder.", choices=("batchnorm", "groupnorm")
    )
    groups: int = option(32, "Number of groups of the group normalization.", low=1)

    def _rules(self) -> dict[str, bool]:
        divided = self.groups < 1 or self.decoder_channels % self.groups == 0
        divided |= self.norm == "batchnorm"
        return {"groups that divide decoder_channels": divided}


@dataclasses.dataclass(frozen=True)
class UNetOptions(BackboneOptions):
    """Options of the U-Net; its published widths for NIH are 256, 128, 64, 64, 64."""

    decoder_channels: tuple[int, ...] = option(
        (256, 128, 64, 32, 16),
        "Numbers of channels of the five blocks, the deepest first.",
    )

    def _rules(self) -> dict[str, bool]:
        widths = self.decoder_channels
        fits = len(widths) == 5 and min(widths) >= 1
        return {"decoder_channels of five widths from 1": fits}


@dataclasses.dataclass(frozen=True)
class DeepLabV3PlusOptions(BackboneOptions):
    """Options of DeepLabV3+."""

    decoder_channels: int = option(256, _DECODER, low=1)
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

    def _rules(self) -> dict[str, bool]:
        rates = self.atrous_rates
        fits = len(rates) > 0 and all(int(rate) == rate >= 1 for rate in rates)
        return {"atrous_rates of whole numbers from 1": fits}


@dataclasses.dataclass(frozen=True)
class PANOptions(BackboneOptions):
    """Options of the pyramid attention network."""

    decoder_channels: int = option(128, _DECODER, low=1)
    use_gap: bool = option(True, "Means over the image in attention and gates.")


@dataclasses.dataclass(frozen=True)
class HamOptions(BackboneOptions):
    """Options of HAM."""

    downsampling: int = option(
        8, "Size of the image over that of the features.", choices=(8, 16, 32)
    )
    using_pooling: bool = option(True, "Max-pooling in the stem.")
    using_dilation: bool = option(True, "Dilation of the last stages.")


@dataclasses.dataclass(frozen=True)
class ExplainerOptions:
    """Options of the explainer-classifier."""

    classifier: str = option(
        "resnet18", "Classifier.", choices=CLASSIFIERS, flags=("--clf", "-clf")
    )
    init_bias: float = option(
        3.0, "Initial last bias of the explanation; large: white first explanations."
    )

    def __post_init__(self):
        check_rules(field_rules(self), self)
