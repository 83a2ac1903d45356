"""Training of Pylon and what it is compared with: labels alone, maps for nothing.

Reference:
    Preechakul, Sriswasdi, Kijsirikul, Chuangsuwanich: Improved image classification
    explainability with high-accuracy heatmaps, iScience 25(3), 2022.
"""

import logging
import pathlib

import keras
import numpy as np
from scipy.special import expit

from kerasloc import weights as weight_files
from kerasloc.backbones import resnet
from kerasloc.cams import producer
from kerasloc.checks import as_size
from kerasloc.configs import NetworkConfig
from kerasloc.data.pipeline import batches
from kerasloc.metrics import best_thresholds
from kerasloc.models import families
from kerasloc.runs import read_network
from kerasloc.training.configs import MapTraining
from kerasloc.training.devices import scope
from kerasloc.training.feeds import accuracy, attention, feed, label_loss
from kerasloc.training.fitting import fit, jit_compile, optimizer
from kerasloc.training.scores import MultiLabelAUROC

logger = logging.getLogger(__name__)

IMAGENET = "imagenet"


def map_network(family: str, table, values: dict) -> NetworkConfig:
    """The network of a family for a table.

    Args:
        family: A key of :mod:`kerasloc.models.families`.
        table: Its classes; images may have several.
        values: ``im_size``, ``channels``, ``backbone``, options of the family, and
            ``mean`` and ``std`` where they are not the published ones.
    """
    names = families.option_defaults(family)
    given = {key: values[key] for key in ("mean", "std") if key in values}
    normal = {**families.get(family).normalization(values["channels"]), **given}
    return NetworkConfig(
        family=family,
        class_names=table.class_names,
        im_size=as_size(values["im_size"]),
        channels=values["channels"],
        multi_label=True,
        options={name: values[name] for name in names if name in values},
        **normal,
    )


def train_maps(run, tables, network: NetworkConfig, config: MapTraining, **how):
    """A network trained on labels; the best by validation loss is kept.

    When it is trained, the thresholds that are best on validation are written into
    the run's configuration.

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
        model = families.get(network.family).load("build")(
            network.input_shape, network.num_classes, **network.options
        )
        if run.read_state() is None:  # a run that goes on has its own weights
            start_from(model, network, config.start)
        trainer = map_trainer(model, network, config, strategy)
    fed = feed(tables, network, config, how.get("augment"))
    fed["target"] = lambda element: (element["image"], element["labels"])
    settings = {
        "epochs": config.epochs,
        "monitor": ("val_loss", "min"),
        "plateau": {
            "monitor": "val_loss",
            "factor": config.factor,
            "patience": config.patience,
        },
        "stop_rate": config.stop_rate,
        "callbacks": [attention(run, fed, _maps_of(model))],
    }
    history = fit(run, trainer, model, fed, settings)
    keep_best(run, model, fed)
    return history


def keep_best(run, model, fed: dict):
    """Gives the model its best weights and the run the thresholds that fit them.

    Args:
        run: The open run, trained.
        model: Of the run.
        fed: ``val`` and ``val_config``.
    """
    best = weight_files.weights_of_run(run.folder)
    weight_files.assign(model, weight_files.read_arrays(best), source=str(best))
    scores = keras.Model(model.input, model.output["logits"])
    run.set_thresholds(tuned_thresholds(scores, fed["val"], fed["val_config"]))


def map_trainer(model, network, config: MapTraining, strategy=None) -> keras.Model:
    """The network up to its logits, compiled.

    Args:
        model: From a builder.
        network: What it is.
        config: Optimizer, rate, and whether the encoder stays as it is.
        strategy: Of TensorFlow, or None.
    """
    trainer = keras.Model(model.input, model.output["logits"])
    for layer in resnet.layers_of(model):
        layer.trainable = not config.freeze_encoder
    trainer.compile(
        optimizer(config.optimizer, config.learning_rate),
        loss=label_loss(network),
        metrics=[accuracy(network), MultiLabelAUROC(name="auroc")],
        jit_compile=jit_compile(strategy),
    )
    return trainer


def start_from(model: keras.Model, network: NetworkConfig, start: str | None):
    """Gives an untrained network the weights to start from.

    From a run of other classes everything but the head is taken.

    Args:
        model: Of the network.
        network: What it is.
        start: A run folder of the same family, a `.weights.h5` or PyTorch file of the
            same network, ``imagenet`` (the backbone), or None for none.

    Raises:
        ValueError: If the weights are missing or do not fit.
    """
    if start is None:
        return
    if start == IMAGENET:
        options = network.options
        backbone = options.get("backbone", options.get("classifier", "resnet50"))
        weight_files.load_imagenet(model, backbone)
        return
    path = pathlib.Path(start)
    if not path.exists():
        raise ValueError(
            "A training starts from imagenet, a run folder or a weight file. "
            f"Received: --start {start}, which does not exist."
        )
    if path.suffix == ".h5":
        weight_files.assign(model, weight_files.read_arrays(path), source=str(path))
        return
    if not path.is_dir():
        logger.info("%s: %s", path, weight_files.load_torch(model, path))
        return
    source = read_network(path)
    if source.family != network.family:
        raise ValueError(
            f"A training starts from a run of its own family, {network.family!r}. "
            f"Received: {path}, of the family {source.family!r}."
        )
    arrays = weight_files.read_arrays(weight_files.weights_of_run(path))
    if source.class_names != network.class_names:
        head = _head(model)
        own = enumerate(head.get_weights())
        arrays[head.name] = {str(position): array for position, array in own}
        logger.info("%s has other classes; its head is left out.", path)
    weight_files.assign(model, arrays, source=str(path))


def _head(model):
    """The layer that gives the maps, or the logits where there are none."""
    output = model.output.get("maps", model.output["logits"])
    return producer(output)


def tuned_thresholds(scores, table, config) -> np.ndarray:
    """The thresholds with the best F1 of every class, (classes,).

    Args:
        scores: Model from normalized images to logits.
        table: Validation images.
        config: Of their pipeline.
    """
    logits = scores.predict(
        batches(table, config).map(lambda element: element["image"]), verbose=0
    )
    return best_thresholds(table.labels, expit(logits.astype(float)))


def _maps_of(model):
    """Function from a batch to the maps of its classes."""

    def maps(batch):
        # predict_on_batch would answer once for every replica of a strategy
        outputs = model(batch["image"], training=False)
        maps = keras.ops.convert_to_numpy(outputs["maps"])
        return {"maps": maps[np.arange(len(maps)), :, :, batch["classes"]]}

    return maps
