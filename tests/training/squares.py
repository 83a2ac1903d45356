"""Squares: data, network and trainers of an explainer-classifier of a moment."""

import dataclasses
import functools
import pathlib

import keras
import numpy as np
from keras import layers

from kerasloc.backbones import blocks
from kerasloc.configs import NetworkConfig
from kerasloc.data.table import Table
from kerasloc.models.explainer import multiplied_by
from kerasloc.runs import Run, seeded
from kerasloc.training.callbacks import ReduceLROnPlateau
from kerasloc.training.compiling import Feed
from kerasloc.training.configs import ExplainerTraining
from kerasloc.training.explainer import ExplainerTrainer

NAMES = ("très grand", "pas là")  # names with spaces and accents
# nothing is as much better as it would have to be
TWO_EPOCHS = {"epochs": (9, 9, 2), "patience": (1, 1, 9), "min_delta": 9.0}


def small_explaining(input_shape, classes, classifier="resnet18", *, init_bias=1.0):
    """In the place of the network: one convolution for each of its halves."""
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
    """Noise of 16 pixels with a bright square in it or not; most squares have masks."""

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

    def batches(self, table, config, order=None):
        """Return the images of a table, whose names are their numbers, in batches."""
        import tensorflow as tf

        rows = np.array([int(pathlib.Path(path).stem) for path in table.paths])
        rows = rows if order is None else rows[order]
        arrays = {"image": self.images, "mask": self.masks, "labels": self.table.labels}
        fields = {name: arrays[name][rows] for name in config.fields}
        return tf.data.Dataset.from_tensor_slices(fields).batch(config.batch_size)


squares_of_tests = functools.cache(Squares)


class SquaresFeed(Feed):
    """Squares in the place of files, whose graphs take longer than a training."""

    def train_batches(self, first_epoch=0):
        order = [
            np.random.default_rng([self.train_config.seed, epoch]).permutation(
                len(self.train)
            )
            for epoch in range(first_epoch, first_epoch + 12)
        ]
        data = squares_of_tests().batches(
            self.train, self.train_config, np.concatenate(order)
        )
        return data.map(self.target)

    def val_batches(self):
        return squares_of_tests().batches(self.val, self.val_config).map(self.target)


class SquaresTrainer(ExplainerTrainer):
    """Training on squares, op by op, without pictures and curves."""

    def feed(self, model):
        return SquaresFeed(**vars(super().feed(model)))

    def compile_phase(self, *args):
        fitted = super().compile_phase(*args)
        fitted.run_eagerly = True
        return fitted

    def logs(self, run, model, feed):
        return []

    def draw(self, model, phase):
        pass


class Impatient(SquaresTrainer):
    """Rates fall after every epoch of a plateau."""

    def plateau(self):
        return ReduceLROnPlateau(
            "val_loss", factor=0.2, patience=1, min_lr=1e-5, min_delta=9.0
        )


def train_squares(folder, trainer=SquaresTrainer, *, init_bias=1.0, **changes):
    """Return the rows of the history of a run with these settings."""
    options = {"batch_size": 5, "augmentation": "none", "alpha": (1, 0.75, 0.74)}
    config = ExplainerTraining(**{**options, "epochs": 1, **changes})
    network = NetworkConfig(
        "explainer", NAMES, (16, 16), options={"init_bias": init_bias}
    )
    # train: two batches; val: the last batch has one image
    table = squares_of_tests().table
    tables = {name: table.split(name) for name in ("train", "val")}
    sections = {"network": vars(network), "training": dataclasses.asdict(config)}
    with Run(folder, sections) as run, seeded(config.seed):
        return trainer(run, tables, network, config).train()
