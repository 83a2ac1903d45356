"""Images from files as float32 in [0, 1], and masks from boxes, by ``tf`` ops.

TensorFlow reads JPEG, PNG (8 and 16 bit), plain WebP and 24-bit BMP; Pillow reads other
BMP and WebP, TIFF and GIF files (the first frame), pydicom DICOM files. The first bytes
tell which.
"""

import functools
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from kerasloc.data import dicom
from kerasloc.data.headers import format_of, open_image
from kerasloc.data.problems import damage_as_value_error

CHANNELS = "Images have 1 or 3 channels, or as many as their file."
DEPTH = 16  # bits of the levels of a deep file
GRAY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma
IN_PYTHON = (b"II", b"MM", b"GI")  # TIFF and GIF


def decode(
    path: Any, orientation: Any, channels: int, bits: int | None = None
) -> tf.Tensor:
    """Decode an image file to the upright image, float32 (rows, cols, channels).

    16-bit files keep all their levels, alpha is dropped, CMYK becomes RGB, gray and
    color are converted into each other (ITU-R BT.601 luma).

    Args:
        path: Scalar string.
        orientation: Scalar int, EXIF orientation 1 to 8, see ``read_header``.
        channels: 1, 3, or the number of channels of the file, alpha included.
        bits: Bits of the levels of 16-bit files, the largest becomes 1. None: 16.

    Raises:
        tf.errors.OpError: If the file cannot be decoded or has other channels.
    """
    finish = functools.partial(_unit, bits=bits)
    image = _levels(tf.io.read_file(path), 3 if channels == 3 else 0, finish)
    return _with_channels(_upright(image, orientation), channels)


def measure(path: str, channels: int) -> tuple[tuple[int, int], int]:
    """Decode a file for its size before EXIF rotation and its largest deep level.

    Args:
        path: Path of the file.
        channels: Number of channels to read it with.

    Returns:
        Rows and columns, and the largest level of a 16-bit file, -1 of others.

    Raises:
        tf.errors.OpError: If the file cannot be decoded.
        ValueError: If the file has other channels.
    """

    def finish(levels, depth):
        most = tf.cast(tf.reduce_max(levels), tf.int32)
        return tf.shape(levels), tf.where(tf.equal(depth, DEPTH), most, -1)

    shape, most = _levels(tf.io.read_file(path), 0, finish)
    rows, cols, count = shape.numpy().tolist()
    if channels not in (1, 3, count):
        raise ValueError(
            f"{CHANNELS} Received: {count}, where {channels} are expected."
        )
    return (rows, cols), int(most)


def check_levels(most: int, bits: int) -> None:
    """Raise a ValueError if the largest level of a 16-bit file has more bits."""
    if most >= 2**bits:
        raise ValueError(
            f"levels up to {most}, where {bits} bits end at {2**bits - 1}. Give the "
            f"bits of the data, --bits {most.bit_length()} (bits in Python), or none."
        )


