"""Arrays of PyTorch weight files, without PyTorch and without executing the file.

Reads files of ``torch.save`` (the zip archives of torch 1.6 and later, and the pickles
in a row before it) and safetensors (a length, names as JSON, and the raw numbers).
"""

import json
import os
import pathlib
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from kerasloc.weights.torch_pickle import RefusedPickleError, Tensor, Unpickler

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
NESTS = ("state_dict", "model_state_dict", "model", "net", "module")
MAGIC = 0x1950A86A20F9469CFC6C
SAFETENSORS = {
    "BOOL": "bool",
    "BF16": "bfloat16",
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}
DAMAGE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    OverflowError,
    MemoryError,
    OSError,  # a position before the file's start
    RuntimeError,  # too deep, encrypted, or a zip method that is not there
)


def read_torch(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the arrays of a PyTorch weight file by published parameter name.

    Weights may be under ``state_dict``, ``model`` or ``net``; anything but tensors is
    ignored. Arrays are read only and of the file's types (bfloat16: float32).

    Raises:
        ValueError: If the file is missing, cut short, of another kind, has no tensors,
            or names anything but tensors, which is then not executed.

    Examples:
        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.safetensors"
        >>> header = b'{"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'
        >>> numbers = np.array([1.0, 2.0], "float32").tobytes()
        >>> _ = path.write_bytes(struct.pack("<Q", len(header)) + header + numbers)
        >>> read_torch(path)
        {'w': array([1., 2.], dtype=float32)}
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"Expected a weight file. Received: {path}, which is missing.")
    legacy = _read_zip if zipfile.is_zipfile(path) else _read_legacy
    try:
        arrays = (_read_safetensors if path.suffix == ".safetensors" else legacy)(path)
    except RefusedPickleError:
        raise
    except DAMAGE as error:
        raise ValueError(
            f"Expected a weight file of torch.save ({', '.join(SUFFIXES[:-1])}) or "
            f"safetensors. Received: {path} ({type(error).__name__}: {error}). It may "
            "be cut short or of another kind; use another copy."
        ) from None
    if not arrays:
        raise ValueError(
            f"Expected a weight file with tensors by name. Received: {path}, without "
            "any. Save the network's state_dict()."
        )
    return arrays


def state_of(content: Any) -> dict:
    """Return the innermost mapping of parameter names to tensors in a checkpoint.

    Examples:
        >>> state_of({"epoch": 3, "state_dict": {"w": np.zeros(2), "n": 5}})
        {'w': array([0., 0.])}
    """
    if not isinstance(content, Mapping):
        return {}
    for nest in NESTS:
        if inner := state_of(content.get(nest)):
            return inner
    return {
        str(key): value for key, value in content.items() if hasattr(value, "shape")
    }


def _read_zip(path):
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        pickles = [name for name in names if name.split("/")[1:] == ["data.pkl"]]
        if len(pickles) != 1:
            raise ValueError("an archive without data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        order = "little"
        if f"{folder}byteorder" in names:
            order = archive.read(f"{folder}byteorder").decode()
        with archive.open(pickles[0]) as file:
            state = state_of(Unpickler(file, path).load())
        storages = {tensor.storage for tensor in state.values()}
        data = {s.key: _stored(archive, folder, s) for s in sorted(storages)}
    return _arrays(state, data, order)


def _stored(archive, folder, storage):
    name = f"{folder}data/{storage.key}"
    size = archive.getinfo(name).file_size
    if size != _size(storage):
        raise ValueError(f"{name} of {size} bytes for {storage}")
    return archive.read(name)


def _size(storage) -> int:
    return storage.length * _stored_dtype(storage.dtype).itemsize


def _read_legacy(path):
    with path.open("rb") as file:
        if Unpickler(file, path).load() != MAGIC:
            raise ValueError("not a file of torch.save")
        version, system = (Unpickler(file, path).load() for _ in range(2))
        if version != 1001:
            raise ValueError(f"version {version}")
        order = "little" if system.get("little_endian", True) else "big"
        unpickler = Unpickler(file, path)
        state = state_of(unpickler.load())
        storages = unpickler.storages
        data = {}
        for key in Unpickler(file, path).load():
            count = int.from_bytes(_exactly(file, 8), order)
            if count != storages[key].length:
                raise ValueError(f"a storage of {count} numbers")
            data[key] = _exactly(file, _size(storages[key]))
    return _arrays(state, data, order)


def _exactly(file, size):
    data = file.read(size)
    if len(data) != size:
        raise EOFError("ran out of bytes")
    return data


def _arrays(state: dict[str, Tensor], data, order):
    return {n: _as_array(t, data[t.storage.key], order) for n, t in state.items()}


def _as_array(tensor: Tensor, data: bytes, order: str) -> np.ndarray:
    """Return a tensor's numbers, a read-only view into its storage's bytes."""
    numbers = _decoded(data, tensor.dtype or tensor.storage.dtype, order)
    shape, strides, empty = tensor.shape, tensor.strides, 0 in tensor.shape
    steps = zip(shape, strides, strict=True)
    last = tensor.offset + sum((size - 1) * step for size, step in steps)
    negative = min((tensor.offset, *shape, *strides)) < 0
    if negative or (not empty and last >= numbers.size):
        raise ValueError("a tensor that reaches out of its storage")
    return np.lib.stride_tricks.as_strided(
        numbers[:0] if empty else numbers[tensor.offset :],
        shape,
        tuple(step * numbers.itemsize for step in strides),
        writeable=False,
    )


def _stored_dtype(name, order="little") -> np.dtype:
    """Type of numbers in a file; NumPy has no bfloat16, the upper half of a float32."""
    return np.dtype("uint16" if name == "bfloat16" else name).newbyteorder(order)


def _decoded(data: bytes, dtype: str, order: str = "little") -> np.ndarray:
    """Convert bytes to numbers, bfloat16 to float32."""
    numbers = np.frombuffer(data, _stored_dtype(dtype, order))
    if dtype == "bfloat16":
        numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers


def _read_safetensors(path):
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(min(length, path.stat().st_size))
        data = file.read()
    if len(header) != length:
        raise ValueError("a header that ends early")
    entries = json.loads(header)
    entries.pop("__metadata__", None)
    return {name: _entry(name, entry, data) for name, entry in entries.items()}


def _entry(name, entry, data):
    start, stop = entry["data_offsets"]
    if entry["dtype"] not in SAFETENSORS or not 0 <= start <= stop <= len(data):
        raise ValueError(f"{name}: {entry} of {len(data)} bytes")
    numbers = _decoded(data[start:stop], SAFETENSORS[entry["dtype"]])
    return numbers.reshape(entry["shape"])
