"""HDF5 weight files into networks by layer name, all arrays or an error.

Files are read as arrays; nothing in a file is executed.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

Arrays = Mapping[str, Mapping[str, np.ndarray]]  # by layer and variable
SHOWN = 12  # names of a problem in an error


def read_arrays(path: str | os.PathLike) -> dict[str, dict[str, np.ndarray]]:
    """Read the arrays of an HDF5 weight file by layer name.

    A variable's key is its position in `.weights.h5` of Keras 3, and its name in the
    legacy `.h5` of Keras 1 and 2.

    Raises:
        ValueError: If the file is missing, or not such a file.

    Examples:
        >>> import tempfile
        >>> head = keras.layers.Dense(2, name="head")
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.weights.h5"
        >>> keras.Sequential([keras.Input((3,)), head]).save_weights(path)
        >>> read_arrays(path)["head"]["0"].shape
        (3, 2)
    """
    import h5py

    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"Expected a weight file. Received: {path}, which is missing.")
    try:
        file = h5py.File(path)
    except OSError as error:
        raise ValueError(
            f"Expected an HDF5 weight file. Received: {path} ({error}). It may be cut "
            "short or of another kind; use another copy."
        ) from None
    with file:
        arrays = _keras3(file) if "layers" in file else _legacy(file)
    if not arrays:
        raise ValueError(f"Expected weights in a file. Received: {path}, without any.")
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


def assign(model: keras.Model, arrays: Arrays, source: str = "the weights") -> None:
    """Assign arrays to the layers of a model, all of them or none.

    Args:
        model: Network to fill.
        arrays: Arrays of :func:`read_arrays`.
        source: Name of the arrays in errors.

    Raises:
        ValueError: If a layer or array is missing, left over or of another shape.

    Examples:
        >>> dense = keras.layers.Dense(1, name="head")
        >>> model = keras.Sequential([keras.Input((2,)), dense])
        >>> kernel, bias = np.array([[1.0], [2.0]]), np.array([0.5])
        >>> assign(model, {"head": {"kernel": kernel, "bias": bias}})
        >>> dense.bias.numpy()
        array([0.5], dtype=float32)
    """
    layers = {layer.name: layer for layer in model.layers if layer.weights}
    pairs, missing, unlike = [], [], []
    for name, layer in layers.items():
        for position, variable in enumerate(layer.weights):
            label = f"{name}/{variable.name}"
            stored = arrays.get(name, {})
            array = stored.get(variable.name, stored.get(str(position)))
            if array is None:
                missing.append(label)
            elif tuple(array.shape) != tuple(variable.shape):
                unlike.append(f"{label} {array.shape} for {tuple(variable.shape)}")
            else:
                pairs.append((variable, array))
    surplus = sorted(set(arrays) - set(layers))
    problems = {"missing": missing, "left over": surplus, "of another shape": unlike}
    advice = "Use the file of this very architecture, class count and channel count."
    assign_all(pairs, problems, source, advice)


def assign_all(
    pairs: Sequence[tuple[Any, np.ndarray]],
    problems: Mapping[str, Sequence[str]],
    source: str,
    advice: str,
) -> None:
    """Assign arrays to variables, if there are no problems.

    Args:
        pairs: Variables and their arrays.
        problems: Names by their problem, such as ``missing``: a ValueError.
        source: Name of the arrays in errors.
        advice: Last sentence of errors.

    Examples:
        >>> assign_all([], {"missing": ["head/bias"]}, "a.h5", "Use another file.")
        Traceback (most recent call last):
        ValueError: Expected ... 0 arrays match; 1 missing: head/bias. Use another file.
    """
    if any(problems.values()):
        lists = [
            f"{len(names)} {title}: {', '.join(names[:SHOWN])}"
            + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
            for title, names in problems.items()
            if names
        ]
        raise ValueError(
            f"Expected weights that fit the network, array by array. Received: {source}"
            f", of which {len(pairs)} arrays match; {'; '.join(lists)}. {advice}"
        )
    for variable, array in pairs:
        variable.assign(array)
