"""Methods of activations alone: CAM of a linear head, and Eigen-CAM."""

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from kerasloc.cams.core import NOISE, Explainer
from kerasloc.cams.cutting import Cut
from kerasloc.cams.graph import DIMENSIONS, call_of, unwrap
from kerasloc.cams.logits import BeforeActivation

POOLINGS = (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)
UNCHANGING = (layers.Dropout, layers.Flatten, layers.Reshape, layers.Identity)


class CAM(Explainer):
    """CAM: ``A W[:, class]``, for a linear head with kernel W on pooled features.

    Arguments as for :class:`~kerasloc.cams.core.Explainer`.

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
        linear_kernel(self._cut)

    def explain(self, images, features, classes):
        """Compute raw maps with the current kernel."""
        kernel = linear_kernel(self._cut)[:, self._chosen(features, classes)]
        return np.einsum("nrck,knj->nrcj", features[0], kernel)


class EigenCAM(Explainer):
    """Eigen-CAM: A projected on its first component, the same for every class.

    Positions are the samples, channels the variables, centered by their means. Of the
    two directions of the component the one in which the sum of the channels grows.

    Arguments as for :class:`~kerasloc.cams.core.Explainer`.

    Examples:
        >>> image = keras.Input((6, 6, 1))
        >>> x = keras.layers.Conv2D(2, 3, kernel_initializer="ones", name="conv")(image)
        >>> model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
        >>> EigenCAM(model, "conv")(np.eye(6)[None, ..., None]).shape
        (1, 6, 6)

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
        """Compute raw maps, repeated for every class."""
        maps = self.project(features[0])[..., None]
        return np.repeat(maps, classes.shape[1], axis=-1)


def linear_kernel(cut: Cut) -> np.ndarray:
    """Return the kernel (channels, classes) of a linear head on pooled features.

    Args:
        cut: Cut of a model; between its features and the logits are a global pooling
            and at most one linear layer, in either order, and nothing that alters
            values.

    Raises:
        ValueError: If there is anything else.

    Examples:
        >>> from kerasloc.cams import cut
        >>> image = keras.Input((3, 3, 2))
        >>> features = keras.layers.Conv2D(4, 1, name="conv")(image)
        >>> pooled = keras.layers.GlobalMaxPooling2D()(features)
        >>> model = keras.Model(image, keras.layers.Dense(5)(pooled))
        >>> linear_kernel(cut(model, "conv")).shape
        (4, 5)
    """
    tensor, kernels, poolings = cut.graph.output, [], 0
    while tensor is not cut.features:
        node = call_of(tensor)
        if _is_linear(node.operation):
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
        if not kernels:  # the features are maps of the classes
            return np.eye(cut.classes, dtype=np.float32)
        kernel = ops.convert_to_numpy(ops.cast(kernels[0], "float32"))
        return kernel.reshape(kernel.shape[-2:])
    if tensor is cut.features:
        received = f"{poolings} global poolings and {len(kernels)} linear layers"
    raise ValueError(
        "CAM needs a linear head on globally pooled features: a global pooling and "
        "one Dense or 1 x 1 convolution between the layer and the logits. "
        f"Received: {received} there. Name the layer before the pooling, or use "
        "hirescam, which has the same map behind an average and fits every head."
    )


def _is_linear(operation) -> bool:
    """Test for a Dense or a 1 x 1 convolution without activation."""
    layer = unwrap(operation)
    if not isinstance(layer, (layers.Dense, layers.Conv2D)):
        return False
    if isinstance(layer, layers.Conv2D):
        plain = layer.kernel_size == layer.strides == (1, 1) and layer.groups == 1
        if not plain:
            return False
    linear = layer.activation in (None, keras.activations.linear)
    return linear or isinstance(operation, BeforeActivation)


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
    linear = getattr(layer, "activation", None) is keras.activations.linear
    return isinstance(layer, UNCHANGING) or (
        isinstance(layer, layers.Activation) and linear
    )


def _first_component(samples: np.ndarray) -> np.ndarray:
    """Project centered samples (n, positions, channels) on their first component.

    With the smaller of the two matrices of products: positions are fewer than channels
    in deep layers, far more in early ones.
    """
    positions, channels = samples.shape[1:]
    if positions <= channels:
        values, vectors = np.linalg.eigh(samples @ samples.swapaxes(1, 2))
        scores = vectors[..., -1] * np.sqrt(np.maximum(values[:, -1:], 0))
    else:
        _, vectors = np.linalg.eigh(samples.swapaxes(1, 2) @ samples)
        scores = np.einsum("npk,nk->np", samples, vectors[..., -1])
    slope = np.einsum("np,npk->n", scores, samples)
    return scores * np.where(slope < 0, -1, 1)[:, None]
