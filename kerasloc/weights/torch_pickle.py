"""What a PyTorch pickle says, read without PyTorch and without running anything.

A pickle names functions to call. Here every name but the few that tensors need is
refused, and those few are replaced by stand-ins that only note what was said, so that
the worst that a file can do is be wrong.
"""

import collections
import pickle

from kerasloc.weights.tensors import DTYPES, Storage, Tensor

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


class Unpickler(pickle.Unpickler):
    """Reads one pickle into dicts, lists, numbers and :class:`Tensor` notes.

    Args:
        file: Binary file, at the start of the pickle.
        path: What errors call it.

    Attributes:
        storages: Those that were named, by key.

    Raises:
        RefusedPickleError: If the pickle names anything but tensors and containers.
    """

    def __init__(self, file, path):
        super().__init__(file, encoding="utf-8")
        self.path = path
        self.storages = {}

    def find_class(self, module, name):
        """The stand-in for a name of the pickle; nothing else is ever called.

        Raises:
            RefusedPickleError: If it names anything but tensors and containers.
        """
        known = _known(module, name)
        if known is None:
            raise RefusedPickleError(
                f"A weight file names tensors only. Received: {self.path}, which would "
                f"run {module}.{name}. Nothing was run. Load it where you trust it and "
                "save its state_dict() alone."
            )
        return known

    def persistent_load(self, pid):
        """The storage that a reference of the pickle means.

        Raises:
            pickle.UnpicklingError: If it is a reference to something else.
        """
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


class _Nothing:
    """Stands for a value that is no weight and is passed over."""

    __slots__ = ()

    def __setstate__(self, state):
        pass


def _known(module: str, name: str):
    """The stand-in for a name, or None."""
    if module in ("torch", "torch.storage"):
        if name in STORAGES:
            return STORAGES[name]
        if name in DTYPES:
            return name
    function = _FUNCTIONS.get((module, name))
    return None if function is None else _Call(function)


def _tensor(storage, offset, shape, strides, *_):
    return Tensor(storage, int(offset), tuple(shape), tuple(strides))


def _typed_tensor(storage, offset, shape, strides, *rest):
    return Tensor(storage, int(offset), tuple(shape), tuple(strides), rest[2])


def _nothing(*_):
    return _Nothing()


_FUNCTIONS = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _typed_tensor,
    ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
    ("torch._utils", "_rebuild_parameter_with_state"): lambda data, *_: data,
    ("torch", "Size"): tuple,
    ("torch", "device"): _nothing,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): lambda *_: {},
    ("collections", "Counter"): dict,
    # best scores and histories beside the weights
    ("_codecs", "encode"): _nothing,
    ("numpy", "dtype"): _nothing,
    ("numpy", "ndarray"): _nothing,
    **{
        (f"numpy.{core}.multiarray", name): _nothing
        for core in ("core", "_core")
        for name in ("scalar", "_reconstruct")
    },
    **{
        (module, kind.__name__): kind
        for module in ("builtins", "__builtin__")
        for kind in (set, frozenset, list, tuple, dict, bytearray, slice, complex)
    },
}
