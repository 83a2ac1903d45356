"""PYLON and the models that it was compared with: logits pooled from maps.

Reference:
    Preechakul, Sriswasdi, Kijsirikul, Chuangsuwanich: Improved image classification
    explainability with high-accuracy heatmaps, iScience 25(3), 2022.
"""

from collections.abc import Mapping

import keras
import numpy as np
import numpy.typing as npt
from scipy.special import expit

from kerasloc.backbones.resnet import STAGES
from kerasloc.cams import GradCAM, cut, images_at_once, producer
from kerasloc.checks import as_images
from kerasloc.localizers.base import Classes, Localizer
from kerasloc.maps import resize_maps


class MapLocalizer(Localizer):
    """A multi-label classifier whose logits are pooled from maps of every class.

    Arguments as for :class:`~kerasloc.localizers.base.Localizer`; also
    ``weights="imagenet"`` (with ``num_classes``), which loads ImageNet's weights into
    the backbone, and published PyTorch files. Images are normalized as published: gray
    ones by the mean and deviation of chest X-rays, color ones by ImageNet's.

    A new family of such networks needs a record of :mod:`kerasloc.models.families` and
    a subclass with its name.

    Example:
        >>> class MyPylon(MapLocalizer):
        ...     family = "pylon"
        >>> MyPylon(num_classes=2, im_size=32, backbone="resnet18")
        MyPylon(2 classes: class 0, class 1; 32 x 32 x 3; resnet18; multi-label)
    """

    outputs = frozenset({"logits", "maps"})
    default_size = 256
    default_multi_label = True
    cam_layer: str | None = STAGES[-1]

    def _hold(self, model, config):
        super()._hold(model, config)
        self._cut = None  # at the layer of Grad-CAM, when first needed
        if self.cam_layer not in {layer.name for layer in model.layers}:
            inputs = keras.tree.flatten(producer(model.output["maps"]).input)
            features = next(x for x in inputs if len(x.shape) == 4)  # not a ResNet's
            self.cam_layer = producer(features).name

    def high_res_cam(
        self, x: npt.ArrayLike, custom_class: Classes = None, *, squeeze: bool = True
    ) -> np.ndarray:
        """Compute the raw map of one class per image, (n, rows, cols), network's size.

        Without ``custom_class``, an index or name or one per image, of the likeliest.
        """
        images, single = as_images(x, self.config.input_shape)
        classes = self._classes(custom_class, len(images))
        maps, _ = self._chosen_maps(images, classes)
        return maps[0] if single and squeeze else maps

    def generate_cams(
        self, x: npt.ArrayLike, custom_class: Classes = None, *, squeeze: bool = True
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | int]:
        """Compute ``(high, low, preds)`` in one forward pass; see :meth:`predict`.

        ``high`` is the raw map of the class, ``low`` Grad-CAM of the deepest features
        for its logit, (n, rows / 32, cols / 32).
        """
        images, single = as_images(x, self.config.input_shape)
        classes = self._classes(custom_class, len(images))
        high, low, logits = self._high_low_logits(images, classes)
        preds = self._decide(logits[0] if single and squeeze else logits)
        return (high[0], low[0], preds) if single and squeeze else (high, low, preds)

    def _heat(self, maps, size):
        """Compute the published heat map: the probability at every pixel."""
        return resize_maps(expit(maps), size)

    def _relative_heat(self, maps, size):
        """Divide heat maps by their maxima, as in the published accuracy."""
        heat = self._heat(maps, size)
        return heat / np.maximum(heat.max(axis=(1, 2), keepdims=True), 1e-30)

    def _chosen_maps(self, images, classes):
        return of_classes(self._run(self.model, images), classes)

    def _high_low_logits(self, images, classes) -> tuple[np.ndarray, ...]:
        """Compute both maps of one class per image, and logits, in batches."""
        if not len(images):
            raise ValueError("Expected at least one image. Received: none.")
        step = images_at_once(images.shape[1:3])
        slices = [slice(i, i + step) for i in range(0, len(images), step)]
        batches = [self._high_low_batch(images[s], classes[s]) for s in slices]
        return tuple(np.concatenate(arrays) for arrays in zip(*batches, strict=True))

    def _high_low_batch(self, images, classes) -> tuple[np.ndarray, ...]:
        """Compute chosen maps, Grad-CAMs and logits of a batch."""
        if self._cut is None:
            extra = {"maps": self.model.output["maps"]}
            self._cut = cut(self.model, self.cam_layer, extra)
        features = self._cut.encode(self._normalized(images))
        outputs, gradients = self._cut.gradient(features, classes)
        maps, _ = of_classes(outputs, classes)
        low = np.maximum(GradCAM.combine(features[0], gradients), 0)
        return maps, low, outputs["logits"]


