"""The weights of a linear head, which CAM takes."""

import keras
import numpy as np
from keras import layers, ops

from kerasloc.cams.cutting import DIMENSIONS, Cut
from kerasloc.cams.opening import BeforeActivation, itself, node_of

POOLINGS = (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)
UNCHANGING = (layers.Dropout, layers.Flatten, layers.Reshape, layers.Identity)


def linear_kernel(cut: Cut) -> np.ndarray:
    """The weights (channels, classes) of a linear head on pooled features.

    Args:
        cut: Of a model; between its features and the logits is a global pooling and
            one linear layer, in either order, and nothing that alters values.

    Raises:
        ValueError: If there is anything else.
    """
    tensor, kernels, pooled = cut.graph.logits, [], 0
    while tensor is not cut.features:
        node = node_of(tensor)
        if _is_linear(node.operation):
            kernels.append(itself(node.operation).kernel)
        elif _pools(node):
            pooled += 1
        elif not _changes_nothing(itself(node.operation)):
            break
        if len(node.input_tensors) != 1:
            break
        tensor = node.input_tensors[0]
    there = cut.graph.path(node_of(tensor))
    if tensor is cut.features and pooled == 1 and len(kernels) < 2:
        if not kernels:  # the features are maps of the classes
            return np.eye(cut.classes, dtype=np.float32)
        kernel = ops.convert_to_numpy(ops.cast(kernels[0], "float32"))
        return kernel.reshape(kernel.shape[-2:])
    if tensor is cut.features:
        there = f"{pooled} global poolings and {len(kernels)} linear layers"
    raise ValueError(
        "CAM needs a linear head on globally pooled features: a global pooling and "
        "one Dense or 1 x 1 convolution between the layer and the logits. "
        f"Received: {there} there. Name the layer before the pooling, or use hirescam, "
        "which gives the same map behind an average and goes with every head."
    )


def _is_linear(operation) -> bool:
    """Whether it is a Dense or a 1 x 1 convolution, with no activation after it."""
    layer = itself(operation)
    if not isinstance(layer, (layers.Dense, layers.Conv2D)):
        return False
    if isinstance(layer, layers.Conv2D):
        plain = layer.kernel_size == layer.strides == (1, 1) and layer.groups == 1
        if not plain:
            return False
    linear = layer.activation in (None, keras.activations.linear)
    return linear or isinstance(operation, BeforeActivation)


def _pools(node) -> bool:
    """Whether it is a mean or maximum over all rows and columns."""
    operation = itself(node.operation)
    if isinstance(operation, POOLINGS):
        return True
    given = node.input_tensors[0].shape
    if isinstance(operation, (layers.AveragePooling2D, layers.MaxPooling2D)):
        return tuple(operation.pool_size) == tuple(given[1:3])
    axes = getattr(operation, "axis", None)
    means = type(operation).__name__ in ("Mean", "Max") and len(given) == DIMENSIONS
    return means and isinstance(axes, (list, tuple)) and sorted(axes) == [1, 2]


def _changes_nothing(layer) -> bool:
    linear = getattr(layer, "activation", None) is keras.activations.linear
    return isinstance(layer, UNCHANGING) or (
        isinstance(layer, layers.Activation) and linear
    )
