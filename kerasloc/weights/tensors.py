"""Notes of where in a file a tensor lies, and the arrays that they stand for."""

import math
from typing import NamedTuple

import numpy as np

DTYPES = {
    "float64": "<f8",
    "float32": "<f4",
    "float16": "<f2",
    "bfloat16": "<u2",  # NumPy has none: the upper half of a float32
    "int64": "<i8",
    "int32": "<i4",
    "int16": "<i2",
    "int8": "|i1",
    "uint64": "<u8",
    "uint32": "<u4",
    "uint16": "<u2",
    "uint8": "|u1",
    "bool": "|b1",
    "complex64": "<c8",
    "complex128": "<c16",
}


class Storage(NamedTuple):
    """A run of numbers somewhere in the file.

    Attributes:
        key: Its name in the file.
        dtype: One of :data:`DTYPES`.
        count: How many numbers.
    """

    key: str
    dtype: str
    count: int


class Tensor(NamedTuple):
    """Where in a storage a tensor's numbers lie.

    Attributes:
        storage: Where they are.
        offset: Of the first, in numbers.
        shape: Of the tensor.
        strides: From one to the next along every axis, in numbers.
        dtype: One of :data:`DTYPES`; the storage's where None.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str | None = None


def as_array(tensor: Tensor, data: bytes, order: str = "little") -> np.ndarray:
    """The numbers of a tensor, a read-only view into its storage's bytes.

    Args:
        tensor: Where they lie.
        data: All bytes of the storage.
        order: Of the bytes in a number, ``little`` or ``big``.

    Returns:
        Array of the tensor's shape; bfloat16 comes as float32.

    Raises:
        ValueError: If the tensor reaches out of its storage.
    """
    dtype = tensor.dtype or tensor.storage.dtype
    numbers = decode(data, dtype, order)
    shape, strides = tensor.shape, tensor.strides
    last = tensor.offset + sum(
        (size - 1) * step for size, step in zip(shape, strides, strict=True)
    )
    if min((tensor.offset, *shape, *strides)) < 0 or (
        math.prod(shape) and last >= numbers.size
    ):
        raise ValueError("a tensor that reaches out of its storage")
    return np.lib.stride_tricks.as_strided(
        numbers[tensor.offset :] if math.prod(shape) else numbers[:0],
        shape,
        tuple(step * numbers.itemsize for step in strides),
        writeable=False,
    )


def decode(data: bytes, dtype: str, order: str = "little") -> np.ndarray:
    """Bytes as numbers.

    Args:
        data: A whole number of them.
        dtype: One of :data:`DTYPES`; bfloat16 gives float32.
        order: ``little`` or ``big``.
    """
    kind = np.dtype(DTYPES[dtype])
    if order == "big":
        kind = kind.newbyteorder(">")
    numbers = np.frombuffer(data, kind)
    if dtype == "bfloat16":
        numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers
