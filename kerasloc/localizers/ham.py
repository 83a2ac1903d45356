"""HAM: where in the image is anything abnormal, and where is each class."""

import keras
import numpy as np
from scipy.special import expit

from kerasloc.checks import as_images
from kerasloc.localizers.maps import MapLocalizer, of_classes
from kerasloc.metrics import resize_maps
from kerasloc.models import ham


class HAM(MapLocalizer):
    """HAM; options: see :func:`kerasloc.models.ham.ham`.

    Arguments as for :class:`~kerasloc.localizers.maps.MapLocalizer`. ``maps`` and
    ``low_res_cam`` are raw attention at the features' size, not below 0;
    ``refined_maps``, ``high_res_cam``, ``heatmaps`` and ``boxes`` are of the soft masks
    at the image's size: nearly 1 where the attention of an image and class is within
    the upper 60 % of its own range, nearly 0 elsewhere.
    """

    family = "ham"
    commands = ("python scripts/train_ham.py",)
    builder = staticmethod(ham.ham)
    describe = staticmethod(ham.describe)
    outputs = frozenset(
        f"{prefix}{name}"
        for prefix in ("", "abnormality_")
        for name in ("logits", "maps", "refined_maps")
    )
    default_size = 512

    def _hold(self, model, config):
        super()._hold(model, config)
        self._one = {
            name: keras.Model(model.input, model.output[name]) for name in self.outputs
        }

    def refined_maps(self, x, classes=None, *, squeeze=True) -> np.ndarray:
        """Soft masks in [0, 1] at the image's size, (n, rows, cols, classes).

        Args:
            x: Images.
            classes: As for :meth:`maps`.
            squeeze: Whether one image loses its axis.
        """
        return self._answer(self._one["refined_maps"], x, classes, squeeze)

    def abnormality_maps(self, x, *, squeeze=True) -> np.ndarray:
        """Raw attention of "any class", (n, rows, cols), at the features' size."""
        return self._abnormality("maps", x, squeeze)

    def abnormality_heatmaps(self, x, size=None, *, squeeze=True) -> np.ndarray:
        """The soft mask of "any class" in [0, 1], (n, rows, cols), at the image's size.

        Args:
            x: Images.
            size: (rows, cols) of the answer; the image's by default.
            squeeze: Whether one image loses its axis.
        """
        heat = self._abnormality("refined_maps", x, squeeze=False)
        heat = self._heat(heat, self.config.im_size if size is None else tuple(size))
        return heat[0] if len(heat) == 1 and squeeze else heat

    def predict_abnormality(self, x, *, squeeze=True):
        """The probability that anything is there, (n,); a number for one image."""
        images, single = as_images(x, self.config.input_shape)
        answer = expit(self._run(self._one["abnormality_logits"], images)[:, 0])
        return float(answer[0]) if single and squeeze else answer

    def _abnormality(self, name, x, squeeze):
        return self._answer(self._one[f"abnormality_{name}"], x, None, squeeze)[..., 0]

    def _maps_to_show(self, x, classes):
        return self.refined_maps(x, classes, squeeze=False)

    def _heat(self, maps, size):
        """Soft masks are heat maps already."""
        return resize_maps(maps, size)

    def _relative_heat(self, maps, size):
        return self._heat(maps, size)

    def _chosen_maps(self, images, classes):
        high, _, logits = self._cams(images, classes)
        return high, np.where(classes < 0, logits.argmax(axis=-1), classes)

    def _both(self, images, classes):
        """Refined and raw maps of the classes, and logits, of a few images."""
        outputs = self._run(self.model, images)
        high, _ = of_classes(outputs, classes, "refined_maps")
        low, _ = of_classes(outputs, classes)
        return high, low, outputs["logits"]
