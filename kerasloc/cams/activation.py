"""Methods of activations alone: CAM of a linear head, and Eigen-CAM."""

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from kerasloc.cams.core import NOISE, Explainer
from kerasloc.cams.cutting import Cut
from kerasloc.cams.graph import DIMENSIONS, call_of, unwrap
from kerasloc.cams.logits import BeforeActivation, SignedLogits

POOLINGS = (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)
UNCHANGING = (layers.Dropout, layers.Flatten, layers.Reshape, layers.Identity)


class CAM(Explainer):
    """CAM: ``A W[:, class]``, for a linear head with kernel W on pooled features.

    Raises:
        ValueError: If anything but a global pooling and a linear layer is between the
            layer and the logits.

    Examples:
        >>> image = keras.Input((3, 3, 1))
        >>> x = keras.layers.Conv2D(1, 1, kernel_initializer="ones", name="conv")(image)
        >>> x = keras.layers.GlobalAveragePooling2D()(x)
        >>> logits = keras.layers.Dense(2, kernel_initializer="ones")(x)
        >>> model = keras.Model(image, logits)
        >>> CAM(model, "conv").maps(np.eye(3)[None, ..., None], classes=[0])
        array([[[1., 0., 0.],
                [0., 1., 0.],
                [0., 0., 1.]]], dtype=float32)

    Reference:
        Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016.
    """

    def __init__(self, model, layer: str | None = None):
        super().__init__(model, layer)
        _linear_kernel(self._cut)

    def explain(self, images, features, classes):
        """Compute the maps of every class."""
        kernel = _linear_kernel(self._cut)[:, self._chosen(features, classes)]
        return np.einsum("nrck,knj->nrcj", features[0], kernel)


class EigenCAM(Explainer):
    """Eigen-CAM: A projected on its first component, the same for every class.

    Positions are samples, channels variables, centered by their means; the sign of the
    component is that in which the sum of the channels grows.

    Examples:
        >>> EigenCAM.project([[[[1.0, 2.0], [3.0, 0.0], [2.0, 7.0]]]]).round(1)
        array([[[-0.9, -3.1,  4. ]]], dtype=float32)

    Reference:
        Muhammad, Yeasin: Eigen-CAM: Class Activation Map using Principal Components,
        IJCNN 2020.
    """

    @staticmethod
    def project(activations: npt.ArrayLike) -> np.ndarray:
        """Compute maps (n, rows, cols) of A, (n, rows, cols, channels)."""
        a = np.asarray(activations, np.float32)
        flat = a.reshape(len(a), -1, a.shape[-1])  # (n, positions, channels)
        noise = NOISE * np.abs(flat).max(axis=(1, 2), keepdims=True)
        flat = flat - flat.mean(axis=1, keepdims=True)
        flat = np.where(np.abs(flat) <= noise, 0, flat)
        finite = np.isfinite(flat).all(axis=(1, 2))
        maps = np.full(flat.shape[:2], np.nan, np.float32)
        maps[finite] = _first_component(flat[finite])
        return maps.reshape(a.shape[:3])

    def explain(self, images, features, classes):
        """Compute the maps of every class."""
        maps = self.project(features[0])[..., None]
        return np.repeat(maps, classes.shape[1], axis=-1)


def _linear_kernel(cut: Cut) -> np.ndarray:
    """Kernel (channels, classes) of a linear head on pooled features, in any order."""
    tensor, kernels, poolings = cut.graph.output, [], 0
    index, signs = np.arange(cut.classes), np.ones(cut.classes, np.float32)
    while tensor is not cut.features:
        node = call_of(tensor)
        if isinstance(node.operation, SignedLogits):
            index, signs = node.operation.index, node.operation.signs
        elif _is_linear(node.operation):
            kernels.append(unwrap(node.operation).kernel)
        elif _pools(node):
            poolings += 1
        elif not _keeps_values(unwrap(node.operation)):
            break
        if len(node.input_tensors) != 1:
            break
        tensor = node.input_tensors[0]
    received = cut.graph.path(call_of(tensor))
    if tensor is cut.features and poolings == 1 and len(kernels) < 2:
        if kernels:
            kernel = ops.convert_to_numpy(ops.cast(kernels[0], "float32"))
        else:  # the features are maps of the classes
            kernel = np.eye(cut.features.shape[-1], dtype=np.float32)
        return kernel.reshape(kernel.shape[-2:])[:, index] * signs
    if tensor is cut.features:
        received = f"{poolings} global poolings and {len(kernels)} linear layers"
    raise ValueError(
        "CAM needs a linear head on globally pooled features, one Dense or 1 x 1 "
        f"convolution. Received: {received} between the layer and the logits. Use the "
        "layer before the pooling, or hirescam, which fits every head."
    )


def _is_linear(operation) -> bool:
    """Test for a Dense or a 1 x 1 convolution without activation."""
    layer = unwrap(operation)
    plain = isinstance(layer, layers.Dense)
    if isinstance(layer, layers.Conv2D):
        plain = layer.kernel_size == layer.strides == (1, 1) and layer.groups == 1
    return plain and (
        layer.activation in (None, keras.activations.linear)
        or isinstance(operation, BeforeActivation)
    )


def _pools(node) -> bool:
    """Test for a mean or maximum over all rows and columns."""
    operation = unwrap(node.operation)
    if isinstance(operation, POOLINGS):
        return True
    shape = node.input_tensors[0].shape
    if isinstance(operation, (layers.AveragePooling2D, layers.MaxPooling2D)):
        return tuple(operation.pool_size) == tuple(shape[1:3])
    axes = getattr(operation, "axis", None)
    means = type(operation).__name__ in ("Mean", "Max") and len(shape) == DIMENSIONS
    return means and isinstance(axes, (list, tuple)) and sorted(axes) == [1, 2]


def _keeps_values(layer) -> bool:
    if isinstance(layer, layers.Activation):
        return layer.activation is keras.activations.linear
    return isinstance(layer, UNCHANGING)


def _first_component(samples: np.ndarray) -> np.ndarray:
    """Project centered samples (n, positions, channels) on their first component."""
    if samples.shape[1] <= samples.shape[2]:  # the smaller matrix of products
        values, vectors = np.linalg.eigh(samples @ samples.swapaxes(1, 2))
        scores = vectors[..., -1] * np.sqrt(np.maximum(values[:, -1:], 0))
    else:
        _, vectors = np.linalg.eigh(samples.swapaxes(1, 2) @ samples)
        scores = np.einsum("npk,nk->np", samples, vectors[..., -1])
    slope = np.einsum("np,npk->n", scores, samples)
    return scores * np.where(slope < 0, -1, 1)[:, None]
