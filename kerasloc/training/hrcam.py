"""The two trainings of HRCAM: the half model on labels, the rest on reconstruction.

Reference:
    Tagaris, Sdraka, Stafylopatis: High Resolution Class Activation Mapping for
    Discriminative Feature Localization, ICIP 2019.
"""

import dataclasses
import logging
import pathlib

import keras
import numpy as np

from kerasloc.backbones.densenet_fcn import DenseNetConfig
from kerasloc.checks import as_size
from kerasloc.configs import NetworkConfig
from kerasloc.data.pipeline import PipelineConfig, batches
from kerasloc.debug import check_weights
from kerasloc.losses import MaskedBinaryCrossentropy
from kerasloc.models import hrcam
from kerasloc.training.callbacks import AttentionImages
from kerasloc.training.devices import scope
from kerasloc.training.fitting import fit, jit_compile, optimizer
from kerasloc.training.report import first_of_each_class
from kerasloc.training.scores import KnownLabelAccuracy

logger = logging.getLogger(__name__)

SHOWN = 8


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained.

    Attributes:
        epochs: Until which epoch.
        batch_size: Images in a step.
        optimizer: ``adadelta``, ``adam`` or ``sgd``.
        learning_rate: Of the optimizer at the start.
        seed: Decides weights, order and augmentation.
        precision: See :mod:`kerasloc.training.devices`.
        augmentation: Name of one in :mod:`kerasloc.data.augment`.
        cache: See :class:`kerasloc.data.pipeline.PipelineConfig`.
        align_weight: Of the alignment term (full model only; not in the paper).
    """

    epochs: int = 50
    batch_size: int = 16
    optimizer: str = "adadelta"
    learning_rate: float = 1.0
    seed: int = 0
    precision: str = "float32"
    augmentation: str = "affine"
    cache: str | None = None
    align_weight: float = 0.0

    def __post_init__(self):
        counts, others = (self.epochs, self.batch_size), (self.align_weight, self.seed)
        if min(counts) < 1 or not min(others) >= 0:
            raise ValueError(
                "epochs and batch_size are at least 1, align_weight and seed at least "
                f"0. Received: {self.epochs}, {self.batch_size}, {self.align_weight}, "
                f"{self.seed}."
            )

    @property
    def name(self) -> str:
        """A readable name, such as ``adadelta1.0-b16-e50-s0``."""
        parts = [
            f"{self.optimizer}{self.learning_rate:g}",
            f"b{self.batch_size}",
            f"e{self.epochs}",
            f"s{self.seed}",
        ]
        return "-".join(parts)


def half_network(table, values: dict) -> NetworkConfig:
    """The half model for a table.

    Args:
        table: Its classes, and whether images have several.
        values: ``im_size`` and ``channels``, and sizes of the DenseNet-FCN.
    """
    sizes = [field.name for field in dataclasses.fields(DenseNetConfig)]
    return NetworkConfig(
        family="half",
        class_names=table.class_names,
        im_size=as_size(values["im_size"]),
        channels=values["channels"],
        multi_label=table.multi_label,
        options={key: values[key] for key in sizes if key in values},
    )


def full_network(half: NetworkConfig, values: dict) -> NetworkConfig:
    """The full model over a half model, which may see images of another size.

    Args:
        half: The half model.
        values: ``im_size`` where another is asked for, ``channels``.

    Raises:
        ValueError: If channels differ from the half model's.
    """
    if values.get("channels", half.channels) != half.channels:
        raise ValueError(
            f"The full model has the half model's channels, {half.channels}. "
            f"Received: {values['channels']}. Leave --channels out."
        )
    size = as_size(values.get("im_size", half.im_size))
    return dataclasses.replace(half, family="full", im_size=size)


def train_half(run, tables, network: NetworkConfig, config: TrainingConfig, **how):
    """The half model trained on labels; the best by validation accuracy is kept.

    Args:
        run: The open run.
        tables: ``train`` and ``val`` tables.
        network: What to build.
        config: How to train.
        **how: ``strategy`` of TensorFlow, and ``augment`` in the place of the named
            augmentation.

    Returns:
        Rows of the history.
    """
    strategy = how.get("strategy")
    with scope(strategy):
        model = hrcam.half_densenet(
            network.input_shape, network.num_classes, **network.options
        )
        trainer = keras.Model(model.input, model.output["logits"])
        trainer.compile(
            optimizer(config.optimizer, config.learning_rate),
            loss=label_loss(network),
            metrics=[accuracy(network)],
            jit_compile=jit_compile(strategy),
        )
    feed = _feed(tables, network, config, how.get("augment"))
    feed["target"] = lambda element: (element["image"], element["labels"])
    monitor = ("val_loss", "min") if network.multi_label else ("val_accuracy", "max")
    pictures = _attention(run, model, feed, ("low_features", hrcam.CLASSIFIER))
    settings = {"epochs": config.epochs, "monitor": monitor, "callbacks": [pictures]}
    return fit(run, trainer, model, feed, settings)


def train_full(run, tables, network: NetworkConfig, config: TrainingConfig, **how):
    """The expansion network trained to reconstruct; the half model stays as it is.

    The best by training loss is kept.

    Args:
        run: The open run.
        tables: ``train`` and ``val`` tables.
        network: What to build.
        config: How to train; ``align_weight`` above 0 adds the alignment term.
        **how: ``half``: the trained half network (needed); ``strategy``, ``augment``
            as for :func:`train_half`.

    Returns:
        Rows of the history.
    """
    strategy = how.get("strategy")
    with scope(strategy):
        model = hrcam.full_densenet(
            network.input_shape, network.num_classes, **network.options
        )
        transfer(how["half"], model)
        trainer = full_trainer(model, network, config, strategy)
    feed = _feed(tables, network, config, how.get("augment"))
    feed["target"] = full_target(model)
    names = ("low_features", "high_features", hrcam.CLASSIFIER)
    settings = {
        "epochs": config.epochs,
        "monitor": ("loss", "min"),
        "callbacks": [_attention(run, model, feed, names)],
    }
    return fit(run, trainer, model, feed, settings)


def full_trainer(model, network, config: TrainingConfig, strategy=None) -> keras.Model:
    """The full model with its half frozen, compiled for the expansion's losses.

    Args:
        model: From ``full_densenet``.
        network: What it is.
        config: Optimizer, rate and ``align_weight``.
        strategy: Of TensorFlow, or None.
    """
    aligned = hrcam.add_alignment(model)
    names = ("reconstruction", "alignment", "logits")
    trainer = keras.Model(model.input, {name: aligned.output[name] for name in names})
    for layer in hrcam.expansion_of(model)[0]:
        layer.trainable = False
    trainer.compile(
        optimizer(config.optimizer, config.learning_rate),
        loss={
            "reconstruction": keras.losses.MeanSquaredError(),
            "alignment": keras.losses.MeanSquaredError(),
            "logits": label_loss(network),
        },
        loss_weights={
            "reconstruction": 1.0,
            "alignment": config.align_weight,
            "logits": 0.0,  # reported; the half model is frozen
        },
        metrics={"logits": [accuracy(network)]},
        jit_compile=jit_compile(strategy),
    )
    return trainer


def full_target(model):
    """Function from an element to (image, targets of the full model's losses)."""
    import tensorflow as tf

    shape = model.output["low_features"].shape[1:]

    def target(element):
        image = element["image"]
        zeros = tf.zeros((tf.shape(image)[0], *shape))
        targets = {
            "reconstruction": image,
            "alignment": zeros,
            "logits": element["labels"],
        }
        return image, targets

    return target


def transfer(half: keras.Model, full: keras.Model):
    """Gives the full model the half model's weights and checks that they arrived.

    Args:
        half: Trained.
        full: Of the same sizes.

    Raises:
        ValueError: If a layer is missing or of another shape, or weights differ after.
    """
    for layer in half.layers:
        if not layer.weights:
            continue
        try:
            full.get_layer(layer.name).set_weights(layer.get_weights())
        except ValueError as error:
            raise ValueError(
                "The half model's layers are layers of the full model. Received: "
                f"{layer.name}, which does not fit ({error}). Use a half model of the "
                "same sizes, classes and channels."
            ) from None
    different = check_weights(half, full)
    if different:
        raise ValueError(
            "After the transfer the weights of both models are equal. Received: "
            f"different ones in {', '.join(different)}."
        )


def label_loss(network: NetworkConfig) -> keras.losses.Loss:
    """Cross-entropy from logits: of one class per image, or of every known label."""
    if network.multi_label:
        return MaskedBinaryCrossentropy()
    return keras.losses.CategoricalCrossentropy(from_logits=True)


def accuracy(network: NetworkConfig) -> keras.metrics.Metric:
    """Share of images told right, or of known labels when multi-label."""
    if network.multi_label:
        return KnownLabelAccuracy("accuracy")
    return keras.metrics.CategoricalAccuracy("accuracy")


def _feed(tables, network, config, augment):
    """Tables and pipelines; validation images are never augmented."""
    from kerasloc.data.augment import augmentation

    common = {
        "size": network.im_size,
        "channels": network.channels,
        "batch_size": config.batch_size,
        "seed": config.seed,
    }
    if augment is None:
        augment = config.augmentation
    cache = {"train": config.cache, "val": config.cache}
    if config.cache not in (None, "memory"):
        path = pathlib.Path(config.cache)  # the suffix stays the last thing in it
        names = {name: f"{path.stem}-{name}{path.suffix}" for name in cache}
        cache = {name: str(path.with_name(file)) for name, file in names.items()}
    return {
        **tables,
        "train_config": PipelineConfig(
            **common, cache=cache["train"], augment=augmentation(augment)
        ),
        "val_config": PipelineConfig(**common, cache=cache["val"]),
    }


def _attention(run, model, feed, names):
    """Pictures of the first validation images of different classes."""
    val = feed["val"]
    known = np.nan_to_num(val.labels)
    shown = val.subset(first_of_each_class(known)[:SHOWN])
    config = dataclasses.replace(feed["val_config"], batch_size=SHOWN, cache=None)
    images = next(iter(batches(shown, config)))["image"].numpy()
    classes = np.nan_to_num(shown.labels).argmax(axis=1)
    return AttentionImages(
        run.folder / "logs" / "images", model, names, images, classes
    )
