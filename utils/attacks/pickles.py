"""Files of torch.save and safetensors that attack their reader."""

import builtins
import io
import json
import os
import pathlib
import pickle
import struct
import subprocess
import tarfile
import zipfile

import numpy as np

SHAPES = {"dense.weight": (2, 3), "dense.bias": (2,)}  # of a network
HUGE = 1 << 40
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = b"((S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI%d\ntQ"
MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
SYSTEM = b"\x80\x02}(S'little_endian'\nI01\nu."


class Command:
    """Pickles as a call that makes a file."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def intact() -> dict[str, bytes]:
    """Return intact files by name."""
    entries = b"".join(
        f"S'{name}'\n".encode() + tensor(shape) for name, shape in SHAPES.items()
    )
    content = b"\x80\x02}(" + entries + b"u."
    numbers = np.arange(6, dtype=np.float32).tobytes()
    keys = b"\x80\x02](S'0'\ne."
    legacy = MAGIC + SYSTEM + content + keys + struct.pack("<Q", 6) + numbers
    header = safetensors_header(SHAPES, ((0, 24), (24, 32)))
    return {
        "zip.pt": archive(content, {"0": numbers}),
        "deflated.pth": archive(content, {"0": numbers}, zipfile.ZIP_DEFLATED),
        "legacy.pth": legacy,
        "plain.safetensors": safetensors(header, 32),
    }


def tensor(shape, strides=None, length=6, offset=0) -> bytes:
    """Return a pickled tensor of the storage ``0``."""
    steps = np.cumprod([1, *shape[:0:-1]])[::-1] if strides is None else strides
    layout = f"I{offset}\n({_ints(shape)}t({_ints(steps)}tI00\n}}tR".encode()
    return TENSOR + STORAGE % length + layout


def _ints(values) -> str:
    return "".join(f"L{value}L\n" for value in values)


def archive(content, storages=None, method=zipfile.ZIP_STORED) -> bytes:
    """Return an archive as of torch.save."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as target:
        target.writestr("archive/data.pkl", content)
        for key, data in (storages or {}).items():
            target.writestr(f"archive/data/{key}", data)
    return file.getvalue()


def safetensors_header(shapes, offsets) -> dict:
    """Return the header of float32 arrays."""
    return {
        name: {"dtype": "F32", "shape": list(shape), "data_offsets": list(span)}
        for (name, shape), span in zip(shapes.items(), offsets, strict=True)
    }


