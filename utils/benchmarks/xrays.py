"""Reading of large X-rays on one core, augmented as in PYLON's training."""

import concurrent.futures
import functools
import multiprocessing
import os
import pathlib
import tempfile
import time
from collections.abc import Callable

import numpy as np

from benchmarks.files import drain, twice, xrays
from benchmarks.timing import Race

PUBLISHED = 86.0  # images per second and core
TARGET = 90.0
TIMES = 8  # number of copies of each file in the table


def on_one_core(work: Callable, *arguments):
    """Call a function in a new process that has one core."""
    settings = {}
    if hasattr(os, "sched_setaffinity"):
        core = max(os.sched_getaffinity(0))
        settings = {"initializer": os.sched_setaffinity, "initargs": (0, {core})}
    with concurrent.futures.ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), **settings
    ) as pool:
        return pool.submit(work, *arguments).result()


def reading(options, run: Callable = on_one_core) -> list[dict]:
    """Reading in another process on one core, in seconds of that core's work."""
    return run(measure, options)


def measure(options) -> list[dict]:
    """Decoding alone, reading, and augmented reading, in this process's CPU time."""
    from kerasloc.data.augment import augmentation

    race = Race("reading, CPU time", "images/s", time.process_time)
    published = f"the published {PUBLISHED:g} images/s"
    race.publish(published, 1 / PUBLISHED)
    sizes = f"{options.file_size} to {options.im_size} px"
    with tempfile.TemporaryDirectory() as folder:
        files = xrays(pathlib.Path(folder), options.files, options.file_size)
        table = files.subset(np.tile(np.arange(len(files)), TIMES))
        kilobytes = np.mean([os.path.getsize(path) for path in files.paths]) / 1000
        decode = f"decode_png alone, {kilobytes:.0f} KB"
        race.add(decode, functools.partial(drain, decoded(table)), 2 * len(table))
        for name in ("none", "xray"):
            config = pipeline_config(options, augmentation(name))
            against = {decode: None}
            against |= {published: TARGET / PUBLISHED} if name == "xray" else {}
            work = functools.partial(drain, twice(table, config))
            race.add(f"{sizes}, {name}", work, 2 * len(table), against)
        return race.run(options.repeat)


def decoded(table):
    """Dataset that decodes a table two times and does no more."""
    import tensorflow as tf

    paths = tf.data.Dataset.from_tensor_slices(table.paths).repeat(2)
    return paths.map(
        lambda path: tf.io.decode_png(tf.io.read_file(path), 1), tf.data.AUTOTUNE
    )


def pipeline_config(options, augment):
    """The pipeline of PYLON's training."""
    from kerasloc.data.pipeline import PipelineConfig
    from kerasloc.models import families

    return PipelineConfig(
        size=(options.im_size, options.im_size),
        channels=1,
        batch_size=options.batch_size,
        augment=augment,
        **families.get("pylon").normalization(1),
    )
