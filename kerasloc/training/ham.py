"""Training of HAM: from labels alone, or with boxes for some of the images.

Reference:
    Ouyang et al., Learning hierarchical attention for weakly-supervised chest X-ray
    abnormality localization and diagnosis, IEEE TMI 40(10), 2021.
"""

import dataclasses
import logging

import keras
import numpy as np

from kerasloc import layers
from kerasloc.configs import NetworkConfig
from kerasloc.data.masks import box_masks
from kerasloc.data.pipeline import steps
from kerasloc.models import families
from kerasloc.models.ham import objective_terms
from kerasloc.training.attention_scores import AttentionAccuracy
from kerasloc.training.callbacks import KeepBest
from kerasloc.training.configs import SELECTIONS, TERMS, HamTraining
from kerasloc.training.devices import scope
from kerasloc.training.feeds import attention, feed
from kerasloc.training.fitting import fit, jit_compile, optimizer
from kerasloc.training.maps import keep_best, start_from
from kerasloc.training.scores import MultiLabelAUROC

logger = logging.getLogger(__name__)

POWER, TENTH = 0.9, 0.1
OVERLAPS = {"tiou": "iou", "tior": "ior"}  # name of the score -> ratio


def train_ham(run, tables, network: NetworkConfig, config: HamTraining, **how):
    """A network trained on labels, and on the boxes that training images have.

    The best by ``config.select`` on validation is kept as best.weights.h5; where
    validation images have boxes, the best by each of AUROC, TIoU and TIoR as
    best-auroc, best-tiou and best-tior.weights.h5. Thresholds are tuned as by
    :func:`kerasloc.training.maps.train_maps`.

    Args:
        run: The open run.
        tables: ``train`` and ``val`` tables.
        network: What to build.
        config: How to train.
        **how: ``strategy`` of TensorFlow, and ``augment`` in the place of the named
            augmentation.

    Returns:
        Rows of the history.

    Raises:
        ValueError: If the best are to be found by boxes that validation images lack.
    """
    boxed = len(tables["val"].boxes) > 0
    if config.select != "auroc" and not boxed:
        raise ValueError(
            f"The best weights by {config.select} are found on validation images with "
            "boxes. Received: none. Give --select auroc."
        )
    strategy = how.get("strategy")
    fed = feed(_masked(run, tables, config), network, config, how.get("augment"))
    count = steps(fed["train"], fed["train_config"])
    with scope(strategy):
        model = families.get(network.family).load("build")(
            network.input_shape, network.num_classes, **network.options
        )
        if run.read_state() is None:  # a run that goes on has its own weights
            start_from(model, network, config.start)
        trainer = ham_trainer(model, config, count, strategy)
    fed = _prepared(fed, config, network)
    kept = SELECTIONS if boxed else ()
    settings = {
        "epochs": config.epochs,
        "monitor": (f"val_{config.select}", "max"),
        "plateau": None,
        "kept": [KeepBest(run, model, f"best-{k}", f"val_{k}") for k in kept],
        "callbacks": [attention(run, fed, _maps_of(model))],
    }
    history = fit(run, trainer, model, fed, settings)
    keep_best(run, model, fed)
    return history