def safetensors(header, size: int) -> bytes:
    """Return a file with a header (a dict or text) and zeros."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


def attacks(marker: pathlib.Path) -> dict[str, bytes]:
    """Return attacks by file name; those that run code write ``marker``."""
    files = {}
    for name, content in (_pickles() | _commands(marker)).items():
        files[f"{name}.pt"] = archive(content, {"0": bytes(24)})
        files[f"{name}-legacy.pth"] = MAGIC + SYSTEM + content
        files[f"{name}-bare.pth"] = content
    return files | _archives() | _safetensors()


def _pickles() -> dict[str, bytes]:
    frozen = b"c__builtin__\nfrozenset\n"
    pair = frozen + b"(((h\x00I1\nt(h\x00I2\ntltRq\x00"
    tuples = b")q\x00" + b"h\x00h\x00\x86q\x00" * 60
    state = "".join(f"S'{n}'\nh\x00" for n in ("state_dict", "model", "net", "module"))
    nests = b"}q\x00" + (b"}(" + state.encode() + b"uq\x00") * 40
    pairs = b"](" + b"](K\x01K\x02e" * 20000 + b"eq\x00"
    again = b"ccollections\nOrderedDict\nh\x00\x85R0" * 20000
    return {
        "memo": b"\x80\x02]r\xff\xff\xff\xfe.",
        "memo-text": b"]p4000000000\n.",
        "bytearray": b"c__builtin__\nbytearray\n(L%dL\ntR." % HUGE,
        "bytearray-list": b"](c__builtin__\nbytearray\n(L%dL\ntRe." % HUGE,
        "bytearray-new": b"c__builtin__\nbytearray\nL%dL\n\x85\x81." % HUGE,
        "list-of-bytearray": b"c__builtin__\nlist\nc__builtin__\nbytearray\n"
        b"L%dL\n\x85R\x85R." % HUGE,
        "frozensets": b")q\x00" + pair * 60 + b".",
        "frozensets-code": b"(\x91q\x00" + b"(h\x00h\x00\x86\x91q\x00" * 60 + b".",
        "tuples-key": b"}" + tuples + b"K\x01s.",
        "tuples-set": b"\x8f(" + tuples + b"\x90.",
        "tuples-reference": tuples + b"Q.",
        "tuples-name": tuples + b"h\x00\x93.",
        "duplicates": b")" + b"2\x86" * 100 + b".",
        "duplicates-key": b"}" + b")" + b"2\x86" * 100 + b"K\x01s.",
        "nests": nests + b".",
        "cycle": b"}q\x00(S'model'\nh\x00u.",
        "deep-lists": b"]" * 100_000 + b"a" * 99_999 + b".",
        "deep-marks": b"(" * 400_000 + b".",
        "deep-tuples": b")" + b"\x85" * 400_000 + b".",
        "copied-pairs": pairs + again + b".",
        "steps": b"N0" * 2_000_000 + b".",
        "sets": b"\x8f" * 400_000 + b".",
        "long-number": b"\x8b\xff\xff\xff\x7f" + bytes(100) + b".",
        "long-text": b"\x8d" + struct.pack("<Q", HUGE) + b"abc.",
        "long-frame": b"\x80\x04\x95" + struct.pack("<Q", HUGE) + b"N.",
        "many-digits": b"L" + b"9" * 200_000 + b"L\n.",
        "classes": b"}(" + _classes((10**9, 512, 1, 1), (0, 0, 0, 0)) + b"u.",
        "classes-million": b"}(" + _classes((10**6, 1, 1, 1), (0, 0, 0, 0)) + b"u.",
        "classes-few": b"}(" + _classes((30_000, 1, 1, 1), (0, 0, 0, 0)) + b"u.",
        "classes-empty": b"}(" + _classes((10**9, 0, 1, 1), (0, 0, 0, 0)) + b"u.",
        "stride-negative": b"}S'a'\n" + tensor((2,), (-1,)) + b"s.",
        "offset": b"}S'a'\n" + tensor((2,), (1,), offset=HUGE) + b"s.",
        "length": b"}S'a'\n" + tensor((2,), (1,), length=HUGE) + b"s.",
        "shape-float": b"}S'a'\n"
        + tensor((2.5,), (1,)).replace(b"L2.5L", b"F2.5")
        + b"s.",
        "axes": b"}S'a'\n" + tensor((1,) * 50_000, (1,) * 50_000) + b"s.",
        "names": b"}(S'" + b"module." * 100_000 + b"'\n" + tensor((2,)) + b"u.",
        "not-numbers": b"}S'a'\nctorch._utils\n_rebuild_tensor_v2\n(NNNNtRs.",
    }


def _classes(shape, strides) -> bytes:
    """Return entries of a ResNet-18 with a huge last layer."""
    names = [
        f"layer{i}.{j}.conv{k}" for i in range(1, 5) for j in (0, 1) for k in (1, 2)
    ]
    shapes = dict.fromkeys(names, (1, 1, 1, 1))
    shapes |= {"conv1": (64, 3, 7, 7), "layer1.0.conv2": (64, 64, 3, 3)}
    entries = [
        f"S'{name}.weight'\n".encode() + tensor(size, (0,) * 4)
        for name, size in shapes.items()
    ]
    return b"".join(entries) + b"S'out.weight'\n" + tensor(shape, strides)


def _commands(marker: pathlib.Path) -> dict[str, bytes]:
    """Return pickles that write the marker when they are executed."""
    shell, code = f"touch {marker}", f"open({str(marker)!r}, 'w')"
    calls = {
        "system": (os.system, shell),
        "popen": (subprocess.Popen, ["touch", str(marker)]),
        "eval": (builtins.eval, code),
        "exec": (builtins.exec, code),
        "open": (builtins.open, str(marker), "w"),
        "mkdir": (os.mkdir, str(marker)),
        "getattr": (builtins.getattr, os, "system"),
    }
    files = {
        f"run-{name}-{protocol}": pickle.dumps({"state_dict": Command(*call)}, protocol)
        for name, call in calls.items()
        for protocol in (0, 2, 5)
        if name != "getattr"
    }
    text = repr(shell).encode()
    return files | {
        "run-instance": b"(S%b\nios\nsystem\n." % text,
        "run-object": b"(cos\nsystem\nS%b\no." % text,
        "run-new": b"cos\nsystem\nS%b\n\x85\x81." % text,
        "run-stack": b"S'os'\nS'system'\n\x93S%b\n\x85R." % text,
        "run-dotted": b"S'builtins'\nS'eval.__call__'\n\x93S%b\n\x85R."
        % repr(code).encode(),
        "run-extension": b"\x82\x01.",
        "run-persistent": b"Pos.system\n.",
        "run-lines": b"S'os\\nNothing'\nS'sys\\ntem'\n\x93.",
    }


def _archives() -> dict[str, bytes]:
    state = b"}S'a'\n" + tensor((2,), (1,), length=25_000_000) + b"s."
    bomb = archive(state, {"0": bytes(100_000_000)}, zipfile.ZIP_DEFLATED)
    pickle_bomb = b"}S'" + b"a" * 100_000_000 + b"'\nNs."
    plain = archive(b"}S'a'\n" + tensor((2,)) + b"s.", {"0": bytes(24)})
    lying = bomb.replace(struct.pack("<I", 100_000_000), struct.pack("<I", 24))
    small = b"}S'a'\n" + tensor((2,)) + b"s."
    return {
        "zip-bomb-data.pt": bomb,
        "zip-bomb-pickle.pt": archive(pickle_bomb, {}, zipfile.ZIP_DEFLATED),
        "zip-bomb-lying.pt": lying,
        "zip-bomb-bzip2.pt": archive(small, {"0": bytes(10**8)}, zipfile.ZIP_BZIP2),
        "zip-bomb-lzma.pt": archive(small, {"0": bytes(10**8)}, zipfile.ZIP_LZMA),
        "zip-encrypted.pt": plain.replace(b"PK\1\2\24\3\24\0\0", b"PK\1\2\24\3\24\0\1"),
        "zip-twice.pt": _overlapping(),
        "tar.pth": _tar(),
        "checkpoint.pth.tar": _tar(),
        "empty.pt": b"",
        "text.pt": b"hello\n" * 20,
    }


def _overlapping() -> bytes:
    """Return an archive whose directory names the same bytes a thousand times."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        target.writestr("archive/data.pkl", b"}.")
        target.writestr("archive/data/0", bytes(100_000))
        info = target.getinfo("archive/data/0")
        target.filelist += [info] * 1000
    return file.getvalue()


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as target:
        info = tarfile.TarInfo("tensors")
        info.size = 10**7
        target.addfile(info, io.BytesIO(bytes(10**7)))
    return file.getvalue()


