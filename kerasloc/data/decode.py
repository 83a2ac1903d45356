"""Images from files as float32 in [0, 1], and masks from boxes, by ``tf`` ops.

TensorFlow reads JPEG, PNG (8 and 16 bit), GIF (its first frame), WebP and 24-bit BMP;
Pillow reads other BMP and TIFF files, recognized by their first bytes.
"""

import functools
import io
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

GRAY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma
ORIENTATION_TAG = 274
TIFF = (b"II", b"MM")


def decode(path: Any, orientation: Any, channels: int) -> tf.Tensor:
    """Decode an image file to the upright image, float32 (rows, cols, channels).

    16-bit files keep all their levels, alpha is dropped, CMYK becomes RGB, gray and
    color are converted into each other (ITU-R BT.601 luma).

    Args:
        path: Scalar string.
        orientation: Scalar int, EXIF orientation 1 to 8, see ``read_orientation``.
        channels: 1, 3, or the number of channels of the file, alpha included.

    Raises:
        tf.errors.OpError: If the file cannot be decoded or has other channels.
    """
    image = _levels(tf.io.read_file(path), 3 if channels == 3 else 0, _unit)
    return _with_channels(_upright(image, orientation), channels)


def decode_resized(
    path: Any,
    orientation: Any,
    channels: int,
    size: tuple[int, int],
    interpolation: str = "bilinear",
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decode and resize a file, faster than, but for rounding, ``resize(decode(...))``.

    Returns:
        Image, float32 in [0, 1], (*size, channels), and rows and columns of the
        upright image in its file.
    """
    lying = orientation >= 5  # transposed when small, which is less work
    target = tf.where(lying, size[::-1], size)

    def shrink(levels, unit):
        small = tf.image.resize(levels, target, method=interpolation, antialias=True)
        return small * unit, tf.shape(levels)[:2]

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


def read_orientation(path: str | os.PathLike) -> int:
    """Read the EXIF orientation of a file, 1 to 8; 1 if it is missing or invalid."""
    from PIL import Image, UnidentifiedImageError
    from PIL.Image import DecompressionBombError

    try:
        with Image.open(path) as image:
            if image.format == "TIFF":  # Pillow rotates these itself
                return 1
            orientation = image.getexif().get(ORIENTATION_TAG, 1)
    # a bomb is too large for Pillow, not for TensorFlow; decoding reports the rest
    except (UnidentifiedImageError, SyntaxError, ValueError, DecompressionBombError):
        return 1
    return orientation if orientation in range(1, 9) else 1


def _levels(data: tf.Tensor, channels: int, finish: Callable) -> Any:
    """Decode a file and apply ``finish`` to its levels and their factor to [0, 1]."""

    def decoded(kind):  # read as uint8, 16-bit PNG would be cut to 8 bits
        if kind == tf.float32:
            image = tf.numpy_function(_decode_with_pillow, [data, channels], kind)
        else:
            image = tf.io.decode_image(data, channels, kind, expand_animations=False)
        image.set_shape((None, None, channels or None))
        return finish(image, 1.0 if kind == tf.float32 else 1 / kind.max)

    head = tf.strings.substr(data, 0, 30) + b"\0" * 30
    start = tf.strings.substr(head, 0, 2)
    small_bmp = (start == b"BM") & (tf.strings.substr(head, 28, 2) != b"\x18\0")
    deep = (start == b"\x89P") & (tf.strings.substr(head, 24, 1) == b"\x10")
    kind = tf.where(tf.reduce_any(start == list(TIFF)) | small_bmp, 2, 0)
    kinds = (tf.uint8, tf.uint16, tf.float32)
    branches = [functools.partial(decoded, kind) for kind in kinds]
    return tf.switch_case(tf.where(deep, 1, kind), branches)


def _unit(levels: tf.Tensor, unit: float) -> tf.Tensor:
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
        message = "Images have 1 or 3 channels, or as many as their file."
        equal = tf.debugging.assert_equal(count, channels, message=message)
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


def _decode_with_pillow(data: Any, channels: int) -> np.ndarray:
    """Decode the bytes of a file that TensorFlow does not read, float32 in [0, 1]."""
    from PIL import Image

    data = np.array(data, object).item()  # bytes in graphs, an array eagerly
    modes = {"1": "L", "L": "L", "LA": "LA", "RGBA": "RGBA"}
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode in ("I", "F"):
                raise ValueError("Images have 8 or 16 bits. Received: 32-bit pixels.")
            deep = image.mode.startswith("I;16")
            levels = image if deep else image.convert(modes.get(image.mode, "RGB"))
            pixels = np.atleast_3d(np.asarray(levels).astype(np.float32))
    except (OSError, SyntaxError, ValueError) as error:
        message = f"Pillow cannot read it: {error}"
        raise tf.errors.InvalidArgumentError(None, None, message) from error
    pixels /= np.float32(65535 if deep else 255)
    if channels == 3:
        rows, cols, count = pixels.shape
        colors = pixels[..., : count - (1 - count % 2)]  # without alpha
        return np.broadcast_to(colors, (rows, cols, 3))
    return pixels


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
