"""Trains on one and on two virtual CPU devices; prints how much they differ.

A program for test_devices.py: virtual devices are made before TensorFlow starts.
"""

import dataclasses
import json
import os
import pathlib
import sys
import unittest.mock

# oneDNN's convolution gives a replica without images the channels of its input
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import keras
import numpy as np
import tensorflow as tf

from kerasloc import layers
from kerasloc.backbones import blocks, resnet
from kerasloc.configs import NetworkConfig
from kerasloc.data.table import Table
from kerasloc.models import families, hrcam
from kerasloc.runs import Run, seeded
from kerasloc.training.configs import (
    ExplainerTraining,
    FullTraining,
    HamTraining,
    HrcamTraining,
    MapTraining,
)
from kerasloc.training.explainer import ExplainerTrainer
from kerasloc.training.hrcam import FullTrainer, HalfTrainer
from kerasloc.training.maps import HamTrainer, MapTrainer

OPTIONS = {"growth": 4, "initial_filters": 8, "layers_per_block": 1, "blocks": 1}


compiled = keras.Model.compile


def eagerly(self, *arguments, **options):
    """Steps that run op by op, which is faster for a single one."""
    compiled(self, *arguments, **{**options, "run_eagerly": True})


def network(family):
    names = ("a", "b")
    return NetworkConfig(family, names, (16, 16), options=OPTIONS)


def small(input_shape, classes, **_):
    """In the place of PYLON: a backbone of one convolution, and the head."""
    image = blocks.start(input_shape, classes)
    x = resnet.norm(resnet.conv(image, 4, 3, "conv1", stride=2), "bn1")
    return blocks.max_pooled(image, blocks.head(x, classes, 1), "small")


def attentive(input_shape, classes, **_):
    """In the place of HAM: a backbone of one convolution, and the six outputs."""
    image = blocks.start(input_shape, classes, 4)
    x = resnet.norm(resnet.conv(image, 4, 3, "conv1", stride=4), "bn1")
    # it draws, but drops nothing
    x = keras.layers.SpatialDropout2D(1e-9)(blocks.relu(x, ""))
    pooled, outputs = layers.LogSumExpPooling(6.0)(x), {}
    wide = keras.initializers.RandomUniform(-3, 3)  # some attention is above the gate
    for prefix, units in (("", classes), ("abnormality_", 1)):
        head = layers.MappedDense(units, kernel_initializer=wide, name=f"{prefix}head")
        logits, maps = head(pooled, x)
        soft = layers.SoftMask(input_shape[:2])(maps)
        values = {"logits": logits, "maps": maps, "refined_maps": soft}
        outputs |= {f"{prefix}{name}": value for name, value in values.items()}
    return keras.Model(image, outputs)


def explaining(input_shape, classes, **_):
    """In the place of the explainer-classifier: one convolution for each part."""
    image = blocks.start(input_shape, classes, 4)
    x = resnet.norm(resnet.conv(image, 1, 3, "explainer_conv"), "explainer_bn")
    explanation = keras.layers.Activation("sigmoid", name="explanation")(x)
    x = resnet.norm(resnet.conv(image, 4, 3, "conv1"), "bn1")
    x = keras.layers.GlobalAveragePooling2D()(x * explanation)
    logits = keras.layers.Dense(classes, name="fc")(x)
    return keras.Model(image, {"explanation": explanation, "logits": logits})


def table(folder, numbers, labels=None, boxes=None):
    """Images by number: equal numbers, equal pictures."""
    paths = []
    for position, number in enumerate(numbers):
        picture = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        paths.append(str(folder / f"{len(numbers)}-{position}-{number}.png"))
        keras.utils.save_img(paths[-1], picture, scale=False)
    labels = np.eye(2)[np.array(numbers) % 2] if labels is None else labels
    return Table(paths, ("a", "b"), labels, boxes=boxes)


