"""How a model is compiled: devices, precision, XLA, loss, metric, optimizer."""

import contextlib
from typing import Any

import keras

from kerasloc.configs import NetworkConfig
from kerasloc.losses import MaskedBinaryCrossentropy
from kerasloc.models.explainer import PREFIX
from kerasloc.training.configs import OPTIMIZERS, PRECISIONS, Phase
from kerasloc.training.streaming_metrics import KnownLabelAccuracy


def set_precision(name: str) -> None:
    """Set the number format of all layers that are built from now on.

    Args:
        name: ``float32``, ``mixed_float16`` (GPUs) or ``mixed_bfloat16`` (GPUs, and
            CPUs with AMX).

    Raises:
        ValueError: If the name is another.

    Example:
        >>> set_precision("float32")
    """
    if name not in PRECISIONS:
        raise ValueError(
            f"Expected a precision of {', '.join(PRECISIONS)}. Received: {name!r}."
        )
    keras.config.set_dtype_policy(name)


def select(gpus: str | None) -> Any:
    """Select the devices; return a strategy of TensorFlow for several, else None.

    Args:
        gpus: Numbers with commas, such as ``"0"`` or ``"0,1"``; ``"-1"`` for the CPU;
            None for TensorFlow's choice.

    Raises:
        ValueError: If there is no such GPU.

    Example:
        >>> select(None)
    """
    import tensorflow as tf

    if gpus is None:
        return None
    devices = tf.config.list_physical_devices("GPU")
    numbers = [text.strip() for text in str(gpus).split(",") if text.strip() != "-1"]
    if not all(text.isdigit() and int(text) < len(devices) for text in numbers):
        raise ValueError(
            f"Expected --gpu to be numbers of GPUs, of which TensorFlow sees "
            f"{len(devices)}. Received: {gpus!r}. Leave it out, or use -1 for the CPU."
        )
    tf.config.set_visible_devices([devices[int(text)] for text in numbers], "GPU")
    return tf.distribute.MirroredStrategy() if len(numbers) > 1 else None


def scope(strategy: Any) -> contextlib.AbstractContextManager:
    """Return the context in which models of a strategy are built.

    Args:
        strategy: Strategy of TensorFlow, or None for a single device.

    Example:
        >>> with scope(None):
        ...     pass
    """
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def jit_compile(strategy: Any = None) -> bool | str:
    """Return whether XLA pays: on one GPU of TensorFlow; elsewhere Keras decides.

    Args:
        strategy: Strategy of TensorFlow, or None for a single device.
    """
    if keras.backend.backend() != "tensorflow":
        return "auto"
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU")) and strategy is None


def label_loss(network: NetworkConfig) -> keras.losses.Loss:
    """Return the cross-entropy of logits: of one class per image, or of all labels.

    Example:
        >>> label_loss(NetworkConfig("half", ("a", "b"), (8, 8))).name
        'categorical_crossentropy'
    """
    if network.multi_label:
        return MaskedBinaryCrossentropy()
    return keras.losses.CategoricalCrossentropy(from_logits=True)


def accuracy(network: NetworkConfig) -> keras.metrics.Metric:
    """Return the accuracy over images, or over labels when multi-label.

    Example:
        >>> network = NetworkConfig("pylon", ("a", "b"), (8, 8), multi_label=True)
        >>> type(accuracy(network)).__name__
        'KnownLabelAccuracy'
    """
    if network.multi_label:
        return KnownLabelAccuracy("accuracy")
    return keras.metrics.CategoricalAccuracy("accuracy")


