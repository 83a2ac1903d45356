"""The suite ``cams``: the ten methods, all classes at once, channels one at a time."""

import functools
import warnings
from collections.abc import Callable

import numpy as np

from benchmarks.timing import Race

LAYER, CLASSES = "stage5", 20
SLOW = ("scorecam", "ablationcam")  # with a forward pass per channel
OPTIONS = {  # option -> default, help
    "repeat": (5, "rounds"),
    "slow-repeat": (1, "rounds of methods with a pass per channel"),
    "backbone": ("resnet18", "backbone of the network"),
    "size": (224, "sides of the network's images, pixels"),
    "batch": (8, "images in a batch"),
    "slow-batch": (1, "images in a batch for Score-CAM and Ablation-CAM"),
    "channels": (32, "number of first channels that are timed one at a time"),
}
QUICK = {"repeat": 1, "size": 64, "batch": 2, "channels": 2}


def network(options):
    """Build an untrained classifier: a linear head on pooled features."""
    from kerasloc.models.baseline import baseline

    shape = (options.size, options.size, 3)
    return baseline(shape, CLASSES, options.backbone, "avg")


def _noise(count: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.random((count, size, size, 3), dtype="float32")


def _run(race: Race, rounds: int) -> list[dict]:
    """Time the functions, without warnings of empty maps of an untrained network."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Nothing speaks for the class")
        return race.run(rounds)


def methods(options, build: Callable = network) -> list[dict]:
    """Maps of the predicted class by every method, at the images' size."""
    from kerasloc import cam
    from kerasloc.cams import METHODS

    model, rows = build(options), []
    fast = [name for name in METHODS if name not in SLOW]
    for names, count, rounds in (
        (fast, options.batch, options.repeat),
        (SLOW, options.slow_batch, options.slow_repeat),
    ):
        race = Race(f"methods, {options.size} px, {count} at once")
        images = _noise(count, options.size)
        for name in names:
            race.add(name, functools.partial(cam, model, images, name, LAYER), count)
        rows += _run(race, rounds)
    return rows


def classes(options, build: Callable = network) -> list[dict]:
    """Grad-CAM of all classes in one call, against a call per class."""
    from kerasloc import cam

    images, model = _noise(options.batch, options.size), build(options)
    draw = functools.partial(cam, model, images, "gradcam", LAYER)
    count = len(images)
    race = Race(f"gradcam, {options.size} px, {count} at once")
    slow, fast = f"{CLASSES} classes, {CLASSES} calls", f"{CLASSES} classes, one call"
    race.add(slow, lambda: [draw(index) for index in range(CLASSES)], count)
    race.add(fast, lambda: draw("all"), count, {slow: None})
    return _run(race, options.repeat)


def masked_one_by_one(cut, image: np.ndarray) -> Callable[[int], np.ndarray]:
    """Function of a count: logits of an image masked by each of the first channels."""
    from kerasloc.layers import AlignedResize

    features = cut.encode(image[None])[0]
    resize = AlignedResize(image.shape[:2], dtype="float32")

    def logits(count: int) -> np.ndarray:
        outputs = []
        for channel in range(count):
            mask = np.asarray(resize(features[..., channel : channel + 1]))
            low, high = mask.min(), mask.max()
            mask = (mask - low) / (high - low) if high > low else np.zeros_like(mask)
            outputs.append(cut.whole.predict_on_batch(mask * image))
        return np.concatenate(outputs)

    return logits


def ablated_one_by_one(cut, image: np.ndarray) -> Callable[[int], np.ndarray]:
    """Function of a count: logits without each of the first channels of the layer.

    Every pass starts from the image, with factors of the channels as second input.
    """
    import keras

    features, *rest = cut.encoder.outputs
    factors = keras.Input((1, 1, features.shape[-1]))
    output = cut.head([features * factors, *rest])["logits"]
    model = keras.Model([cut.image, factors], output)

    def logits(count: int) -> np.ndarray:
        outputs = []
        for channel in range(count):
            kept = np.ones((1, *factors.shape[1:]), np.float32)
            kept[..., channel] = 0
            outputs.append(model.predict_on_batch([image[None], kept]))
        return np.concatenate(outputs)

    return logits


def channels(
    options, build: Callable = network, new_race: Callable[[str], Race] = Race
) -> list[dict]:
    """Score-CAM and Ablation-CAM against one channel at a time from the image.

    The latter is timed on the first channels and scaled up to all of them, without
    the work that is done once: the features before, the weighting after.
    """
    from kerasloc import cam
    from kerasloc.cams import cut

    model, rows = build(options), []
    network_cut, (image,) = cut(model, LAYER), _noise(1, options.size)
    total = network_cut.features.shape[-1]
    count = min(options.channels, total)
    slow = f"one at a time, {count} of {total} channels scaled up"
    loops = (masked_one_by_one, ablated_one_by_one)
    for name, loop, target in zip(SLOW, loops, (1.5, 10.0), strict=True):
        race = new_race(f"{name}, {options.size} px")
        logits = loop(network_cut, image)
        # a fraction of an image, so that the time is scaled up
        race.add(slow, functools.partial(logits, count), count / total)
        draw = functools.partial(cam, model, image, name, LAYER, 0)
        race.add("as it is", draw, against={slow: target})
        rows += _run(race, options.slow_repeat)
    return rows


SECTIONS = (methods, classes, channels)
