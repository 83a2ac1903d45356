"""Arrays of safetensors files: a length, names as JSON, and the raw numbers."""

import json

import numpy as np

from kerasloc.weights.tensors import decode

DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}


def read_safetensors(path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, by name; bfloat16 as float32.

    Args:
        path: A ``pathlib.Path``.

    Raises:
        ValueError: If the header or the lengths are wrong.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(min(length, path.stat().st_size))
        data = file.read()
    if len(header) != length:
        raise ValueError("a header that ends early")
    entries = json.loads(header)
    entries.pop("__metadata__", None)
    return {name: _array(name, entry, data) for name, entry in entries.items()}


def _array(name, entry, data):
    start, stop = entry["data_offsets"]
    if entry["dtype"] not in DTYPES or not 0 <= start <= stop <= len(data):
        raise ValueError(f"{name}: {entry} of {len(data)} bytes")
    return decode(data[start:stop], DTYPES[entry["dtype"]]).reshape(entry["shape"])