class HamTrainer(keras.Model):
    """The network with its objective; terms and scores are logged by name.

    Functional: made of inputs and outputs. Targets are a dict of ``labels``,
    ``masks``, ``box_tags`` and ``annotated``, or of ``labels`` alone.
    """

    def prepare(self, weights: dict[str, float]):
        """Takes the terms' weights and makes what is logged."""
        self.term_weights = weights
        self.terms = [keras.metrics.Mean(name=f"{name}_loss") for name in TERMS]
        self.auroc = MultiLabelAUROC(name="auroc")
        self.overlaps = [AttentionAccuracy(k, name=n) for n, k in OVERLAPS.items()]
        for score in (self.auroc, *self.overlaps):
            score.build(self.output["logits"].shape[-1])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **_):
        """The weighted sum of the terms of the whole batch."""
        terms = objective_terms(y_pred, **y)
        count = keras.ops.shape(y["labels"])[0]  # as Keras weighs the loss
        for tracker, name in zip(self.terms, TERMS, strict=True):
            tracker.update_state(terms[name], sample_weight=count)
        total = sum(weight * terms[name] for name, weight in self.term_weights.items())
        return total / layers.replicas()  # Keras adds the replicas up

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Takes a batch into the scores."""
        self.auroc.update_state(y["labels"], y_pred["logits"])
        if "masks" in y:
            for metric in self.overlaps:
                metric.update_state(y["masks"], y_pred["refined_maps"])
        return self.get_metrics_result()


def ham_trainer(model, config: HamTraining, count: int, strategy=None) -> HamTrainer:
    """The network with its objective, compiled.

    Args:
        model: From :func:`kerasloc.models.ham.ham`.
        config: Optimizer, rate and its decay, weights of the terms.
        count: Steps of an epoch.
        strategy: Of TensorFlow; its replicas normalize their batches together.
    """
    if strategy is not None:
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True
    trainer = HamTrainer(model.input, model.output)
    trainer.prepare(config.term_weights)
    rate = schedule(config, count)
    trainer.compile(
        optimizer(config.optimizer, config.learning_rate, rate, l2=config.weight_decay),
        jit_compile=jit_compile(strategy),
    )
    return trainer


def schedule(config: HamTraining, count: int):
    """The learning rate by step, or None for a constant one.

    Args:
        config: Decay, its epochs, and the rate at the start.
        count: Steps of an epoch.
    """
    schedules = keras.optimizers.schedules
    length = count * config.decay_epochs
    rate = config.learning_rate
    if config.decay == "step":
        return schedules.ExponentialDecay(rate, length, TENTH, staircase=True)
    if config.decay == "polynomial":
        return schedules.PolynomialDecay(rate, length, 0.0, POWER)
    return None


def target(classes: int, size):
    """Function from an element to (image, what the objective takes).

    Masks are those of the element, or drawn from its boxes.

    Args:
        classes: How many.
        size: (rows, cols) of the images.
    """
    import tensorflow as tf

    def pair(element):
        if "class_masks" in element:
            masks = element["class_masks"]
        elif "boxes" in element:
            masks = box_masks(element["boxes"], size, classes)
        else:
            return element["image"], {"labels": element["labels"]}
        tags = tf.cast(tf.reduce_any(masks, axis=(1, 2)), tf.float32)
        return element["image"], {
            "labels": element["labels"],
            "masks": tf.cast(masks, tf.float32),
            "box_tags": tags,
            "annotated": tf.reduce_max(tags, axis=1),
        }

    return pair


def _masked(run, tables, config):
    """The tables, with refined masks for the training images when asked for."""
    if not config.crf or not len(tables["train"].boxes):
        return tables
    from kerasloc.data.crf import crf_masks

    train = tables["train"]
    masks = np.full(len(train), "", object)
    for row, path in crf_masks(train, run.folder / "masks").items():
        masks[row] = str(path)
    return {**tables, "train": dataclasses.replace(train, masks=masks.astype(str))}


def _prepared(fed: dict, config, network) -> dict:
    """The feed with the fields, targets and weights of the objective."""
    fed = {**fed, "target": target(network.num_classes, network.im_size)}
    for name in ("train", "val"):
        fields = ("image", "labels")
        if len(fed[name].boxes):
            crf = config.crf and name == "train"
            fields += ("class_masks",) if crf else ("boxes",)
        own = dataclasses.replace(fed[f"{name}_config"], fields=fields)
        fed[f"{name}_config"] = own
    train = fed["train"]
    boxed = np.isin(np.arange(len(train)), train.boxes[:, 0])
    logger.info("%d of %d training images have boxes", boxed.sum(), len(train))
    if config.annotated_weight != 1:
        fed["weights"] = np.where(boxed, config.annotated_weight, 1.0)
    return fed


def _maps_of(model):
    """Function from a batch to box masks, abnormality and class attention."""

    def maps(batch):
        outputs = model(batch["image"], training=False)
        names = ("refined_maps", "abnormality_refined_maps")
        refined, abnormality = (
            keras.ops.convert_to_numpy(outputs[name]) for name in names
        )
        there = np.nan_to_num(batch["labels"])[:, None, None]
        size, classes = refined.shape[1:3], refined.shape[3]
        return {
            "boxes": box_masks(batch["boxes"], size, classes).numpy().astype(float),
            "abnormality": abnormality[..., 0],
            "classes": refined * there,
        }

    return maps
