"""The suite ``hrcam``: maps, training, reading and post-processing of HRCAM."""

import contextlib
import functools
import pathlib
import tempfile
from collections.abc import Callable, Mapping

import numpy as np

from benchmarks.environment import in_precision
from benchmarks.files import drain, synthetic, twice
from benchmarks.timing import Race

CLASSES = 10
FILE_SIZE = 256  # sides of the images that the pipeline reads, pixels
PUBLISHED_POSTPROCESSING = 0.010  # seconds per image of 224 px
PUBLISHED_SIZES: Mapping[str, object] = {}  # no options: the published network
READINGS = ("PNG none", "JPEG none", "JPEG affine", "JPEG imgaug", "JPEG affine memory")
OPTIONS = {  # option -> default, help
    "repeat": (5, "rounds"),
    "im-size": (224, "sides of the images, pixels"),
    "train-size": (96, "sides of the images in the section training, pixels"),
    "batch-size": (16, "images in a training step"),
    "images": (32, "images in a large batch; the pipeline reads ten times as many"),
}
QUICK = {"repeat": 1, "im_size": 64, "train_size": 32, "batch_size": 4, "images": 4}


@contextlib.contextmanager
def built_with(precision: str = "float32", plain: bool = False):
    """Build networks of a precision inside the context."""
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


def _noise(count: int, side: int) -> np.ndarray:
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


def cams(options, network: Mapping = PUBLISHED_SIZES) -> list[dict]:
    """`generate_cams` against three calls of `predict` per image, as published."""
    from kerasloc import FullModel

    settings = {"num_classes": CLASSES, "im_size": options.im_size, **network}
    with built_with(plain=True):
        plain = published_cams(FullModel(**settings))
    wrapper = FullModel(**settings)
    images, count = _noise(options.images, options.im_size), -(-options.images // 4)
    race, published = Race("cams"), "three predicts"
    for name, draw, against in (
        (published, published_cams(wrapper), {}),
        ("three predicts, Keras' BatchNorm", plain, {published: None}),
        ("generate_cams, one by one", wrapper.generate_cams, {published: 4.0}),
    ):
        work = functools.partial(_one_by_one, draw, images[:count])
        race.add(name, work, count, against)
    batch = functools.partial(wrapper.generate_cams, images)
    name = f"generate_cams, {len(images)} at once"
    race.add(name, batch, len(images), {published: 15.0})
    return race.run(options.repeat)


def _one_by_one(draw: Callable, images: np.ndarray) -> list:
    return [draw(image) for image in images]


def training_step(
    family: str, side: int, options, network: Mapping = PUBLISHED_SIZES
) -> Callable:
    """Function that trains a published step on noise."""
    import keras

    from kerasloc.configs import NetworkConfig
    from kerasloc.models import hrcam
    from kerasloc.training.compiling import jit_compile, label_loss, make_optimizer
    from kerasloc.training.configs import HrcamTraining
    from kerasloc.training.hrcam import compile_full

    names = tuple(map(str, range(CLASSES)))
    config = NetworkConfig(family, names, (side, side), options=network)
    images = _noise(options.batch_size, side)
    labels = np.eye(CLASSES, dtype="float32")[np.arange(len(images)) % CLASSES]
    build = {"half": hrcam.half_densenet, "full": hrcam.full_densenet}[family]
    model = build(config.input_shape, CLASSES, **network)
    if family == "half":
        trainer = keras.Model(model.input, model.output["logits"])
        adadelta = make_optimizer("adadelta", 1.0)
        trainer.compile(adadelta, label_loss(config), jit_compile=jit_compile())
    else:
        trainer = compile_full(model, config, HrcamTraining())
        zeros = np.zeros((len(images), *trainer.output["alignment"].shape[1:]))
        labels = {"reconstruction": images, "alignment": zeros, "logits": labels}
    return functools.partial(trainer.train_on_batch, images, labels)


def training(options, step: Callable = training_step) -> list[dict]:
    """Training steps with Keras' batch normalization, fused, and in bfloat16."""
    rows, half = [], "mixed_bfloat16"
    for family in ("half", "full"):
        race = Race("training")
        title = f"{family}, {options.train_size} px"
        plain, fused = f"{title}, Keras' BatchNorm", f"{title}, fused"
        for name, settings, against in (
            (plain, {"plain": True}, {}),
            (fused, {}, {plain: 1.2}),
            (f"{fused}, {half}", {"precision": half}, {fused: None}),
        ):
            with built_with(**settings):
                work = step(family, options.train_size, options)
            race.add(name, work, options.batch_size, against)
        rows += race.run(options.repeat)
    return rows


def reading(table, options, augment: str, cache=None) -> Callable:
    """Function that reads a table two times."""
    from kerasloc.data.augment import augmentation
    from kerasloc.data.pipeline import PipelineConfig

    config = PipelineConfig(
        size=(options.im_size, options.im_size),
        batch_size=options.batch_size,
        augment=augmentation(augment),
        cache=cache,
    )
    return functools.partial(drain, twice(table, config))


def pipeline(
    options,
    step: Callable = training_step,
    read: Callable = reading,
    file_size: int = FILE_SIZE,
) -> list[dict]:
    """Reading (file, augmentation, cache) against the training that it serves."""
    from kerasloc.data import SyntheticConfig

    race, side = Race("pipeline", "images/s"), options.im_size
    train = f"half, {side} px, training step"
    race.add(train, step("half", side, options), options.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        count = 10 * options.images
        config = SyntheticConfig(CLASSES, file_size, train=count, test=CLASSES)
        tables = synthetic(pathlib.Path(folder), config)
        for name in READINGS:
            kind, *settings = name.split()
            try:
                work = read(tables[kind], options, *settings)
                race.add(name, work, 2 * count, {train: 1.0})
            except ImportError as error:
                race.skip(name, error)
        return race.run(options.repeat)


def postprocess(options) -> list[dict]:
    """Post-processing of synthetic images, with maps made from their content."""
    from kerasloc.data import SyntheticConfig
    from kerasloc.data.synthetic import render
    from kerasloc.postprocess import pipeline as refine

    config, arrays = SyntheticConfig(size=options.im_size), []
    rng = np.random.default_rng(0)
    for index in range(10):
        image, mask, _ = render(config, "test", index)
        low = mask[8::16, 8::16] + 0.1 * rng.random(mask[8::16, 8::16].shape)
        arrays.append((image, low, image.mean(axis=2)))
    race, published = Race("postprocess"), "the published figure"
    race.publish(published, PUBLISHED_POSTPROCESSING)
    name, work = f"pipeline, {options.im_size} px", lambda: [refine(*a) for a in arrays]
    race.add(name, work, len(arrays), {published: None})
    return race.run(2 * options.repeat)


SECTIONS = (cams, training, pipeline, postprocess)
