"""Training of the explainer-classifier: labels, and weak masks where there are some."""

import dataclasses
import logging

import keras
import numpy as np

from kerasloc import layers
from kerasloc.checks import as_size
from kerasloc.configs import NetworkConfig
from kerasloc.data.augment import Strong
from kerasloc.data.masks import box_masks
from kerasloc.evaluation import draw_phase
from kerasloc.losses import explanation_loss
from kerasloc.models import families
from kerasloc.models.families import IMAGENET
from kerasloc.training.configs import ExplainerTraining
from kerasloc.training.devices import scope
from kerasloc.training.feeds import feed
from kerasloc.training.fitting import jit_compile
from kerasloc.training.maps import IMAGENET as IMAGENET_START
from kerasloc.training.maps import start_from
from kerasloc.training.phases import train_phases, two_rates, warn_of_collapse

logger = logging.getLogger(__name__)


def explainer_network(table, values: dict) -> NetworkConfig:
    """The network for a table.

    Args:
        table: Its classes; every image has exactly one.
        values: ``im_size``, ``channels``, ``classifier``, ``init_bias``, and ``mean``
            and ``std`` where images are to be normalized; by ImageNet's when ``start``
            is ``imagenet``.

    Raises:
        ValueError: If there is one class, or an image has not exactly one.
    """
    if len(table.class_names) < 2:
        raise ValueError(
            "The explainer-classifier tells two classes or more apart. Received: "
            f"{', '.join(table.class_names)}. Add images of another class."
        )
    if table.multi_label:
        raise ValueError(
            "The explainer-classifier takes images of exactly one class each. Received:"
            " images with another number of labels. Choose classes that exclude each "
            "other: --classes A B."
        )
    usual = values.get("start") == IMAGENET_START and values["channels"] == 3
    normal = dict(IMAGENET) if usual else {}
    normal |= {key: values[key] for key in ("mean", "std") if key in values}
    options = {"classifier": "resnet18", "init_bias": 3.0}
    return NetworkConfig(
        family="explainer",
        class_names=table.class_names,
        im_size=as_size(values["im_size"]),
        channels=values["channels"],
        options={name: values.get(name, usual) for name, usual in options.items()},
        **normal,
    )


def train_explainer(run, tables, network: NetworkConfig, config, **how):
    """A network trained in three phases; see :mod:`kerasloc.training.phases`.

    Args:
        run: The open run.
        tables: ``train`` and ``val`` tables.
        network: What to build.
        config: An :class:`~kerasloc.training.configs.ExplainerTraining`.
        **how: ``strategy`` of TensorFlow, and ``augment`` in the place of the named
            augmentation.

    Returns:
        Rows of the history of all phases.

    Raises:
        ValueError: If the hybrid loss finds no weak masks, or class weights do not fit.
    """
    strategy = how.get("strategy")
    warn_of_collapse(config, network.num_classes)
    weights = class_weights(config.class_weights, tables["train"].labels)
    augment = how.get("augment")
    if augment is None and config.augmentation == "strong":
        augment = Strong(config.aug_prob)
    fed = _prepared(feed(tables, network, config, augment), network, config)
    with scope(strategy):
        model = families.get(network.family).load("build")(
            network.input_shape, network.num_classes, **network.options
        )
        if not (run.folder / "best.weights.h5").is_file():
            start_from(model, network, config.start)

    def make_trainer(phase, count):
        with scope(strategy):
            return explainer_trainer(model, config, (phase, count, weights), strategy)

    for phase in train_phases(run, model, fed, config, make_trainer):
        draw_phase(run, phase.folder, model, network, fed["val"])
    return run.history


