"""Objectives that couple the outputs of a network, with targets and compilation.

Terms are logged by name. Under a distribution strategy one step equals that of a single
device.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerasloc import layers
from kerasloc.data.decode import box_masks
from kerasloc.losses import explanation_loss
from kerasloc.models.explainer import PREFIX
from kerasloc.models.ham import objective_terms
from kerasloc.training.compiling import jit_compile, make_optimizer
from kerasloc.training.configs import TERMS, ExplainerTraining, HamTraining, Phase
from kerasloc.training.streaming_metrics import AttentionAccuracy, MultiLabelAUROC

POWER, TENTH = 0.9, 0.1
OVERLAPS = {"tiou": "iou", "tior": "ior"}  # name of the score -> ratio


class HamObjective(keras.Model):
    """The network with its objective; terms and scores are logged by name.

    Targets are ``labels``, ``masks``, ``box_tags`` and ``annotated``, or ``labels``.
    """

    def prepare(self, weights: Mapping[str, float]) -> None:
        """Set the weights of the terms by name, and make what is logged."""
        self.term_weights = dict(weights)
        self.terms = [keras.metrics.Mean(name=f"{name}_loss") for name in TERMS]
        self.auroc = MultiLabelAUROC(name="auroc")
        self.overlaps = [AttentionAccuracy(k, name=n) for n, k in OVERLAPS.items()]
        for score in (self.auroc, *self.overlaps):
            score.build(self.output["logits"].shape[-1])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **_):
        """Return the weighted sum of the terms over the whole batch."""
        terms = objective_terms(y_pred, **y)
        count = keras.ops.shape(y["labels"])[0]  # as Keras weighs the loss
        for tracker, name in zip(self.terms, TERMS, strict=True):
            tracker.update_state(terms[name], sample_weight=count)
        total = sum(weight * terms[name] for name, weight in self.term_weights.items())
        return total / layers.replicas()  # Keras adds the replicas up

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Add a batch to the scores and return all of them."""
        self.auroc.update_state(y["labels"], y_pred["logits"])
        if "masks" in y:
            for metric in self.overlaps:
                metric.update_state(y["masks"], y_pred["refined_maps"])
        return self.get_metrics_result()


def compile_ham(
    model: keras.Model, config: HamTraining, count: int, strategy: Any = None
) -> HamObjective:
    """Return the network with its objective, compiled for epochs of ``count`` steps.

    Replicas of a strategy normalize their batches together.
    """
    if strategy is not None:
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True
    fitted = HamObjective(model.input, model.output)
    fitted.prepare(config.term_weights)
    rates = (config.learning_rate, schedule(config, count))
    optimizer = make_optimizer(config.optimizer, *rates, l2=config.weight_decay)
    fitted.compile(optimizer, jit_compile=jit_compile(strategy))
    return fitted


def schedule(config: HamTraining, count: int) -> Any:
    """Return the learning rate schedule of Keras, or None for a constant rate.

    Example:
        >>> schedule(HamTraining(decay="none"), 10)
    """
    schedules = keras.optimizers.schedules
    length, rate = count * (config.decay_epochs or 1), config.learning_rate
    if config.decay == "step":
        return schedules.ExponentialDecay(rate, length, TENTH, staircase=True)
    if config.decay == "polynomial":
        return schedules.PolynomialDecay(rate, length, 0.0, POWER)
    return None


def ham_target(classes: int, size: Sequence[int]) -> Callable:
    """Return the function from an element to (image, targets of the objective).

    Masks are those of the element, or drawn from its boxes.
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
        targets = {"masks": tf.cast(masks, tf.float32), "box_tags": tags}
        targets |= {"labels": element["labels"]}
        return element["image"], targets | {"annotated": tf.reduce_max(tags, axis=1)}

    return pair


class ExplainerObjective(keras.Model):
    """The network with its loss: cross-entropy and explanation loss, weighted by alpha.

    Targets are ``labels`` (n, classes) and, optionally, ``masks`` (n, rows, cols, 1).
    """

    def prepare(
        self, config: ExplainerTraining, alpha: float, weights: np.ndarray
    ) -> None:
        """Set alpha and the weights of the classes, and make what is logged."""
        self.settings, self.alpha = config, alpha
        self.class_weights = np.asarray(weights, np.float32)
        names = ("classification_loss", "explanation_loss", "explanation_mean")
        self.trackers = {name: keras.metrics.Mean(name=name) for name in names}
        self.right = keras.metrics.CategoricalAccuracy(name="accuracy")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **_):
        """Return the mean over the whole batch."""
        explanation = y_pred["explanation"]
        pair = (y["labels"], y_pred["logits"])
        entropy = keras.ops.categorical_crossentropy(*pair, from_logits=True)
        entropy = entropy * keras.ops.matmul(y["labels"], self.class_weights)
        losses = self._explanation_losses(explanation, y.get("masks"))
        means = keras.ops.mean(explanation, axis=(1, 2, 3))
        logged = zip(self.trackers.values(), (entropy, losses, means), strict=True)
        for tracker, values in logged:
            tracker.update_state(values)
        total = self.alpha * entropy + (1.0 - self.alpha) * losses
        count = keras.ops.cast(keras.ops.shape(total)[0], "float32")
        batch_sum = layers.sum_over_replicas(keras.ops.sum(total))
        # Keras adds the replicas up
        return batch_sum / layers.sum_over_replicas(count) / layers.replicas()

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Add a batch to the scores and return all of them."""
        self.right.update_state(y["labels"], y_pred["logits"])
        return self.get_metrics_result()

    def _explanation_losses(self, explanation, masks):
        """Return one value per image; hybrid where it has a mask."""
        config = self.settings
        options = {"beta": config.beta, "gamma": config.gamma, "budget": config.budget}
        if masks is None or config.loss == "unsupervised":
            return explanation_loss(explanation, **options)
        hybrid = explanation_loss(explanation, masks, **options)
        if config.weak_everywhere:
            return hybrid
        present = keras.ops.any(masks > 0, axis=(1, 2, 3))
        unsupervised = explanation_loss(explanation, **options)
        return keras.ops.where(present, hybrid, unsupervised)


