"""HalfModel and FullModel: class activation maps of HRCAM.

Reference:
    Tagaris, Sdraka, Stafylopatis: High Resolution Class Activation Mapping for
    Discriminative Feature Localization, ICIP 2019.
"""

from typing import Any, NoReturn

import keras
import numpy as np
import numpy.typing as npt

from kerasloc.checks import as_images
from kerasloc.layers import ChosenClassMap
from kerasloc.localizers.base import Classes, Localizer
from kerasloc.models import hrcam


class _ClassActivation(Localizer):
    """Wrapper whose maps are the finest features weighed by the classifier."""

    features: tuple[str, ...]

    def _hold(self, model, config):
        super()._hold(model, config)
        outputs = self.model.output
        choice = keras.Input((), dtype="int32", name="classes")
        classifier = self.model.get_layer(hrcam.CLASSIFIER)
        maps = {
            name: ChosenClassMap(classifier)(outputs[name], outputs["logits"], choice)
            for name in self.features
        }
        outputs = {"logits": outputs["logits"], **maps}
        self._cams = keras.Model([self.model.input, choice], outputs)

    def maps_of(self, outputs, classes=None):
        """Weigh the finest features in the outputs of ``forward`` by the classifier."""
        kernel, _ = self.model.get_layer(hrcam.CLASSIFIER).get_weights()
        return outputs[self.map_output] @ kernel[:, self._columns(classes)]

    def _all(self, x, custom_class: Classes, squeeze: bool) -> dict[str, Any]:
        """Compute CAMs by feature name and predictions in one forward pass."""
        images, single = as_images(x, self.config.input_shape)
        classes = self._classes(custom_class, len(images))
        results = self._run(self._cams, images, classes)
        results["preds"] = self._decide(results.pop("logits"))
        if single and squeeze:
            results = {key: value[0] for key, value in results.items()}
            if not self.config.multi_label:
                results["preds"] = int(results["preds"])
        return results

    def _chosen_maps(self, images, classes):
        """Compute the low map, which is of the class however it was trained."""
        results = self._run(self._cams, images, classes)
        chosen = np.where(classes < 0, results["logits"].argmax(axis=-1), classes)
        return results["low_features"], chosen

    def low_res_cam(
        self, x: npt.ArrayLike, custom_class: Classes = None, *, squeeze: bool = True
    ) -> np.ndarray:
        """Compute maps of a sixteenth of the image's size, (n, rows / 16, cols / 16).

        Without ``custom_class``, an index or name or one per image, of the predicted.
        """
        return self._all(x, custom_class, squeeze)["low_features"]


class HalfModel(_ClassActivation):
    """HRCAM's classifier with its low-resolution class activation map.

    Arguments as for :class:`~kerasloc.localizers.base.Localizer`; options as for
    :func:`kerasloc.models.hrcam.half_densenet`.

    Example:
        >>> import numpy as np
        >>> half = HalfModel(num_classes=2, im_size=32, growth=4, layers_per_block=1)
        >>> half.cam(np.zeros((3, 32, 32, 3), np.uint8)).shape
        (3, 2, 2)
    """

    family = "half"
    features = ("low_features",)
    map_output = "low_features"
    outputs = frozenset({"logits", "low_features"})

    def cam(
        self, x: npt.ArrayLike, custom_class: Classes = None, *, squeeze: bool = True
    ) -> np.ndarray:
        """Compute the low-resolution map; see :meth:`low_res_cam`."""
        return self.low_res_cam(x, custom_class, squeeze=squeeze)

    def generate_cams(
        self, x: npt.ArrayLike, custom_class: Classes = None, *, squeeze: bool = True
    ) -> tuple[np.ndarray, np.ndarray | int]:
        """Compute ``(cam, preds)`` in one forward pass."""
        results = self._all(x, custom_class, squeeze)
        return results["low_features"], results["preds"]

    def high_res_cam(
        self, x: npt.ArrayLike, custom_class: Classes = None, *, squeeze: bool = True
    ) -> NoReturn:
        """Raise a ValueError: the half model has no high-resolution map."""
        raise ValueError(_NO_HIGH)

    def refine(
        self,
        x: npt.ArrayLike,
        custom_class: Classes = None,
        *,
        squeeze: bool = True,
        **options: Any,
    ) -> NoReturn:
        """Raise a ValueError: refinement needs a high-resolution map."""
        raise ValueError(_NO_HIGH)


class FullModel(_ClassActivation):
    """HRCAM: low- and high-resolution class activation maps, and their refinement.

    Arguments as for :class:`~kerasloc.localizers.base.Localizer`; options as for
    :func:`kerasloc.models.hrcam.full_densenet`.

    Example:
        >>> import numpy as np
        >>> full = FullModel(num_classes=2, im_size=32, growth=4, layers_per_block=1)
        >>> high, low, preds = full.generate_cams(np.zeros((32, 32, 3), np.uint8))
        >>> high.shape, low.shape, type(preds)
        ((32, 32), (2, 2), <class 'int'>)
    """

    family = "full"
    features = ("low_features", "high_features")
    map_output = "high_features"
    outputs = frozenset({"logits", "low_features", "high_features", "reconstruction"})

    def generate_cams(
        self, x: npt.ArrayLike, custom_class: Classes = None, *, squeeze: bool = True
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | int]:
        """Compute ``(high, low, preds)`` in one forward pass; high at image size."""
        results = self._all(x, custom_class, squeeze)
        return results["high_features"], results["low_features"], results["preds"]


_NO_HIGH = (
    "Expected a model with an expansion network for a high-resolution map. Received: a "
    "HalfModel. Train one with python scripts/train_full.py and use FullModel."
)
