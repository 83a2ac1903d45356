"""The suite ``explainer``: multiplication layers, and AOPC, against plainer ways."""

from collections.abc import Callable
from unittest import mock

import numpy as np

from benchmarks.timing import Race

CLASSES = 2
OPTIONS = {  # option -> default, what the help says
    "repeat": (3, "rounds"),
    "classifier": ("resnet18", "of the network"),
    "im-size": (64, "sides of the network's images, pixels"),
    "batch-size": (8, "images at once"),
    "images": (4, "images whose AOPC is taken"),
    "grid": (8, "tiles along each side"),
}
QUICK = {
    "repeat": 1,
    "classifier": "vgg",
    "im_size": 32,
    "batch_size": 2,
    "images": 1,
    "grid": 2,
}


def by_concatenation(explanation) -> Callable:
    """The hook of the multiplication with the explanation once for every channel.

    Args:
        explanation: (n, rows, cols, 1).
    """
    from keras import layers

    from kerasloc.models import explainer

    pooled = {}

    def hook(features, name):
        size = tuple(features.shape[1:3])
        if size not in pooled:
            pooled[size] = explainer._pooled(explanation, size)
        many = layers.Concatenate()([pooled[size]] * features.shape[-1])
        return layers.Multiply(name=f"{name}_explained")([features, many])

    return hook


def training_step(options, hook: Callable | None = None) -> Callable:
    """One step of the third phase on noise.

    Args:
        options: Of the suite.
        hook: In the place of :func:`kerasloc.models.explainer.multiplied_by`.
    """
    from kerasloc.models import explainer
    from kerasloc.training.configs import ExplainerTraining
    from kerasloc.training.explainer import explainer_trainer

    side, count = options.im_size, options.batch_size
    with mock.patch.object(explainer, "multiplied_by", hook or explainer.multiplied_by):
        model = explainer.explainer_classifier(
            (side, side, 3), CLASSES, options.classifier
        )
    config = ExplainerTraining()
    what = (config.phases[-1], 1000, np.ones(CLASSES, np.float32))
    trainer = explainer_trainer(model, config, what)
    rng = np.random.default_rng(0)
    images = rng.random((count, side, side, 3), np.float32)
    labels = np.eye(CLASSES, dtype="float32")[np.arange(count) % CLASSES]
    masks = (rng.random((count, side, side, 1)) < 0.1).astype("float32")
    targets = {"labels": labels, "masks": masks}
    return lambda: trainer.train_on_batch(images, targets, return_dict=True)


def multiplication(options) -> list[dict]:
    """Training steps: e times all channels by broadcasting, and concatenated first."""
    race = Race("multiplication", "images/s")
    race.add(
        "step, by concatenation",
        training_step(options, by_concatenation),
        options.batch_size,
    )
    race.add("step, by broadcasting", training_step(options), options.batch_size)
    race.run(options.repeat)
    slow, fast = race.works
    return [race.row(slow), race.row(fast, slow)]


def curves_one_by_one(predict: Callable, images, relevance, grid: int) -> np.ndarray:
    """MoRF curves of the likeliest class by loops over images, tiles and steps.

    Args:
        predict: As for :func:`kerasloc.metrics.morf_curves`.
        images: (n, rows, cols, channels).
        relevance: (n, rows, cols).
        grid: Tiles along each side, which they divide.
    """
    curves = []
    for image, own in zip(images, relevance, strict=True):
        side = image.shape[0] // grid
        tiles = [(r * side, c * side) for r in range(grid) for c in range(grid)]
        means = [own[r : r + side, c : c + side].mean() for r, c in tiles]
        first = predict(image[None])[0]
        index, curve, now = first.argmax(), [first.max()], image.copy()
        for place in np.argsort(means)[::-1]:
            r, c = tiles[place]
            now[r : r + side, c : c + side] = 0.0
            curve.append(predict(now[None])[0][index])
        curves.append(curve)
    return np.array(curves)


def explanations(options) -> list[dict]:
    """AOPC of a network's explanations; and, to see what is not the network, without.

    The steps of all images in few calls, against a call for every step.
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
    for title, predict in (("network", network), ("no network", nothing)):
        race = Race(f"AOPC, {title}")
        slow, fast = "one by one", "batched"
        race.add(
            slow,
            lambda predict=predict: curves_one_by_one(
                predict, images, relevance, options.grid
            ),
            count,
        )
        race.add(
            fast,
            lambda predict=predict: morf_curves(predict, images, relevance, config),
            count,
        )
        answers = [aopc(race.works[name][0]()) for name in (slow, fast)]
        np.testing.assert_allclose(*answers, atol=1e-4)
        race.run(options.repeat)
        rows += [race.row(slow), race.row(fast, slow, 10.0)]
    return rows


SECTIONS = (multiplication, explanations)
