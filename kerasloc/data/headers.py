"""Headers of image files: size, EXIF orientation, limit of pixels, damaged blocks.

Nothing is decoded, so that a small file of a huge image costs nothing. Decoders notice
damage in JPEG, PNG and WebP files, but not in GIF files, whose blocks are checked here.
"""

import dataclasses
import importlib
import io
import os
import re
import struct
import zlib
from typing import Any, BinaryIO

from kerasloc.data import dicom
from kerasloc.data.problems import DAMAGE, damage_as_value_error

MAX_PIXELS = 100_000_000
HEAD = 132  # bytes that tell the format
ORIENTATION_TAG = 274
MAX_SCANS = 100  # in a progressive JPEG file, each as long to decode as the image
SIGNATURES = {  # and Pillow's names of the formats
    b"\xff\xd8": "Jpeg",
    b"\x89PNG\r\n\x1a\n": "Png",
    b"GIF8": "Gif",
    b"BM": "Bmp",
    b"II": "Tiff",
    b"MM": "Tiff",
    b"RIFF": "WebP",
}
MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")  # with a length, or the end
LZW_CODES = 4096


@dataclasses.dataclass(frozen=True)
class Header:
    """Size in the file and EXIF orientation, 1 to 8, of an image.

    Examples:
        >>> Header(40, 30).orientation
        1
    """

    rows: int
    cols: int
    orientation: int = 1


def read_header(path: str | os.PathLike, max_pixels: int = MAX_PIXELS) -> Header:
    """Read the header of an image file.

    Args:
        path: JPEG, PNG, GIF, BMP, TIFF, WebP or DICOM file.
        max_pixels: Largest number of pixels.

    Raises:
        OSError: If there is no such file.
        ValueError: If it is not an image, damaged, or has more pixels. The message
            does not name the file.
    """
    size = read_size(path)
    check_pixels(*size, max_pixels)
    with open(path, "rb") as file:
        kind = format_of(file.read(HEAD))
        if kind == "Dicom":
            return Header(*size)
        with damage_as_value_error(f"damaged or unsupported {kind.upper()} file: "):
            image = open_image(file, kind)
            if kind in CHECKS:
                file.seek(0)  # in memory, reading ends with the file
                image.info |= CHECKS[kind](io.BytesIO(file.read()))
            # Pillow rotates TIFF images itself
            return Header(*size, 1 if kind == "Tiff" else _orientation(image))


def read_size(path: str | os.PathLike) -> tuple[int, int]:
    """Read rows and columns of an image file, before any EXIF rotation.

    Raises:
        OSError: If there is no such file.
        ValueError: If it is not an image; the message does not name the file.
    """
    with open(path, "rb") as file:
        head = file.read(HEAD)
        kind = format_of(head)
        with damage_as_value_error(f"damaged or unsupported {kind.upper()} file: "):
            if kind == "WebP":  # Pillow would prepare to decode it
                return _webp_size(head)
            if kind != "Dicom":
                image = open_image(file, kind)
                return image.height, image.width
        return dicom.read_size(file)


def format_of(head: bytes) -> str:
    """Name the format of a file that starts with ``head``, 132 bytes, as Pillow does.

    Raises:
        ValueError: If it is not a format that is read.

    Examples:
        >>> format_of(b"GIF89a")
        'Gif'
    """
    if dicom.is_dicom(head):
        return "Dicom"
    for start, kind in SIGNATURES.items():
        if head.startswith(start) and (kind != "WebP" or head[8:12] == b"WEBP"):
            return kind
    if not head:
        raise ValueError("an empty file")
    raise ValueError(
        "Unknown image format. Expected JPEG, PNG, GIF, BMP, TIFF, WebP or DICOM. "
        f"Received: a file that starts with {head[:8]!r}."
    )


def open_image(file: BinaryIO, kind: str) -> Any:
    """Open an image lazily with Pillow, without its limit of pixels, a global one."""
    file.seek(0)
    plugin = importlib.import_module(f"PIL.{kind}ImagePlugin")
    return getattr(plugin, f"{kind}ImageFile")(file)


def check_pixels(rows: int, cols: int, max_pixels: int) -> None:
    """Raise a ValueError if an image has no or too many pixels.

    Examples:
        >>> check_pixels(100, 200, max_pixels=20_000)
    """
    if rows * cols < 1:
        raise ValueError(f"an image of {cols} x {rows} pixels")
    if rows * cols > max_pixels:
        raise ValueError(
            f"{cols} x {rows} pixels, {rows * cols / 1e6:.4g} megapixels, above the "
            f"limit of {max_pixels / 1e6:.4g}. Raise --max-megapixels (max_pixels in "
            "Python), or shrink the image."
        )


