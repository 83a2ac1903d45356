"""Methods that weigh activations by the gradient of a logit.

In the formulas A are the activations of the layer, (rows, cols, channels), A_k one
channel, G the gradients of the class logit with respect to them; sums and means run
over positions. All is computed in float32.
"""

import abc

import numpy as np
import numpy.typing as npt

from kerasloc.cams.activation import EigenCAM
from kerasloc.cams.core import Explainer, weighted_sum

EPSILON = 1e-6  # in the denominator of Grad-CAM++
SMALL = 1e-7  # in that of XGrad-CAM


class GradientExplainer(Explainer):
    """A method that is a function of activations and gradients, ``combine``.

    Arguments as for :class:`~kerasloc.cams.core.Explainer`.

    Examples:
        >>> class Saliency(GradientExplainer):
        ...     @staticmethod
        ...     def combine(activations, gradients):
        ...         return np.abs(gradients).max(axis=-1)
        >>> import keras
        >>> image = keras.Input((4, 4, 1))
        >>> x = keras.layers.ReLU(name="relu")(keras.layers.Conv2D(2, 3)(image))
        >>> model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
        >>> Saliency(model, "relu").maps(np.ones((1, 4, 4, 1)), 0)
        array([[[0.25, 0.25],
                [0.25, 0.25]]], dtype=float32)
    """

    @staticmethod
    @abc.abstractmethod
    def combine(activations: npt.ArrayLike, gradients: npt.ArrayLike) -> np.ndarray:
        """Compute maps (n, rows, cols) of A and G, both (n, rows, cols, channels)."""

    def explain(self, images, features, classes):
        """Compute raw maps with a gradient for every class."""
        maps = [
            self.combine(features[0], self._cut.gradient(features, indices)[1])
            for indices in classes.T
        ]
        return np.stack(maps, axis=-1)


class GradCAM(GradientExplainer):
    """Grad-CAM: ``sum_k mean(G_k) A_k``.

    Arguments as for :class:`~kerasloc.cams.core.Explainer`.

    Examples:
        >>> import keras
        >>> image = keras.Input((6, 6, 1))
        >>> x = keras.layers.Conv2D(2, 3, kernel_initializer="ones", name="conv")(image)
        >>> x = keras.layers.GlobalAveragePooling2D()(x)
        >>> head = keras.layers.Dense(3, "softmax", kernel_initializer="ones")
        >>> explainer = GradCAM(keras.Model(image, head(x)), "conv")
        >>> explainer(np.eye(6)[None, ..., None], classes=[2]).shape
        (1, 6, 6)
        >>> explainer(np.eye(6)[None, ..., None], classes="all").shape
        (1, 6, 6, 3)

    Reference:
        Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via
        Gradient-based Localization, ICCV 2017, equations 1 and 2.
    """

    @staticmethod
    def combine(activations, gradients):
        """Weigh channels by their mean gradient."""
        weights = np.mean(gradients, axis=(1, 2), dtype=np.float32)
        return weighted_sum(activations, weights)


class GradCAMPlusPlus(GradientExplainer):
    """Grad-CAM++: ``sum_k w_k A_k``, positive gradients over those of their channel.

    ``w_k = sum(relu(G_k) G_k^2 / (2 G_k^2 + sum(A_k) G_k^3 + 1e-6))``, 0 where G is 0.

    Arguments as for :class:`~kerasloc.cams.core.Explainer`.

    Examples:
        >>> import keras
        >>> image = keras.Input((6, 6, 1))
        >>> x = keras.layers.Conv2D(2, 3, kernel_initializer="ones", name="conv")(image)
        >>> model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
        >>> GradCAMPlusPlus(model, "conv")(np.eye(6)[None, ..., None]).shape
        (1, 6, 6)

    Reference:
        Chattopadhyay et al., Grad-CAM++: Generalized Gradient-based Visual
        Explanations for Deep Convolutional Networks, WACV 2018, equations 10 and 19.
    """

    @staticmethod
    def combine(activations, gradients):
        """Weigh channels by their positive gradients."""
        a, g = np.asarray(activations, np.float32), np.asarray(gradients, np.float32)
        squares = g**2
        below = 2 * squares + a.sum(axis=(1, 2), keepdims=True) * g * squares + EPSILON
        alphas = np.divide(squares, below, out=np.zeros_like(g), where=g != 0)
        return weighted_sum(a, (np.maximum(g, 0) * alphas).sum(axis=(1, 2)))


