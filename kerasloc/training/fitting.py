"""Fitting a compiled model over a table, epoch by epoch, resumable."""

import logging
import math
import sys

import keras

from kerasloc.data.pipeline import batches as ordered_batches
from kerasloc.data.pipeline import steps, training_batches
from kerasloc.training.callbacks import (
    EpochDraws,
    EpochEnd,
    FiniteLoss,
    ReduceLROnPlateau,
    StopAtRate,
)
from kerasloc.training.devices import scope

logger = logging.getLogger(__name__)

PLATEAU = {"monitor": "loss", "factor": math.sqrt(0.1), "patience": 10, "min_lr": 1e-5}


def fit(run, trainer: keras.Model, network: keras.Model, feed: dict, settings: dict):
    """Trains until the asked epoch, from wherever the run stands.

    Args:
        run: The open run.
        trainer: Compiled model that is fitted.
        network: Model that shares its layers and whose weights are kept.
        feed: ``train`` and ``val`` tables, ``train_config`` and ``val_config`` of the
            pipeline, ``target``: function from an element to (input, target); optional
            ``weights``: how often a training image is drawn, beside others.
        settings: ``epochs``, ``monitor`` (name, mode), ``callbacks``; optional
            ``plateau``: arguments of Keras' ReduceLROnPlateau (default: HRCAM's; None
            for none), ``stop_rate``: the learning rate at which training ends,
            ``kept``: callbacks with a state to be kept, as of :class:`EpochEnd` (one
            whose ``ended`` is true has ended the training), and ``eligible``: as of
            :class:`EpochEnd`.

    Returns:
        Rows of the history, one per epoch.

    Raises:
        ValueError: If the loss becomes infinite or NaN; the folder keeps the epochs
            before.
    """
    plateau, kept = settings.get("plateau", PLATEAU), settings.get("kept", ())
    kept = kept if plateau is None else (ReduceLROnPlateau(**plateau), *kept)
    stop = StopAtRate(settings.get("stop_rate", 0.0))
    chosen = {"eligible": settings.get("eligible"), "others": kept}
    end = EpochEnd(run, network, settings["monitor"], **chosen)
    ended = any(getattr(one, "ended", False) for one in kept)
    if ended or end.first_epoch >= settings["epochs"]:
        logger.info("%s has its %d epochs already.", run.folder, end.first_epoch)
        return run.history
    if end.first_epoch:
        logger.info("%s goes on after epoch %d.", run.folder, end.first_epoch)
        with scope(getattr(trainer, "distribute_strategy", None)):
            # Keras skips the state of an optimizer that has no variables yet.
            trainer.optimizer.build(trainer.trainable_variables)
        trainer.load_weights(run.folder / "last.weights.h5")
        if stop.reached(trainer.optimizer):
            logger.info("%s has ended: its learning rate fell far enough.", run.folder)
            return run.history
    config = feed["train_config"]
    train = training_batches(
        feed["train"], config, end.first_epoch, feed.get("weights")
    )
    val = ordered_batches(feed["val"], feed["val_config"])
    trainer.fit(
        train.map(feed["target"]),
        validation_data=val.map(feed["target"]),
        steps_per_epoch=steps(feed["train"], config),
        initial_epoch=end.first_epoch,
        epochs=settings["epochs"],
        shuffle=False,  # the pipeline does
        callbacks=[
            EpochDraws(),
            FiniteLoss(),
            *kept,
            stop,
            *settings["callbacks"],
            tensorboard(run),
            end,
        ],
        verbose="auto" if sys.stdout.isatty() else 2,
    )
    return run.history


def tensorboard(run):
    """Curves in the run's logs."""
    return keras.callbacks.TensorBoard(run.folder / "logs", write_graph=False)


def optimizer(
    name: str, learning_rate: float, schedule=None, *, l2: float = 0.0
) -> keras.optimizers.Optimizer:
    """An optimizer by name; Adadelta has the published rho.

    Args:
        name: ``adadelta``, ``adam`` or ``sgd``.
        learning_rate: Above 0.
        schedule: Of Keras, in the place of the constant rate.
        l2: Share of every weight that is added to its gradient, as PyTorch's weight
            decay; Keras' own is decoupled from the gradient.

    Raises:
        ValueError: If the name is another or the rate is not positive.
    """
    rate = learning_rate if schedule is None else schedule
    own = {"l2": l2} if l2 else {}
    makers = {
        "adadelta": lambda: (L2Adadelta if l2 else keras.optimizers.Adadelta)(
            rate, rho=0.95, **own
        ),
        "adam": lambda: (L2Adam if l2 else keras.optimizers.Adam)(rate, **own),
        "sgd": lambda: (L2SGD if l2 else keras.optimizers.SGD)(
            rate, momentum=0.9, **own
        ),
    }
    if name not in makers or not learning_rate > 0:
        raise ValueError(
            f"An optimizer is one of {', '.join(makers)} with a rate above 0. "
            f"Received: {name!r} with {learning_rate!r}."
        )
    return makers[name]()


class _WithL2:
    """Adds a share of every weight to its gradient, before an optimizer of Keras."""

    def __init__(self, *arguments, l2: float = 0.0, **options):
        super().__init__(*arguments, **options)
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        """The optimizer's own, with the larger gradient."""
        value = keras.ops.cast(variable, gradient.dtype)
        super().update_step(gradient + self.l2 * value, variable, learning_rate)

    def get_config(self):
        """What makes the optimizer again."""
        return {**super().get_config(), "l2": self.l2}


@keras.saving.register_keras_serializable(package="kerasloc")
class L2Adam(_WithL2, keras.optimizers.Adam):
    """Adam with ``l2`` times every weight added to its gradient."""


@keras.saving.register_keras_serializable(package="kerasloc")
class L2SGD(_WithL2, keras.optimizers.SGD):
    """SGD with ``l2`` times every weight added to its gradient."""


@keras.saving.register_keras_serializable(package="kerasloc")
class L2Adadelta(_WithL2, keras.optimizers.Adadelta):
    """Adadelta with ``l2`` times every weight added to its gradient."""


def jit_compile(strategy=None):
    """Whether XLA pays: on one GPU of TensorFlow; elsewhere Keras decides."""
    if keras.backend.backend() != "tensorflow":
        return "auto"
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU")) and strategy is None
