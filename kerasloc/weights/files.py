"""HDF5 weight files into networks by layer name, all arrays or an error.

Files are read as arrays; nothing in a file is executed.
"""

import io
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerasloc.untrusted import open_hdf5, open_zip, read_member, reading, shorten

Arrays = Mapping[str, Mapping[str, np.ndarray]]  # by layer and variable
SHOWN = 12  # names of a problem in an error
MEMBERS = {"config.json", "metadata.json", "model.weights.h5"}  # of a .keras file


def read_arrays(path: str | os.PathLike) -> dict[str, dict[str, np.ndarray]]:
    """Read the arrays of an HDF5 weight file by layer name.

    A variable's key is its position in `.weights.h5` of Keras 3, and its name in the
    legacy `.h5` of Keras 1 and 2.

    Raises:
        ValueError: If the file is missing, or not such a file.

    Examples:
        >>> import pathlib, tempfile
        >>> head = keras.layers.Dense(2, name="head")
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.weights.h5"
        >>> keras.Sequential([keras.Input((3,)), head]).save_weights(path)
        >>> read_arrays(path)["head"]["0"].shape
        (3, 2)
    """
    kind = "an HDF5 weight file"
    with reading(path, kind) as source, open_hdf5(source) as (file, data):
        arrays = _keras3(file, data) if "layers" in file else _legacy(file, data)
    if not arrays:
        raise ValueError(f"Expected weights in a file. Received: {path}, without any.")
    return arrays


def _keras3(file, datasets):
    arrays: dict[str, dict] = {}
    for path, dataset in datasets.items():
        group, _, key = path.rpartition("/")
        if path.startswith("layers/") and group.endswith("/vars"):
            name = str(file[group].attrs.get("name"))
            arrays.setdefault(name, {})[key] = np.asarray(dataset)
    return arrays


def _legacy(file, datasets):
    root = "model_weights/" if "model_weights" in file else ""
    arrays = {}
    for layer in file[root or "/"]:
        names = file[f"{root}{layer}"].attrs.get("weight_names", [])
        names = [n.decode() if isinstance(n, bytes) else str(n) for n in names]
        if names:
            arrays[layer] = {
                name.split("/")[-1].split(":")[0]: np.asarray(
                    datasets[f"{root}{layer}/{name}"]
                )
                for name in dict.fromkeys(names)
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
            f"{len(names)} {title}: {', '.join(map(shorten, names[:SHOWN]))}"
            + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
            for title, names in problems.items()
            if names
        ]
        raise ValueError(
            f"Expected weights that fit the network, array by array. Received: {source}"
            f", of which {len(pairs)} arrays match; {'; '.join(lists)}. {advice}"
        )
    warn_unless_finite({variable.path: array for variable, array in pairs}, source)
    for variable, array in pairs:
        variable.assign(array)


def warn_unless_finite(arrays: Mapping[str, np.ndarray], source: object) -> None:
    """Warn of weights that hold NaN or infinity, as a diverged training leaves them.

    Args:
        arrays: Arrays by the name of their variable.
        source: Name of the arrays in the warning.

    Examples:
        >>> warn_unless_finite({"head/bias": np.zeros(2)}, "a.h5")
    """
    bad = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if bad:
        warnings.warn(
            f"Expected finite weights. Received: {source}, of which {len(bad)} of "
            f"{len(arrays)} arrays hold NaN or infinity ({', '.join(bad[:3])}). "
            "Its predictions are worthless; use another checkpoint.",
            stacklevel=2,
        )


def read_keras(path: str | os.PathLike) -> tuple[dict, int]:
    """Read what a `.keras` file describes and how many numbers its weights have.

    Raises:
        ValueError: If the file is missing, damaged, or holds more than a model.

    Examples:
        >>> read_keras("nowhere.keras")
        Traceback (most recent call last):
        ValueError: Expected a .keras file. Received: nowhere.keras, which is missing.
    """
    with reading(path, "a .keras file") as source, open_zip(source) as archive:
        if not set(archive.namelist()) <= MEMBERS:
            raise ValueError(f"an archive of more than {', '.join(sorted(MEMBERS))}")
        config = json.loads(read_member(archive, "config.json"))
        weights = io.BytesIO(read_member(archive, "model.weights.h5"))
        with open_hdf5(weights) as (_, datasets):
            return config, sum(dataset.size for dataset in datasets.values())
