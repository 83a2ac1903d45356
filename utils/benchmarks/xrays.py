"""Reading of large X-rays on one core, augmented as PYLON's training has them."""

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

PUBLISHED = 86.0  # images a second and core
AIM = 90.0
TIMES = 8  # a table holds each file so many times


def on_one_core(work: Callable, *arguments):
    """What a function answers in a new process that has one core.

    Args:
        work: Of a module that can be imported.
        *arguments: Its arguments.
    """
    settings = {}
    if hasattr(os, "sched_setaffinity"):
        core = max(os.sched_getaffinity(0))
        settings = {"initializer": os.sched_setaffinity, "initargs": (0, {core})}
    with concurrent.futures.ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), **settings
    ) as pool:
        return pool.submit(work, *arguments).result()


def reading(options) -> list[dict]:
    """Reading in a process of its own on one core, in seconds of that core's work."""
    return on_one_core(measure, options)


def measure(options) -> list[dict]:
    """Decoding alone, reading, and augmented reading, in this process's CPU time."""
    from kerasloc.data.augment import augmentation

    race = Race("reading, CPU time", "images/s", time.process_time)
    published = f"the published {PUBLISHED:g} images/s"
    sizes = f"{options.file_size} to {options.im_size} px"
    with tempfile.TemporaryDirectory() as folder:
        files = xrays(pathlib.Path(folder), options.files, options.file_size)
        table = files.subset(np.tile(np.arange(len(files)), TIMES))
        kilobytes = np.mean([os.path.getsize(path) for path in files.paths]) / 1000
        decode = f"decode_png alone, {kilobytes:.0f} KB"
        race.add(decode, decoding(table), 2 * len(table))
        for name in ("none", "xray"):
            config = pipeline_config(options, augmentation(name))
            race.add(f"{sizes}, {name}", twice(table, config), 2 * len(table))
        race.run(options.repeat)
    race.seconds[published] = np.array([1 / PUBLISHED])
    decode, resized, augmented, _ = race.seconds
    return [
        race.row(decode),
        race.row(resized, decode),
        race.row(augmented, decode),
        race.row(augmented, published, AIM / PUBLISHED),
    ]


def decoding(table) -> Callable:
    """Function that decodes a table two times over and does no more."""
    import tensorflow as tf

    paths = tf.data.Dataset.from_tensor_slices(table.paths).repeat(2)
    data = paths.map(
        lambda path: tf.io.decode_png(tf.io.read_file(path), 1), tf.data.AUTOTUNE
    )
    return functools.partial(drain, data)


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
