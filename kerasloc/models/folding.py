"""Batch normalization folded into the convolutions before it, for inference."""

import collections

import keras
import numpy as np
from keras import layers

from kerasloc.cams import graph

CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D)


def fold(model: keras.Model) -> keras.Model:
    """Fold a functional model: a copy with fewer steps and the same outputs.

    Every batch normalization whose input is a convolution without other consumers is
    removed: its scale is in the kernel, its shift in the bias. Layer names stay, as
    taps need them; an identity has the name of the normalization.

    Examples:
        >>> image = keras.Input((4, 4, 3))
        >>> x = layers.Conv2D(2, 3, use_bias=False, name="conv")(image)
        >>> model = keras.Model(image, layers.BatchNormalization(name="norm")(x))
        >>> [layer.__class__.__name__ for layer in fold(model).layers]
        ['InputLayer', 'Conv2D', 'Identity']
    """
    pairs = _pairs(model)
    folded = {convolution.name for convolution in pairs.values()}

    def copy(layer):
        if layer.name in pairs:
            return layers.Identity(name=layer.name, dtype=layer.dtype_policy.name)
        config = layer.get_config()
        if layer.name in folded:
            config["use_bias"] = True
        return type(layer).from_config(config)

    def call(layer, *args, mask=None, training=None, **kwargs):
        return layer(*args, **kwargs)  # an identity takes neither mask nor training

    clone = keras.models.clone_model(model, clone_function=copy, call_function=call)
    for layer in model.layers:
        if layer.weights and layer.name not in folded and layer.name not in pairs:
            clone.get_layer(layer.name).set_weights(layer.get_weights())
    for name, convolution in pairs.items():
        weights = _folded(convolution, model.get_layer(name))
        clone.get_layer(convolution.name).set_weights(weights)
    return clone


def is_folded(model: keras.Model) -> bool:
    """Test if a model is a result of :func:`fold` that had something to fold."""
    return any(isinstance(layer, layers.Identity) for layer in model.layers)


def _pairs(model) -> dict:
    """Convolution of every batch normalization that can be folded, by its name."""
    nodes = graph.calls(model)
    calls = collections.Counter(id(node.operation) for node in nodes)
    tensors = [tensor for node in nodes for tensor in node.input_tensors]
    tensors += keras.tree.flatten(model.output)
    uses = collections.Counter(id(graph.producer(tensor)) for tensor in tensors)
    pairs = {}
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            before = graph.producer(layer.input)
            if (
                isinstance(before, CONVOLUTIONS)
                and calls[id(layer)] == calls[id(before)] == uses[id(before)] == 1
                and before.activation is keras.activations.linear
                and layer.axis in (-1, 3)
            ):
                pairs[layer.name] = before
    return pairs


def _folded(convolution, norm) -> list[np.ndarray]:
    """Kernel and bias of a convolution with the normalization in them."""
    kernel, *bias = convolution.get_weights()
    shift = bias[0] if bias else 0.0
    mean, variance = (w.astype(np.float64) for w in norm.get_weights()[-2:])
    scale = 1.0 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        scale = scale * keras.ops.convert_to_numpy(norm.gamma)
    shift = (shift - mean) * scale
    if norm.center:
        shift = shift + keras.ops.convert_to_numpy(norm.beta)
    depthwise = isinstance(convolution, layers.DepthwiseConv2D)
    # (rows, cols, in, out), or (rows, cols, channels, multiplier)
    factor = scale.reshape(kernel.shape[2:]) if depthwise else scale
    return [kernel * factor, shift]
