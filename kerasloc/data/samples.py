"""Single images of a dataset: the test folder by number, and any file."""

import operator
from pathlib import Path

import numpy as np

from kerasloc import checks
from kerasloc.data.datasets.files import PathLike
from kerasloc.data.datasets.folders import read_folders
from kerasloc.data.headers import MAX_PIXELS, read_header
from kerasloc.data.problems import check_bits, decoding_reason
from kerasloc.data.synthetic import default_folder
from kerasloc.data.table import Table
from kerasloc.processes import check_process


def read_image(
    index: int | None = None,
    data_dir: PathLike | None = None,
    *,
    im_size: int | tuple[int, int] | None = None,
    channels: int = 3,
    seed: int | None = None,
    bits: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> tuple[np.ndarray, int]:
    """Read an image of the test folder, float32 in [0, 1], and its class index.

    Args:
        index: Number of the image, as in ``test_images``. None: a random one.
        data_dir: Folder with ``test/CLASS/*``. None: the embedded synthetic data.
        im_size: Size of the result, a number or (rows, cols). None: that of the file.
        channels: 1 or 3.
        seed: Seed of the random choice.
        bits: As for :func:`load_image`.
        max_pixels: Likewise.

    Raises:
        ValueError: If there is no such image.
    """
    table = _test_table(data_dir)
    if index is None:
        index = int(np.random.default_rng(seed).integers(len(table)))
    index = operator.index(index)
    if not 0 <= index < len(table):
        raise ValueError(
            f"Expected index of a test image in 0..{len(table) - 1}. Received: {index}."
        )
    image = load_image(
        table.paths[index], im_size, channels, bits=bits, max_pixels=max_pixels
    )
    return image, int(table.class_index[index])


def load_image(
    path: PathLike,
    size: int | tuple[int, int] | None = None,
    channels: int = 3,
    *,
    bits: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Read an image file upright, float32 in [0, 1], (rows, cols, channels).

    Args:
        path: JPEG, PNG, BMP, GIF, TIFF, WebP or DICOM file.
        size: Size of the result, a number or (rows, cols). None: that of the file.
        channels: 1 or 3, or the number of channels of the file.
        bits: Bits of the levels of 16-bit files, such as 12 for levels up to 4095.
            None: 16.
        max_pixels: Largest number of pixels of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not an image, damaged, or has another number of channels,
            more pixels, or larger levels.
    """
    import tensorflow as tf

    from kerasloc.data.decode import check_levels, decode, measure, resize

    check_process()
    check_bits(bits)
    shape = None if size is None else checks.as_size(size)
    try:
        header = read_header(path, max_pixels)
        with tf.device("CPU:0"):
            if bits is not None:
                check_levels(measure(str(path), channels)[1], bits)
            image = decode(str(path), header.orientation, channels, bits)
            image = image if shape is None else resize(image, shape)
    except (ValueError, tf.errors.OpError) as error:
        rule = f"Expected an image with {channels} channels in {path}"
        raise ValueError(f"{rule}. Received: {decoding_reason(error)}") from error
    return image.numpy()


def num_images(data_dir: PathLike | None = None) -> int:
    """Count the images in the test folder."""
    return len(_test_table(data_dir))


def num_classes(data_dir: PathLike | None = None) -> int:
    """Count the classes of the data."""
    return len(_test_table(data_dir).class_names)


def test_images(data_dir: PathLike | None = None) -> list[str]:  # noqa: PT028
    """List the paths of the images in the test folder, sorted."""
    return _test_table(data_dir).paths.tolist()


test_images.__test__ = False  # type: ignore[attr-defined]  # not a test of pytest


def _test_table(data_dir: PathLike | None) -> Table:
    folder = Path(default_folder() if data_dir is None else data_dir)
    table = read_folders(folder).split("test")
    if not len(table):
        raise ValueError(
            f"Expected single images in {folder / 'test'}. Received: {folder} without "
            "it. Add it, or read a file with load_image."
        )
    return table
