"""What tests of the explainer-classifier's training need: a run of a moment."""

import dataclasses
import pathlib

import keras
import numpy as np
import pytest
from keras import layers

from kerasloc.backbones import blocks
from kerasloc.configs import NetworkConfig
from kerasloc.data.table import Table
from kerasloc.models.explainer import multiplied_by
from kerasloc.runs import Run, seeded
from kerasloc.training import explainer, fitting, phases
from kerasloc.training.configs import ExplainerTraining

NAMES = ("très grand", "pas là")  # names with spaces and accents
# nothing is as much better as it would have to be
TWO_EPOCHS = {"epochs": (9, 9, 2), "patience": (1, 1, 9), "min_delta": 9.0}
IMPATIENT = {**phases.PLATEAU, "patience": 1, "min_delta": 9.0}


def small_explaining(input_shape, classes, classifier="resnet18", *, init_bias=1.0):
    """In the place of the network: one convolution for each of its parts."""
    image = blocks.start(input_shape, classes, 2)
    x = layers.Conv2D(1, 3, padding="same", use_bias=False, name="explainer_conv")
    bias = keras.initializers.Constant(init_bias)
    norm = layers.BatchNormalization(beta_initializer=bias, name="explainer_bn")
    x = layers.Activation("tanh", name="explainer_tanh")(norm(x(image)))
    explanation = layers.Activation("relu", dtype="float32", name="explanation")(x)
    x = layers.Conv2D(4, 3, 2, padding="same", use_bias=False, name="conv1")(image)
    x = layers.BatchNormalization(name="bn1")(x)
    x = multiplied_by(explanation)(x, "stem")
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.1, name="dropout")(x)  # it draws
    logits = layers.Dense(classes, dtype="float32", name="fc")(x)
    return keras.Model(image, {"explanation": explanation, "logits": logits})


class Squares:
    """Noise of 16 pixels with a bright square in it or not; most squares have masks.

    Stands in the place of the pipeline, whose graphs take longer than a training.
    """

    def __init__(self):
        rng, images, masks = np.random.default_rng(0), [], np.zeros((16, 16, 16), bool)
        for row in range(16):
            images.append(rng.uniform(0, 0.5, (16, 16, 3)))
            y, x = rng.integers(0, 9, 2)
            if row % 2 == 0:
                images[-1][y : y + 7, x : x + 7] = 1
                masks[row, y : y + 7, x : x + 7] = row != 2
        self.images, self.masks = np.array(images, "float32"), masks
        self.table = Table(
            paths=[f"{row}.png" for row in range(16)],
            class_names=NAMES,
            labels=np.eye(2)[np.arange(16) % 2],
            masks=["mask.png" if mask.any() else "" for mask in masks],
            splits=["train"] * 10 + ["val"] * 6,
        )

    @property
    def tables(self):
        """Train, of two batches, and val, whose last batch has one image."""
        return {name: self.table.split(name) for name in ("train", "val")}

    def in_order(self, table, config, order=None):
        """As `kerasloc.data.pipeline.batches`."""
        import tensorflow as tf

        rows = np.array([int(pathlib.Path(path).stem) for path in table.paths])
        rows = rows if order is None else rows[order]
        every = {"image": self.images, "mask": self.masks, "labels": self.table.labels}
        fields = {name: every[name][rows] for name in config.fields}
        return tf.data.Dataset.from_tensor_slices(fields).batch(config.batch_size)

    def shuffled(self, table, config, first_epoch=0, weights=None):
        """As `kerasloc.data.pipeline.training_batches`, but for some epochs only."""
        order = [
            np.random.default_rng([config.seed, epoch]).permutation(len(table))
            for epoch in range(first_epoch, first_epoch + 12)
        ]
        return self.in_order(table, config, np.concatenate(order))

    def train(self, folder, *, init_bias=1.0, **changes):
        """Rows of the history of a run, with these settings."""
        how = {"batch_size": 5, "augmentation": "none", "alpha": (1, 0.75, 0.74)}
        config = ExplainerTraining(**{**how, "epochs": 1, **changes})
        network = NetworkConfig(
            "explainer", NAMES, (16, 16), options={"init_bias": init_bias}
        )
        sections = {"network": vars(network), "training": dataclasses.asdict(config)}
        with Run(folder, sections) as run, seeded(config.seed):
            return explainer.train_explainer(run, self.tables, network, config)


def put_squares(patch, squares):
    """Lets the small network stand for the real one, and the squares for files."""
    from kerasloc.models import families

    compiled = keras.Model.compile

    def compile_eagerly(self, *arguments, **options):
        compiled(self, *arguments, **{**options, "run_eagerly": True})

    patch.setattr(keras.Model, "compile", compile_eagerly)
    record = dataclasses.replace(families.get("explainer"), build=small_explaining)
    patch.setitem(families._FAMILIES, "explainer", record)
    patch.setattr(explainer, "draw_phase", lambda *_: None)
    patch.setattr(fitting, "training_batches", squares.shuffled)
    patch.setattr(fitting, "ordered_batches", squares.in_order)
    patch.setattr(fitting, "tensorboard", lambda run: keras.callbacks.Callback())
    patch.setattr(phases, "batches", squares.in_order)
    patch.setattr(phases, "attention", lambda *_: keras.callbacks.Callback())


@pytest.fixture(scope="session")
def all_squares():
    return Squares()


@pytest.fixture
def squares(monkeypatch, all_squares):
    """Tables, batches and runs of the explainer-classifier, all of a moment."""
    put_squares(monkeypatch, all_squares)
    return all_squares


@pytest.fixture(scope="session")
def explained(all_squares, tmp_path_factory):
    """Folder of a run of two epochs a phase, and the weights it began with.

    The first two phases end early; the rates of the third fall after each epoch. To be
    read only.
    """
    folder = tmp_path_factory.mktemp("explained")
    with pytest.MonkeyPatch.context() as patch:
        put_squares(patch, all_squares)
        patch.setattr(phases, "PLATEAU", IMPATIENT)
        with seeded(0):
            start = small_explaining((16, 16, 3), 2)
        start.save_weights(folder / "start.weights.h5")
        all_squares.train(folder / "run", **TWO_EPOCHS)
    return folder / "run", folder / "start.weights.h5"
