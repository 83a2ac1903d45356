"""Trains on one and on two virtual CPU devices; prints how much they differ.

A program for test_devices.py: virtual devices are made before TensorFlow starts.
"""

import dataclasses
import json
import os
import pathlib
import sys

# oneDNN's convolution gives a replica without images the channels of its input
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import keras
import numpy as np
import tensorflow as tf

from kerasloc import layers
from kerasloc.backbones import blocks, resnet
from kerasloc.configs import NetworkConfig
from kerasloc.data.table import Table
from kerasloc.models import families
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
from kerasloc.weights import read_arrays

OPTIONS = {"growth": 4, "initial_filters": 8, "layers_per_block": 1, "blocks": 1}


def network(family, side=16, **options):
    return NetworkConfig(family, ("a", "b"), (side, side), **options)


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


def eagerly(trainer):
    """Return a training whose steps run op by op, which is faster for a single one."""

    class Eager(trainer):
        def compile(self, *args):
            fitted = super().compile(*args)
            fitted.run_eagerly = True
            return fitted

        def compile_phase(self, *args):
            fitted = super().compile_phase(*args)
            fitted.run_eagerly = True
            return fitted

    return Eager


class Undrawn(ExplainerTrainer):
    """A training without pictures of its phases."""

    def draw(self, model, phase):
        pass


class LastPhase(ExplainerTraining):
    """A training of the last phase alone."""

    @property
    def phases(self):
        return super().phases[2:]


def train(trainer, folder, described, config, tables, strategy=None):
    """Return the rows of the history, and the weights and thresholds of the run."""
    builds = {"pylon": small, "ham": attentive, "explainer": explaining}
    family = families.get(described.family)
    build = builds.get(described.family, family.build)
    registered = families.registered(dataclasses.replace(family, build=build))
    run = Run(folder, {"network": vars(described)})
    with registered, run, seeded(0):
        rows = trainer(run, tables, described, config, strategy=strategy).train()
        thresholds = np.array(run.config["network"]["thresholds"])
    layers_of_file = read_arrays(folder / "best.weights.h5").values()
    return rows, [*(a for layer in layers_of_file for a in layer.values()), thresholds]


def values(rows):
    return [v for row in rows for k, v in sorted(row.items()) if k != "seconds"]


def difference(first, second):
    """Return the largest difference of any values, relative to 1 or the value."""
    return max(
        float(np.max(np.abs(a - b) / np.maximum(1, np.abs(b))))
        for a, b in zip(first, second, strict=True)
    )


def differences(single, double, name=""):
    """Return how much the rows and the weights of two runs differ."""
    return {
        f"history{name}": difference(values(single[0]), values(double[0])),
        f"weights{name}": difference(single[1], double[1]),
    }


SGD = {"epochs": 1, "batch_size": 2, "optimizer": "sgd", "learning_rate": 0.05}
SGD["augmentation"] = "none"


def compare(folder, strategy):
    """Compare HRCAM's models and a network of maps."""
    # Two equal images: the batch statistics of a replica are those of the batch.
    equal = {"train": table(folder, [1, 1]), "val": table(folder, [2, 2])}
    half, full = (network(name, options=OPTIONS) for name in ("half", "full"))
    hrcam = []
    # The graphs of HRCAM's many variables take long; HAM and the maps have theirs.
    for name, devices in (("one", None), ("two", strategy)):
        runs, config = folder / name, HrcamTraining(**SGD)
        rows, weights = train(
            eagerly(HalfTrainer), runs / "half", half, config, equal, devices
        )
        config = FullTraining(**SGD, align_weight=0.5, half=str(runs / "half"))
        more, expansion = train(
            eagerly(FullTrainer), runs / "full", full, config, equal, devices
        )
        hrcam.append((rows + more, weights + expansion))
    # ... and other labels: the replicas' gradients differ.
    equal["train"] = table(folder, [1, 1], np.array([[1, 0], [1, 1]]))
    equal["val"] = table(folder, [1, 1], np.eye(2))
    pylon, config = network("pylon", 32, multi_label=True), MapTraining(**SGD)
    single = train(eagerly(MapTrainer), folder / "maps1", pylon, config, equal)
    double = train(MapTrainer, folder / "maps2", pylon, config, equal, strategy)
    return differences(*hrcam) | differences(single, double, " of maps")


def compare_ham(folder, strategy):
    """Compare HAM after two steps; the last has one image."""
    # Other images, labels and boxes on every replica, for statistics are of them all.
    labels = np.array([[1, 0], [1, 1], [0, 0]])
    boxes = [[0, 2, 3, 8, 9, 0], [1, 1, 1, 6, 6, 1]]
    tables = {
        "train": table(folder, [3, 4, 5], labels, boxes[:1]),
        "val": table(folder, [6, 7], labels[:2], boxes),
    }
    weights = {"bounding_weight": 0.3, "union_weight": 0.3, "abnormality_weight": 1.0}
    config = HamTraining(**SGD, weight_decay=0.0, **weights)
    ham = network("ham", multi_label=True)
    single = train(eagerly(HamTrainer), folder / "one", ham, config, tables)
    double = train(HamTrainer, folder / "two", ham, config, tables, strategy)
    return {**differences(single, double), "terms": single[0][0]}


def compare_explainer(folder, strategy):
    """Compare the explainer-classifier after a step of the last phase."""
    # Equal images, as above; other labels, and a box on one of them.
    labels, boxes = np.eye(2), [[0, 2, 3, 8, 9, 0]]
    tables = {
        "train": table(folder, [1, 1], labels, boxes),
        "val": table(folder, [2, 2, 4], labels[[0, 1, 1]], boxes),
    }
    rates = {"classifier_rate": (0.05, 0, 0.05), "explainer_rate": (0, 0.1, 0.1)}
    options = {"decay": "none", "augmentation": "none", "accuracy_drop": 1.0}
    config = LastPhase(epochs=1, batch_size=2, **rates, **options)
    explainer, trainer = network("explainer"), eagerly(Undrawn)
    single = train(trainer, folder / "one", explainer, config, tables)
    double = train(trainer, folder / "two", explainer, config, tables, strategy)
    row = {"row of explainer": single[0][0]}
    return differences(single, double, " of explainer") | row


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
