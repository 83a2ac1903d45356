"""Memory that a model needs, and layers whose weights differ between two models."""

import math
import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np


def get_model_memory_usage(model: keras.Model, batch_size: int) -> float:
    """Estimate the memory of one forward pass, in GB of 2**30 bytes.

    The bytes of the outputs of all layers, input included, times the batch size, plus
    those of all weights; a nested model counts by its layers, a layer used more than
    once counts once. Gradients, optimizer and workspaces are extra in training.

    Args:
        model: Functional or built Sequential model with fixed input sizes.
        batch_size: Number of images in a batch.

    Raises:
        ValueError: If the batch size, the model's graph or a size does not fit.

    Examples:
        >>> x = keras.Input((8, 8, 1))
        >>> model = keras.Model(x, keras.layers.Flatten()(x))
        >>> get_model_memory_usage(model, 2) * 2**30  # 2 * (64 + 64) * 4 bytes
        1024.0
    """
    if batch_size < 1:
        raise ValueError(
            f"Expected batch_size >= 1. Received: batch_size={batch_size}."
        )
    if not getattr(model, "inputs", None):
        raise ValueError(
            "Expected a functional or built Sequential model. Received: "
            f"{type(model).__name__} {model.name!r} without symbolic inputs. "
            "Use keras.Model(x, model(x)) with x = keras.Input(shape)."
        )
    activations = sum(_bytes(tensor.shape[1:], tensor) for tensor in _outputs(model))
    parameters = sum(_bytes(weight.shape, weight) for weight in model.weights)
    return (batch_size * activations + parameters) / 2**30


def check_weights(
    model1: keras.Model, model2: keras.Model, *, tolerance: float = 0.0
) -> list[str]:
    """List the layers of two models with the same name and different weights.

    Names of layers in a nested model are ``nested/layer``. Layers without weights, and
    layers of one model only (see ``layers_in_one``), are ignored.

    Args:
        model1: First model, in whose order the names are returned.
        model2: Second model.
        tolerance: Largest absolute difference of equal weights.

    Raises:
        ValueError: If no layer with weights is shared, or the tolerance is negative.

    Examples:
        >>> x = keras.Input((3,))
        >>> model = keras.Model(x, keras.layers.Dense(2, name="dense")(x))
        >>> check_weights(model, keras.models.clone_model(model))
        ['dense']
    """
    if not tolerance >= 0:
        raise ValueError(f"Expected tolerance >= 0. Received: tolerance={tolerance}.")
    first, second = _weighted(model1), _weighted(model2)
    shared = [name for name in first if name in second]
    if not shared:
        few = [", ".join(list(names)[:3]) or "none" for names in (first, second)]
        raise ValueError(
            f"Expected models with weighted layers of equal names. Received: {few[0]}"
            f" in model1 and {few[1]} in model2. Build both with the same layer names."
        )
    return [name for name in shared if not _equal(first[name], second[name], tolerance)]


def layers_in_one(
    model1: keras.Model, model2: keras.Model
) -> tuple[list[str], list[str]]:
    """List the layers with weights only in the first, and only in the second model.

    Examples:
        >>> x = keras.Input((3,))
        >>> model = keras.Model(x, keras.layers.Dense(2, name="a")(x))
        >>> layers_in_one(model, keras.Model(x, x))
        (['a'], [])
    """
    first, second = _weighted(model1), _weighted(model2)
    return [n for n in first if n not in second], [n for n in second if n not in first]


def _outputs(model: keras.Model, nested: bool = False) -> Iterator[Any]:
    """Symbolic outputs of the model's operations, including those of nested models."""
    for operation in keras.Model(model.inputs, model.outputs).operations:
        if isinstance(operation, keras.Model) and getattr(operation, "inputs", None):
            yield from _outputs(operation, nested=True)
        elif not (nested and isinstance(operation, keras.layers.InputLayer)):
            # the input of a nested model is an output outside of it already
            yield from keras.tree.flatten(operation.output)


def _bytes(shape: tuple[int, ...], tensor: Any) -> float:
    """Bytes of a tensor or variable of this shape."""
    if None in shape:
        raise ValueError(
            f"Expected fixed sizes. Received: {tensor.name!r} with shape "
            f"{tuple(tensor.shape)}. Build the model with an input size."
        )
    bits = re.search(r"\d+", tensor.dtype)
    return math.prod(shape) * (int(bits.group()) / 8 if bits else 1)


def _weighted(model: keras.Model, prefix: str = "") -> dict[str, list[np.ndarray]]:
    """Weights of every layer that has weights, by name."""
    weights: dict[str, list[np.ndarray]] = {}
    for layer in model.layers:
        name = prefix + layer.name
        if isinstance(layer, keras.Model):
            weights |= _weighted(layer, f"{name}/")
        elif layer.weights:
            weights[name] = layer.get_weights()
    return weights


def _equal(first: list[np.ndarray], second: list[np.ndarray], tolerance: float) -> bool:
    """Compare the weights of two layers, NaN being equal to NaN."""
    return [a.shape for a in first] == [b.shape for b in second] and all(
        np.allclose(a.astype(float), b.astype(float), 0, tolerance, equal_nan=True)
        for a, b in zip(first, second, strict=True)
    )
