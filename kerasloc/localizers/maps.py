"""Pylon and what it is compared with: logits pooled from maps, over a ResNet."""

import keras
import numpy as np
from scipy.special import expit

from kerasloc.backbones.resnet import STAGES
from kerasloc.cams import GradCAM, cut, images_at_once
from kerasloc.checks import as_images
from kerasloc.localizers.base import Localizer
from kerasloc.metrics import resize_maps
from kerasloc.models import (
    baseline,
    deeplabv3plus,
    fpn,
    li2018,
    pan,
    pylon,
    registry,
    unet,
)


class MapLocalizer(Localizer):
    """A multi-label classifier whose logits are pooled from maps of every class.

    Arguments as for :class:`~kerasloc.localizers.base.Localizer`; also
    ``weights="imagenet"`` (with ``num_classes``), which gives the backbone ImageNet's,
    and published PyTorch files. Images are normalized as published: gray ones by the
    mean and deviation of chest X-rays, colored ones by ImageNet's.
    """

    outputs = frozenset({"logits", "maps"})
    default_size = 256
    default_multi_label = True
    cam_layer = STAGES[-1]

    @classmethod
    def normalization(cls, channels: int) -> dict:
        """Mean and deviation of a network that is not told any."""
        return registry.normalization(cls.family, channels)

    def _hold(self, model, config):
        super()._hold(model, config)
        self._maps = keras.Model(model.input, model.output["maps"])
        self._parts = None  # cut at the layer of Grad-CAM, when that is asked for

    def maps(self, x, classes=None, *, squeeze=True) -> np.ndarray:
        """Raw maps at the network's own size, (n, rows, cols, classes).

        Args:
            x: Images.
            classes: One class (index or name; the last axis goes), several, or None
                for all.
            squeeze: Whether one image loses its axis.
        """
        return self._answer(self._maps, x, classes, squeeze)

    def high_res_cam(self, x, custom_class=None, *, squeeze=True) -> np.ndarray:
        """The raw map of one class per image, (n, rows, cols), at the network's size.

        Args:
            x: Images.
            custom_class: Index or name, or one per image; the likeliest by default.
            squeeze: Whether one image loses its axis.
        """
        images, single = as_images(x, self.config.input_shape)
        classes = self._classes(custom_class, len(images))
        maps, _ = self._chosen_maps(images, classes)
        return maps[0] if single and squeeze else maps

    def low_res_cam(self, x, custom_class=None, *, squeeze=True) -> np.ndarray:
        """Grad-CAM of the deepest features, (n, rows / 32, cols / 32)."""
        return self.generate_cams(x, custom_class, squeeze=squeeze)[1]

    def generate_cams(self, x, custom_class=None, *, squeeze=True):
        """``(high, low, preds)`` from one forward pass.

        Args:
            x: Images.
            custom_class: As for :meth:`high_res_cam`.
            squeeze: Whether one image gives 2-D maps and a row of predictions.

        Returns:
            The raw map of the class, Grad-CAM of the deepest features for its logit,
            and what :meth:`predict` gives.
        """
        images, single = as_images(x, self.config.input_shape)
        classes = self._classes(custom_class, len(images))
        high, low, logits = self._cams(images, classes)
        preds = self._decide(logits[0] if single and squeeze else logits)
        return (high[0], low[0], preds) if single and squeeze else (high, low, preds)

    def _heat(self, maps, size):
        """The published heat map: the probability at every place."""
        return resize_maps(expit(maps), size)

    def _relative_heat(self, maps, size):
        """Heat maps over their maxima, as the published accuracy has them."""
        heat = self._heat(maps, size)
        return heat / np.maximum(heat.max(axis=(1, 2), keepdims=True), 1e-30)

    def _chosen_maps(self, images, classes):
        return of_classes(self._run(self.model, images), classes)

    def _answer(self, model, x, classes, squeeze):
        """The maps that a model gives, of the asked classes."""
        images, single = as_images(x, self.config.input_shape)
        answer = self._run(model, images)
        if isinstance(classes, str) or (classes is not None and np.ndim(classes) == 0):
            answer = answer[..., self._class_index(classes)]
        elif classes is not None:
            answer = answer[..., [self._class_index(one) for one in classes]]
        return answer[0] if single and squeeze else answer

    def _cams(self, images, classes):
        """High and low maps of one class per image, and logits, a few at a time."""
        if not len(images):
            raise ValueError("There is at least one image. Received: none.")
        step = images_at_once(images.shape[1:3])
        parts = [
            self._both(images[start : start + step], classes[start : start + step])
            for start in range(0, len(images), step)
        ]
        return tuple(np.concatenate(each) for each in zip(*parts, strict=True))

    def _both(self, images, classes):
        """Chosen maps, Grad-CAMs and logits of a few images."""
        if self._parts is None:
            maps = {"maps": self.model.output["maps"]}
            self._parts = cut(self.model, self.cam_layer, maps)
        features = self._parts.encode(self._normalized(images))
        outputs, gradients = self._parts.gradient(features, classes)
        maps, _ = of_classes(outputs, classes)
        low = np.maximum(GradCAM.combine(features[0], gradients), 0)
        return maps, low, outputs["logits"]


