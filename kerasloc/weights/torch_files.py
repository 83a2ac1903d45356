"""Arrays of PyTorch weight files, without PyTorch and without executing the file.

Reads files of ``torch.save`` (the zip archives of torch 1.6 and later, and the pickles
in a row before it) and safetensors (a length, names as JSON, and the raw numbers).
"""

import io
import json
import math
import os
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from kerasloc.untrusted import (
    MAX_OBJECTS,
    check_declared,
    open_zip,
    read_member,
    reading,
    shorten,
)
from kerasloc.weights.torch_pickle import Tensor, Unpickler

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
NESTS = ("state_dict", "model_state_dict", "model", "net", "module")
MAGIC = 0x1950A86A20F9469CFC6C
MAX_HEADER = 1 << 23  # bytes of safetensors' names
MAX_NAME = 256  # characters
SAFETENSORS = {
    "BOOL": "bool",
    "BF16": "bfloat16",
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}


def read_torch(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the arrays of a PyTorch weight file by published parameter name.

    Weights may be under ``state_dict``, ``model`` or ``net``; anything but tensors is
    ignored. Arrays are read only and of the file's types (bfloat16: float32).

    Raises:
        ValueError: If the file is missing, cut short, of another kind, has no tensors,
            or names anything but tensors, which is then not executed.

    Examples:
        >>> import pathlib, struct, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.safetensors"
        >>> header = b'{"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'
        >>> numbers = np.array([1.0, 2.0], "float32").tobytes()
        >>> _ = path.write_bytes(struct.pack("<Q", len(header)) + header + numbers)
        >>> read_torch(path)
        {'w': array([1., 2.], dtype=float32)}
    """
    with reading(path, "a weight file of torch.save or safetensors") as source:
        if source.suffix == ".safetensors":
            arrays = _read_safetensors(source)
        else:
            zipped = zipfile.is_zipfile(source)
            arrays = _read_zip(source) if zipped else _read_legacy(source)
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
    return _state(content, set())


def _state(content, seen: set[int]) -> dict:
    if not isinstance(content, Mapping) or id(content) in seen:
        return {}
    seen.add(id(content))  # or the same mapping, nested 20 times, is endless
    for nest in NESTS:
        if inner := _state(content.get(nest), seen):
            return inner
    return {
        str(key): value for key, value in content.items() if hasattr(value, "shape")
    }


def _read_zip(path):
    with open_zip(path) as archive:
        names = archive.namelist()
        pickles = [name for name in names if name.split("/")[1:] == ["data.pkl"]]
        if len(pickles) != 1:
            raise ValueError("an archive without data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        order = "little"
        if f"{folder}byteorder" in names:
            order = read_member(archive, f"{folder}byteorder").decode()
        file = io.BytesIO(read_member(archive, pickles[0]))
        state = state_of(Unpickler(path).load(file))
        storages = {tensor.storage for tensor in state.values()}
        data = {s.key: _stored(archive, folder, s) for s in sorted(storages)}
    return _arrays(state, data, order)


def _stored(archive, folder, storage):
    name = f"{folder}data/{storage.key}"
    size = archive.getinfo(name).file_size
    if size != _size(storage):
        raise ValueError(f"{name} of {size} bytes for {storage}")
    return read_member(archive, name)


def _size(storage) -> int:
    return storage.length * _stored_dtype(storage.dtype).itemsize


def _read_legacy(path):
    content = path.read_bytes()
    file = io.BytesIO(content)
    if Unpickler(path).load(file) != MAGIC:
        raise ValueError("not a file of torch.save")
    version, system = (Unpickler(path).load(file) for _ in range(2))
    if version != 1001:
        raise ValueError("not a file of torch.save")
    order = "little" if system.get("little_endian", True) else "big"
    unpickler = Unpickler(path)
    state = state_of(unpickler.load(file))
    storages = unpickler.storages
    data = {}
    for key in Unpickler(path).load(file):
        count = int.from_bytes(file.read(8), order)
        if count != storages[key].length:
            raise ValueError(f"a storage of {count} numbers")
        start = file.tell()
        end = file.seek(start + _size(storages[key]))
        data[key] = memoryview(content)[start:end]
        if len(data[key]) != end - start:
            raise EOFError("ran out of bytes")
    return _arrays(state, data, order)


def _arrays(state: dict[str, Tensor], data, order):
    size = sum(map(len, data.values()))
    _check_names(state)
    check_declared(sum(map(_declared, state.values())), size)
    return {n: _as_array(t, data[t.storage.key], order) for n, t in state.items()}


def _check_names(arrays) -> None:
    longest = max(map(len, arrays), default=0)
    if len(arrays) > MAX_OBJECTS or longest > MAX_NAME:
        raise ValueError(f"{len(arrays)} arrays, names of {longest} characters")


def _count(shape) -> int:
    """Return the count of a shape; an empty axis does not hide a large one."""
    return math.prod(max(size, 1) for size in shape)


def _declared(tensor: Tensor) -> int:
    return 8 * _count(tensor.shape)


def _as_array(tensor: Tensor, data: bytes, order: str) -> np.ndarray:
    """Return a tensor's numbers, a read-only view into its storage's bytes."""
    dtype = tensor.dtype or tensor.storage.dtype
    numbers = np.frombuffer(data, _stored_dtype(dtype, order))
    shape, strides, empty = tensor.shape, tensor.strides, 0 in tensor.shape
    steps = zip(shape, strides, strict=True)
    last = tensor.offset + sum((size - 1) * step for size, step in steps)
    if not empty and last >= numbers.size:
        raise ValueError("a tensor that reaches out of its storage")
    view = np.lib.stride_tricks.as_strided(
        numbers[:0] if empty else numbers[tensor.offset :],
        shape,
        tuple(step * numbers.itemsize for step in strides),
        writeable=False,
    )
    return _decoded(view, dtype)


def _stored_dtype(name, order="little") -> np.dtype:
    """Type of numbers in a file; NumPy has no bfloat16, the upper half of a float32."""
    return np.dtype("uint16" if name == "bfloat16" else name).newbyteorder(order)


def _decoded(numbers: np.ndarray, dtype: str) -> np.ndarray:
    """Convert bfloat16 to float32."""
    if dtype == "bfloat16":
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers


def _read_safetensors(path):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    if not 0 < length <= min(len(data) - 8, MAX_HEADER):
        raise ValueError(f"a header of {length} bytes")
    entries = json.loads(data[8 : 8 + length], object_pairs_hook=_unique)
    entries.pop("__metadata__", None)
    _check_names(entries)
    numbers = memoryview(data)[8 + length :]
    arrays, end = {}, 0
    for name, entry in sorted(entries.items(), key=lambda x: x[1]["data_offsets"]):
        arrays[name], end = _entry(name, entry, numbers, end)
    if end != len(numbers):
        raise ValueError(f"{end} of {len(numbers)} bytes belong to arrays")
    check_declared(sum(8 * _count(a.shape) for a in arrays.values()), len(data))
    return {name: arrays[name] for name in entries}


def _unique(pairs: list) -> dict:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a header that names an array twice")
    return entries


def _entry(name, entry, data, end):
    """Return the array that begins where the last one ends, and its end."""
    (start, stop), dtype, shape = (entry[k] for k in ("data_offsets", "dtype", "shape"))
    whole = all(type(size) is int and size >= 0 for size in (start, stop, *shape))
    if dtype not in SAFETENSORS or not (whole and start == end <= stop <= len(data)):
        raise ValueError(f"{name}: {shorten(entry)} of {len(data)} bytes")
    stored = _stored_dtype(SAFETENSORS[dtype])
    if math.prod(shape) * stored.itemsize != stop - start:
        raise ValueError(f"{name}: {shorten(shape)} in {stop - start} bytes")
    numbers = np.frombuffer(data[start:stop], stored).reshape(shape)
    return _decoded(numbers, SAFETENSORS[dtype]), stop
