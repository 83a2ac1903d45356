"""The suite ``pylon``: training and inference of PYLON, its metrics and its reading."""

import functools
from collections.abc import Callable

import numpy as np

from benchmarks.localization import metrics
from benchmarks.timing import Race
from benchmarks.xrays import reading

CLASSES = 14
OPTIONS = {  # option -> default, help
    "repeat": (5, "rounds"),
    "backbone": ("resnet50", "backbone of the network"),
    "im-size": (256, "sides of the network's images, pixels"),
    "batch-size": (8, "images in a batch"),
    "images": (880, "images in the section metrics"),
    "map-size": (64, "sides of their maps, pixels"),
    "loop-images": (40, "number of these images for the loops"),
    "files": (8, "files in the section reading, each read 16 times in a turn"),
    "file-size": (1024, "sides of the files, pixels"),
}
QUICK = {"repeat": 1, "backbone": "resnet18", "im_size": 64, "batch_size": 2}
QUICK |= {"images": 40, "map_size": 16, "loop_images": 4, "files": 2, "file_size": 256}


PLAIN, PLAIN_HALF = "Keras' layers, float32", "Keras' layers, mixed_bfloat16"
TRAINING = {  # row -> target ratio by compared row
    PLAIN: {},
    "ours, float32": {PLAIN: 1.2},
    PLAIN_HALF: {PLAIN: None},
    "ours, mixed_bfloat16": {PLAIN_HALF: 1.8, PLAIN: 1.8},
}
INFERENCE = {
    PLAIN: {},
    "ours, float32": {PLAIN: None},
    "optimized, float32": {PLAIN: None},
    PLAIN_HALF: {PLAIN: None},
    "ours, mixed_bfloat16": {PLAIN_HALF: None},
    "optimized, mixed_bfloat16": {PLAIN_HALF: None, PLAIN: 2.4},
}


def networks(options, precision: str) -> tuple:
    """Build an untrained PYLON of a precision, and its copy of Keras' layers."""
    from benchmarks.environment import in_precision
    from benchmarks.plain import plain_copy
    from kerasloc import Pylon

    with in_precision(precision):
        wrapper = Pylon(
            num_classes=CLASSES,
            im_size=options.im_size,
            channels=1,
            backbone=options.backbone,
        )
        return wrapper, plain_copy(wrapper.model)


def _noise(options) -> np.ndarray:
    rng = np.random.default_rng(0)
    shape = (options.batch_size, options.im_size, options.im_size, 1)
    return rng.standard_normal(shape, dtype="float32")


def training_step(model, network, options) -> Callable:
    """Function that trains a published step on noise."""
    from kerasloc.training.configs import MapTraining
    from kerasloc.training.maps import compile_maps

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (options.batch_size, CLASSES)).astype("float32")
    trainer = compile_maps(model, network, MapTraining())
    return functools.partial(trainer.train_on_batch, _noise(options), labels)


def training(
    options, build: Callable = networks, step: Callable = training_step
) -> list[dict]:
    """Training steps of the package's and of Keras' layers, in two precisions."""
    race = Race("training", "images/s")
    for precision in ("float32", "mixed_bfloat16"):
        wrapper, plain = build(options, precision)
        for layers, model in (("Keras' layers", plain), ("ours", wrapper.model)):
            name = f"{layers}, {precision}"
            work = step(model, wrapper.config, options)
            race.add(name, work, options.batch_size, TRAINING[name])
    return race.run(options.repeat)


def inference(options, build: Callable = networks) -> list[dict]:
    """Predictions of the package's layers, built and optimized, and of Keras'."""
    race, images = Race("inference", "images/s"), _noise(options)
    for precision in ("float32", "mixed_bfloat16"):
        wrapper, plain = build(options, precision)
        for layers, model in (
            ("Keras' layers", plain),
            ("ours", wrapper.model),
            ("optimized", wrapper.optimize(precision).model),
        ):
            name = f"{layers}, {precision}"
            work = functools.partial(model.predict_on_batch, images)
            race.add(name, work, len(images), INFERENCE[name])
    return race.run(options.repeat)


SECTIONS = (training, inference, metrics, reading)
