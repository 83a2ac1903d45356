"""PyTorch's pickles, read without PyTorch and without executing anything.

A pickle is a program for a small machine. The machine here makes dicts, lists, tuples
and notes of where the numbers of a tensor are. It has nothing else to call, hashes only
text and whole numbers, shows no value, and stops after MAX_STEPS: the worst that a file
can do is to be wrong.
"""

import os
import pickle
import pickletools
from collections.abc import Callable
from typing import IO, Any, NamedTuple

from kerasloc.untrusted import RefusedError, shorten

MAX_STEPS = 300_000  # a ResNet-152 with its optimizer takes 100,000
MAX_SIZES = 64  # axes of a tensor, and arguments of a call

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


class Unpickler:
    """Read one pickle into dicts, lists, numbers and :class:`Tensor` notes.

    ``storages`` are those that it names, by key; ``path`` is for errors.

    Raises:
        RefusedError: If the pickle names anything but tensors and containers.

    Examples:
        >>> import io
        >>> Unpickler("a.pt").load(io.BytesIO(pickle.dumps({"epoch": 3})))
        {'epoch': 3}
        >>> Unpickler("a.pt").load(io.BytesIO(pickle.dumps(print)))
        Traceback (most recent call last):
        kerasloc.untrusted.RefusedError: ... run builtins.print...
    """

    def __init__(self, path: str | os.PathLike):
        self.path = path
        self.storages: dict[str, Storage] = {}
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._makers: dict[str, Callable[..., Any]] = {
            **dict.fromkeys(("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"), _tuple),
            **dict.fromkeys(("REDUCE", "NEWOBJ", "NEWOBJ_EX"), _call),
            "LIST": lambda *values: list(values),
            "DICT": lambda *values: _mapping(_pairs(values)),
            "FROZENSET": _ignored,
            "OBJ": lambda function, *values: _call(function, values),
            "STACK_GLOBAL": self._named,
            "BINPERSID": self._persistent,
        }

    def load(self, file: IO[bytes]) -> Any:
        """Return the value of the pickle at the position of a file."""
        stack = self._stack
        memo: dict[Any, Any] = {}
        for step, (code, argument, _) in enumerate(pickletools.genops(file)):
            name = code.name
            if step == MAX_STEPS:
                raise pickle.UnpicklingError(f"more than {MAX_STEPS} steps")
            if name in LITERALS:
                stack.append(argument)
            elif name in ("EMPTY_DICT", "EMPTY_LIST"):
                stack.append({} if name == "EMPTY_DICT" else [])
            elif name in CONSTANTS:
                stack.append(CONSTANTS[name])
            elif name in ("GET", "BINGET", "LONG_BINGET"):
                stack.append(memo[argument])
            elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
                slot = len(memo) if argument is None else argument
                if slot > MAX_STEPS:
                    raise pickle.UnpicklingError(f"the memo slot {slot}")
                memo[slot] = stack[-1]
            elif name == "MARK":
                self._marks.append(len(stack))
            elif name == "GLOBAL":
                stack.append(self._named(*str(argument).split(" ", 1)))
            elif name == "INST":
                function = self._named(*str(argument).split(" ", 1))
                stack.insert(self._marks[-1], function)
                self._step("OBJ")
            elif name not in ("PROTO", "FRAME", "STOP"):
                self._step(name)
        return stack.pop()

    def _step(self, name: str) -> None:
        """Replace the values that an instruction takes from the stack."""
        stack, marks = self._stack, self._marks
        if name == "POP" and marks and marks[-1] == len(stack):
            marks.pop()
            return
        start = len(stack) - TAKES[name] if name in TAKES else marks.pop()
        values = stack[start:]
        del stack[start:]
        if name in CHANGES:
            _change(stack[-1], name, values)
        elif name in self._makers:
            stack.append(self._makers[name](*values))
        elif name not in ("POP", "POP_MARK"):
            raise pickle.UnpicklingError(f"the instruction {name}")

    def _named(self, module: Any, name: Any) -> Any:
        """Return the stand-in for a name of the pickle; nothing else is ever called."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise pickle.UnpicklingError("a name that is no text")
        if module in ("torch", "torch.storage") and name in {*STORAGES, *DTYPES}:
            return STORAGES.get(name, name)
        if (module, name) in _FUNCTIONS:
            return _Call(_FUNCTIONS[module, name])
        raise RefusedError(
            f"Expected a weight file that names tensors only. Received: {self.path}"
            f", which would run {shorten(f'{module}.{name}')}. Nothing was run. "
            "Load it where you trust it and save its state_dict() alone."
        )

    def _persistent(self, pid: Any) -> Any:
        """Return the storage of a reference in the pickle."""
        if pid[0] == "module":  # the source code of a pickled network, long ago
            return pid[1]
        kind, dtype, key, _, count, *view = pid
        whole = kind == "storage" and not (view and view[0] is not None)
        if not (whole and dtype in DTYPES and _sizes(count)):
            raise pickle.UnpicklingError("a reference of an unknown kind")
        return self.storages.setdefault(_text(key), Storage(_text(key), dtype, count))


# instructions of a pickle: those with a value, and how many values others take;
# the rest takes all values since the last mark
LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT"),
    *("BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE"),
    *("SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    "BYTEARRAY8",
}
CHANGES = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}
TAKES = {
    **dict.fromkeys(("PERSID", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER"), 0),
    **dict.fromkeys(("POP", "TUPLE1", "APPEND", "BUILD", "BINPERSID"), 1),
    **dict.fromkeys(("DUP", "READONLY_BUFFER"), 1),
    **dict.fromkeys(("TUPLE2", "SETITEM", "REDUCE", "NEWOBJ", "STACK_GLOBAL"), 2),
    **dict.fromkeys(("TUPLE3", "NEWOBJ_EX"), 3),
}


class _Call(NamedTuple):
    """A stand-in that a pickle may call."""

    function: Any


class _Ignored:
    """Stand-in for a value that is not a weight."""

    __slots__ = ()


IGNORED = _Ignored()
CONSTANTS = {
    **{"NONE": None, "NEWTRUE": True, "NEWFALSE": False},
    **{"EMPTY_TUPLE": (), "EMPTY_SET": IGNORED},
}


def _tuple(*values):
    return values


def _call(function: Any, arguments: Any, *_: Any) -> Any:
    fits = isinstance(function, _Call) and isinstance(arguments, tuple)
    if not fits or len(arguments) > MAX_SIZES:
        raise pickle.UnpicklingError("a call of what is no function")
    return function.function(*arguments)


def _change(target: Any, name: str, values: list) -> None:
    """Add items to a container; all else has no state that matters."""
    if isinstance(target, _Call):
        raise AttributeError("a stand-in does not change")
    if name.startswith("APPEND") and isinstance(target, list):
        target += values
    elif name.startswith("SETITEM") and isinstance(target, dict):
        target |= _mapping(_pairs(values))


def _pairs(values):
    return list(zip(values[::2], values[1::2], strict=True))


def _mapping(pairs: Any = (), *_: Any) -> dict:
    """Make a dict of the pairs whose key is text or a number: no other is hashed."""
    if not isinstance(pairs, list):
        return {}
    items = {key: value for key, value in pairs if isinstance(key, str | int)}
    pairs.clear()  # or a pickle could copy a long list again and again
    return items


def _text(key: Any) -> str:
    if not isinstance(key, str | int):
        raise pickle.UnpicklingError("a key that is no text")
    return str(key)


def _sizes(*values: Any) -> bool:
    """Test for sizes, offsets and counts that a file may have."""
    return all(type(value) is int and 0 <= value < 1 << 48 for value in values)


def _tensor(storage, offset, shape, strides, *_, dtype=None):
    fits = isinstance(storage, Storage) and dtype in (None, *DTYPES)
    fits = fits and isinstance(shape, tuple) and isinstance(strides, tuple)
    fits = fits and len(shape) == len(strides) <= MAX_SIZES
    if not (fits and _sizes(offset, *shape, *strides)):
        raise pickle.UnpicklingError("a tensor that reaches out of its storage")
    return Tensor(storage, offset, shape, strides, dtype)


def _typed_tensor(*args):
    return _tensor(*args, dtype=args[6])


def _ignored(*_):
    return IGNORED


def _bytes(content=b"", *_):
    if isinstance(content, int):
        raise pickle.UnpicklingError(f"{content} bytes that the file does not hold")
    return IGNORED


_FUNCTIONS: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _typed_tensor,
    ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
    ("torch._utils", "_rebuild_parameter_with_state"): lambda data, *_: data,
    ("torch", "Size"): lambda sizes=(): sizes,
    ("torch", "device"): _ignored,
    ("collections", "OrderedDict"): _mapping,
    ("collections", "defaultdict"): lambda *_: {},
    ("collections", "Counter"): lambda *_: {},
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
        (module, kind): _ignored
        for module in ("builtins", "__builtin__")
        for kind in ("set", "frozenset", "slice", "complex", "tuple")
    },
    **{
        (module, kind): make
        for module in ("builtins", "__builtin__")
        for kind, make in (
            ("list", lambda *_: []),
            ("dict", _mapping),
            ("bytearray", _bytes),
        )
    },
}
