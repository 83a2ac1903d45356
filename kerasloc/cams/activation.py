"""Methods of activations alone: CAM of a linear head, and Eigen-CAM."""

from collections.abc import Sequence

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from kerasloc.cams.core import NOISE, Explainer
from kerasloc.cams.cutting import Cut
from kerasloc.cams.graph import DIMENSIONS, call_of, unwrap
from kerasloc.cams.logits import BeforeActivation, SignedLogits
from kerasloc.cams.tokens import TOKENS, Reshape

POOLINGS = (
    layers.GlobalAveragePooling1D,
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling1D,
    layers.GlobalMaxPooling2D,
)
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

    def __init__(
        self,
        model,
        layer: str | Sequence[str] | None = None,
        reshape: Reshape = None,
    ):
        super().__init__(model, layer, reshape)
        for halves in self._cuts:
            _linear_kernel(halves)

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

    single = "as a component of one layer is no share of the logit"

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
    kernel = np.eye(cut.classes, dtype=np.float32)
    behind = cut.graph.computed_from([cut.features], cut.held)
    tensor, linear, poolings = cut.graph.output, 0, 0
    while tensor is not cut.features:
        node = call_of(tensor)
        inputs = [x for x in node.input_tensors if id(x) in behind]
        if isinstance(node.operation, SignedLogits) and len(inputs) == 1:
            kernel = _unsigned(node, inputs[0], kernel)
        elif _is_linear(node.operation):
            weights = ops.cast(unwrap(node.operation).kernel, "float32")
            weights = ops.convert_to_numpy(weights)
            kernel = weights.reshape(weights.shape[-2:]) @ kernel
            linear += 1
        elif _pools(node):
            poolings += 1
        elif len(inputs) == 1 and len(node.input_tensors) > 1:
            joined = _joined(node, inputs[0], kernel)
            if joined is None:
                break
            kernel = joined
        elif not _keeps_values(unwrap(node.operation)):
            break
        if len(inputs) != 1:
            break
        tensor = inputs[0]
    received = cut.graph.path(call_of(tensor))
    if tensor is cut.features and poolings == 1 and linear < 2:
        return kernel
    if tensor is cut.features:
        received = f"{poolings} global poolings and {linear} linear layers"
    raise ValueError(
        "CAM needs a linear head on globally pooled features, one Dense or 1 x 1 "
        f"convolution. Received: {received} between the layer and the logits. Use the "
        "layer before the pooling, or hirescam, which fits every head."
    )


def _unsigned(node, tensor, kernel) -> np.ndarray:
    """Kernel (channels, classes) of a tensor that signed logits are taken of."""
    sizes = [int(np.prod(x.shape[1:])) for x in node.input_tensors]
    index = next(i for i, x in enumerate(node.input_tensors) if x is tensor)
    before = np.zeros((sum(sizes), kernel.shape[1]), np.float32)
    np.add.at(before, node.operation.index, node.operation.signs[:, None] * kernel)
    start = sum(sizes[:index])
    return before[start : start + sizes[index]]


def _joined(node, tensor, kernel) -> np.ndarray | None:
    """Kernel (channels, classes) of a branch that is joined with the rest linearly."""
    operation = unwrap(node.operation)
    kind, inputs = type(operation).__name__, node.input_tensors
    same = all(x.shape[1:] == tensor.shape[1:] for x in inputs)
    index = next(i for i, x in enumerate(inputs) if x is tensor)
    if kind == "Concatenate" and operation.axis in (-1, len(tensor.shape) - 1):
        start = sum(x.shape[-1] for x in inputs[:index])
        return kernel[start : start + tensor.shape[-1]]
    if kind == "Add" and same:
        return kernel
    if kind == "Average" and same:
        return kernel / len(inputs)
    if kind == "Subtract" and same:
        return -kernel if index else kernel
    return None


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
    axes = getattr(operation, "axis", None) or ()
    axes = [axes] if isinstance(axes, int) else axes
    means = type(operation).__name__ in ("Mean", "Max")
    positions = {DIMENSIONS: [1, 2], TOKENS: [1]}.get(len(shape))
    return means and sorted(axis % len(shape) for axis in axes) == positions


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
