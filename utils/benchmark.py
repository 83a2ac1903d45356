"""Measures how fast a family of networks works here; prints one table with ratios.

What is compared takes turns, round after round, so that a machine that gets slower or
faster does so for all. Numbers are medians over the rounds; a ratio is the median of
the rounds' ratios and tells how many times as fast a line is as what stands behind it.

Example:
    python utils/benchmark.py hrcam --json benchmark.json
"""

import argparse
import collections
import contextlib
import functools
import json
import os
import pathlib
import platform
import tempfile
import time
from collections.abc import Callable

import numpy as np

CLASSES = 10
FILE_SIZE = 256  # sides of the images that the pipeline reads, pixels
PUBLISHED_POSTPROCESSING = 0.010  # seconds per image of 224 px
NETWORK = {}  # options of the networks; none: the published sizes
HEADER = ["section", "what", "median", "spread", "unit", "ratio", "against"]
READINGS = ("PNG none", "JPEG none", "JPEG affine", "JPEG imgaug", "JPEG affine memory")
NUMBERS = {  # option -> default, what the help says
    "repeat": (5, "rounds"),
    "im-size": (224, "sides of the images, pixels"),
    "train-size": (96, "sides of the images in the section training, pixels"),
    "batch-size": (16, "images in a training step"),
    "images": (32, "images in a large batch; the pipeline reads ten times as many"),
}


class Race:
    """What takes turns; its rows are in ``ms/image`` or ``images/s``."""

    def __init__(self, section: str, unit: str = "ms/image"):
        self.section, self.unit = section, unit
        self.works, self.seconds, self.skipped = {}, {}, {}

    def add(self, name: str, work: Callable, images: int = 1):
        """Takes part: ``work()`` is what so many images take."""
        self.works[name] = work, images

    def run(self, rounds: int):
        """Everyone once a round, and once before that, which does not count."""
        from tqdm import tqdm

        taken = {name: [] for name in self.works}
        turns = list(taken) * (1 + rounds)
        for name in tqdm(turns, self.section, unit="turn", leave=False):
            work, images = self.works[name]
            start = time.perf_counter()
            work()
            taken[name].append((time.perf_counter() - start) / images)
        self.seconds = {name: np.array(all_[1:]) for name, all_ in taken.items()}

    def row(self, name: str, against: str = "", aim: float | None = None) -> dict:
        """The line of one, its ratio against another, and the ratio hoped for."""
        row = {"section": self.section, "name": name, "unit": self.unit}
        if name in self.skipped:
            return row | {"skipped": self.skipped[name]}
        seconds = self.seconds[name]
        values = 1 / seconds if self.unit == "images/s" else 1000 * seconds
        row |= {"median": float(np.median(values)), "values": values.tolist()}
        if against:
            ratio = float(np.median(self.seconds[against] / seconds))
            row |= {"ratio": ratio, "against": against, "aim": aim}
        return row


@contextlib.contextmanager
def built_with(precision: str = "float32", plain: bool = False):
    """Networks built inside have a precision, and Keras' own BatchNorm if plain."""
    import keras

    from kerasloc.backbones import densenet_fcn
    from kerasloc.training.devices import set_precision

    fused, policy = densenet_fcn.BatchNormalization, keras.config.dtype_policy()
    if plain:
        densenet_fcn.BatchNormalization = keras.layers.BatchNormalization
    set_precision(precision)
    try:
        yield
    finally:
        densenet_fcn.BatchNormalization = fused
        keras.config.set_dtype_policy(policy)


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


def make_images(folder: pathlib.Path, count: int) -> dict:
    """Tables of the same so many new images, as PNG and as JPEG files in a folder."""
    from PIL import Image

    from kerasloc.data import SyntheticConfig, read_folders
    from kerasloc.data.synthetic import write

    config = SyntheticConfig(classes=CLASSES, size=FILE_SIZE, train=count, test=CLASSES)
    png = read_folders(write(folder / "png", config)).split("train")
    for path in map(pathlib.Path, png.paths):
        copy = folder / "jpeg" / path.relative_to(folder / "png").with_suffix(".jpg")
        copy.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).save(copy, quality=90)
    return {"PNG": png, "JPEG": read_folders(folder / "jpeg")}