def _orientation(image: Any) -> int:
    from PIL import Image

    try:
        # the base's, as that of PNG files decodes them
        orientation = Image.Image.getexif(image).get(ORIENTATION_TAG, 1)
    except DAMAGE:
        return 1
    return orientation if orientation in range(1, 9) else 1


def _webp_size(head: bytes) -> tuple[int, int]:
    """Rows and columns, (0, 0) if it is no WebP file."""
    kind = head[8:16]
    if kind == b"WEBPVP8X":
        cols = int.from_bytes(head[24:27], "little") + 1
        return int.from_bytes(head[27:30], "little") + 1, cols
    if kind == b"WEBPVP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    cols, rows = struct.unpack("<2H", head[26:30])
    return rows & 0x3FFF, cols & 0x3FFF


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise ValueError("it ends too early")
    return data


def _check_jpeg(file: BinaryIO) -> dict:
    """Check that decoding a JPEG file does not take hours."""
    data, position, scans = file.read(), 2, 0
    while match := MARKER.search(data, position):
        position = match.end()
        if match[1] == b"\xd9":
            break
        position += int.from_bytes(data[position : position + 2], "big")
        scans += match[1] == b"\xda"
    if scans > MAX_SCANS:
        raise ValueError(f"{scans} scans, above the limit of {MAX_SCANS}")
    return {}


def _check_png(file: BinaryIO) -> dict[str, bytes]:
    """Check the chunks of a PNG file to its end; EXIF data among them."""
    exif, kind = {}, b""
    file.seek(8)
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", _exactly(file, 8))
        data = _exactly(file, length)
        if struct.unpack(">I", _exactly(file, 4))[0] != zlib.crc32(kind + data):
            raise ValueError(f"the checksum of {kind!r} is wrong")
        if kind == b"eXIf":
            exif = {"exif": data}
    return exif


def _check_bmp(file: BinaryIO) -> dict:
    """Check that a BMP file is as long as its header says."""
    if int.from_bytes(_exactly(file, 6)[2:], "little") > len(file.read()) + 6:
        raise ValueError("it ends too early")
    return {}


def _check_gif(file: BinaryIO) -> dict:
    """Check that a GIF file has all its blocks, and frames all their pixels."""
    _, width, height, flags, _ = struct.unpack("<6s2HB2s", _exactly(file, 13))
    _skip_colors(file, flags)
    while (kind := _exactly(file, 1)) != b";":
        if kind == b"!":
            _exactly(file, 1)
            _gif_blocks(file)
            continue
        if kind != b",":
            raise ValueError("a block of an unknown kind")
        x, y, cols, rows, flags = struct.unpack("<4HB", _exactly(file, 9))
        _skip_colors(file, flags)
        bits = _exactly(file, 1)[0]
        pixels = _lzw_length(_gif_blocks(file), bits) if 0 < bits < 12 else -1
        if pixels != rows * cols or x + cols > width or y + rows > height:
            raise ValueError(f"a frame of {rows * cols} pixels has {pixels}")
    return {}


def _skip_colors(file: BinaryIO, flags: int) -> None:
    _exactly(file, (flags >> 7) * 3 << (flags & 7) + 1)


def _gif_blocks(file: BinaryIO) -> bytes:
    blocks = []
    while size := _exactly(file, 1)[0]:
        blocks.append(_exactly(file, size))
    return b"".join(blocks)


def _lzw_length(data: bytes, bits: int) -> int:
    """Number of pixels that the LZW codes of a GIF frame stand for; -1 if invalid."""
    clear = 1 << bits
    lengths = fresh = [1] * clear + [0, 0]
    total = previous = buffer = count = 0
    width = bits + 1
    for byte in data:
        buffer |= byte << count
        count += 8
        while count >= width:
            code, buffer = buffer & (1 << width) - 1, buffer >> width
            count -= width
            if code == clear:
                lengths, width, previous = fresh.copy(), bits + 1, 0
                continue
            if code == clear + 1:
                return total
            if previous and len(lengths) < LZW_CODES:
                lengths.append(previous + 1)
                if len(lengths) == 1 << width and width < 12:
                    width += 1
            if code >= len(lengths):
                return -1
            previous = lengths[code]
            total += previous
    return total


# by format; each returns what it adds to Pillow's info of the image
CHECKS = {
    "Bmp": _check_bmp,
    "Gif": _check_gif,
    "Jpeg": _check_jpeg,
    "Png": _check_png,
}
