"""The two trainings of HRCAM: the half model on labels, the rest on reconstruction.

Reference:
    Tagaris, Sdraka, Stafylopatis: High Resolution Class Activation Mapping for
    Discriminative Feature Localization, ICIP 2019.
"""

import dataclasses
import logging
import math
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import keras
import numpy as np

from kerasloc.checks import as_size
from kerasloc.configs import NetworkConfig
from kerasloc.data import config as data_config
from kerasloc.data.config import DataConfig
from kerasloc.data.table import Table
from kerasloc.models import families, hrcam
from kerasloc.runs import (
    changed_data,
    newest_run,
    read_config,
    read_network,
    weights_of_run,
)
from kerasloc.training import compiling
from kerasloc.training.callbacks import Maps, ReduceLROnPlateau
from kerasloc.training.compiling import Feed
from kerasloc.training.configs import FullTraining, HrcamTraining
from kerasloc.training.trainer import Experiment, FitConfig, Trainer
from kerasloc.weights import assign, read_arrays

logger = logging.getLogger(__name__)


class HalfTrainer(Trainer):
    """The half model trained on labels; the best by validation accuracy is kept."""

    features: tuple[str, ...] = ("low_features",)  # outputs that are weighted to maps
    paths: ClassVar[tuple[str, ...]] = ()

    @staticmethod
    def embedded_data() -> dict[str, str]:
        """Return the embedded data with one class per image."""
        return data_config.embedded_data()

    @classmethod
    def describe(
        cls, experiment: Experiment, table: Table, multi_label: bool = True
    ) -> NetworkConfig:
        """Return the network; multi-label where the data is."""
        return super().describe(experiment, table, table.multi_label)

    def compile(self, model: keras.Model, count: int) -> keras.Model:
        """Return the model of the logits, compiled."""
        fitted = keras.Model(model.input, model.output["logits"])
        fitted.compile(
            compiling.make_optimizer(self.config.optimizer, self.config.learning_rate),
            loss=compiling.label_loss(self.network),
            metrics=[compiling.accuracy(self.network)],
            jit_compile=compiling.jit_compile(self.strategy),
        )
        return fitted

    def fit_config(self, model: keras.Model, feed: Feed) -> FitConfig:
        """Return the settings of the fit."""
        multi_label, logs = self.network.multi_label, self.logs(self.run, model, feed)
        monitor = ("val_loss", "min") if multi_label else ("val_accuracy", "max")
        return FitConfig(self.config.epochs, *monitor, [plateau()], logs)

    def maps(self, model: keras.Model, batch: Maps) -> Maps:
        """Return the features weighted by the classifier."""
        # predict_on_batch would predict once for every replica of a strategy
        outputs = model(batch["image"], training=False)
        kernel = model.get_layer(hrcam.CLASSIFIER).get_weights()[0]
        columns = kernel.T[batch["classes"]]
        arrays = {n: keras.ops.convert_to_numpy(outputs[n]) for n in self.features}
        return {n: np.einsum("nrck,nk->nrc", a, columns) for n, a in arrays.items()}


