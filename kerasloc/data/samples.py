"""Single images of a data set, for a quick try: the test folder by number, any file."""

import operator
from pathlib import Path

import numpy as np

from kerasloc import checks
from kerasloc.data.datasets.folders import read_folders
from kerasloc.data.synthetic import default_folder
from kerasloc.data.table import Table


def read_image(
    index: int | None = None, data_dir=None, *, im_size=None, channels=3, seed=None
) -> tuple[np.ndarray, int]:
    """An image of the test folder, float32 in [0, 1], and the index of its class.

    Args:
        index: Number of the image, as in ``test_images``. None: a random one.
        data_dir: Folder with ``test/CLASS/*``. None: the embedded synthetic data in
            ``data/``, made when absent.
        im_size: Size wanted, a number or (rows, cols). None: the file's own.
        channels: 1 or 3.
        seed: Seed of the random choice.

    Raises:
        ValueError: If there is no such image.
    """
    table = _test_table(data_dir)
    if index is None:
        index = np.random.default_rng(seed).integers(len(table))
    index = operator.index(index)
    if not 0 <= index < len(table):
        raise ValueError(
            f"The test folder holds images 0..{len(table) - 1}. Received: {index}."
        )
    image = load_image(table.paths[index], im_size, channels)
    return image, int(table.class_index[index])


def load_image(path, size=None, channels: int = 3) -> np.ndarray:
    """The image of a file, upright, float32 in [0, 1], (rows, cols, channels).

    Args:
        path: JPEG, PNG, BMP, GIF, TIFF or WebP file.
        size: Size wanted, a number or (rows, cols). None: the file's own.
        channels: 1 or 3, or the number that the file has.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no image, or has not so many channels.
    """
    import tensorflow as tf

    from kerasloc.data.decode import decode, read_orientation, resize

    try:
        with tf.device("CPU:0"):
            image = decode(str(path), read_orientation(path), channels)
            if size is not None:
                image = resize(image, checks.as_size(size))
    except tf.errors.OpError as error:
        raise ValueError(
            f"{path} is not an image that can be read with {channels} channels. "
            f"Received: {error.message}"
        ) from error
    return image.numpy()


def num_images(data_dir=None) -> int:
    """Number of images in the test folder.

    Args:
        data_dir: As in ``read_image``.
    """
    return len(_test_table(data_dir))


def num_classes(data_dir=None) -> int:
    """Number of classes of the data.

    Args:
        data_dir: As in ``read_image``.
    """
    return len(_test_table(data_dir).class_names)


def test_images(data_dir=None) -> list[str]:  # noqa: PT028
    """Paths of the images in the test folder, sorted.

    Args:
        data_dir: As in ``read_image``.
    """
    return _test_table(data_dir).paths.tolist()


test_images.__test__ = False  # pytest would take it for a test


def _test_table(data_dir) -> Table:
    """Table of the test folder."""
    folder = Path(default_folder() if data_dir is None else data_dir)
    table = read_folders(folder).split("test")
    if not len(table):
        raise ValueError(
            f"Single images come from the test folder. Received: {folder} without "
            f"{folder / 'test'}. Add it, or read a file with load_image."
        )
    return table