def _safetensors() -> dict[str, bytes]:
    def header(shape=(2,), span=(0, 8), dtype="F32"):
        return {"a": {"dtype": dtype, "shape": shape, "data_offsets": span}}

    two = header() | {"b": header(span=(4, 12))["a"]}
    gap = header() | {"b": header(span=(12, 20))["a"]}
    empty = safetensors_header(
        {"conv1.weight": (64, 3, 0, 7), "out.weight": (10**9, 0)}, ((0, 0), (0, 0))
    )
    entry = json.dumps(header()["a"])
    many = {f"a{k}": header((0,), (0, 0))["a"] for k in range(50_000)}
    files = {
        "classes-empty": safetensors(empty, 0),
        "overlap": safetensors(two, 12),
        "gap": safetensors(gap, 20),
        "trailing": safetensors(header(), 9),
        "twice": safetensors(f'{{"a": {entry}, "a": {entry}}}'.encode(), 8),
        "length": b"\xff" * 8 + b"{}",
        "length-huge": struct.pack("<Q", 1 << 62) + b"{}",
        "length-zero": bytes(8),
        "deep": safetensors(b"[" * 1_000_000, 0),
        "lists": safetensors(b"[" + b"[]," * 4_000_000 + b"[]]", 0),
        "list": safetensors(b"[]", 0),
        "entry": safetensors({"a": 3}, 0),
        "many": safetensors(many, 0),
        "offsets": safetensors(header(span=(8, 0)), 8),
        "offsets-far": safetensors(header(span=(HUGE, HUGE + 8)), 8),
        "offsets-bool": safetensors(header((0,), (False, False)), 0),
        "axes": safetensors(header((1,) * 100_000, (0, 4)), 4),
    }
    for name, shape in {
        "negative": (-1, -2),
        "minus-one": (-1,),
        "bool": (True, 2),
        "float": (2.0,),
        "huge": (HUGE, HUGE),
        "huge-empty": (HUGE, 0, HUGE),
        "text": "2",
        "null": None,
        "wrong": (3,),
    }.items():
        files[f"shape-{name}"] = safetensors(header(shape), 8)
    for dtype in ("F4", "F8_E4M3", "", None, 3, ["F32"]):
        files[f"type-{dtype}"] = safetensors(header(dtype=dtype), 8)
    return {f"{name}.safetensors": content for name, content in files.items()}