def reading(table, options, augment: str, cache=None) -> Callable:
    """Reads a table twice."""
    from kerasloc.data.augment import augmentation
    from kerasloc.data.pipeline import PipelineConfig, steps, training_batches

    config = PipelineConfig(
        size=(options.im_size, options.im_size),
        batch_size=options.batch_size,
        augment=augmentation(augment),
        cache=cache,
    )
    data = training_batches(table, config).take(2 * steps(table, config))
    return functools.partial(collections.deque, data, maxlen=0)


def pipeline(options) -> list[dict]:
    """Reading (file, augmentation, cache) against the training that it feeds."""
    race, side = Race("pipeline", "images/s"), options.im_size
    train = f"half, {side} px, training step"
    race.add(train, training_step("half", side, options), options.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        tables = make_images(pathlib.Path(folder), 10 * options.images)
        for name in READINGS:
            kind, *how = name.split()
            try:
                work = reading(tables[kind], options, *how)
                race.add(name, work, 2 * 10 * options.images)
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


SUITES = {"hrcam": (cams, training, pipeline, postprocess)}


def environment() -> dict[str, str]:
    """Versions, devices and threads."""
    import keras
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # many networks: it warns of retracing
    info = pathlib.Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.is_file() else set()
    vectors = sorted(flags & {"amx_bf16", "avx512_bf16", "avx512f", "avx2"})
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    return {
        "versions": f"python {platform.python_version()}, numpy {np.__version__}, "
        f"keras {keras.__version__} on {keras.backend.backend()} {tf.__version__}",
        "machine": f"{os.cpu_count()} cores ({' '.join(vectors) or platform.machine()})"
        f", load {os.getloadavg()[0]:.1f} at the start",
        "devices": ", ".join(d.name for d in tf.config.list_physical_devices()),
        "threads": f"{threads or 'one per core'}, oneDNN "
        f"{os.environ.get('TF_ENABLE_ONEDNN_OPTS', 'as TensorFlow chooses')}",
    }


def cells(row: dict) -> list[str]:
    """What the table shows of a row."""
    shown = [row["section"], row["name"]]
    if "skipped" in row:
        return [*shown, "-", "", row["unit"], "", row["skipped"]]
    spread = f"{min(row['values']):.1f}..{max(row['values']):.1f}"
    shown += [f"{row['median']:.1f}", spread, row["unit"]]
    if "ratio" not in row:
        return [*shown, "", ""]
    aim = "" if row["aim"] is None else f" (aim {row['aim']:g})"
    return [*shown, f"{row['ratio']:.2f}", f"x {row['against']}{aim}"]


def table(rows: list[dict]) -> str:
    """The rows in aligned columns."""
    lines = [HEADER, *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sides = "<<>><><"
    return "\n".join(
        "  ".join(map("{:{}{}}".format, line, sides, widths)).rstrip() for line in lines
    )


def parse(arguments=None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """The parser and what it made of the arguments (None: the command line's)."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="example: python utils/benchmark.py hrcam --only cams --json speed.json",
    )
    sections = dict.fromkeys(f.__name__ for suite in SUITES.values() for f in suite)
    parser.add_argument("suite", choices=SUITES, help="what to measure")
    parser.add_argument("--only", nargs="+", choices=sections, default=[*sections])
    for name, (default, text) in NUMBERS.items():
        names = dict.fromkeys([f"--{name}", f"--{name.replace('-', '_')}"])
        text = f"{text} (default {default})"  # noqa: PLW2901
        parser.add_argument(*names, type=int, metavar="N", default=default, help=text)
    parser.add_argument("--json", type=pathlib.Path, help="a file to write as well")
    options = parser.parse_args(arguments)
    if min(getattr(options, name.replace("-", "_")) for name in NUMBERS) < 1:
        parser.error("Numbers are 1 or more.")
    return parser, options


def main(arguments=None) -> None:
    """Measure, print the table, write the file."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser, options = parse(arguments)
    facts = environment()
    print("\n".join(f"{name}: {fact}" for name, fact in facts.items()), flush=True)
    sections = [s for s in SUITES[options.suite] if s.__name__ in options.only]
    try:
        rows = [row for section in sections for row in section(options)]
    except ValueError as error:
        parser.error(str(error))
    print(table(rows))
    if options.json is not None:
        options.json.write_text(json.dumps({"environment": facts, "rows": rows}))


if __name__ == "__main__":
    main()
