"""Image files to read, and their reading through the pipeline."""

import collections
import functools
import pathlib
from collections.abc import Callable

import numpy as np

GRAIN = 2.0  # deviation of the noise of every pixel, gray levels


def synthetic(folder: pathlib.Path, config) -> dict:
    """Tables of the same new images as PNG and as JPEG files in a folder.

    Args:
        folder: Where they go.
        config: A :class:`kerasloc.data.SyntheticConfig`.
    """
    from PIL import Image

    from kerasloc.data import read_folders
    from kerasloc.data.synthetic import write

    png = read_folders(write(folder / "png", config)).split("train")
    for path in map(pathlib.Path, png.paths):
        copy = folder / "jpeg" / path.relative_to(folder / "png").with_suffix(".jpg")
        copy.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).save(copy, quality=90)
    return {"PNG": png, "JPEG": read_folders(folder / "jpeg")}


def xrays(folder: pathlib.Path, count: int, side: int):
    """A table of new gray PNG files, smooth with some grain as X-rays are.

    Args:
        folder: Where they go.
        count: How many.
        side: Of each, pixels; at 1024 a file has 400 to 700 KB.
    """
    from PIL import Image

    from kerasloc.data.table import Table

    rng, paths = np.random.default_rng(0), []
    for index in range(count):
        coarse = Image.fromarray(rng.uniform(30, 225, (8, 8)).astype(np.float32))
        smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))
        levels = smooth + GRAIN * rng.standard_normal((side, side))
        paths.append(folder / f"{index}.png")
        Image.fromarray(levels.clip(0, 255).astype(np.uint8)).save(paths[-1])
    return Table(paths, ("any",), np.zeros((count, 1), np.float32))


def twice(table, config) -> Callable:
    """Function that reads a table two times over, as training does.

    Args:
        table: The images.
        config: A :class:`kerasloc.data.pipeline.PipelineConfig`.
    """
    from kerasloc.data.pipeline import steps, training_batches

    data = training_batches(table, config).take(2 * steps(table, config))
    return functools.partial(drain, data)


def drain(data):
    """Goes through a data set and keeps nothing."""
    collections.deque(data, maxlen=0)
