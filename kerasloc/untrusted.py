"""Weight files from anywhere: bounds on what they declare, one error for damage.

What a file declares (numbers, objects, unpacked bytes) is compared with its size before
anything of that size is allocated. Nothing outside the file is ever opened.
"""

import contextlib
import io
import math
import mmap
import os
import pathlib
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import h5py

RATIO = 10  # of unpacked bytes to the file's; packed weights have up to 2
SLACK = 1 << 20  # bytes that are too few to harm
MAX_OBJECTS = 8_000  # in an HDF5 file; a ResNet-152 with its optimizer has 3,000
MAX_DEPTH = 32  # of HDF5 groups
MAX_TEXTS = 1 << 27  # bytes of an attribute's texts, if each is the longest
MAX_LENGTH = 1 << 31  # bytes of a text that HDF5 allocates
BLOCK = 1 << 23  # bytes that are searched at once
MAX_ITEMS = 100_000  # texts of an HDF5 file
TEXTS, LINKS = b"GCOL\x01", (b"FRHP\x00", b"BTHD\x00")  # marks of heaps
ATTRIBUTES = ("name", "weight_names", "dtype")  # those that are read
DAMAGE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,  # a position before the file's start
    RuntimeError,  # too deep, encrypted, or a zip method that is not there
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


class RefusedError(ValueError):
    """A file that asks for what no weight file needs."""