class FullTrainer(HalfTrainer):
    """The expansion network trained to reconstruct; the half model stays as it is.

    The best by training loss is kept. Options that are not set are the half run's.
    """

    features = ("low_features", "high_features")
    paths = ("half",)

    @classmethod
    def defaults(
        cls, family: families.Family, overrides: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the half run's training, image size and channels, and the preset."""
        half = half_run(overrides)
        recorded, network = read_config(half), read_network(half)
        data = data_config.data_of_run(recorded["data"], overrides)
        embedded = data_config.is_embedded(data.data_dir)
        values = {"im_size": network.im_size, "channels": network.channels}
        values |= recorded["training"] | family.preset(None, embedded=embedded)
        return values | {"half": overrides.get("half", str(half))}

    @classmethod
    def data(cls, values: Mapping[str, Any]) -> DataConfig:
        """Return the data of the half run, or other data; its held-out images stay."""
        recorded = read_config(half_run(values))["data"]
        return data_config.data_of_run(recorded, values)

    @classmethod
    def run_name(cls, data: DataConfig, config: FullTraining) -> str:
        """Return the name of the half run."""
        return pathlib.Path(str(config.half).replace("-s{seed}", "")).name

    @classmethod
    def describe(
        cls, experiment: Experiment, table: Table, multi_label: bool = True
    ) -> NetworkConfig:
        """Return the half run's network as a full one, for images of any size."""
        half = read_network(half_run(vars(experiment.training)))
        images = experiment.images
        if images.channels != half.channels:
            raise ValueError(
                f"Expected the half model's channels, {half.channels}. Received: "
                f"channels={images.channels}. Leave --channels out."
            )
        data_config.check_same_classes(table, half.class_names)
        size = as_size(images.im_size)
        return dataclasses.replace(half, family="full", im_size=size)

    def build(self) -> keras.Model:
        """Build the full model with the half model's weights."""
        model, half = super().build(), self.config.half
        same = read_config(half)["data"] == self.run.config.get("data")
        changes = changed_data(half, self.run.config.get("table", {}))
        if same and changes:
            text = "The data has changed since the training of %s: %s."
            logger.warning(text, half, "; ".join(changes))
        transfer(weights_of_run(half), model)
        return model

    def compile(self, model: keras.Model, count: int) -> keras.Model:
        """Return the model of the expansion's losses, compiled."""
        return compile_full(model, self.network, self.config, self.strategy)

    def feed(self, model: keras.Model) -> Feed:
        """Return tables and pipelines with the targets of the expansion's losses."""
        return dataclasses.replace(super().feed(model), target=full_target(model))

    def fit_config(self, model: keras.Model, feed: Feed) -> FitConfig:
        """Return the settings of the fit."""
        config = super().fit_config(model, feed)
        return dataclasses.replace(config, monitor="loss", mode="min")


def half_run(values: Mapping[str, Any]) -> pathlib.Path:
    """Return the run folder of the half model: the set one, or the newest.

    Raises:
        ValueError: If there is no such run, or it is of another family.
    """
    if values.get("half") is None:
        commands = " and then ".join(families.get("half").commands)
        hint = f"Run {commands}, or give --half-weight-dir."
        return newest_run("half", values.get("results_dir", "results"), hint=hint)
    seed = next(iter(values.get("seeds") or [values.get("seed", 0)]))
    folder = pathlib.Path(values["half"].replace("{seed}", str(seed)))
    family = read_network(folder).family
    if family != "half":
        raise ValueError(
            "Expected a run of the half model in --half-weight-dir. Received: "
            f"{folder}, of the family {family!r}."
        )
    weights_of_run(folder)
    return folder


def plateau() -> ReduceLROnPlateau:
    """Return HRCAM's decay: by the root of 10 after 10 epochs without a lower loss.

    Example:
        >>> plateau().patience
        10
    """
    return ReduceLROnPlateau("loss", factor=math.sqrt(0.1), patience=10, min_lr=1e-5)


def compile_full(
    model: keras.Model,
    network: NetworkConfig,
    config: HrcamTraining,
    strategy: Any = None,
) -> keras.Model:
    """Return the full model compiled for the expansion's losses, its half frozen."""
    aligned = hrcam.add_alignment(model)
    names = ("reconstruction", "alignment", "logits")
    fitted = keras.Model(model.input, {name: aligned.output[name] for name in names})
    for layer in hrcam.expansion_of(model)[0]:
        layer.trainable = False
    losses = (keras.losses.MeanSquaredError() for _ in range(2))
    weights = (1.0, config.align_weight, 0.0)  # logits are reported, the half is frozen
    fitted.compile(
        compiling.make_optimizer(config.optimizer, config.learning_rate),
        loss=dict(zip(names, (*losses, compiling.label_loss(network)), strict=True)),
        loss_weights=dict(zip(names, weights, strict=True)),
        metrics={"logits": [compiling.accuracy(network)]},
        jit_compile=compiling.jit_compile(strategy),
    )
    return fitted


def full_target(model: keras.Model) -> Callable:
    """Return the function from an element to (image, targets of the full losses)."""
    import tensorflow as tf

    shape = model.output["low_features"].shape[1:]

    def target(element):
        image = element["image"]
        targets = {"reconstruction": image, "logits": element["labels"]}
        return image, targets | {"alignment": tf.zeros((tf.shape(image)[0], *shape))}

    return target


def transfer(path: str | os.PathLike, full: keras.Model) -> None:
    """Load the weights of a half model's file into the full model.

    Raises:
        ValueError: If layers do not fit; the full model is unchanged then.
    """
    expansion = {
        layer.name: {str(i): array for i, array in enumerate(layer.get_weights())}
        for layer in hrcam.expansion_of(full)[1]
        if layer.weights
    }
    assign(full, {**expansion, **read_arrays(path)}, source=f"the half model {path}")
