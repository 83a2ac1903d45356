"""ExplainerClassifier: a classifier with one explanation for what it says."""

import keras
import numpy as np

from kerasloc.cams import GradCAM
from kerasloc.checks import as_images
from kerasloc.localizers.base import Localizer
from kerasloc.metrics import resize_maps
from kerasloc.models import explainer


class ExplainerClassifier(Localizer):
    """The explainer-classifier; options: ``classifier`` and ``init_bias``.

    Arguments as for :class:`~kerasloc.localizers.base.Localizer`; options: see
    :func:`kerasloc.models.explainer.explainer_classifier`. An image has one
    explanation, whatever the class: ``maps``, ``heatmaps``, ``high_res_cam`` and
    ``boxes`` of every class are the same. ``grad_cam`` tells classes apart.
    """

    family = "explainer"
    commands = ("python scripts/train_explainer.py",)
    builder = staticmethod(explainer.explainer_classifier)
    describe = staticmethod(explainer.describe)
    outputs = frozenset({"logits", "explanation"})

    def _hold(self, model, config):
        super()._hold(model, config)
        self._explainer = keras.Model(model.input, model.output["explanation"])
        self.cam_layer = explainer.deepest(model)
        self._deepest = model.get_layer(self.cam_layer).output

    def explanations(self, x, *, squeeze=True) -> np.ndarray:
        """What decides, in [0, 1] at the image's size, (n, rows, cols).

        Args:
            x: Images.
            squeeze: Whether one image loses its axis.
        """
        images, single = as_images(x, self.config.input_shape)
        answer = self._run(self._explainer, images)[..., 0]
        return answer[0] if single and squeeze else answer

    def maps(self, x, classes=None, *, squeeze=True) -> np.ndarray:
        """The explanation once for every class, (n, rows, cols, classes).

        Args:
            x: Images.
            classes: One class (index or name; no last axis), several, or None for all.
            squeeze: Whether one image loses its axis.
        """
        answer = self.explanations(x, squeeze=squeeze)
        if isinstance(classes, str) or (classes is not None and np.ndim(classes) == 0):
            self._class_index(classes)
            return answer
        names = self.config.class_names if classes is None else classes
        chosen = [self._class_index(one) for one in names]
        return np.repeat(answer[..., None], len(chosen), axis=-1)

    def high_res_cam(self, x, custom_class=None, *, squeeze=True) -> np.ndarray:
        """The explanation, (n, rows, cols), in [0, 1] at the image's size.

        Args:
            x: Images.
            custom_class: Index or name, or one per image; makes no difference.
            squeeze: Whether one image loses its axis.
        """
        return self.generate_cams(x, custom_class, squeeze=squeeze)[0]

    def low_res_cam(self, x, custom_class=None, *, squeeze=True) -> np.ndarray:
        """The explanation that the deepest features are multiplied by."""
        return self.generate_cams(x, custom_class, squeeze=squeeze)[1]

    def generate_cams(self, x, custom_class=None, *, squeeze=True):
        """``(high, low, preds)`` from one forward pass.

        Args:
            x: Images.
            custom_class: As for :meth:`high_res_cam`.
            squeeze: Whether one image gives 2-D maps and an int.

        Returns:
            The explanation, the same average-pooled to the size of the deepest
            features, and what :meth:`predict` gives.
        """
        images, single = as_images(x, self.config.input_shape)
        self._classes(custom_class, len(images))
        outputs = self._run(self.model, images)
        high = outputs["explanation"][..., 0]
        _, rows, cols, _ = self._deepest.shape
        low = high.reshape(len(high), rows, high.shape[1] // rows, cols, -1)
        low, logits = low.mean(axis=(2, 4)), outputs["logits"]
        if single and squeeze:
            return high[0], low[0], self._decide(logits[0])
        return high, low, self._decide(logits)

    def grad_cam(self, x, custom_class=None, *, squeeze=True) -> np.ndarray:
        """Grad-CAM of the classifier's deepest features, (n, rows, cols), unscaled.

        Args:
            x: Images.
            custom_class: Index or name, or one per image; the predicted class by
                default.
            squeeze: Whether one image loses its axis.
        """
        images, single = as_images(x, self.config.input_shape)
        classes = self._classes(custom_class, len(images))
        maps = GradCAM(self).maps(images, None if custom_class is None else classes)
        answer = np.maximum(maps, 0)
        return answer[0] if single and squeeze else answer

    def _heat(self, maps, size):
        """Explanations are heat maps already."""
        return resize_maps(maps, size)

    def _chosen_maps(self, images, classes):
        outputs = self._run(self.model, images)
        chosen = np.where(classes < 0, outputs["logits"].argmax(axis=-1), classes)
        return outputs["explanation"][..., 0], chosen