def compile_explainer(
    model: keras.Model,
    config: ExplainerTraining,
    phase: Phase,
    *,
    steps: int,
    weights: np.ndarray,
    strategy: Any = None,
) -> ExplainerObjective:
    """Return the network with its loss, compiled for a phase."""
    fitted = ExplainerObjective(model.input, model.output)
    fitted.prepare(config, phase.alpha, weights)
    optimizer = two_rates(phase, steps, config.weight_decay)
    fitted.compile(optimizer, jit_compile=jit_compile(strategy))
    return fitted


@keras.saving.register_keras_serializable(package="kerasloc")
class TwoRates(keras.optimizers.MultiOptimizer):
    """Optimizers by variable whose learning rates fall together.

    ``learning_rate`` is that of the first; setting it changes all in proportion, so
    that callbacks for a single rate work.
    """

    @property
    def learning_rate(self) -> Any:
        """Learning rate of the first optimizer."""
        return self.optimizers[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        """Scale the rates of all optimizers alike."""
        first = float(keras.ops.convert_to_numpy(self.learning_rate))
        for optimizer in self.optimizers:
            rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
            optimizer.learning_rate = rate * float(value) / first


def two_rates(phase: Phase, steps: int, l2: float) -> keras.optimizers.Optimizer:
    """Make the optimizer of a phase: classifier and explainer have their own rates.

    Example:
        >>> from kerasloc.training.configs import ExplainerTraining
        >>> first = ExplainerTraining().phases[0]
        >>> float(two_rates(first, steps=10, l2=0.0).learning_rate)
        0.01
    """

    def at(rate: float) -> keras.optimizers.Optimizer:
        decay = keras.optimizers.schedules.CosineDecay(rate, phase.epochs * steps)
        decay = decay if phase.decay == "cosine" else None
        return make_optimizer(phase.optimizer, rate, decay, l2=l2)

    if phase.name != "both":
        return at(phase.classifier_rate or phase.explainer_rate)
    classifier, explainer = at(phase.classifier_rate), at(phase.explainer_rate)
    classifier.name, explainer.name = "classifier", "explainer"  # of their columns
    by_path = {f"{PREFIX}.*": explainer}
    return TwoRates(keras.optimizers.OptimizerMap(classifier, by_path))


def weak_target(size: Sequence[int]) -> Callable:
    """Return the function from an element to (image, labels and weak masks).

    Masks are those of the element, or drawn from its boxes.
    """
    import tensorflow as tf

    def pair(element):
        targets = {"labels": element["labels"]}
        if "mask" in element:
            targets["masks"] = tf.cast(element["mask"][..., None], tf.float32)
        elif "boxes" in element:
            boxes = element["boxes"]
            present = boxes[..., 4:] >= 0
            one_class = tf.where(present, tf.zeros_like(present, boxes.dtype), -1.0)
            boxes = tf.concat([boxes[..., :4], one_class], axis=-1)
            targets["masks"] = tf.cast(box_masks(boxes, size, 1), tf.float32)
        return element["image"], targets

    return pair


def class_weights(weights: str | Sequence[float] | None, labels: Any) -> np.ndarray:
    """Return a weight per class: 1, ``balanced``, or numbers; their image mean is 1.

    Raises:
        ValueError: If the weights are not one per class, above 0.

    Example:
        >>> class_weights("balanced", np.eye(2)[[0, 1, 1, 1]])
        array([2. , 0.6666667], dtype=float32)
    """
    counts = np.asarray(labels).sum(axis=0)
    if weights is None:
        return np.ones(len(counts), np.float32)
    if isinstance(weights, str):
        if weights != "balanced" or not counts.all():
            raise ValueError(
                "Expected class_weights of 'balanced' (with images of every class) or "
                f"one weight per class. Received: {weights!r} and {counts} images."
            )
        weights = 1 / counts
    values = np.asarray(weights, np.float32)
    if values.shape != counts.shape or not (values > 0).all():
        raise ValueError(
            f"Expected one class weight above 0 for each of the {len(counts)} classes. "
            f"Received: {weights}."
        )
    return values * np.float32(counts.sum() / (values * counts).sum())
