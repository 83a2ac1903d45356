"""A ResNet's arrays in the backbone of a network, for other channel counts, too."""

import re

import numpy as np

from kerasloc.backbones import resnet
from kerasloc.weights.torch_match import (
    Matched,
    arrays_of,
    fill,
    match,
    network_of,
    title_of,
)
from kerasloc.weights.torch_names import as_numpy, bare


def load_backbone(model, source) -> Matched:
    """Gives the backbone of a network, and nothing else in it, a ResNet's arrays.

    A first convolution for three channels also fits networks for one (its kernel
    summed over the channels) and two (the first two channels times 1.5).

    Args:
        model: A Keras model with a ResNet, or a wrapper that holds one as ``model``.
        source: A torchvision or timm ResNet, or a checkpoint with one inside: a path
            or a mapping as for :func:`kerasloc.weights.load_torch`.

    Returns:
        How many arrays of the backbone matched (all), and what was left aside.

    Raises:
        TypeError: If the model or the source is none of these.
        ValueError: If an array of the backbone is missing, unknown or of another shape.
            The model is then as it was.
    """
    network = network_of(model)
    layers = {layer.name: layer for layer in resnet.layers_of(network)}
    if not layers:
        raise ValueError(
            "A backbone has the layers conv1, bn1, layer1_0_conv1, ... Received: "
            f"{network.name}, which has none of them."
        )
    arrays = arrays_of(source)
    own = {
        name: as_numpy(array)
        for name, array in arrays.items()
        if re.match(r"(conv1|bn1|layer\d+)\.", bare(name))
    }
    for name, array in own.items():
        if bare(name) == "conv1.weight" and "conv1" in layers:
            own[name] = fit_channels(array, layers["conv1"].kernel.shape[2])
    matches = match(layers, own)
    matches.ignored += [name for name in arrays if name not in own]
    return fill(matches, layers, title_of(source))


def fit_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """The kernel of a first convolution, for images of another channel count.

    Args:
        kernel: As published, (out, in, rows, cols).
        channels: Of the network's images: as many as ``in``, or 1 or 2 for 3.

    Returns:
        For one channel the sum over ``in``, so that a gray image gives what it gave as
        a color one with three equal channels; for two the first two times 1.5.

    Raises:
        ValueError: If the counts are others.
    """
    given = kernel.shape[1] if kernel.ndim == 4 else None
    if given == channels or given is None:
        return kernel
    if given == 3 and channels == 1:
        return kernel.sum(axis=1, keepdims=True)
    if given == 3 and channels == 2:
        return kernel[:, :2] * 1.5
    raise ValueError(
        "A first convolution fits images of as many channels, and one of 3 channels "
        f"also images of 1 and 2. Received: one of {given} for images of {channels}. "
        "Build the network with 1, 2 or 3 channels, or train it without these weights."
    )