def make_optimizer(
    name: str, learning_rate: float, schedule: Any = None, *, l2: float = 0.0
) -> keras.optimizers.Optimizer:
    """Make an optimizer by name; Adadelta has rho 0.95, SGD momentum 0.9.

    Args:
        name: ``adadelta``, ``adam`` or ``sgd``.
        learning_rate: Learning rate, above 0.
        schedule: Learning rate schedule of Keras that replaces the constant rate.
        l2: Share of every weight that is added to its gradient, as PyTorch's weight
            decay; that of Keras is decoupled from the gradient.

    Raises:
        ValueError: If the name is another or the rate is not positive.

    Example:
        >>> float(make_optimizer("adam", 0.5).learning_rate)
        0.5
    """
    if name not in OPTIMIZERS or not learning_rate > 0:
        raise ValueError(
            f"Expected an optimizer of {', '.join(OPTIMIZERS)} with a rate above 0. "
            f"Received: {name!r} with {learning_rate!r}."
        )
    rate = learning_rate if schedule is None else schedule
    penalty = {"l2": l2} if l2 else {}
    if name == "adadelta":
        adadelta = L2Adadelta if l2 else keras.optimizers.Adadelta
        return adadelta(rate, rho=0.95, **penalty)
    if name == "adam":
        return (L2Adam if l2 else keras.optimizers.Adam)(rate, **penalty)
    return (L2SGD if l2 else keras.optimizers.SGD)(rate, momentum=0.9, **penalty)


class _WithL2(keras.optimizers.Optimizer):
    """Mixin: a share of every weight is added to its gradient before the update."""

    def __init__(self, *args, l2: float = 0.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        """Update a variable with its gradient and the penalty's."""
        value = keras.ops.cast(variable, gradient.dtype)
        super().update_step(gradient + self.l2 * value, variable, learning_rate)

    def get_config(self) -> dict:
        """Return the arguments that make the optimizer again."""
        return {**super().get_config(), "l2": self.l2}


@keras.saving.register_keras_serializable(package="kerasloc")
class L2Adam(_WithL2, keras.optimizers.Adam):
    """Adam with ``l2`` times every weight added to its gradient.

    Example:
        >>> L2Adam(0.001, l2=1e-4).l2
        0.0001
    """


@keras.saving.register_keras_serializable(package="kerasloc")
class L2SGD(_WithL2, keras.optimizers.SGD):
    """SGD with ``l2`` times every weight added to its gradient.

    Example:
        >>> L2SGD(0.001, momentum=0.9, l2=1e-4).l2
        0.0001
    """


@keras.saving.register_keras_serializable(package="kerasloc")
class L2Adadelta(_WithL2, keras.optimizers.Adadelta):
    """Adadelta with ``l2`` times every weight added to its gradient.

    Example:
        >>> L2Adadelta(1.0, rho=0.95, l2=1e-4).l2
        0.0001
    """


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
        first = float(keras.ops.convert_to_numpy(self.learning_rate))
        for optimizer in self.optimizers:
            rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
            optimizer.learning_rate = rate * float(value) / first


def two_rates(phase: Phase, steps: int, l2: float) -> keras.optimizers.Optimizer:
    """Make the optimizer of a phase: classifier and explainer have their own rates.

    Args:
        phase: Rates and their decay.
        steps: Number of steps of an epoch.
        l2: Share of every weight that is added to its gradient.

    Example:
        >>> from kerasloc.training.configs import ExplainerTraining
        >>> first = ExplainerTraining().phases[0]
        >>> float(two_rates(first, steps=10, l2=0.0).learning_rate)
        0.01
    """

    def at(rate: float) -> keras.optimizers.Optimizer:
        schedule = None
        if phase.decay == "cosine":
            length = phase.epochs * steps
            schedule = keras.optimizers.schedules.CosineDecay(rate, length)
        return make_optimizer(phase.optimizer, rate, schedule, l2=l2)

    if phase.name != "both":
        return at(phase.classifier_rate or phase.explainer_rate)
    classifier, explainer = at(phase.classifier_rate), at(phase.explainer_rate)
    classifier.name, explainer.name = "classifier", "explainer"  # of their columns
    by_path = {f"{PREFIX}.*": explainer}
    return TwoRates(keras.optimizers.OptimizerMap(classifier, by_path))
