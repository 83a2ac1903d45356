"""The suite ``pylon``: training and inference of PYLON, its metrics and its reading."""

import functools
from collections.abc import Callable

import numpy as np

from benchmarks.localization import metrics
from benchmarks.timing import Race
from benchmarks.xrays import reading

CLASSES = 14
OPTIONS = {  # option -> default, what the help says
    "repeat": (5, "rounds"),
    "backbone": ("resnet50", "of the network"),
    "im-size": (256, "sides of the network's images, pixels"),
    "batch-size": (8, "images at once"),
    "images": (880, "images in the section metrics"),
    "map-size": (64, "sides of their maps, pixels"),
    "loop-images": (40, "of these, what the loops are timed on"),
    "files": (8, "files in the section reading; a turn reads each 16 times"),
    "file-size": (1024, "their sides, pixels"),
}
QUICK = {
    "repeat": 1,
    "backbone": "resnet18",
    "im_size": 64,
    "batch_size": 2,
    "images": 40,
    "map_size": 16,
    "loop_images": 4,
    "files": 2,
    "file_size": 256,
}


def both(options, precision: str) -> tuple:
    """An untrained PYLON of a precision, and its network of Keras' own layers."""
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


def _noise(options):
    rng = np.random.default_rng(0)
    shape = (options.batch_size, options.im_size, options.im_size, 1)
    return rng.standard_normal(shape, dtype="float32")


def training_step(model, network, options) -> Callable:
    """One step of the published training, on noise."""
    from kerasloc.training.configs import MapTraining
    from kerasloc.training.maps import map_trainer

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (options.batch_size, CLASSES)).astype("float32")
    trainer = map_trainer(model, network, MapTraining())
    return functools.partial(trainer.train_on_batch, _noise(options), labels)


def training(options) -> list[dict]:
    """Training steps of ours and of Keras' own layers, in two precisions."""
    race = Race("training", "images/s")
    for precision in ("float32", "mixed_bfloat16"):
        wrapper, plain = both(options, precision)
        for way, model in (("Keras' layers", plain), ("ours", wrapper.model)):
            step = training_step(model, wrapper.config, options)
            race.add(f"{way}, {precision}", step, options.batch_size)
    race.run(options.repeat)
    plain, ours, plain_half, half = race.works
    return [
        race.row(plain),
        race.row(ours, plain, 1.2),
        race.row(plain_half, plain),
        race.row(half, plain_half, 1.8),
        race.row(half, plain, 1.8),
    ]


def inference(options) -> list[dict]:
    """Answers of ours, as built and optimized, and of Keras' own layers."""
    race, images = Race("inference", "images/s"), _noise(options)
    for precision in ("float32", "mixed_bfloat16"):
        wrapper, plain = both(options, precision)
        for way, model in (
            ("Keras' layers", plain),
            ("ours", wrapper.model),
            ("optimized", wrapper.optimize(precision).model),
        ):
            work = functools.partial(model.predict_on_batch, images)
            race.add(f"{way}, {precision}", work, len(images))
    race.run(options.repeat)
    plain, ours, optimized, plain_half, half, optimized_half = race.works
    return [
        race.row(plain),
        race.row(ours, plain),
        race.row(optimized, plain),
        race.row(plain_half, plain),
        race.row(half, plain_half),
        race.row(optimized_half, plain_half),
        race.row(optimized_half, plain, 2.4),
    ]


SECTIONS = (training, inference, metrics, reading)
