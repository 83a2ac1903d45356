"""HAM: an attention for "abnormal" and one for every class.

Reference:
    Ouyang, Karanam, Wu, Chen, Huo, Zhou, Wang, Cheng: Learning hierarchical attention
    for weakly-supervised chest X-ray abnormality localization and diagnosis, IEEE TMI
    40(10), 2021.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from kerasloc.checks import as_images
from kerasloc.localizers.base import Classes
from kerasloc.localizers.maps import MapLocalizer, of_classes
from kerasloc.maps import resize_maps


class HAM(MapLocalizer):
    """Hierarchical attention mining.

    Arguments as for :class:`~kerasloc.localizers.maps.MapLocalizer`; options as for
    :func:`kerasloc.models.ham.ham`. ``maps`` and ``low_res_cam`` are raw attention at
    the features' size, not below 0; ``refined_maps``, ``high_res_cam``, ``heatmaps``
    and ``boxes`` use the soft masks at the image's size: nearly 1 where the attention
    of an image and class is within the upper 60 % of its own range, nearly 0 elsewhere.

    Example:
        >>> HAM(num_classes=2, im_size=32, backbone="resnet18", downsampling=32)
        HAM(2 classes: class 0, class 1; 32 x 32 x 3; resnet18; downsampling=32;
        multi-label)
    """

    family = "ham"
    outputs = frozenset(
        prefix + name
        for prefix in ("", "abnormality_")
        for name in ("logits", "maps", "refined_maps")
    )
    default_size = 512

    def _hold(self, model, config):
        super()._hold(model, config)
        self._models = {name: self._only(name) for name in self.outputs}

    def refined_maps(
        self, x: npt.ArrayLike, classes: Classes = None, *, squeeze: bool = True
    ) -> np.ndarray:
        """Compute soft masks in [0, 1] at the image's size; see :meth:`maps`."""
        masks = self._output("refined_maps", x, squeeze)
        return masks[..., self._columns(classes)]

    def abnormality_maps(self, x: npt.ArrayLike, *, squeeze: bool = True) -> np.ndarray:
        """Compute the raw attention of "any class", (n, rows, cols), features' size."""
        return self._output("abnormality_maps", x, squeeze)[..., 0]

    def abnormality_heatmaps(
        self,
        x: npt.ArrayLike,
        size: Sequence[int] | None = None,
        *,
        squeeze: bool = True,
    ) -> np.ndarray:
        """Compute the soft mask of "any class"; see :meth:`heatmaps`."""
        heat = self._output("abnormality_refined_maps", x, squeeze=False)[..., 0]
        heat = self._heat(heat, self.config.im_size if size is None else tuple(size))
        return heat[0] if len(heat) == 1 and squeeze else heat

    def predict_abnormality(
        self, x: npt.ArrayLike, *, squeeze: bool = True
    ) -> np.ndarray | float:
        """Compute the probability of "any class", (n,); a number for one image."""
        probabilities = expit(self._output("abnormality_logits", x, squeeze)[..., 0])
        return probabilities if probabilities.ndim else float(probabilities)

    def _output(self, name: str, x, squeeze: bool) -> np.ndarray:
        images, single = as_images(x, self.config.input_shape)
        output = self._run(self._models[name], images)[name]
        return output[0] if single and squeeze else output

    def _maps_to_show(self, x, classes):
        return self.refined_maps(x, classes, squeeze=False)

    def _maps_to_show_of(self, outputs, classes):
        return outputs["refined_maps"][..., self._columns(classes)]

    def _heat(self, maps, size):  # soft masks are heat maps already
        return resize_maps(maps, size)

    _relative_heat = _heat

    def _chosen_maps(self, images, classes):
        high, _, logits = self._high_low_logits(images, classes)
        return high, np.where(classes < 0, logits.argmax(axis=-1), classes)

    def _high_low_batch(self, images, classes):
        """Compute refined and raw maps of the classes, and logits, of a batch."""
        outputs = self._run(self.model, images)
        high, _ = of_classes(outputs, classes, "refined_maps")
        low, _ = of_classes(outputs, classes)
        return high, low, outputs["logits"]
