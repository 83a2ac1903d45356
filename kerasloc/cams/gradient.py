"""Methods that weigh activations by the gradient of a logit.

In formulas A are activations (rows, cols, channels), A_k one channel, G the gradients
of the class logit; sums and means run over positions, in float32.
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

    Examples:
        >>> class Saliency(GradientExplainer):
        ...     @staticmethod
        ...     def combine(activations, gradients):
        ...         return np.abs(gradients).max(axis=-1)
        >>> import keras
        >>> stack = [keras.layers.ReLU(), keras.layers.GlobalAveragePooling2D()]
        >>> model = keras.Sequential([keras.Input((1, 2, 1)), *stack])
        >>> Saliency(model).maps(np.ones((1, 1, 2, 1)))
        array([[[0.5, 0.5]]], dtype=float32)
    """

    @staticmethod
    @abc.abstractmethod
    def combine(activations: npt.ArrayLike, gradients: npt.ArrayLike) -> np.ndarray:
        """Compute maps (n, rows, cols) of A and G, both (n, rows, cols, channels)."""

    def explain(self, images, features, classes):
        """Combine features and gradients for every class."""
        gradients = (self._cut.gradient(features, index)[1] for index in classes.T)
        return np.stack([self.combine(features[0], g) for g in gradients], axis=-1)


class GradCAM(GradientExplainer):
    """Grad-CAM: ``sum_k mean(G_k) A_k``.

    Examples:
        >>> import keras
        >>> image = keras.Input((6, 6, 1))
        >>> x = keras.layers.Conv2D(2, 3, kernel_initializer="ones", name="conv")(image)
        >>> model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
        >>> GradCAM(model, "conv")(np.eye(6)[None, ..., None], classes="all").shape
        (1, 6, 6, 2)

    Reference:
        Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via
        Gradient-based Localization, ICCV 2017, equations 1 and 2.
    """

    spread = True

    @staticmethod
    def combine(activations, gradients):
        """Combine features A and gradients G to maps (n, rows, cols)."""
        return weighted_sum(activations, np.mean(gradients, (1, 2), np.float32))


class GradCAMPlusPlus(GradientExplainer):
    """Grad-CAM++: ``sum_k w_k A_k``, positive gradients over those of their channel.

    ``w_k = sum(relu(G_k) G_k^2 / (2 G_k^2 + sum(A_k) G_k^3 + 1e-6))``, 0 where G is 0.

    Examples:
        >>> a, g = [[[[1.0, 2.0], [3.0, 0.0]]]], [[[[0.5, -1.0], [0.5, 0.0]]]]
        >>> GradCAMPlusPlus.combine(a, g).round(2)  # a map of two positions
        array([[[0.25, 0.75]]], dtype=float32)

    Reference:
        Chattopadhyay et al., Grad-CAM++: Generalized Gradient-based Visual
        Explanations for Deep Convolutional Networks, WACV 2018, equations 10 and 19.
    """

    @staticmethod
    def combine(activations, gradients):
        """Combine features A and gradients G to maps (n, rows, cols)."""
        a, g = np.asarray(activations, np.float32), np.asarray(gradients, np.float32)
        squares = g**2
        below = 2 * squares + a.sum(axis=(1, 2), keepdims=True) * g * squares + EPSILON
        alphas = np.divide(squares, below, out=np.zeros_like(g), where=g != 0)
        return weighted_sum(a, (np.maximum(g, 0) * alphas).sum(axis=(1, 2)))


class XGradCAM(GradientExplainer):
    """XGrad-CAM: ``sum_k (sum(G_k A_k) / (sum(A_k) + 1e-7)) A_k``.

    Examples:
        >>> a, g = [[[[1.0, 2.0], [3.0, 0.0]]]], [[[[0.5, -1.0], [0.5, 0.0]]]]
        >>> XGradCAM.combine(a, g)  # a map of two positions
        array([[[-1.5,  1.5]]], dtype=float32)

    Reference:
        Fu et al., Axiom-based Grad-CAM: Towards Accurate Visualization and
        Explanation of CNNs, BMVC 2020, equation 8.
    """

    spread = True

    @staticmethod
    def combine(activations, gradients):
        """Combine features A and gradients G to maps (n, rows, cols)."""
        a, g = np.asarray(activations, np.float32), np.asarray(gradients, np.float32)
        weights = (g * a).sum(axis=(1, 2)) / (a.sum(axis=(1, 2)) + SMALL)
        return weighted_sum(a, weights)


class HiResCAM(GradientExplainer):
    """HiRes-CAM: ``sum_k G_k A_k``, position by position.

    Examples:
        >>> a, g = [[[[1.0, 2.0], [3.0, 0.0]]]], [[[[0.5, -1.0], [0.5, 0.0]]]]
        >>> HiResCAM.combine(a, g)  # a map of two positions
        array([[[-1.5,  1.5]]], dtype=float32)

    Reference:
        Draelos, Carin: Use HiResCAM instead of Grad-CAM for faithful explanations of
        convolutional neural networks, arXiv:2011.08891, equation 2.
    """

    spread = True

    @staticmethod
    def combine(activations, gradients):
        """Combine features A and gradients G to maps (n, rows, cols)."""
        a, g = np.asarray(activations, np.float32), np.asarray(gradients, np.float32)
        return np.einsum("nrck,nrck->nrc", a, g)


class LayerCAM(GradientExplainer):
    """Layer-CAM: ``sum_k relu(G_k) A_k``, position by position.

    Examples:
        >>> a, g = [[[[1.0, 2.0], [3.0, 0.0]]]], [[[[0.5, -1.0], [0.5, 0.0]]]]
        >>> LayerCAM.combine(a, g)  # a map of two positions
        array([[[0.5, 1.5]]], dtype=float32)

    Reference:
        Jiang et al., LayerCAM: Exploring Hierarchical Class Activation Maps for
        Localization, IEEE TIP 30, 2021, equation 7.
    """

    spread = True

    @staticmethod
    def combine(activations, gradients):
        """Combine features A and gradients G to maps (n, rows, cols)."""
        return HiResCAM.combine(activations, np.maximum(gradients, 0))


class EigenGradCAM(GradientExplainer):
    """Eigen-Grad-CAM: ``G A`` projected on its first principal component.

    Examples:
        >>> a, g = [[[[1.0, 2.0], [3.0, 0.0]]]], [[[[0.5, -1.0], [0.5, 0.0]]]]
        >>> EigenGradCAM.combine(a, g)  # a map of two positions
        array([[[-1.118, 1.118]]], dtype=float32)

    Reference:
        Muhammad, Yeasin: Eigen-CAM: Class Activation Map using Principal Components,
        IJCNN 2020; applied to the products with gradients, as packages have it.
    """

    single = "as a component of one layer is no share of the logit"

    @staticmethod
    def combine(activations, gradients):
        """Combine features A and gradients G to maps (n, rows, cols)."""
        a, g = np.asarray(activations, np.float32), np.asarray(gradients, np.float32)
        return EigenCAM.project(a * g)
