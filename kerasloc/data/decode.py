"""Images from files as float32 in [0, 1], by ``tf`` ops: eagerly or in a data set.

JPEG, PNG (8 and 16 bit), GIF (its first frame), WebP and 24-bit BMP are read by
TensorFlow; other BMP and TIFF files, told by their first bytes, go through Pillow.
"""

import io

import numpy as np
import tensorflow as tf

GRAY = (0.299, 0.587, 0.114)
ORIENTATION_TAG = 274
TIFF = (b"II", b"MM")


def decode(path, orientation, channels: int) -> tf.Tensor:
    """The image of a file, float32 in [0, 1], (rows, cols, channels).

    16-bit files keep all their levels, alpha is dropped, CMYK becomes RGB, gray and
    color are turned into one another (ITU-R BT.601 luma) as ``channels`` asks.

    Args:
        path: Scalar string.
        orientation: Scalar int, EXIF orientation 1 to 8, see ``read_orientation``.
        channels: 1, 3, or the number of channels that the file has, alpha included.

    Raises:
        tf.errors.OpError: If the file is missing or no image, or has another number of
            channels than asked for, when that is neither 1 nor 3.
    """
    image = _levels(tf.io.read_file(path), 3 if channels == 3 else 0, _unit)
    return _with_channels(_upright(image, orientation), channels)


def decode_resized(path, orientation, channels: int, size, interpolation="bilinear"):
    """What ``resize`` makes of what ``decode`` gives, faster, and the file's size.

    Resizing starts from the 8 or 16 bits of the file, and gray is made afterwards, so
    answers differ by rounding of float32 only.

    Args:
        path: Scalar string.
        orientation: Scalar int, EXIF orientation 1 to 8.
        channels: As ``decode`` takes them.
        size: Rows and columns wanted.
        interpolation: ``"bilinear"`` or ``"bicubic"``.

    Returns:
        The image, float32 in [0, 1], (*size, channels), and rows and columns of the
        upright image in its file.
    """
    lying = orientation >= 5  # turned upright when small, which is less work
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


def decode_mask(path, orientation) -> tf.Tensor:
    """The mask of a file, boolean, (rows, cols): true where the file is not 0.

    JPEG blurs, so there it is true above half of the full value.

    Args:
        path: Scalar string.
        orientation: Scalar int, EXIF orientation of the image that the mask goes with;
            it turns both.
    """
    data = tf.io.read_file(path)
    image = _upright(_levels(data, 3, _unit), orientation)
    limit = tf.where(tf.strings.substr(data, 0, 2) == b"\xff\xd8", 0.5, 0.0)
    mask = tf.reduce_any(image > limit, axis=-1)
    mask.set_shape((None, None))
    return mask


def resize(image, size: tuple[int, int], interpolation="bilinear") -> tf.Tensor:
    """The image at another size, with antialiasing, in [0, 1].

    Args:
        image: Float in [0, 1], (rows, cols, channels) or a batch of them.
        size: Rows and columns wanted.
        interpolation: ``"bilinear"`` or ``"bicubic"``, which can overshoot; what does
            is cut.
    """
    resized = tf.image.resize(image, size, method=interpolation, antialias=True)
    return tf.clip_by_value(resized, 0.0, 1.0)


