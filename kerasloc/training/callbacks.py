"""Callbacks of a resumable training: checkpoints, pictures, early ends.

One with ``get_state`` and ``set_state`` comes before :class:`EpochEnd`, which writes
its state into the run folder.
"""

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerasloc.checks import DIVERGED, check_finite
from kerasloc.runs import BEST_WEIGHTS, Run

logger = logging.getLogger(__name__)

DRAWS = 2**20  # upper bound of the draws of a layer in an epoch
FLAT = 1e-3  # a mean explanation this near to 0 or 1 marks nothing, or everything
SATURATED = 1e-6  # tanh this near to 1 has no gradient any more

Logs = Mapping[str, Any] | None
Maps = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class FitConfig:
    """Settings of :func:`kerasloc.training.trainer.fit`.

    Attributes:
        epochs: Number of epochs after which training ends.
        monitor, mode: Logged value by which weights are the best; ``min`` or ``max``.
        stateful: Callbacks whose state is kept; ``ended`` of one ends the training.
        callbacks: Further callbacks.
        stop_rate: Learning rate at which training ends.
        eligible: Function from an epoch's values to whether its weights may be the
            best. Default: always.

    Example:
        >>> FitConfig(3, "val_loss", "min").stop_rate
        0.0
    """

    epochs: int
    monitor: str
    mode: str
    stateful: Sequence[Any] = ()
    callbacks: Sequence[keras.callbacks.Callback] = ()
    stop_rate: float = 0.0
    eligible: Callable[[dict[str, float]], bool] | None = None


class EpochEnd(keras.callbacks.Callback):
    """Write history, best weights and state, crash-safe.

    The history comes first and is cut to the state's epoch on resuming, so that it has
    every epoch once wherever the process dies.
    """

    def __init__(self, run: Run, network: keras.Model, config: FitConfig):
        super().__init__()
        self._run, self._network, self._config = run, network, config
        self._sign = {"min": 1.0, "max": -1.0}[config.mode]
        state = run.read_state() or {"epoch": 0, "best": math.inf, "others": []}
        self.first_epoch, self._best = state["epoch"], state["best"]
        for callback, saved in zip(config.stateful, state["others"], strict=False):
            callback.set_state(saved)
        self._rows = [row for row in run.history if row["epoch"] <= self.first_epoch]
        self._began = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Start the clock."""
        self._began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Write the epoch."""
        config = self._config
        seconds = round(time.monotonic() - self._began, 2)
        values = {key: float(value) for key, value in (logs or {}).items()}
        self._rows.append({"epoch": epoch + 1, **values, "seconds": seconds})
        self._run.write_history(self._rows)
        score = self._sign * values[config.monitor]
        if config.eligible is not None and not config.eligible(values):
            score = math.inf
        absent = not (self._run.folder / BEST_WEIGHTS).is_file()  # the first may be NaN
        if score < self._best or absent:
            self._best = min(self._best, score)  # in this order NaN is left out
            self._run.save_best(self._network)
        states = [callback.get_state() for callback in config.stateful]
        state = {"epoch": epoch + 1, "best": self._best, "others": states}
        self._run.save_state(self.model, state)


class KeepBest(keras.callbacks.Callback):
    """Keep weights as ``NAME.weights.h5`` by the highest value of another monitor.

    NaN is never better.
    """

    def __init__(self, run: Run, network: keras.Model, name: str, monitor: str):
        super().__init__()
        self._run, self._file = run, f"{name}.weights.h5"
        self._network, self._monitor, self._best = network, monitor, -math.inf

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Write the weights if they are better."""
        value = float((logs or {})[self._monitor])
        if value > self._best:
            self._best = value
            self._run.save_best(self._network, self._file)

    def get_state(self) -> float:
        """Return the best value."""
        return self._best

    def set_state(self, state: float) -> None:
        """Restore the best value."""
        self._best = state


class EpochDraws(keras.callbacks.Callback):
    """Derive the draws of dropout from seed and epoch, as Keras saves no position."""

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Set the count of every generator."""
        for variable in self.model.variables:
            if variable.name == "seed_generator_state":
                state = [keras.ops.convert_to_numpy(variable)[0], epoch * DRAWS]
                variable.assign(np.array(state).astype(variable.dtype))


class FiniteLoss(keras.callbacks.Callback):
    """End a training whose loss or weights are not finite, before anything is written.

    Example:
        >>> FiniteLoss().on_epoch_end(0, {"loss": 0.5})
    """

    _epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Remember the epoch."""
        self._epoch = epoch + 1

    def on_test_begin(self, logs: Logs = None) -> None:
        """Raise ValueError unless the weights to validate are finite."""
        try:
            check_finite(self.model)
        except ValueError as error:
            raise ValueError(f"{error} This was in epoch {self._epoch}.") from None

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Raise ValueError unless the losses are finite numbers."""
        for name in ("loss", "val_loss"):
            loss = float((logs or {}).get(name, 0))
            if not math.isfinite(loss):
                raise ValueError(
                    f"Expected a finite {name}. Received: {loss} in epoch "
                    f"{epoch + 1}. {DIVERGED}"
                )


