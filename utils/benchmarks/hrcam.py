"""The suite ``hrcam``: maps, training, reading and post-processing of HRCAM."""

import contextlib
import functools
import pathlib
import tempfile
from collections.abc import Callable

import numpy as np

from benchmarks.environment import in_precision
from benchmarks.files import synthetic, twice
from benchmarks.timing import Race

CLASSES = 10
FILE_SIZE = 256  # sides of the images that the pipeline reads, pixels
PUBLISHED_POSTPROCESSING = 0.010  # seconds per image of 224 px
NETWORK = {}  # options of the networks; none: the published sizes
READINGS = ("PNG none", "JPEG none", "JPEG affine", "JPEG imgaug", "JPEG affine memory")
OPTIONS = {  # option -> default, what the help says
    "repeat": (5, "rounds"),
    "im-size": (224, "sides of the images, pixels"),
    "train-size": (96, "sides of the images in the section training, pixels"),
    "batch-size": (16, "images in a training step"),
    "images": (32, "images in a large batch; the pipeline reads ten times as many"),
}
QUICK = {"repeat": 1, "im_size": 64, "train_size": 32, "batch_size": 4, "images": 4}


@contextlib.contextmanager
def built_with(precision: str = "float32", plain: bool = False):
    """Networks built inside have a precision, and Keras' own BatchNorm if plain."""
    import keras

    from kerasloc.backbones import densenet_fcn

    fused = densenet_fcn.BatchNormalization
    if plain:
        densenet_fcn.BatchNormalization = keras.layers.BatchNormalization
    try:
        with in_precision(precision):
            yield
    finally:
        densenet_fcn.BatchNormalization = fused


def _noise(count, side):
    return np.random.default_rng(0).random((count, side, side, 3), dtype="float32")


def published_cams(wrapper) -> Callable:
    """Function image -> (high, low, class): `predict` of three networks, then NumPy."""
    import keras

    outputs = ("logits", "low_features", "high_features")
    networks = [
        keras.Model(wrapper.model.input, wrapper.model.output[name]) for name in outputs
    ]
    kernel = wrapper.model.get_layer("aux_output").get_weights()[0]

    def generate(image):
        logits, low, high = (n.predict(image[None], verbose=0)[0] for n in networks)
        column = kernel[:, logits.argmax()]
        return high @ column, low @ column, int(logits.argmax())

    return generate


