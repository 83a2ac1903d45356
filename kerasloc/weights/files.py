"""Weights from files into networks, by layer name, all of them or an error.

Files are read as arrays; nothing that a file contains is run.
"""

import pathlib

import keras
import numpy as np


def read_arrays(path) -> dict[str, dict[str, np.ndarray]]:
    """Every layer's arrays in an HDF5 weight file, by layer name.

    Understands `.weights.h5` of Keras 3, where a variable's key is its position, and
    the legacy `.h5` of Keras 1 and 2, where it is its name.

    Args:
        path: The file.

    Raises:
        ValueError: If the file is missing, or no such file.
    """
    import h5py

    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"A weight file exists. Received: {path}, which does not.")
    try:
        file = h5py.File(path)
    except OSError as error:
        raise ValueError(
            f"A weight file is HDF5. Received: {path} ({error}). It may be cut short "
            "or of another kind; take another copy."
        ) from None
    with file:
        arrays = _keras3(file) if "layers" in file else _legacy(file)
    if not arrays:
        raise ValueError(f"A weight file holds layers with weights. {path} has none.")
    return arrays


def _keras3(file):
    arrays = {}

    def visit(path, group):
        name = group.attrs.get("name")
        if path.startswith("layers/") and path.endswith("/vars") and len(group):
            arrays[str(name)] = {key: np.asarray(group[key]) for key in group}

    file.visititems(visit)
    return arrays


def _legacy(file):
    root = file.get("model_weights", file)
    arrays = {}
    for layer in root:
        names = root[layer].attrs.get("weight_names", [])
        names = [n.decode() if isinstance(n, bytes) else str(n) for n in names]
        if names:
            arrays[layer] = {
                name.split("/")[-1].split(":")[0]: np.asarray(root[layer][name])
                for name in names
            }
    return arrays


def assign(model: keras.Model, arrays, source="the weights"):
    """Gives a model all of the arrays, matched by layer name.

    Args:
        model: The network to fill.
        arrays: As from :func:`read_arrays`.
        source: What errors call the arrays.

    Raises:
        ValueError: If a layer or an array is missing, left over or of another shape;
            the model is then as it was.
    """
    layers = {layer.name: layer for layer in model.layers if layer.weights}
    pairs, missing, unlike = [], [], []
    for name, layer in layers.items():
        for position, variable in enumerate(layer.weights):
            label = f"{name}/{variable.name}"
            given = arrays.get(name, {})
            array = given.get(variable.name, given.get(str(position)))
            if array is None:
                missing.append(label)
            elif tuple(array.shape) != tuple(variable.shape):
                unlike.append(f"{label} {array.shape} for {tuple(variable.shape)}")
            else:
                pairs.append((variable, array))
    problems = {
        "missing": missing,
        "left over": sorted(set(arrays) - set(layers)),
        "of another shape": unlike,
    }
    if any(problems.values()):
        raise ValueError(
            f"{mismatch(source, len(pairs), problems)} Take the file of this very "
            "architecture, class count and channel count."
        )
    for variable, array in pairs:
        variable.assign(array)


def mismatch(source, matched: int, problems: dict, limit: int = 12) -> str:
    """The sentences that say how weights and a network differ.

    Args:
        source: What the weights are called.
        matched: How many arrays fit.
        problems: What is wrong with the names of each list, such as ``missing``.
        limit: How many names of each list are shown.
    """
    parts = [
        f"{len(names)} {title}: {', '.join(names[:limit])}"
        + (f" and {len(names) - limit} more" if len(names) > limit else "")
        for title, names in problems.items()
        if names
    ]
    return (
        f"Every array of a weight file fits the network. Received: {source}, of which "
        f"{matched} arrays match; {'; '.join(parts)}."
    )
