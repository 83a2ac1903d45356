"""The suite ``cams``: the ten methods, all classes at once, channels one at a time."""

import functools
import warnings
from collections.abc import Callable

import numpy as np

from benchmarks.timing import Race

LAYER, CLASSES = "stage5", 20
SLOW = ("scorecam", "ablationcam")  # whose passes are as many as the channels
OPTIONS = {  # option -> default, what the help says
    "repeat": (5, "rounds"),
    "slow-repeat": (1, "rounds of what takes a pass for every channel"),
    "backbone": ("resnet18", "of the network"),
    "size": (224, "sides of the network's images, pixels"),
    "batch": (8, "images at once"),
    "slow-batch": (1, "images at once for Score-CAM and Ablation-CAM"),
    "channels": (32, "the first ones, which are timed one at a time"),
}
QUICK = {"repeat": 1, "size": 64, "batch": 2, "channels": 2}


def network(options):
    """An untrained classifier: a linear head on pooled features."""
    from kerasloc.models.baseline import baseline

    shape = (options.size, options.size, 3)
    return baseline(shape, CLASSES, options.backbone, "avg")


def _noise(count: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.random((count, size, size, 3), dtype="float32")


def _run(race: Race, rounds: int):
    """Runs; nothing may speak for a class of an untrained network, which is no news."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Nothing speaks for the class")
        race.run(rounds)


def methods(options) -> list[dict]:
    """Maps of the predicted class by every method, at the images' size."""
    from kerasloc import cam
    from kerasloc.cams import METHODS

    model, rows = network(options), []
    quick = [name for name in METHODS if name not in SLOW]
    for names, count, rounds in (
        (quick, options.batch, options.repeat),
        (SLOW, options.slow_batch, options.slow_repeat),
    ):
        race = Race(f"methods, {options.size} px, {count} at once")
        images = _noise(count, options.size)
        for name in names:
            race.add(name, functools.partial(cam, model, images, name, LAYER), count)
        _run(race, rounds)
        rows += map(race.row, names)
    return rows


def classes(options) -> list[dict]:
    """Grad-CAM of all classes in one call, against a call for each."""
    from kerasloc import cam

    images, model = _noise(options.batch, options.size), network(options)
    draw = functools.partial(cam, model, images, "gradcam", LAYER)
    race = Race(f"gradcam, {options.size} px, {len(images)} at once")
    slow, fast = f"{CLASSES} classes, {CLASSES} calls", f"{CLASSES} classes, one call"
    race.add(slow, lambda: [draw(index) for index in range(CLASSES)], len(images))
    race.add(fast, lambda: draw("all"), len(images))
    _run(race, options.repeat)
    return [race.row(slow), race.row(fast, slow)]


def seen_one_by_one(part, image) -> Callable:
    """Function of how many: logits of an image seen through each of the first channels.

    Args:
        part: A :class:`kerasloc.cams.Cut`.
        image: (rows, cols, channels).
    """
    from kerasloc.layers import AlignedResize

    features = part.encode(image[None])[0]
    resize = AlignedResize(image.shape[:2], dtype="float32")

    def logits(count: int) -> np.ndarray:
        answers = []
        for channel in range(count):
            mask = np.asarray(resize(features[..., channel : channel + 1]))
            low, high = mask.min(), mask.max()
            mask = (mask - low) / (high - low) if high > low else np.zeros_like(mask)
            answers.append(part.whole.predict_on_batch(mask * image))
        return np.concatenate(answers)

    return logits


def ablated_one_by_one(part, image) -> Callable:
    """Function of how many: logits without each of the first channels of the layer.

    Every time from the image: its network has the channels' factors as second input.

    Args:
        part: A :class:`kerasloc.cams.Cut`.
        image: (rows, cols, channels).
    """
    import keras

    features, *others = part.encoder.outputs
    factors = keras.Input((1, 1, features.shape[-1]))
    answer = part.head([features * factors, *others])["logits"]
    whole = keras.Model([part.graph.image, factors], answer)

    def logits(count: int) -> np.ndarray:
        answers = []
        for channel in range(count):
            kept = np.ones((1, *factors.shape[1:]), np.float32)
            kept[..., channel] = 0
            answers.append(whole.predict_on_batch([image[None], kept]))
        return np.concatenate(answers)

    return logits


def channels(options) -> list[dict]:
    """Score-CAM and Ablation-CAM against one channel at a time from the image.

    The latter is timed on the first channels, as if the others took as long, and
    without what it does but once: the features before, the weighing behind.
    """
    from kerasloc import cam
    from kerasloc.cams import cut

    model, rows = network(options), []
    part, (image,) = cut(model, LAYER), _noise(1, options.size)
    total = part.features.shape[-1]
    count = min(options.channels, total)
    slow = f"one at a time, {count} of {total} channels scaled up"
    ways = (seen_one_by_one(part, image), ablated_one_by_one(part, image))
    for name, plain, aim in zip(SLOW, ways, (1.5, 10.0), strict=True):
        race = Race(f"{name}, {options.size} px")
        # as a share of the image, which scales it up
        race.add(slow, functools.partial(plain, count), count / total)
        race.add("as it is", functools.partial(cam, model, image, name, LAYER, 0))
        _run(race, options.slow_repeat)
        rows += [race.row(slow), race.row("as it is", slow, aim)]
    return rows


SECTIONS = (methods, classes, channels)