@contextlib.contextmanager
def reading(
    path: str | os.PathLike, kind: str = "a weight file"
) -> Iterator[pathlib.Path]:
    """Raise a ValueError for a file that is missing, damaged or out of bounds.

    Args:
        path: File.
        kind: What it should be.

    Raises:
        ValueError: In one line that names the file, whatever the block raises.

    Examples:
        >>> with reading("nowhere.h5"):
        ...     pass
        Traceback (most recent call last):
        ValueError: Expected a weight file. Received: nowhere.h5, which is missing.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"Expected {kind}. Received: {path}, which is missing.")
    try:
        yield path
    except RefusedError:
        raise
    except DAMAGE as error:
        title = "" if type(error) is ValueError else f"{type(error).__name__}: "
        raise ValueError(
            f"Expected {kind} that is whole. Received: {path}, a damaged file "
            f"({title}{shorten(error, 200)}). It may be cut short or of another "
            "kind; use another copy."
        ) from None


def shorten(text: object, length: int = 80) -> str:
    r"""Shorten text of a file to one line for an error.

    Examples:
        >>> shorten("conv1\n\x1b[31m")
        'conv1 ?[31m'
    """
    words = " ".join(str(text)[: 2 * length].split())
    shown = "".join(c if c.isprintable() else "?" for c in words)
    return shown if len(shown) <= length else f"{shown[:length]}..."


def check_declared(declared: int, size: int) -> None:
    """Raise if a file of ``size`` bytes declares many more than it can hold.

    Examples:
        >>> check_declared(10**9, 9000)
        Traceback (most recent call last):
        ValueError: 1000000000 bytes declared by a file of 9000
    """
    if declared > RATIO * size + SLACK:
        raise ValueError(f"{declared} bytes declared by a file of {size}")


@contextlib.contextmanager
def open_zip(path: pathlib.Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive whose unpacked files are in proportion to it.

    Examples:
        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.zip"
        >>> with zipfile.ZipFile(path, "w") as archive:
        ...     archive.writestr("a.txt", "text")
        >>> with open_zip(path) as archive:
        ...     read_member(archive, "a.txt")
        b'text'
    """
    with zipfile.ZipFile(path) as archive:
        members, size = archive.infolist(), path.stat().st_size
        check_declared(sum(member.file_size for member in members), size)
        if sum(member.compress_size for member in members) > size:
            raise ValueError("an archive whose files overlap")
        for member in members:  # other methods unpack without a limit
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{shorten(member.filename)} of a rare zip method")
        yield archive


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read a file of an archive, at most as many bytes as it declares."""
    with archive.open(name) as file:
        return file.read(archive.getinfo(name).file_size)


@contextlib.contextmanager
def open_hdf5(
    source: pathlib.Path | io.BytesIO,
) -> Iterator[tuple["h5py.File", dict[str, "h5py.Dataset"]]]:
    """Open an HDF5 file that holds all its numbers itself.

    Yields the file and its datasets by path, after links, external storage, virtual
    datasets and declared sizes are checked.

    Examples:
        >>> import h5py
        >>> memory = io.BytesIO()
        >>> with h5py.File(memory, "w") as file:
        ...     file["a/b"] = [1.0, 2.0]
        >>> with open_hdf5(memory) as (file, datasets):
        ...     list(datasets)
        ['a/b']
    """
    import h5py

    with contextlib.ExitStack() as stack:
        content: bytes | mmap.mmap
        if isinstance(source, io.BytesIO):
            content = source.getvalue()
        else:
            opened = stack.enter_context(source.open("rb"))
            content = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        texts = _check_heaps(content)
        longest = max(texts.values(), default=0)
        file = stack.enter_context(h5py.File(source, "r"))
        if file.id.get_create_plist().get_sizes() != (8, 8) or file.userblock_size:
            raise ValueError("offsets of a rare size, or of a rare start")
        datasets, size = {}, file.id.get_filesize()
        for path, item in _objects(file):
            _check_attributes(path, item, longest)
            if isinstance(item, h5py.Dataset):
                datasets[path] = item
                _check_storage(path, item)
        _check_lengths(content, texts)
        check_declared(sum(dataset.nbytes for dataset in datasets.values()), size)
        yield file, datasets


def _check_heaps(content: bytes | mmap.mmap) -> dict[tuple[int, int], int]:
    """Raise on what HDF5 (1.14) reads for ever, or ends the process for, if damaged.

    That are heaps of many links, which Keras does not write, and a heap of texts whose
    items do not lead to its end: after its size it has items of an index (0: the rest
    is free), a size and bytes, padded to 8. Returns the sizes by heap and index.
    """
    if any(content.find(mark) >= 0 for mark in LINKS):
        raise ValueError("groups of a rare form; write them with libver='earliest'")
    start, count = content.find(TEXTS), 0
    sizes = {}
    while start >= 0:
        end = min(start + struct.unpack_from("<Q", content, start + 8)[0], len(content))
        position = start + 16
        while position + 16 <= end:
            index, size = struct.unpack_from("<H6xQ", content, position)
            step = 16 + -(-size // 8) * 8 if index else size
            count += 1
            if not 16 <= step <= end - position or count > MAX_ITEMS:
                raise ValueError("texts without an end")
            position += step
            sizes[start, index] = size if index else 0
        start = content.find(TEXTS, start + 1)
    return sizes


def _check_lengths(
    content: bytes | mmap.mmap, sizes: dict[tuple[int, int], int]
) -> None:
    """Raise on a reference to a text whose length is not that of the text in its heap.

    A reference is a length, 4 bytes, the heap's address, 8, and an index, 4. HDF5
    allocates up to MAX_LENGTH before it notices; larger files may declare as much.
    """
    total = len(content)
    most = RATIO * total + SLACK  # below it may be other numbers, and does no harm
    if not sizes or most > MAX_LENGTH:
        return
    heaps = np.array(sorted({heap for heap, _ in sizes}), np.uint64)
    for start in range(4, total, BLOCK):
        for position in range(start, min(start + 8, total - 11)):
            count = (min(start + BLOCK + 7, total - 4) - position) // 8
            addresses = np.frombuffer(content, "<u8", count, position)
            near = np.flatnonzero(addresses - np.uint64(1) < total)
            for hit in near[np.isin(addresses[near], heaps)].tolist():
                where = position + 8 * hit
                length, heap, index = struct.unpack_from("<IQI", content, where - 4)
                if most < length > sizes.get((heap, index), length):
                    raise ValueError(f"a text of {length} bytes that it does not hold")


def _objects(file: "h5py.File") -> Iterator[tuple[str, Any]]:
    """Iterate over the objects by path; each has one name, and lies in this file."""
    import h5py

    groups, seen = [("", file)], {h5py.h5o.get_info(file["/"].id).addr}
    while groups:
        prefix, group = groups.pop()
        for name in group:
            path = f"{prefix}{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{shorten(path)} is a link out of its place")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen or len(seen) == MAX_OBJECTS:
                raise ValueError("a cycle, or too many objects")
            seen.add(address)
            if isinstance(item, h5py.Group):
                if path.count("/") == MAX_DEPTH:
                    raise ValueError("groups that are nested too deep")
                groups.append((f"{path}/", item))
            elif not isinstance(item, h5py.Dataset):
                raise ValueError(f"{shorten(path)} is no array")
            yield path, item


def _check_attributes(path: str, item: Any, longest: int) -> None:
    """Raise on texts that take too much: all of them may be the longest."""
    for name in ATTRIBUTES:
        if name in item.attrs and path != "optimizer_weights":  # which is not read
            attribute = item.attrs.get_id(name)
            count = math.prod(attribute.shape)
            most = MAX_TEXTS // max(longest, 1) if name == "weight_names" else 1
            if attribute.dtype.kind == "O" and count > most:
                raise ValueError(f"{shorten(path)} has {count} texts")


def _check_storage(path: str, dataset: "h5py.Dataset") -> None:
    """Raise unless a dataset is of numbers that this file stores."""
    import h5py

    storage = dataset.id.get_create_plist()
    layout = storage.get_layout()
    if layout == h5py.h5d.VIRTUAL or storage.get_external_count():
        raise ValueError(f"{shorten(path)} lies in another file")
    if layout == h5py.h5d.CHUNKED:  # unpacks without a limit; damage ends the process
        raise ValueError(f"{shorten(path)} is in chunks; h5repack -l CONTI joins them")
    if dataset.dtype.kind not in "fiub" and dataset.dtype != "V2":  # bfloat16
        raise ValueError(f"{shorten(path)} of the type {shorten(dataset.dtype)}")
    stored = dataset.id.get_storage_size()
    if stored < dataset.nbytes:
        raise ValueError(f"{shorten(path)} of {dataset.nbytes} bytes has {stored}")
