"""X-rays in DICOM files, recognized by their content, as 8-bit gray images."""

import contextlib
import functools
import io
import os
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from kerasloc.data.problems import DAMAGE, damage_as_value_error

BINS = 256
GRAY = ("MONOCHROME1", "MONOCHROME2")
INSTALL = (
    'pip install "kerasloc[dicom]" reads it directly, utils/dicom_to_png.py makes a '
    "PNG file of it"
)
DEFLATED = b"1.2.840.10008.1.2.1.99"  # transfer syntax
MAGIC = slice(128, 132)  # bytes DICM
UNPACKED = 2**28  # bytes of a deflated dataset


def is_dicom(head: bytes) -> bool:
    """Tell by the first 132 bytes if a file is a DICOM file.

    Examples:
        >>> is_dicom(bytes(128) + b"DICM"), is_dicom(b"BM")
        (True, False)
    """
    return head[MAGIC] == b"DICM"


def read_size(file: BinaryIO) -> tuple[int, int]:
    """Read rows and columns of a DICOM file from its header.

    Raises:
        ValueError: If pydicom is missing, or it is not a DICOM file of an image.
    """
    file.seek(0)
    with _damage_as_value_error():
        dataset = _read(file, stop_before_pixels=True)
        if not (dataset.get("Rows") and dataset.get("Columns")):
            raise ValueError("a DICOM file without an image")
        return int(dataset.Rows), int(dataset.Columns)


def read_gray8(file: str | os.PathLike | bytes, *, equalize: bool = True) -> np.ndarray:
    """Read a DICOM file for display, uint8, (rows, cols); see :func:`to_gray8`.

    Args:
        file: Path, or the bytes of a file.
        equalize: Histogram equalization.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If pydicom or a package for its compression is missing, or it is
            not a DICOM file of one gray image, or damaged.
    """
    source = io.BytesIO(file) if isinstance(file, bytes) else open(file, "rb")  # noqa: SIM115
    with source, _damage_as_value_error():
        return to_gray8(_read(source), equalize=equalize)


def to_gray8(
    dataset: Any, *, equalize: bool = True, decodes: Callable | None = None
) -> np.ndarray:
    """Convert the image of a pydicom dataset for display, uint8, (rows, cols).

    Rescaling and the VOI table or the first valid window are applied if present,
    MONOCHROME1 is inverted, the minimum becomes 0 and the maximum 255. Padding
    (``PixelPaddingValue``, ``PixelPaddingRangeLimit``) is not among these values and
    becomes 0. A flat image becomes 0.

    Args:
        dataset: Dataset with pixels.
        equalize: Histogram equalization.
        decodes: Function that tells if a transfer syntax can be read. None: by an
            installed package.

    Raises:
        ValueError: If it is not one gray image that can be read.
    """
    _check(dataset, decodes or has_decoder)
    stored = dataset.pixel_array
    valid = ~_padding(stored, dataset)
    if not valid.any():
        return np.zeros(stored.shape, np.uint8)
    pixels = _windowed(_rescaled(stored, dataset), valid, dataset).astype(np.float64)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        pixels = -pixels
    low, high = pixels[valid].min(), pixels[valid].max()
    if low == high:
        return np.zeros(pixels.shape, np.uint8)
    unit = np.where(valid, (pixels - low) / (high - low), 0)
    if equalize:
        from skimage.exposure import equalize_hist

        unit = equalize_hist(unit, nbins=BINS, mask=None if valid.all() else valid)
    return np.where(valid, np.round(unit * 255), 0).astype(np.uint8)


def has_decoder(syntax: Any) -> bool:
    """Check if an installed package decodes a transfer syntax of pydicom."""
    from pydicom.pixels import get_decoder

    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:  # a syntax that pydicom lacks
        return False


def _damage_as_value_error() -> contextlib.AbstractContextManager:
    """Context of reading with pydicom, which must be installed."""
    try:
        import pydicom
    except ImportError as error:
        message = f"a DICOM file, which needs pydicom: {INSTALL}"
        raise ValueError(message) from error
    return damage_as_value_error("", pydicom.errors.BytesLengthException)


def _read(file: BinaryIO, **options: Any) -> Any:
    """Read a dataset, unless its deflated part is a bomb."""
    import pydicom

    content = file.read()
    if DEFLATED in content:
        start = 144 + int.from_bytes(content[140:144], "little")  # after group 0002
        with contextlib.suppress(zlib.error):  # the name alone does not deflate
            inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            if len(inflate.decompress(content[start:], UNPACKED)) == UNPACKED:
                raise ValueError(f"more than {UNPACKED} bytes when unpacked")
    try:
        return pydicom.dcmread(io.BytesIO(content), **options)
    except pydicom.errors.InvalidDicomError as error:
        raise ValueError("is not a DICOM file") from error


def _check(dataset: Any, decodes: Callable) -> None:
    if "PixelData" not in dataset:
        raise ValueError("Expected an image. Received: a DICOM file without pixels.")
    kind = dataset.get("PhotometricInterpretation")
    frames = dataset.get("NumberOfFrames", 1)
    if kind not in GRAY or int(frames or 1) != 1:
        raise ValueError(
            f"Expected a DICOM file of one frame of {' or '.join(GRAY)}. Received: "
            f"{frames} frame(s) of {kind}."
        )
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_compressed and not syntax.is_deflated and not decodes(syntax):
        raise ValueError(
            "Expected a compression that an installed package reads. Received: "
            f"{syntax.name}. Install pylibjpeg, pylibjpeg-libjpeg and "
            "pylibjpeg-openjpeg with pip (or python-gdcm)."
        )


def _padding(stored: np.ndarray, dataset: Any) -> np.ndarray:
    """Boolean mask of the pixels that stand for no image, (rows, cols)."""
    names = ("PixelPaddingValue", "PixelPaddingRangeLimit")
    limits = [dataset.get(name) for name in names]
    if not isinstance(limits[0], int):
        return np.zeros(stored.shape, bool)
    # some files write negative values as unsigned ones, or the reverse
    numbers = [np.int64(n).astype(stored.dtype) for n in limits if isinstance(n, int)]
    return (stored >= min(numbers)) & (stored <= max(numbers))


def _rescaled(stored: np.ndarray, dataset: Any) -> np.ndarray:
    from pydicom.pixels import apply_modality_lut

    table = dataset.get("ModalityLUTSequence")
    slope, shift = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    if not table and (
        not slope or shift is None or not np.isfinite([slope, shift]).all()
    ):
        return stored
    return apply_modality_lut(stored, dataset)


def _windowed(pixels: np.ndarray, valid: np.ndarray, dataset: Any) -> np.ndarray:
    """Apply the VOI table or the first window that leaves levels; else all stay."""
    from pydicom.pixels import apply_voi, apply_windowing

    attempts = [functools.partial(apply_voi, pixels, dataset)]
    attempts *= bool(dataset.get("VOILUTSequence"))
    for index in range(dataset["WindowWidth"].VM if "WindowWidth" in dataset else 0):
        attempts.append(functools.partial(apply_windowing, pixels, dataset, index))
    for attempt in attempts:
        with contextlib.suppress(*DAMAGE):  # a width of 0, an empty value, no center
            window = attempt()
            if np.ptp(window[valid]) > 0:
                return window
    return pixels
