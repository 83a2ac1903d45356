"""Image files to read, and their reading through the pipeline."""

import collections
import pathlib

import numpy as np

GRAIN = 2.0  # standard deviation of the noise of every pixel, gray levels


def synthetic(folder: pathlib.Path, config) -> dict:
    """Write the same images as PNG and as JPEG files; returns their tables."""
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
    """Write gray PNG files, smooth with some grain like X-rays; returns their table."""
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


def twice(table, config):
    """Dataset of the batches of two epochs, as in training."""
    from kerasloc.data.pipeline import steps, training_batches

    return training_batches(table, config).take(2 * steps(table, config))


def drain(data) -> None:
    """Iterate over a dataset and keep nothing."""
    collections.deque(data, maxlen=0)
