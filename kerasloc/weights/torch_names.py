"""Which layer, variable and axes a published PyTorch parameter has in Keras.

A layer is called as its published path is, dots as underscores, without what holds the
network (``net.``, ``encoder.``, ...): ``net.decoder.pa.mid.0.conv.weight`` is the
``kernel`` of the layer ``pa_mid_0_conv``. The explainer-classifier calls the blocks of
its ResNet otherwise than everyone else: ``sb1.block0`` is ``layer1.0``.
"""

import re
from collections.abc import Mapping

import keras
import numpy as np

HOLDERS = ("module", "net", "model", "encoder", "decoder", "classifier")
BLOCK = re.compile(r"\bsb([1-4])\.block(\d+)\b")
SURPLUS = ("num_batches_tracked", "fc")  # the first ends a name, the second begins one
NORMALIZATION = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
# published axes in Keras' order, by layer; no kernel is flipped
KERNELS = (
    (keras.layers.DepthwiseConv2D, (2, 3, 0, 1)),
    (keras.layers.Conv2D, (2, 3, 1, 0)),
    (keras.layers.Conv2DTranspose, (2, 3, 1, 0)),
    (keras.layers.Dense, (1, 0)),
)


def find_layer(path: str, layers: Mapping):
    """The layer of a published path, or None.

    Args:
        path: Such as ``net.encoder.layer1.0.conv1``.
        layers: Layers by name. What holds the network is stripped from the path one
            by one, and only while the rest is no layer's name.
    """
    parts = _usual(path).split(".")
    while parts:
        layer = layers.get("_".join(parts))
        if layer is not None or parts[0] not in HOLDERS:
            return layer
        parts = parts[1:]
    return None


def find_variable(layer, parameter: str):
    """The variable of a layer that a published parameter is, or None.

    Args:
        layer: Of a network.
        parameter: ``weight``, ``bias``, ``running_mean``, ``running_var``, or the
            variable's own name.
    """
    variables = {variable.name: variable for variable in layer.weights}
    names = NORMALIZATION if "gamma" in variables else {"weight": "kernel"}
    return variables.get(names.get(parameter, parameter))


def to_keras(layer, variable, array: np.ndarray) -> np.ndarray:
    """The array with its axes as the layer's variable has them.

    Args:
        layer: Says what the axes are.
        variable: Of the layer; only kernels have other axes than published.
        array: As published.
    """
    axes = axes_of(layer, variable)
    return array.transpose(axes) if axes and array.ndim == len(axes) else array


def axes_of(layer, variable) -> tuple[int, ...] | None:
    """The published axes in Keras' order; None where they are the same."""
    if variable.name != "kernel":
        return None
    return next((axes for kind, axes in KERNELS if isinstance(layer, kind)), None)


def as_numpy(array) -> np.ndarray:
    """Any array as NumPy's; PyTorch's tensors, too, bfloat16 and gradients included."""
    if hasattr(array, "detach"):
        array = array.detach().cpu()
        if str(array.dtype) == "torch.bfloat16":
            array = array.float()
    return np.asarray(array)


def bare(name: str) -> str:
    """A published name without what holds the network."""
    parts = _usual(name).split(".")
    while len(parts) > 1 and parts[0] in HOLDERS:
        parts = parts[1:]
    return ".".join(parts)


def _usual(name: str) -> str:
    """The name with torchvision's word for a block."""
    return BLOCK.sub(r"layer\1.\2", name)


def is_surplus(name: str) -> bool:
    """Whether files have such an entry that networks here need not have."""
    return name.endswith(f".{SURPLUS[0]}") or bare(name).startswith(f"{SURPLUS[1]}.")


def kind_of(name: str) -> str:
    """What to call entries such as this one."""
    last = name.rpartition(".")[2]
    return last if last == SURPLUS[0] else bare(name).partition(".")[0]
