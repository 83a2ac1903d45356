"""The suite ``explainer``: multiplication layers and AOPC against simpler code."""

import functools
from collections.abc import Callable
from unittest import mock

import numpy as np

from benchmarks.timing import Race

CLASSES = 2
OPTIONS = {  # option -> default, help
    "repeat": (3, "rounds"),
    "classifier": ("resnet18", "classifier of the network"),
    "im-size": (64, "sides of the network's images, pixels"),
    "batch-size": (8, "images in a batch"),
    "images": (4, "images for AOPC"),
    "grid": (8, "tiles along each side"),
}
QUICK = {"repeat": 1, "classifier": "vgg", "im_size": 32}
QUICK |= {"batch_size": 2, "images": 1, "grid": 2}


def by_concatenation(explanation) -> Callable:
    """Hook that multiplies by the explanation, repeated for every channel."""
    from keras import layers

    from kerasloc.models import explainer

    pooled = {}

    def hook(features, name):
        size = tuple(features.shape[1:3])
        if size not in pooled:
            pooled[size] = explainer._pooled(explanation, size)
        repeated = layers.Concatenate()([pooled[size]] * features.shape[-1])
        return layers.Multiply(name=f"{name}_explained")([features, repeated])

    return hook


def training_step(options, hook: Callable | None = None) -> Callable:
    """Function that trains one step of the third phase on noise."""
    from kerasloc.models import explainer
    from kerasloc.training.configs import ExplainerTraining
    from kerasloc.training.objectives import compile_explainer

    side, count = options.im_size, options.batch_size
    with mock.patch.object(explainer, "multiplied_by", hook or explainer.multiplied_by):
        model = explainer.explainer_classifier(
            (side, side, 3), CLASSES, options.classifier
        )
    config = ExplainerTraining()
    weights = np.ones(CLASSES, np.float32)
    trainer = compile_explainer(
        model, config, config.phases[-1], steps=1000, weights=weights
    )
    rng = np.random.default_rng(0)
    images = rng.random((count, side, side, 3), np.float32)
    labels = np.eye(CLASSES, dtype="float32")[np.arange(count) % CLASSES]
    masks = (rng.random((count, side, side, 1)) < 0.1).astype("float32")
    targets = {"labels": labels, "masks": masks}
    return lambda: trainer.train_on_batch(images, targets, return_dict=True)


def multiplication(options) -> list[dict]:
    """Training steps: explanation times channels by broadcasting, and concatenated."""
    race = Race("multiplication", "images/s")
    slow, count = "step, by concatenation", options.batch_size
    race.add(slow, training_step(options, by_concatenation), count)
    race.add("step, by broadcasting", training_step(options), count, {slow: None})
    return race.run(options.repeat)


def curves_one_by_one(predict: Callable, images, relevance, grid: int) -> np.ndarray:
    """MoRF curves of the most probable class by loops over images, tiles and steps."""
    curves = []
    for image, heat in zip(images, relevance, strict=True):
        side = image.shape[0] // grid
        tiles = [(r * side, c * side) for r in range(grid) for c in range(grid)]
        means = [heat[r : r + side, c : c + side].mean() for r, c in tiles]
        first = predict(image[None])[0]
        index, curve, now = first.argmax(), [first.max()], image.copy()
        for tile in np.argsort(means)[::-1]:
            r, c = tiles[tile]
            now[r : r + side, c : c + side] = 0.0
            curve.append(predict(now[None])[0][index])
        curves.append(curve)
    return np.array(curves)


def explanations(options) -> list[dict]:
    """AOPC of a network's explanations, in few calls against a call for every step.

    A second race without network shows the time that is not the network's.
    """
    import kerasloc
    from kerasloc.metrics import AopcConfig, aopc, morf_curves

    side, count = options.im_size, options.images
    wrapper = kerasloc.ExplainerClassifier(
        num_classes=CLASSES, im_size=side, classifier=options.classifier
    )
    images = np.random.default_rng(0).random((count, side, side, 3), np.float32)
    relevance = np.random.default_rng(1).random((count, side, side), np.float32)
    config = AopcConfig(options.grid, perturbation="black")

    def network(x):
        return wrapper.predict_proba(x, squeeze=False)

    def nothing(x):
        share = x.mean(axis=(1, 2, 3))
        return np.stack([share, 1 - share], axis=1)

    rows = []
    slow, fast = "one by one", "batched"
    for title, predict in (("network", network), ("no network", nothing)):
        race = Race(f"AOPC, {title}")
        arrays = (predict, images, relevance)
        loop = functools.partial(curves_one_by_one, *arrays, options.grid)
        batched = functools.partial(morf_curves, *arrays, config)
        np.testing.assert_allclose(aopc(loop()), aopc(batched()), atol=1e-4)
        race.add(slow, loop, count)
        race.add(fast, batched, count, {slow: 10.0})
        rows += race.run(options.repeat)
    return rows


SECTIONS = (multiplication, explanations)
