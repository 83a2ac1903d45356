"""ExplainerClassifier: a classifier with one explanation of its decision.

Reference:
    Rio-Torto, Fernandes, Teixeira, Understanding the decisions of CNNs: an in-model
    approach, Pattern Recognition Letters 133, 2020.
"""

import numpy as np
import numpy.typing as npt

from kerasloc.cams import GradCAM
from kerasloc.checks import as_images
from kerasloc.localizers.base import Classes, Localizer
from kerasloc.maps import resize_maps
from kerasloc.models import explainer


class ExplainerClassifier(Localizer):
    """The explainer-classifier.

    Arguments as for :class:`~kerasloc.localizers.base.Localizer`; options as for
    :func:`kerasloc.models.explainer.explainer_classifier`. An image has one
    explanation, whatever the class: ``maps``, ``heatmaps``, ``high_res_cam`` and
    ``boxes`` of all classes are the same. ``grad_cam`` tells classes apart.

    Example:
        >>> import numpy as np
        >>> explainer = ExplainerClassifier(num_classes=2, im_size=32, classifier="vgg")
        >>> explainer.explanations(np.zeros((32, 32, 3), np.uint8)).shape
        (32, 32)
    """

    family = "explainer"
    outputs = frozenset({"logits", "explanation"})
    map_output = "explanation"

    def _hold(self, model, config):
        super()._hold(model, config)
        self.cam_layer = explainer.deepest(model)
        self._deepest = model.get_layer(self.cam_layer).output

    def explanations(self, x: npt.ArrayLike, *, squeeze: bool = True) -> np.ndarray:
        """Compute explanations in [0, 1] at the image's size, (n, rows, cols)."""
        return self.maps(x, 0, squeeze=squeeze)

    def maps_of(self, outputs, classes=None):
        """Repeat the explanation in the outputs of ``forward`` for every class."""
        explanations = outputs["explanation"]
        columns = np.arange(self.config.num_classes)[self._columns(classes)]
        if columns.ndim == 0:
            return explanations[..., 0]
        return np.repeat(explanations, len(columns), axis=-1)

    def generate_cams(
        self, x: npt.ArrayLike, custom_class: Classes = None, *, squeeze: bool = True
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | int]:
        """Compute ``(high, low, preds)`` in one forward pass; see :meth:`predict`.

        ``high`` is the explanation whatever the class, ``low`` the same average-pooled
        to the size of the deepest features.
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

    def grad_cam(
        self, x: npt.ArrayLike, custom_class: Classes = None, *, squeeze: bool = True
    ) -> np.ndarray:
        """Compute Grad-CAM of the classifier's deepest features, (n, rows, cols).

        Not below 0, unscaled; arguments as for :meth:`generate_cams`.
        """
        images, single = as_images(x, self.config.input_shape)
        classes = self._classes(custom_class, len(images))
        maps = GradCAM(self).maps(images, None if custom_class is None else classes)
        maps = np.maximum(maps, 0)
        return maps[0] if single and squeeze else maps

    def _heat(self, maps, size):  # explanations are heat maps already
        return resize_maps(maps, size)

    def _chosen_maps(self, images, classes):
        outputs = self._run(self.model, images)
        chosen = np.where(classes < 0, outputs["logits"].argmax(axis=-1), classes)
        return outputs["explanation"][..., 0], chosen