def read_orientation(path) -> int:
    """EXIF orientation of a file, 1 to 8; 1 where there is none or no sensible one.

    Args:
        path: An image file. 1 also for what is no image: ``decode`` says so.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if image.format == "TIFF":  # Pillow turns these itself
                return 1
            orientation = image.getexif().get(ORIENTATION_TAG, 1)
    except (UnidentifiedImageError, SyntaxError, ValueError):
        return 1
    except Image.DecompressionBombError:  # too large for Pillow, not for TensorFlow
        return 1
    return orientation if orientation in range(1, 9) else 1


def _levels(data, channels: int, finish):
    """What ``finish`` makes of an image with 3 channels, or its file's for 0.

    Args:
        data: Bytes of the file.
        channels: 3 or 0.
        finish: Function of the image, uint8, uint16 or float32, and of the number that
            turns its values into [0, 1].
    """

    def native(kind):  # 16-bit PNG would be cut to 8 bits, were they read as uint8
        image = tf.io.decode_image(data, channels, kind, expand_animations=False)
        image.set_shape((None, None, channels or None))
        return finish(image, 1 / kind.max)

    def pillow():
        image = tf.numpy_function(_read_with_pillow, [data, channels], tf.float32)
        image.set_shape((None, None, channels or None))
        return finish(image, 1.0)

    head = tf.strings.substr(data, 0, 30) + b"\0" * 30
    start = tf.strings.substr(head, 0, 2)
    small_bmp = (start == b"BM") & (tf.strings.substr(head, 28, 2) != b"\x18\0")
    deep = (start == b"\x89P") & (tf.strings.substr(head, 24, 1) == b"\x10")
    kind = tf.where(tf.reduce_any(start == list(TIFF)) | small_bmp, 2, 0)
    return tf.switch_case(
        tf.where(deep, 1, kind),
        [lambda: native(tf.uint8), lambda: native(tf.uint16), pillow],
    )


def _unit(levels, unit):
    return tf.cast(levels, tf.float32) * unit


def _with_channels(image, channels: int) -> tf.Tensor:
    """The image in [0, 1] as gray, as color, or as it is if it has so many channels."""
    if channels == 1:
        image = _gray(image)
    elif channels != 3:
        image = _exactly(image, channels)
    image.set_shape((None, None, channels))
    return image


def _read_with_pillow(data, channels: int) -> np.ndarray:
    """What ``_read`` gives, for the files that only Pillow reads."""
    from PIL import Image

    data = np.array(data, object).item()  # bytes in graphs, an array eagerly
    try:
        with Image.open(io.BytesIO(data)) as image:
            pixels = _pixels(image)
    except (OSError, SyntaxError, ValueError) as error:
        message = f"Pillow cannot read it: {error}"
        raise tf.errors.InvalidArgumentError(None, None, message) from error
    if channels == 3:
        rows, cols, have = pixels.shape
        return np.broadcast_to(pixels[..., : have - (1 - have % 2)], (rows, cols, 3))
    return pixels


def _pixels(image) -> np.ndarray:
    """Pixels of a Pillow image, float32 in [0, 1], (rows, cols, channels)."""
    if image.mode in ("I", "F"):
        message = "Images have 8 or 16 bits. Received: 32-bit pixels."
        raise tf.errors.InvalidArgumentError(None, None, message)
    if image.mode.startswith("I;16"):
        return np.asarray(image)[..., None].astype(np.float32) / np.float32(65535)
    mode = {"1": "L", "L": "L", "LA": "LA", "RGBA": "RGBA"}.get(image.mode, "RGB")
    pixels = np.asarray(image.convert(mode), np.float32) / np.float32(255)
    return np.atleast_3d(pixels)


def _upright(image, orientation) -> tf.Tensor:
    """The image as it is to be looked at, by its EXIF orientation."""
    return tf.cond(orientation == 1, lambda: image, lambda: _turned(image, orientation))


def _turned(image, orientation) -> tf.Tensor:
    turn = (tf.cast(orientation, tf.int32) - 1) % 4
    image = tf.cond(
        orientation >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image
    )
    mirrored = (turn == 1) | (turn == 2)
    image = tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image)
    return tf.cond(turn >= 2, lambda: tf.reverse(image, [0]), lambda: image)


def _gray(image) -> tf.Tensor:
    """Gray of an image with any number of channels, (rows, cols, 1)."""

    def luma():
        gray = tf.reduce_sum(image[..., :3] * GRAY, axis=-1, keepdims=True)
        return tf.minimum(gray, 1.0)

    return tf.cond(tf.shape(image)[-1] >= 3, luma, lambda: image[..., :1])


def _exactly(image, channels: int) -> tf.Tensor:
    """The image, if it has so many channels."""
    same = tf.debugging.assert_equal(
        tf.shape(image)[-1],
        channels,
        message="Images have 1 or 3 channels, or as many as their file.",
    )
    with tf.control_dependencies([] if same is None else [same]):
        return tf.identity(image)
