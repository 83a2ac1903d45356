"""What a model needs in memory, and where the weights of two models differ."""

import math
import re
from collections.abc import Iterator

import keras
import numpy as np


def get_model_memory_usage(model: keras.Model, batch_size: int) -> float:
    """Memory of one forward pass, activations and parameters, in GB of 2**30 bytes.

    ``(batch_size * sum of rows * cols * channels * bytes over the outputs of all
    layers + sum of sizes * bytes over all weights) / 2**30``, with 2 bytes for float16
    and bfloat16, 4 for float32. The input counts as an output; a nested model counts
    by its layers; a layer used more than once counts once. Gradients, optimizer and
    workspaces come on top in training, and a framework may free or fuse activations:
    an estimate to compare batch sizes by.

    Args:
        model: Functional or built Sequential model with fixed input sizes.
        batch_size: Images at once.

    Raises:
        ValueError: If the batch size is not positive, the model has no graph of
            layers, or a size is open.
    """
    if batch_size < 1:
        raise ValueError(
            f"A batch holds at least one image. Received: batch_size={batch_size}."
        )
    if not getattr(model, "inputs", None):
        raise ValueError(
            "Memory is counted along the layers of a functional or built Sequential "
            f"model. Received: {type(model).__name__} {model.name!r} without symbolic "
            "inputs. Wrap it: keras.Model(x, model(x)) with x = keras.Input(shape)."
        )
    activations = sum(_bytes(tensor.shape[1:], tensor) for tensor in _outputs(model))
    parameters = sum(_bytes(weight.shape, weight) for weight in model.weights)
    return (batch_size * activations + parameters) / 2**30


def check_weights(
    model1: keras.Model, model2: keras.Model, *, tolerance: float = 0.0
) -> list[str]:
    """Names of the layers that both models have and whose weights differ.

    Layers count as the same by name; those of a nested model are called
    ``nested/layer``. Layers without weights, and layers that only one model has (see
    ``layers_in_one``), are left aside.

    Args:
        model1: Its order is the order of the answer.
        model2: The other model.
        tolerance: Largest absolute difference that counts as equal; 0 for the very
            same numbers.

    Raises:
        ValueError: If the models share no layer with weights, or the tolerance is
            negative.
    """
    if not tolerance >= 0:
        raise ValueError(f"A tolerance is at least 0. Received: {tolerance}.")
    first, second = _weighted(model1), _weighted(model2)
    shared = [name for name in first if name in second]
    if not shared:
        raise ValueError(
            "Weights are compared layer by layer, by name. Received: models without a "
            f"weighted layer in common ({_few(first)} and {_few(second)}). "
            "Build both with the same layer names."
        )
    return [name for name in shared if not _equal(first[name], second[name], tolerance)]


def layers_in_one(
    model1: keras.Model, model2: keras.Model
) -> tuple[list[str], list[str]]:
    """Names of the layers with weights only in the first, and only in the second.

    Args:
        model1: A model.
        model2: Another one.
    """
    first, second = _weighted(model1), _weighted(model2)
    return (
        [name for name in first if name not in second],
        [name for name in second if name not in first],
    )


def _outputs(model: keras.Model, nested: bool = False) -> Iterator:
    """Symbolic outputs of the model's operations, nested models' in their place."""
    for operation in keras.Model(model.inputs, model.outputs).operations:
        if isinstance(operation, keras.Model) and getattr(operation, "inputs", None):
            yield from _outputs(operation, nested=True)
        elif nested and isinstance(operation, keras.layers.InputLayer):
            continue  # what goes into a nested model is an output outside already
        else:
            yield from keras.tree.flatten(operation.output)


def _bytes(shape, tensor) -> float:
    """Bytes of a tensor or variable of this shape."""
    if None in shape:
        raise ValueError(
            "Memory is counted for fixed sizes. "
            f"Received: {tensor.name!r} with shape {tuple(tensor.shape)}. "
            "Build the model with an input size."
        )
    bits = re.search(r"\d+", tensor.dtype)
    return math.prod(shape) * (int(bits.group()) / 8 if bits else 1)


def _weighted(model: keras.Model, prefix: str = "") -> dict[str, list[np.ndarray]]:
    """Weights of every layer that has some, by name."""
    found = {}
    for layer in model.layers:
        name = prefix + layer.name
        if isinstance(layer, keras.Model):
            found |= _weighted(layer, f"{name}/")
        elif layer.weights:
            found[name] = layer.get_weights()
    return found


def _equal(first: list, second: list, tolerance: float) -> bool:
    """Whether two layers have the same weights, NaN being equal to NaN."""
    return len(first) == len(second) and all(
        a.shape == b.shape
        and np.allclose(
            a.astype(float), b.astype(float), rtol=0, atol=tolerance, equal_nan=True
        )
        for a, b in zip(first, second, strict=True)
    )


def _few(layers: dict) -> str:
    """The first names, for a message."""
    names = list(layers)
    more = ", ..." if len(names) > 3 else ""
    return ", ".join(names[:3]) + more if names else "none"
