"""HalfModel and FullModel: class activation maps of HRCAM.

Reference:
    Tagaris, Sdraka, Stafylopatis: High Resolution Class Activation Mapping for
    Discriminative Feature Localization, ICIP 2019.
"""

import keras
import numpy as np

from kerasloc.checks import as_images
from kerasloc.layers import ChosenClassMap
from kerasloc.localizers.base import Localizer
from kerasloc.models import hrcam

PRETRAIN = "python scripts/pretrain_half.py"


class _ClassActivation(Localizer):
    """Maps that are features weighed by the classifier; `maps` are of the finest."""

    features: tuple[str, ...]
    describe = staticmethod(hrcam.describe)

    def _hold(self, model, config):
        super()._hold(model, config)
        outputs = self.model.output
        choice = keras.Input((), dtype="int32", name="classes")
        classifier = self.model.get_layer(hrcam.CLASSIFIER)
        maps = {
            name: ChosenClassMap(classifier)(outputs[name], outputs["logits"], choice)
            for name in self.features
        }
        self._cams = keras.Model(
            [self.model.input, choice], {"logits": outputs["logits"], **maps}
        )
        self._fine = keras.Model(self.model.input, outputs[self.features[-1]])

    def maps(self, x, classes=None, *, squeeze=True) -> np.ndarray:
        """Raw maps at the network's own size, (n, rows, cols, classes).

        Args:
            x: Images.
            classes: One class (index or name; the last axis goes), several, or None
                for all.
            squeeze: Whether one image loses its axis.
        """
        images, single = as_images(x, self.config.input_shape)
        kernel = np.asarray(self.model.get_layer(hrcam.CLASSIFIER).get_weights()[0])
        if isinstance(classes, str) or (classes is not None and np.ndim(classes) == 0):
            kernel = kernel[:, self._class_index(classes)]
        elif classes is not None:
            kernel = kernel[:, [self._class_index(one) for one in classes]]
        answer = self._run(self._fine, images) @ kernel
        return answer[0] if single and squeeze else answer

    def _all(self, x, custom_class, squeeze):
        """The CAMs by feature name and the predictions, from one forward pass."""
        images, single = as_images(x, self.config.input_shape)
        answer = self._run(self._cams, images, self._classes(custom_class, len(images)))
        answer["preds"] = self._decide(answer.pop("logits"))
        if single and squeeze:
            answer = {key: value[0] for key, value in answer.items()}
            if not self.config.multi_label:
                answer["preds"] = int(answer["preds"])
        return answer

    def _chosen_maps(self, images, classes):
        """For boxes: the low map, which is of the class however it was trained."""
        answer = self._run(self._cams, images, classes)
        chosen = np.where(classes < 0, answer["logits"].argmax(axis=-1), classes)
        return answer["low_features"], chosen

    def low_res_cam(self, x, custom_class=None, *, squeeze=True) -> np.ndarray:
        """Maps of a sixteenth of the image's size, (n, rows / 16, cols / 16).

        Args:
            x: Images.
            custom_class: Index or name, or one per image; the predicted class by
                default.
            squeeze: Whether one image loses its axis.
        """
        return self._all(x, custom_class, squeeze)["low_features"]


class HalfModel(_ClassActivation):
    """The classifier of HRCAM with its low-resolution class activation map.

    Arguments as for :class:`~kerasloc.localizers.base.Localizer`; options are those
    of :func:`kerasloc.models.hrcam.half_densenet`.
    """

    family = "half"
    commands = (PRETRAIN,)
    builder = staticmethod(hrcam.half_densenet)
    features = ("low_features",)
    outputs = frozenset({"logits", "low_features"})

    def cam(self, x, custom_class=None, *, squeeze=True) -> np.ndarray:
        """The low-resolution map; see :meth:`low_res_cam`."""
        return self.low_res_cam(x, custom_class, squeeze=squeeze)

    def generate_cams(self, x, custom_class=None, *, squeeze=True):
        """``(cam, preds)`` from one forward pass."""
        answer = self._all(x, custom_class, squeeze)
        return answer["low_features"], answer["preds"]

    def high_res_cam(self, x, custom_class=None, *, squeeze=True):
        """Raises: the half model has none.

        Raises:
            ValueError: Always; FullModel has one.
        """
        raise ValueError(_NO_HIGH)

    def refine(self, x, custom_class=None, **options):
        """Raises: refining needs a high-resolution map.

        Raises:
            ValueError: Always; FullModel refines.
        """
        raise ValueError(_NO_HIGH)


class FullModel(_ClassActivation):
    """HRCAM whole: low- and high-resolution maps, and their refinement.

    Arguments as for :class:`~kerasloc.localizers.base.Localizer`; options are those
    of :func:`kerasloc.models.hrcam.full_densenet`.
    """

    family = "full"
    commands = (PRETRAIN, "python scripts/train_full.py")
    builder = staticmethod(hrcam.full_densenet)
    features = ("low_features", "high_features")
    outputs = frozenset({"logits", "low_features", "high_features", "reconstruction"})

    def high_res_cam(self, x, custom_class=None, *, squeeze=True) -> np.ndarray:
        """Maps of the image's size, (n, rows, cols); see :meth:`low_res_cam`."""
        return self._all(x, custom_class, squeeze)["high_features"]

    def generate_cams(self, x, custom_class=None, *, squeeze=True):
        """``(high, low, preds)`` from one forward pass.

        Args:
            x: Images.
            custom_class: Index or name, or one per image; the predicted class by
                default.
            squeeze: Whether one image gives 2-D maps and an int.
        """
        answer = self._all(x, custom_class, squeeze)
        return answer["high_features"], answer["low_features"], answer["preds"]


_NO_HIGH = (
    "A high-resolution map comes from the expansion network. Received: a HalfModel, "
    "which has none. Train one with python scripts/train_full.py and use FullModel."
)