class XGradCAM(GradientExplainer):
    """XGrad-CAM: ``sum_k (sum(G_k A_k) / (sum(A_k) + 1e-7)) A_k``.

    Arguments as for :class:`~kerasloc.cams.core.Explainer`.

    Examples:
        >>> import keras
        >>> image = keras.Input((6, 6, 1))
        >>> x = keras.layers.Conv2D(2, 3, kernel_initializer="ones", name="conv")(image)
        >>> model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
        >>> XGradCAM(model, "conv")(np.eye(6)[None, ..., None]).shape
        (1, 6, 6)

    Reference:
        Fu et al., Axiom-based Grad-CAM: Towards Accurate Visualization and
        Explanation of CNNs, BMVC 2020, equation 8.
    """

    @staticmethod
    def combine(activations, gradients):
        """Weigh channels by their gradient, averaged with the activations."""
        a, g = np.asarray(activations, np.float32), np.asarray(gradients, np.float32)
        weights = (g * a).sum(axis=(1, 2)) / (a.sum(axis=(1, 2)) + SMALL)
        return weighted_sum(a, weights)


class HiResCAM(GradientExplainer):
    """HiRes-CAM: ``sum_k G_k A_k``, position by position.

    Arguments as for :class:`~kerasloc.cams.core.Explainer`.

    Examples:
        >>> import keras
        >>> image = keras.Input((6, 6, 1))
        >>> x = keras.layers.Conv2D(2, 3, kernel_initializer="ones", name="conv")(image)
        >>> model = keras.Model(image, keras.layers.GlobalMaxPooling2D()(x))
        >>> HiResCAM(model, "conv")(np.eye(6)[None, ..., None]).shape
        (1, 6, 6)

    Reference:
        Draelos, Carin: Use HiResCAM instead of Grad-CAM for faithful explanations of
        convolutional neural networks, arXiv:2011.08891, equation 2.
    """

    @staticmethod
    def combine(activations, gradients):
        """Sum the products of activations and gradients over the channels."""
        a, g = np.asarray(activations, np.float32), np.asarray(gradients, np.float32)
        return np.einsum("nrck,nrck->nrc", a, g)


class LayerCAM(GradientExplainer):
    """Layer-CAM: ``sum_k relu(G_k) A_k``, position by position.

    Arguments as for :class:`~kerasloc.cams.core.Explainer`.

    Examples:
        >>> import keras
        >>> image = keras.Input((6, 6, 1))
        >>> x = keras.layers.Conv2D(2, 3, kernel_initializer="ones", name="conv")(image)
        >>> model = keras.Model(image, keras.layers.GlobalMaxPooling2D()(x))
        >>> LayerCAM(model, "conv")(np.eye(6)[None, ..., None]).shape
        (1, 6, 6)

    Reference:
        Jiang et al., LayerCAM: Exploring Hierarchical Class Activation Maps for
        Localization, IEEE TIP 30, 2021, equation 7.
    """

    @staticmethod
    def combine(activations, gradients):
        """Weigh every activation by its positive gradient."""
        return HiResCAM.combine(activations, np.maximum(gradients, 0))


class EigenGradCAM(GradientExplainer):
    """Eigen-Grad-CAM: ``G A`` projected on its first principal component.

    Arguments as for :class:`~kerasloc.cams.core.Explainer`.

    Examples:
        >>> import keras
        >>> image = keras.Input((6, 6, 1))
        >>> x = keras.layers.Conv2D(2, 3, kernel_initializer="ones", name="conv")(image)
        >>> model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
        >>> EigenGradCAM(model, "conv")(np.eye(6)[None, ..., None]).shape
        (1, 6, 6)

    Reference:
        Muhammad, Yeasin: Eigen-CAM: Class Activation Map using Principal Components,
        IJCNN 2020; applied to the products with gradients, as packages have it.
    """

    @staticmethod
    def combine(activations, gradients):
        """Project the products of activations and gradients."""
        a, g = np.asarray(activations, np.float32), np.asarray(gradients, np.float32)
        return EigenCAM.project(a * g)
