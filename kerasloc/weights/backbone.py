"""A ResNet's arrays into the backbone of a network, also for other channel counts."""

import re
from typing import Any

import numpy as np

from kerasloc.backbones import resnet
from kerasloc.weights import torch_match
from kerasloc.weights.torch_match import Matched
from kerasloc.weights.torch_names import as_numpy, bare


def load_backbone(model: Any, source: Any) -> Matched:
    """Fill the backbone of a network, and nothing else in it, with a ResNet's arrays.

    A first convolution for three channels also fits networks for one (its kernel
    summed over the channels) and two (the first two channels times 1.5).

    Args:
        model: Keras model with a ResNet, or a wrapper with one as ``model``.
        source: A torchvision or timm ResNet, or a checkpoint with one inside, as for
            :func:`kerasloc.weights.load_torch`, whose errors are raised.

    Examples:
        >>> import keras
        >>> image = keras.Input((8, 8, 1))
        >>> conv = keras.layers.Conv2D(2, 3, use_bias=False, name="conv1")
        >>> model = keras.Model(image, conv(image))
        >>> str(load_backbone(model, {"conv1.weight": np.ones((2, 3, 3, 3))}))
        '1 of 1 arrays matched'
        >>> float(conv.kernel[0, 0, 0, 0])  # summed over three channels
        3.0
    """
    network = torch_match.network_of(model)
    layers = {layer.name: layer for layer in resnet.layers_of(network)}
    if not layers:
        raise ValueError(
            "Expected a network with a backbone, the layers conv1, bn1, "
            f"layer1_0_conv1, ... Received: {network.name}, which has none of them."
        )
    arrays = torch_match.arrays_of(source)
    backbone = {
        name: as_numpy(array)
        for name, array in arrays.items()
        if re.match(r"(conv1|bn1|layer\d+)\.", bare(name))
    }
    for name, array in backbone.items():
        if bare(name) == "conv1.weight" and "conv1" in layers:
            backbone[name] = fit_channels(array, layers["conv1"].kernel.shape[2])
    matches = torch_match.match(layers, backbone)
    matches.ignored += [name for name in arrays if name not in backbone]
    return matches.fill(torch_match.title_of(source))


def fit_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Adapt a first kernel (out, in, rows, cols) to another channel count.

    One channel gets the sum over three, so that a gray image has the features of a
    color image with equal channels; two get the first two times 1.5.

    Raises:
        ValueError: If the counts do not fit.

    Examples:
        >>> fit_channels(np.array([1.0, 2.0, 4.0]).reshape(1, 3, 1, 1), 2).ravel()
        array([1.5, 3. ])
    """
    published = kernel.shape[1] if kernel.ndim == 4 else None
    if published == channels or published is None:
        return kernel
    if published == 3 and channels == 1:
        return kernel.sum(axis=1, keepdims=True)
    if published == 3 and channels == 2:
        return kernel[:, :2] * 1.5
    raise ValueError(
        "A first convolution fits images of as many channels, and one of 3 channels "
        f"also images of 1 and 2. Received: one of {published} for {channels}. Build "
        "the network with 1, 2 or 3 channels, or train it without these weights."
    )
