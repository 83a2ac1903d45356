"""PyTorch's pickles, read without PyTorch and without executing anything.

A pickle names functions to call. Here all names but the few that tensors need are
refused, and those few are replaced by stand-ins that only note where the numbers of a
tensor are, so that the worst that a file can do is to be wrong.
"""

import collections
import os
import pickle
from typing import IO, Any, NamedTuple

DTYPES = (
    *("float64", "float32", "float16", "bfloat16", "bool", "complex64", "complex128"),
    *("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"),
)
STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
}


class Storage(NamedTuple):
    """A run of numbers in the file; a tuple, as a pickle cannot change one."""

    key: str
    dtype: str
    length: int


class Tensor(NamedTuple):
    """Position of a tensor in a storage in values; its type or, None, the storage's."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str | None = None


class Unpickler(pickle.Unpickler):
    """Read one pickle into dicts, lists, numbers and :class:`Tensor` notes.

    ``storages`` are those that it names, by key; ``path`` is for errors.

    Raises:
        RefusedPickleError: If the pickle names anything but tensors and containers.

    Examples:
        >>> import io
        >>> Unpickler(io.BytesIO(pickle.dumps({"epoch": 3})), "a.pt").load()
        {'epoch': 3}
        >>> Unpickler(io.BytesIO(pickle.dumps(print)), "a.pt").load()
        Traceback (most recent call last):
        kerasloc.weights.torch_pickle.RefusedPickleError: ... run builtins.print...
    """

    def __init__(self, file: IO[bytes], path: str | os.PathLike):
        super().__init__(file, encoding="utf-8")
        self.path = path
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a name of the pickle; nothing else is ever called."""
        stand_in = _stand_in(module, name)
        if stand_in is None:
            raise RefusedPickleError(
                f"Expected a weight file that names tensors only. Received: {self.path}"
                f", which would run {module}.{name}. Nothing was run. Load it where "
                "you trust it and save its state_dict() alone."
            )
        return stand_in

    def persistent_load(self, pid: Any) -> Any:
        """Return the storage of a reference in the pickle."""
        if pid[0] == "module":  # the source code of a pickled network, long ago
            return pid[1]
        kind, dtype, key, _, count, *view = pid
        if kind != "storage" or dtype not in DTYPES or (view and view[0] is not None):
            raise pickle.UnpicklingError(f"a reference of an unknown kind: {pid}")
        return self.storages.setdefault(str(key), Storage(str(key), dtype, int(count)))


class RefusedPickleError(ValueError):
    """A pickle that names what no weight file needs."""


class _Call:
    """A stand-in that a pickle may call, and that it cannot change."""

    __slots__ = ("_function",)

    def __init__(self, function):
        object.__setattr__(self, "_function", function)

    def __call__(self, *args):
        return self._function(*args)

    def __setattr__(self, name, value):
        raise AttributeError("A stand-in does not change.")


class _Ignored:
    """Stand-in for a value that is not a weight."""

    __slots__ = ()

    def __setstate__(self, state):
        pass


def _stand_in(module: str, name: str):
    if module in ("torch", "torch.storage") and name in {*STORAGES, *DTYPES}:
        return STORAGES.get(name, name)
    function = _FUNCTIONS.get((module, name))
    return None if function is None else _Call(function)


def _tensor(storage, offset, shape, strides, *_, dtype=None):
    return Tensor(storage, int(offset), tuple(shape), tuple(strides), dtype)


def _typed_tensor(*args):
    return _tensor(*args, dtype=args[6])


def _ignored(*_):
    return _Ignored()


_FUNCTIONS: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _typed_tensor,
    ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
    ("torch._utils", "_rebuild_parameter_with_state"): lambda data, *_: data,
    ("torch", "Size"): tuple,
    ("torch", "device"): _ignored,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): lambda *_: {},
    ("collections", "Counter"): dict,
    # best scores and histories beside the weights
    ("_codecs", "encode"): _ignored,
    ("numpy", "dtype"): _ignored,
    ("numpy", "ndarray"): _ignored,
    **{
        (f"numpy.{core}.multiarray", name): _ignored
        for core in ("core", "_core")
        for name in ("scalar", "_reconstruct")
    },
    **{
        (module, kind.__name__): kind
        for module in ("builtins", "__builtin__")
        for kind in (set, frozenset, list, tuple, dict, bytearray, slice, complex)
    },
}