def train(folder, name, tables, strategy):
    """Rows of the histories and the weights of both models after a step."""
    options = {
        "epochs": 1,
        "batch_size": 2,
        "optimizer": "sgd",
        "learning_rate": 0.05,
        "augmentation": "none",
    }
    runs, described = folder / name, network("half")
    with Run(runs / "half", {"network": vars(described)}) as run, seeded(0):
        config = HrcamTraining(**options)
        trainer = HalfTrainer(run, tables, described, config, strategy=strategy)
        rows = trainer.train()
    half = hrcam.half_densenet((16, 16, 3), 2, **OPTIONS)
    half.load_weights(runs / "half" / "best.weights.h5")
    with Run(runs / "full", {}) as run, seeded(0):
        config = FullTraining(**options, align_weight=0.5, half=str(runs / "half"))
        trainer = FullTrainer(run, tables, network("full"), config, strategy=strategy)
        rows = rows + trainer.train()
    full = hrcam.full_densenet((16, 16, 3), 2, **OPTIONS)
    full.load_weights(runs / "full" / "best.weights.h5")
    return rows, half.get_weights() + full.get_weights()


def train_networks_of_maps(folder, name, tables, strategy):
    """Rows of the history, weights and thresholds after a step."""
    described = NetworkConfig("pylon", ("a", "b"), (32, 32), multi_label=True)
    config = MapTraining(epochs=1, batch_size=2, learning_rate=0.05, optimizer="sgd")
    config = dataclasses.replace(config, augmentation="none")
    record = dataclasses.replace(families.get("pylon"), build=small)
    patch = families.registered(record)
    with (
        patch,
        Run(folder / name / "maps", {"network": vars(described)}) as run,
        seeded(0),
    ):
        rows = MapTrainer(run, tables, described, config, strategy=strategy).train()
        thresholds = np.array(run.config["network"]["thresholds"])
    model = small((32, 32, 3), 2)
    model.load_weights(folder / name / "maps" / "best.weights.h5")
    return rows, [*model.get_weights(), thresholds]


def train_ham(folder, name, tables, strategy):
    """Rows of the history, and weights, after two steps; the last has one image."""
    described = NetworkConfig("ham", ("a", "b"), (16, 16), multi_label=True)
    weights = {"bounding_weight": 0.3, "union_weight": 0.3, "abnormality_weight": 1.0}
    options = {"optimizer": "sgd", "weight_decay": 0.0, "learning_rate": 0.05}
    config = HamTraining(
        epochs=1, batch_size=2, augmentation="none", **options, **weights
    )
    record = dataclasses.replace(families.get("ham"), build=attentive)
    patch = families.registered(record)
    with (
        patch,
        Run(folder / name / "ham", {"network": vars(described)}) as run,
        seeded(0),
    ):
        rows = HamTrainer(run, tables, described, config, strategy=strategy).train()
    model = attentive((16, 16, 3), 2)
    model.load_weights(folder / name / "ham" / "best.weights.h5")
    return rows, model.get_weights()


class Undrawn(ExplainerTrainer):
    """A training without pictures of its phases."""

    def draw(self, model, phase):
        pass


def train_explainer(folder, name, tables, strategy):
    """Rows of the history, and weights, after a step of the last phase."""
    described = NetworkConfig("explainer", ("a", "b"), (16, 16))
    rates = {"classifier_rate": (0.05, 0, 0.05), "explainer_rate": (0, 0.1, 0.1)}
    options = {"decay": "none", "augmentation": "none", "accuracy_drop": 1.0}
    config = ExplainerTraining(epochs=1, batch_size=2, **rates, **options)
    last = unittest.mock.PropertyMock(return_value=config.phases[2:])
    phases = unittest.mock.patch.object(ExplainerTraining, "phases", last)
    record = dataclasses.replace(families.get("explainer"), build=explaining)
    run = Run(folder / name / "explainer", {})
    with phases, families.registered(record), run, seeded(0):
        rows = Undrawn(run, tables, described, config, strategy=strategy).train()
    model = explaining((16, 16, 3), 2)
    model.load_weights(folder / name / "explainer" / "best.weights.h5")
    return rows, model.get_weights()