class ReduceLROnPlateau(keras.callbacks.ReduceLROnPlateau):
    """Keras' callback with a state that a resumed run restores."""

    _state: dict | None = None

    def get_state(self) -> dict:
        """Return the best value and the counters."""
        counters = {"wait": int(self.wait), "cooldown": int(self.cooldown_counter)}
        return {"best": float(self.best), **counters}

    def set_state(self, state: dict) -> None:
        """Set the state to restore when training begins."""
        self._state = state

    def on_train_begin(self, logs: Logs = None) -> None:
        """Restore the state."""
        super().on_train_begin(logs)
        if self._state is not None:
            self.best, self.wait = self._state["best"], self._state["wait"]
            self.cooldown_counter = self._state["cooldown"]


class StopAtRate(keras.callbacks.Callback):
    """End a training after the first epoch whose learning rate is not above ``rate``.

    Example:
        >>> StopAtRate(0.01).reached(keras.optimizers.SGD(0.001))
        True
    """

    def __init__(self, rate: float):
        super().__init__()
        self._rate = rate

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Compare the rate."""
        if self.reached(self.model.optimizer):
            self.model.stop_training = True

    def reached(self, optimizer: keras.optimizers.Optimizer) -> bool:
        """Return whether the rate of an optimizer is not above the last one."""
        rate = keras.ops.convert_to_numpy(optimizer.learning_rate)  # of any strategy
        return float(rate) <= self._rate


class Stop(keras.callbacks.Callback):
    """End a phase after an epoch, and remember it in ``ended``."""

    names: tuple[str, ...] = ()  # further attributes that are the state

    def __init__(self) -> None:
        super().__init__()
        self.ended = False

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Compare the epoch's values."""
        if self.ends({key: float(value) for key, value in (logs or {}).items()}):
            self.ended = self.model.stop_training = True

    def ends(self, logs: dict[str, float]) -> bool:
        """Return whether the phase ends with these values of an epoch."""
        raise NotImplementedError

    def get_state(self) -> dict:
        """Return the attributes that are the state."""
        return {name: getattr(self, name) for name in ("ended", *self.names)}

    def set_state(self, state: dict) -> None:
        """Restore the attributes."""
        for name, value in state.items():
            setattr(self, name, value)


class EarlyStop(Stop):
    """End a phase after ``patience`` epochs without a decrease of the validation loss.

    Decreases below ``min_delta`` do not count.

    Example:
        >>> stop = EarlyStop(patience=1, min_delta=0.1)
        >>> [stop.ends({"val_loss": loss}) for loss in (1.0, 0.5, 0.45)]
        [False, False, True]
    """

    names = ("best", "wait")

    def __init__(self, patience: int, min_delta: float):
        super().__init__()
        self._patience, self._min_delta = patience, min_delta
        self.best, self.wait = math.inf, 0

    def ends(self, logs: dict[str, float]) -> bool:
        """Count the epochs without a decrease."""
        if logs["val_loss"] < self.best - self._min_delta:
            self.best, self.wait = logs["val_loss"], 0
        else:
            self.wait += 1
        return self.wait >= self._patience


class LossFell(Stop):
    """End a phase whose training loss has fallen to a share of the first epoch's.

    A loss of 0 does not count: an explanation that is black everywhere costs nothing.

    Reference:
        Rules of thumb of Rio-Torto, Fernandes, Teixeira, Pattern Recognition Letters
        133, 2020.

    Example:
        >>> stop = LossFell("loss", 0.25)
        >>> [stop.ends({"loss": loss}) for loss in (4.0, 2.0, 1.0)]
        [False, False, True]
    """

    names = ("first",)

    def __init__(self, name: str, share: float):
        super().__init__()
        self._name, self._share = name, share
        self.first: float | None = None

    def ends(self, logs: dict[str, float]) -> bool:
        """Compare with the first epoch."""
        value = logs[self._name]
        self.first = value if self.first is None else self.first
        return 0 < value <= self._share * self.first


class Collapse(Stop):
    """End a phase whose explanations are 0, or 1, everywhere: nothing learns any more.

    A ReLU that is 0 everywhere has no gradient, nor has a tanh that is 1.

    Example:
        >>> Collapse().ends({"val_explanation_mean": 0.5})
        False
    """

    @staticmethod
    def flat(mean: float) -> bool:
        """Return whether a mean explanation is that of all black or all white ones.

        Example:
            >>> Collapse.flat(0.0), Collapse.flat(0.5)
            (True, False)
        """
        return not FLAT < mean < 1 - FLAT

    def ends(self, logs: dict[str, float]) -> bool:
        """Compare the mean explanation of the validation images."""
        mean = logs["val_explanation_mean"]
        dead = not FLAT < mean < 1 - SATURATED
        if dead:
            text = (
                "The explanations are %s everywhere (mean %.4f): this phase ends here."
            )
            logger.warning(text, "black" if mean < 0.5 else "white", mean)
        return dead