def of_classes(
    outputs: Mapping[str, np.ndarray], classes: np.ndarray, name: str = "maps"
) -> tuple[np.ndarray, np.ndarray]:
    """Select one map per image, (n, rows, cols), from an output; and their classes.

    Args:
        outputs: Outputs of a network by name.
        classes: Class index per image, (n,); below 0: the likeliest class.
        name: Name of the output with the maps (n, rows, cols, classes).

    Example:
        >>> outputs = {"logits": np.array([[0.1, 0.9]]), "maps": np.zeros((1, 4, 4, 2))}
        >>> of_classes(outputs, np.array([-1]))[1]
        array([1])
    """
    chosen = np.where(classes < 0, outputs["logits"].argmax(axis=-1), classes)
    return outputs[name][np.arange(len(chosen)), :, :, chosen], chosen


class Pylon(MapLocalizer):
    """PYLON; options as for :func:`kerasloc.models.pylon.pylon`.

    Example:
        >>> Pylon(num_classes=2, im_size=32, backbone="resnet18", n_up=1)
        Pylon(2 classes: class 0, class 1; 32 x 32 x 3; resnet18; n_up=1; multi-label)
    """

    family = "pylon"


class Baseline(MapLocalizer):
    """Plain classifier; options as for :func:`kerasloc.models.baseline.baseline`.

    Example:
        >>> Baseline(class_names=["cat", "dog"], im_size=32, backbone="resnet18")
        Baseline(2 classes: cat, dog; 32 x 32 x 3; resnet18; multi-label)
    """

    family = "baseline"


class Li2018(MapLocalizer):
    """Li 2018; options as for :func:`kerasloc.models.li2018.li2018`.

    Example:
        >>> Li2018(num_classes=1, im_size=32, backbone="resnet18")
        Li2018(1 class: class 0; 32 x 32 x 3; resnet18; multi-label)
    """

    family = "li2018"


class FPN(MapLocalizer):
    """Feature pyramid network; options as for :func:`kerasloc.models.fpn.fpn`.

    Example:
        >>> FPN(num_classes=1, im_size=32, backbone="resnet18")
        FPN(1 class: class 0; 32 x 32 x 3; resnet18; multi-label)
    """

    family = "fpn"


class UNet(MapLocalizer):
    """U-Net; options as for :func:`kerasloc.models.unet.unet`.

    Example:
        >>> UNet(num_classes=1, im_size=32, backbone="resnet18")
        UNet(1 class: class 0; 32 x 32 x 3; resnet18; multi-label)
    """

    family = "unet"


class DeepLabV3Plus(MapLocalizer):
    """DeepLabV3+; options as for :func:`kerasloc.models.deeplabv3plus.deeplabv3plus`.

    Example:
        >>> DeepLabV3Plus(num_classes=1, im_size=32, backbone="resnet18")
        DeepLabV3Plus(1 class: class 0; 32 x 32 x 3; resnet18; multi-label)
    """

    family = "deeplabv3plus"


class PAN(MapLocalizer):
    """Pyramid attention network; options as for :func:`kerasloc.models.pan.pan`.

    Example:
        >>> PAN(num_classes=1, im_size=32, backbone="resnet18")
        PAN(1 class: class 0; 32 x 32 x 3; resnet18; multi-label)
    """

    family = "pan"