def difference(first, second):
    """The largest one, of any of the values, relative to 1 or the value."""
    return max(
        float(np.max(np.abs(a - b) / np.maximum(1, np.abs(b))))
        for a, b in zip(first, second, strict=True)
    )


def values(rows):
    return [v for row in rows for k, v in sorted(row.items()) if k != "seconds"]


def compare(folder, strategy):
    """How much HRCAM's models and a network of maps differ."""
    # Two equal images: the batch statistics of a replica are those of the batch.
    equal = {"train": table(folder, [1, 1]), "val": table(folder, [2, 2])}
    # The graphs of HRCAM's many variables take long; HAM and the maps have theirs.
    with unittest.mock.patch.object(keras.Model, "compile", eagerly):
        single = train(folder, "one", equal, None)
        double = train(folder, "two", equal, strategy)
    # ... and other labels: the replicas' gradients differ.
    equal["train"] = table(folder, [1, 1], np.array([[1, 0], [1, 1]]))
    equal["val"] = table(folder, [1, 1], np.eye(2))
    with unittest.mock.patch.object(keras.Model, "compile", eagerly):
        one_of_maps = train_networks_of_maps(folder, "one", equal, None)
    two_of_maps = train_networks_of_maps(folder, "two", equal, strategy)
    return {
        "history": difference(values(single[0]), values(double[0])),
        "weights": difference(single[1], double[1]),
        "history of maps": difference(values(one_of_maps[0]), values(two_of_maps[0])),
        "weights of maps": difference(one_of_maps[1], two_of_maps[1]),
    }


def compare_ham(folder, strategy):
    """How much HAM differs."""
    # Other images, labels and boxes on every replica, for statistics are of them all.
    labels = np.array([[1, 0], [1, 1], [0, 0]])
    boxes = [[0, 2, 3, 8, 9, 0], [1, 1, 1, 6, 6, 1]]
    different = {
        "train": table(folder, [3, 4, 5], labels, boxes[:1]),
        "val": table(folder, [6, 7], labels[:2], boxes),
    }
    with unittest.mock.patch.object(keras.Model, "compile", eagerly):
        one_of_ham = train_ham(folder, "one", different, None)
    two_of_ham = train_ham(folder, "two", different, strategy)
    return {
        "history": difference(values(one_of_ham[0]), values(two_of_ham[0])),
        "weights": difference(one_of_ham[1], two_of_ham[1]),
        "terms": one_of_ham[0][0],
    }


def compare_explainer(folder, strategy):
    """How much the explainer-classifier differs."""
    # Equal images, as above; other labels, and a box on one of them.
    labels, boxes = np.eye(2), [[0, 2, 3, 8, 9, 0]]
    tables = {
        "train": table(folder, [1, 1], labels, boxes),
        "val": table(folder, [2, 2, 4], labels[[0, 1, 1]], boxes),
    }
    with unittest.mock.patch.object(keras.Model, "compile", eagerly):
        single = train_explainer(folder, "one", tables, None)
        double = train_explainer(folder, "two", tables, strategy)
    return {
        "history of explainer": difference(values(single[0]), values(double[0])),
        "weights of explainer": difference(single[1], double[1]),
        "row of explainer": single[0][0],
    }


def main(folder, names):
    devices = tf.config.list_physical_devices("CPU")
    virtual = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(devices[0], virtual)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    compared = {"ham": compare_ham, "explainer": compare_explainer, "others": compare}
    report = {"replicas": strategy.num_replicas_in_sync}
    for name in names.split(","):
        (folder / name).mkdir()
        report[name] = compared[name](folder / name, strategy)
    print(json.dumps(report))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2])
