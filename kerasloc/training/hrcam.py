"""The two trainings of HRCAM: the half model on labels, the rest on reconstruction.

Reference:
    Tagaris, Sdraka, Stafylopatis: High Resolution Class Activation Mapping for
    Discriminative Feature Localization, ICIP 2019.
"""

import dataclasses

import keras
import numpy as np

from kerasloc.backbones.densenet_fcn import DenseNetConfig
from kerasloc.checks import as_size
from kerasloc.configs import NetworkConfig
from kerasloc.debug import check_weights
from kerasloc.models import hrcam
from kerasloc.training.configs import HrcamTraining
from kerasloc.training.devices import scope
from kerasloc.training.feeds import accuracy, attention, feed, label_loss
from kerasloc.training.fitting import fit, jit_compile, optimizer


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


def train_half(run, tables, network: NetworkConfig, config: HrcamTraining, **how):
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
    fed = feed(tables, network, config, how.get("augment"))
    fed["target"] = lambda element: (element["image"], element["labels"])
    monitor = ("val_loss", "min") if network.multi_label else ("val_accuracy", "max")
    maps_of = _maps_of(model, ("low_features", hrcam.CLASSIFIER))
    pictures = attention(run, fed, maps_of)
    settings = {"epochs": config.epochs, "monitor": monitor, "callbacks": [pictures]}
    return fit(run, trainer, model, fed, settings)


def train_full(run, tables, network: NetworkConfig, config: HrcamTraining, **how):
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
    fed = feed(tables, network, config, how.get("augment"))
    fed["target"] = full_target(model)
    names = ("low_features", "high_features", hrcam.CLASSIFIER)
    settings = {
        "epochs": config.epochs,
        "monitor": ("loss", "min"),
        "callbacks": [attention(run, fed, _maps_of(model, names))],
    }
    return fit(run, trainer, model, fed, settings)


def full_trainer(model, network, config: HrcamTraining, strategy=None) -> keras.Model:
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


def _maps_of(model, names):
    """Function from a batch to maps of its classes: the named features, weighed."""
    *features, classifier = names

    def maps(batch):
        # predict_on_batch would answer once for every replica of a strategy
        outputs = model(batch["image"], training=False)
        kernel = np.asarray(model.get_layer(classifier).get_weights()[0])
        columns = kernel.T[batch["classes"]]
        arrays = {name: keras.ops.convert_to_numpy(outputs[name]) for name in features}
        return {k: np.einsum("nrck,nk->nrc", a, columns) for k, a in arrays.items()}

    return maps
