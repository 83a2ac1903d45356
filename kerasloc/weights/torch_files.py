"""Arrays of PyTorch weight files, without PyTorch and without running the file.

Reads what ``torch.save`` wrote (the zip archives of torch 1.6 and later, and the
pickles in a row before it) and safetensors.
"""

import pathlib
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

from kerasloc.weights.safetensors import read_safetensors
from kerasloc.weights.tensors import DTYPES, Tensor, as_array
from kerasloc.weights.torch_pickle import RefusedPickleError, Unpickler

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
NESTS = ("state_dict", "model_state_dict", "model", "net", "module")
MAGIC = 0x1950A86A20F9469CFC6C
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
    OSError,  # a place before the file's start
    RuntimeError,  # too deep, encrypted, or a zip method that is not there
)


def read_torch(path) -> dict[str, np.ndarray]:
    """The arrays of a PyTorch weight file, by published parameter name.

    Args:
        path: A file of ``torch.save`` or safetensors. Weights may lie under
            ``state_dict``, ``model`` or ``net``; what is no tensor is passed over.

    Returns:
        Arrays of the file's own types (bfloat16 as float32), read only.

    Raises:
        ValueError: If the file is missing, cut short, none of these, holds no tensors,
            or names anything but tensors, which is then not run.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"A weight file exists. Received: {path}, which does not.")
    try:
        arrays = _reader(path)(path)
    except RefusedPickleError:
        raise
    except DAMAGE as error:
        raise ValueError(
            f"A weight file is one of torch.save ({', '.join(SUFFIXES[:-1])}) or "
            f"safetensors. Received: {path} ({type(error).__name__}: {error}). It may "
            "be cut short or of another kind; take another copy."
        ) from None
    if not arrays:
        raise ValueError(
            f"A weight file holds tensors by name. Received: {path}, which has none. "
            "Save the network's state_dict()."
        )
    return arrays


def _reader(path):
    if path.suffix == ".safetensors":
        return read_safetensors
    return _read_zip if zipfile.is_zipfile(path) else _read_legacy


def state_of(content) -> dict:
    """The innermost mapping of parameter names to tensors.

    Args:
        content: A mapping, perhaps a whole checkpoint.

    Returns:
        Its tensors; those under ``state_dict``, ``model`` or ``net`` where there are.
    """
    if not isinstance(content, Mapping):
        return {}
    for nest in NESTS:
        if inner := state_of(content.get(nest)):
            return inner
    return {str(name): one for name, one in content.items() if hasattr(one, "shape")}


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
        data = {one.key: _stored(archive, folder, one) for one in sorted(storages)}
    return _arrays(state, data, order)


def _stored(archive, folder, storage):
    name = f"{folder}data/{storage.key}"
    size = archive.getinfo(name).file_size
    if size != _size(storage):
        raise ValueError(f"{name} of {size} bytes for {storage}")
    return archive.read(name)


def _size(storage) -> int:
    return storage.count * np.dtype(DTYPES[storage.dtype]).itemsize


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
            if count != storages[key].count:
                raise ValueError(f"a storage of {count} numbers")
            data[key] = _exactly(file, _size(storages[key]))
    return _arrays(state, data, order)


def _exactly(file, size):
    data = file.read(size)
    if len(data) != size:
        raise EOFError("ran out of bytes")
    return data


def _arrays(state: dict[str, Tensor], data, order):
    return {
        name: as_array(tensor, data[tensor.storage.key], order)
        for name, tensor in state.items()
    }