class ExplainerTrainer(keras.Model):
    """The network with its loss: alpha times one's, the rest the explanation's.

    Functional. Targets are a dict of ``labels`` (n, classes) and, where there are weak
    masks, ``masks`` (n, rows, cols, 1).
    """

    def prepare(self, config: ExplainerTraining, alpha: float, weights):
        """Takes what the loss is made of and makes what is logged.

        Args:
            config: Of the explanation's loss.
            alpha: Share of the cross-entropy.
            weights: Of the classes, (classes,).
        """
        self.settings, self.alpha = config, alpha
        self.class_weights = np.asarray(weights, np.float32)
        names = ("classification_loss", "explanation_loss", "explanation_mean")
        self.trackers = {name: keras.metrics.Mean(name=name) for name in names}
        self.right = keras.metrics.CategoricalAccuracy(name="accuracy")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **_):
        """The mean over the whole batch."""
        explanation = y_pred["explanation"]
        entropy = keras.ops.categorical_crossentropy(
            y["labels"], y_pred["logits"], from_logits=True
        )
        entropy = entropy * keras.ops.matmul(y["labels"], self.class_weights)
        drawn = self._explanation_losses(explanation, y.get("masks"))
        marked = keras.ops.mean(explanation, axis=(1, 2, 3))
        for tracker, values in zip(
            self.trackers.values(), (entropy, drawn, marked), strict=True
        ):
            tracker.update_state(values)
        total = self.alpha * entropy + (1.0 - self.alpha) * drawn
        count = keras.ops.cast(keras.ops.shape(total)[0], "float32")
        whole = layers.sum_over_replicas(keras.ops.sum(total))
        # Keras adds the replicas up
        return whole / layers.sum_over_replicas(count) / layers.replicas()

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Takes a batch into the scores."""
        self.right.update_state(y["labels"], y_pred["logits"])
        return self.get_metrics_result()

    def _explanation_losses(self, explanation, masks):
        """One value per image; hybrid where it has a target."""
        config = self.settings
        own = {"beta": config.beta, "gamma": config.gamma, "budget": config.budget}
        if masks is None or config.loss == "unsupervised":
            return explanation_loss(explanation, **own)
        hybrid = explanation_loss(explanation, masks, **own)
        if config.weak_everywhere:
            return hybrid
        there = keras.ops.any(masks > 0, axis=(1, 2, 3))
        return keras.ops.where(there, hybrid, explanation_loss(explanation, **own))


def explainer_trainer(model, config: ExplainerTraining, what, strategy=None):
    """The network with its loss, compiled for a phase.

    Args:
        model: What of it learns is decided: see
            :func:`kerasloc.training.phases.freeze`.
        config: Of the loss.
        what: The phase, the steps of an epoch, and the classes' weights.
        strategy: Of TensorFlow, or None.
    """
    phase, count, weights = what
    trainer = ExplainerTrainer(model.input, model.output)
    trainer.prepare(config, phase.alpha, weights)
    trainer.compile(
        two_rates(phase, count, config.weight_decay), jit_compile=jit_compile(strategy)
    )
    return trainer


def class_weights(wanted, labels) -> np.ndarray:
    """A weight per class; their mean over the images is 1.

    Args:
        wanted: None: 1 each; ``balanced``: classes count alike; or the weights.
        labels: Of the training images, (n, classes).

    Raises:
        ValueError: If the weights are not one per class, above 0.
    """
    counts = labels.sum(axis=0)
    if wanted is None:
        return np.ones(len(counts), np.float32)
    if isinstance(wanted, str):
        if wanted != "balanced" or not counts.all():
            raise ValueError(
                "class_weights is 'balanced' (with images of every class) or one "
                f"weight per class. Received: {wanted!r} and {counts} images."
            )
        wanted = 1 / counts
    weights = np.asarray(wanted, np.float32)
    if weights.shape != counts.shape or not (weights > 0).all():
        raise ValueError(
            f"There is one class weight above 0 for each of the {len(counts)} classes. "
            f"Received: {wanted}."
        )
    return weights * np.float32(counts.sum() / (weights * counts).sum())


def weak_target(size):
    """Function from an element to (image, labels and weak masks).

    Masks are those of the element, or drawn from its boxes.

    Args:
        size: (rows, cols) of the images.
    """
    import tensorflow as tf

    def pair(element):
        target = {"labels": element["labels"]}
        if "mask" in element:
            target["masks"] = tf.cast(element["mask"][..., None], tf.float32)
        elif "boxes" in element:
            boxes = element["boxes"]
            there = boxes[..., 4:] >= 0
            one_class = tf.where(there, tf.zeros_like(there, boxes.dtype), -1.0)
            boxes = tf.concat([boxes[..., :4], one_class], axis=-1)
            target["masks"] = tf.cast(box_masks(boxes, size, 1), tf.float32)
        return element["image"], target

    return pair


def _prepared(fed: dict, network, config) -> dict:
    """The feed with the weak masks of both tables."""
    fed = {**fed, "target": weak_target(network.im_size)}
    for name in ("train", "val"):
        table, fields = fed[name], ("image", "labels")
        if config.loss == "hybrid":
            if (table.masks != "").any():
                fields += ("mask",)
            elif len(table.boxes):
                fields += ("boxes",)
            elif name == "train":
                raise ValueError(
                    "The hybrid loss learns from masks or boxes of some training "
                    "images. Received: none. Give --loss unsupervised."
                )
        own = dataclasses.replace(fed[f"{name}_config"], fields=fields)
        fed[f"{name}_config"] = own
    return fed