def of_classes(outputs, classes, name: str = "maps"):
    """One map per image, (n, rows, cols), and its class, (n,).

    Args:
        outputs: Of a network.
        classes: One per image; below 0: the likeliest.
        name: Of the output.
    """
    chosen = np.where(classes < 0, outputs["logits"].argmax(axis=-1), classes)
    return outputs[name][np.arange(len(chosen)), :, :, chosen], chosen


class Pylon(MapLocalizer):
    """PYLON; options: see :func:`kerasloc.models.pylon.pylon`."""

    family = "pylon"
    commands = ("python scripts/train_pylon.py",)
    builder = staticmethod(pylon.pylon)
    describe = staticmethod(pylon.describe)


class Baseline(MapLocalizer):
    """The plain classifier; options: see :func:`kerasloc.models.baseline.baseline`."""

    family = "baseline"
    commands = ("python scripts/train_baseline.py --model baseline",)
    builder = staticmethod(baseline.baseline)
    describe = staticmethod(baseline.describe)


class Li2018(MapLocalizer):
    """Li 2018; options: see :func:`kerasloc.models.li2018.li2018`."""

    family = "li2018"
    commands = ("python scripts/train_baseline.py --model li2018",)
    builder = staticmethod(li2018.li2018)
    describe = staticmethod(li2018.describe)


class FPN(MapLocalizer):
    """FPN; options: see :func:`kerasloc.models.fpn.fpn`."""

    family = "fpn"
    commands = ("python scripts/train_baseline.py --model fpn",)
    builder = staticmethod(fpn.fpn)
    describe = staticmethod(fpn.describe)


class UNet(MapLocalizer):
    """U-Net; options: see :func:`kerasloc.models.unet.unet`."""

    family = "unet"
    commands = ("python scripts/train_baseline.py --model unet",)
    builder = staticmethod(unet.unet)
    describe = staticmethod(unet.describe)


class DeepLabV3Plus(MapLocalizer):
    """DeepLabV3+; options: see :func:`kerasloc.models.deeplabv3plus.deeplabv3plus`."""

    family = "deeplabv3plus"
    commands = ("python scripts/train_baseline.py --model deeplabv3plus",)
    builder = staticmethod(deeplabv3plus.deeplabv3plus)
    describe = staticmethod(deeplabv3plus.describe)


class PAN(MapLocalizer):
    """PAN; options: see :func:`kerasloc.models.pan.pan`."""

    family = "pan"
    commands = ("python scripts/train_baseline.py --model pan",)
    builder = staticmethod(pan.pan)
    describe = staticmethod(pan.describe)