def cams(options) -> list[dict]:
    """`generate_cams` against three calls of `predict` per image, as published."""
    from kerasloc import FullModel

    given = {"num_classes": CLASSES, "im_size": options.im_size, **NETWORK}
    with built_with(plain=True):
        plain = published_cams(FullModel(**given))
    ours = FullModel(**given)
    images, count = _noise(options.images, options.im_size), -(-options.images // 4)
    race = Race("cams")
    for name, draw in (
        ("three predicts", published_cams(ours)),
        ("three predicts, Keras' BatchNorm", plain),
        ("generate_cams, one by one", ours.generate_cams),
    ):
        race.add(name, lambda d=draw: [d(image) for image in images[:count]], count)
    many = f"generate_cams, {len(images)} at once"
    race.add(many, lambda: ours.generate_cams(images), len(images))
    race.run(options.repeat)
    first, second, single, many = race.works
    rows = [race.row(first), race.row(second, first)]
    return [*rows, race.row(single, first, 4.0), race.row(many, first, 15.0)]


def training_step(family: str, side: int, options) -> Callable:
    """One step of the published training, on noise."""
    import keras

    from kerasloc.configs import NetworkConfig
    from kerasloc.models import hrcam
    from kerasloc.training.configs import HrcamTraining
    from kerasloc.training.feeds import label_loss
    from kerasloc.training.fitting import jit_compile, optimizer
    from kerasloc.training.hrcam import full_trainer

    names = tuple(map(str, range(CLASSES)))
    network = NetworkConfig(family, names, (side, side), options=NETWORK)
    images = _noise(options.batch_size, side)
    labels = np.eye(CLASSES, dtype="float32")[np.arange(len(images)) % CLASSES]
    build = {"half": hrcam.half_densenet, "full": hrcam.full_densenet}[family]
    model = build(network.input_shape, CLASSES, **NETWORK)
    if family == "half":
        trainer = keras.Model(model.input, model.output["logits"])
        adadelta = optimizer("adadelta", 1.0)
        trainer.compile(adadelta, label_loss(network), jit_compile=jit_compile())
    else:
        trainer = full_trainer(model, network, HrcamTraining())
        zeros = np.zeros((len(images), *trainer.output["alignment"].shape[1:]))
        labels = {"reconstruction": images, "alignment": zeros, "logits": labels}
    return functools.partial(trainer.train_on_batch, images, labels)


def training(options) -> list[dict]:
    """Training steps with Keras' batch normalization, with ours, and in bfloat16."""
    ways = {
        "Keras' BatchNorm": {"plain": True},
        "fused": {},
        "fused, mixed_bfloat16": {"precision": "mixed_bfloat16"},
    }
    rows = []
    for family in ("half", "full"):
        race = Race("training")
        for way, how in ways.items():
            with built_with(**how):
                step = training_step(family, options.train_size, options)
            name = f"{family}, {options.train_size} px, {way}"
            race.add(name, step, options.batch_size)
        race.run(options.repeat)
        plain, fused, bfloat16 = race.works
        rows += [
            race.row(plain),
            race.row(fused, plain, 1.2),
            race.row(bfloat16, fused),
        ]
    return rows


def reading(table, options, augment: str, cache=None) -> Callable:
    """Reads a table twice."""
    from kerasloc.data.augment import augmentation
    from kerasloc.data.pipeline import PipelineConfig

    config = PipelineConfig(
        size=(options.im_size, options.im_size),
        batch_size=options.batch_size,
        augment=augmentation(augment),
        cache=cache,
    )
    return twice(table, config)


def pipeline(options) -> list[dict]:
    """Reading (file, augmentation, cache) against the training that it feeds."""
    from kerasloc.data import SyntheticConfig

    race, side = Race("pipeline", "images/s"), options.im_size
    train = f"half, {side} px, training step"
    race.add(train, training_step("half", side, options), options.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        count = 10 * options.images
        config = SyntheticConfig(CLASSES, FILE_SIZE, train=count, test=CLASSES)
        tables = synthetic(pathlib.Path(folder), config)
        for name in READINGS:
            kind, *how = name.split()
            try:
                work = reading(tables[kind], options, *how)
                race.add(name, work, 2 * count)
            except ImportError as error:
                race.skipped[name] = f"skipped: {error}"
        race.run(options.repeat)
    _, *names = [*race.works, *race.skipped]
    return [race.row(train), *(race.row(name, train, 1.0) for name in names)]


def postprocess(options) -> list[dict]:
    """The post-processing of synthetic images, with maps made from what is in them."""
    from kerasloc.data import SyntheticConfig
    from kerasloc.data.synthetic import render
    from kerasloc.postprocess import pipeline as refine

    config, given = SyntheticConfig(size=options.im_size), []
    rng = np.random.default_rng(0)
    for index in range(10):
        image, mask, _ = render(config, "test", index)
        low = mask[8::16, 8::16] + 0.1 * rng.random(mask[8::16, 8::16].shape)
        given.append((image, low, image.mean(axis=2)))
    race, published = Race("postprocess"), "the published figure"
    name = f"pipeline, {options.im_size} px"
    race.add(name, lambda: [refine(*one) for one in given], len(given))
    race.run(2 * options.repeat)
    race.seconds[published] = np.array([PUBLISHED_POSTPROCESSING])
    return [race.row(name, published)]


SECTIONS = (cams, training, pipeline, postprocess)