def decode_resized(
    path: Any,
    orientation: Any,
    channels: int,
    size: tuple[int, int],
    interpolation: str = "bilinear",
    bits: int | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decode and resize a file, faster than, but for rounding, ``resize(decode(...))``.

    Returns:
        Image, float32 in [0, 1], (*size, channels), and rows and columns of the
        upright image in its file.
    """
    lying = orientation >= 5  # transposed when small, which is less work
    target = tf.where(lying, size[::-1], size)

    def shrink(levels, depth):
        small = tf.image.resize(levels, target, method=interpolation, antialias=True)
        return _unit(small, depth, bits), tf.shape(levels)[:2]

    data = tf.io.read_file(path)
    image, file_size = _levels(data, 3 if channels == 3 else 0, shrink)
    image = _with_channels(_upright(image, orientation), channels)
    image = tf.clip_by_value(image, 0.0, 1.0)
    image.set_shape((*size, channels))
    return image, tf.where(lying, file_size[::-1], file_size)


def decode_mask(path: Any, orientation: Any) -> tf.Tensor:
    """Decode a mask file, boolean (rows, cols): true where the file is not 0.

    In JPEG files, which are blurred, true where it is above half of the full value.
    The EXIF orientation is that of the image of the mask.
    """
    data = tf.io.read_file(path)
    image = _upright(_levels(data, 3, _unit), orientation)
    limit = tf.where(tf.strings.substr(data, 0, 2) == b"\xff\xd8", 0.5, 0.0)
    mask = tf.reduce_any(image > limit, axis=-1)
    mask.set_shape((None, None))
    return mask


def resize(
    image: Any, size: tuple[int, int], interpolation: str = "bilinear"
) -> tf.Tensor:
    """Resize with antialiasing, clipped to [0, 1].

    Args:
        image: Float in [0, 1], (rows, cols, channels) or a batch of them.
        size: Rows and columns of the result.
        interpolation: ``"bilinear"`` or ``"bicubic"``.

    Examples:
        >>> resize(tf.constant([[[0.0], [1.0]]]), (1, 4))[0, :, 0].numpy()
        array([0.  , 0.25, 0.75, 1.  ], dtype=float32)
    """
    resized = tf.image.resize(image, size, method=interpolation, antialias=True)
    return tf.clip_by_value(resized, 0.0, 1.0)


def _levels(data: tf.Tensor, channels: int, finish: Callable) -> Any:
    """Decode a file and apply ``finish`` to its levels and their depth, 8 or 16."""

    def decoded(kind):  # read as uint8, 16-bit PNG would be cut to 8 bits
        if kind is None:
            types = (tf.uint16, tf.int32)
            image, depth = tf.numpy_function(_decode_in_python, [data, channels], types)
        else:
            image = tf.io.decode_image(data, channels, kind, expand_animations=False)
            depth = 8 * kind.size
        image.set_shape((None, None, channels or None))
        return finish(image, depth)

    head = tf.strings.substr(data, 0, 132) + b"\0" * 132
    start = tf.strings.substr(head, 0, 2)
    in_python = tf.reduce_any(start == list(IN_PYTHON))
    in_python |= (start == b"BM") & (tf.strings.substr(head, 28, 2) != b"\x18\0")
    # others than plain WebP files are animated or have alpha
    in_python |= (start == b"RI") & (tf.strings.substr(head, 12, 4) != b"VP8 ")
    in_python |= tf.strings.substr(head, 128, 4) == b"DICM"
    deep = (start == b"\x89P") & (tf.strings.substr(head, 24, 1) == b"\x10")
    kinds = (tf.uint8, tf.uint16, None)
    branches = [functools.partial(decoded, kind) for kind in kinds]
    return tf.switch_case(tf.where(in_python, 2, tf.where(deep, 1, 0)), branches)


def _unit(levels: tf.Tensor, depth: Any, bits: int | None = None) -> tf.Tensor:
    """Levels of a depth of 8 or 16 bits, as float32 in [0, 1]."""
    unit = tf.where(tf.equal(depth, DEPTH), 1 / (2 ** (bits or DEPTH) - 1), 1 / 255)
    return tf.cast(levels, tf.float32) * unit


def _with_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Convert to gray for 1 channel; check any other number than 3."""

    def luma():
        gray = tf.reduce_sum(image[..., :3] * GRAY, axis=-1, keepdims=True)
        return tf.minimum(gray, 1.0)

    count = tf.shape(image)[-1]
    if channels == 1:
        image = tf.cond(count >= 3, luma, lambda: image[..., :1])
    elif channels != 3:
        equal = tf.debugging.assert_equal(count, channels, message=CHANNELS)
        with tf.control_dependencies([] if equal is None else [equal]):
            image = tf.identity(image)
    image.set_shape((None, None, channels))
    return image


def _upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Undo an EXIF orientation."""
    turn = (tf.cast(orientation, tf.int32) - 1) % 4
    swapped, mirrored = orientation >= 5, (turn == 1) | (turn == 2)
    image = tf.cond(swapped, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    image = tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image)
    return tf.cond(turn >= 2, lambda: tf.reverse(image, [0]), lambda: image)


def _decode_in_python(data: Any, channels: int) -> tuple[np.ndarray, np.int32]:
    """Decode the bytes of a file that TensorFlow does not read: levels and depth."""
    data = np.array(data, object).item()  # bytes in graphs, an array eagerly
    try:
        levels, depth = _decode_levels(data)
    except ValueError as error:
        raise tf.errors.InvalidArgumentError(None, None, str(error)) from error
    pixels = np.atleast_3d(levels).astype(np.uint16)
    if channels == 3:
        rows, cols, count = pixels.shape
        colors = pixels[..., : count - (1 - count % 2)]  # without alpha
        pixels = np.broadcast_to(colors, (rows, cols, 3))
    return pixels, np.int32(depth)


def _decode_levels(data: bytes) -> tuple[np.ndarray, int]:
    """Levels of the file and their depth, 8 or 16."""
    if dicom.is_dicom(data):
        return dicom.read_gray8(data), 8
    kind = format_of(data)
    with damage_as_value_error(f"damaged or unsupported {kind.upper()} file: "):
        image = open_image(io.BytesIO(data), kind)
        if image.mode in ("I", "F"):
            raise ValueError("Images have 8 or 16 bits. Received: 32-bit pixels.")
        image.load()
        if image.mode.startswith("I;16"):
            return np.asarray(image), DEPTH
        modes = {"1": "L", "L": "L", "LA": "LA", "RGBA": "RGBA"}
        return np.asarray(image.convert(modes.get(image.mode, "RGB"))), 8


def box_masks(boxes: tf.Tensor, size: tuple[int, int], classes: int) -> tf.Tensor:
    """Draw the boxes of every class, boolean (n, rows, cols, classes).

    A pixel belongs to a box that covers its center.

    Args:
        boxes: Rows x, y, w, h, class in pixels, class -1 for padding, (n, boxes, 5).
        size: Rows and columns of the masks.
        classes: Number of classes.

    Examples:
        >>> box_masks([[[1, 0, 2, 2, 0]]], (2, 4), 1)[0, ..., 0].numpy().astype(int)
        array([[0, 1, 1, 0],
               [0, 1, 1, 0]])
    """
    x, y, w, h, index = tf.unstack(tf.cast(boxes, tf.float32), axis=-1)  # (n, boxes)
    one_hot = tf.one_hot(tf.cast(index, tf.int32), classes)  # zeros for -1
    rows = _covered(y, h, size[0])
    # classes with the columns: the product is then in its final order
    cols = _covered(x, w, size[1])[..., None] * one_hot[:, :, None]
    return tf.einsum("nbr,nbck->nrck", rows, cols) > 0


def _covered(start: tf.Tensor, length: tf.Tensor, count: int) -> tf.Tensor:
    """1 where a side covers the centers of pixels, (n, boxes, count)."""
    centers = tf.range(count, dtype=tf.float32) + 0.5
    start, end = start[..., None], (start + length)[..., None]
    return tf.cast((start <= centers) & (centers < end), tf.float32)
