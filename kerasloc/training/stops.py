"""What ends a phase of training before its last epoch; each with a state to be kept.

All of them come before :class:`~kerasloc.training.callbacks.EpochEnd`, which keeps
their states.
"""

import logging
import math

import keras

logger = logging.getLogger(__name__)

CLASSIFICATION_SHARE, EXPLANATION_SHARE = 0.25, 0.2
FLAT = 1e-3  # a mean explanation this near to 0 or 1 marks nothing, or everything
SATURATED = 1e-6  # tanh this near to 1 has no gradient any more


class Stop(keras.callbacks.Callback):
    """Ends the training after an epoch, and remembers that it did.

    Attributes:
        ended: Whether the training is over.
    """

    names: tuple[str, ...] = ()  # of the attributes that survive the process

    def __init__(self):
        super().__init__()
        self.ended = False

    def on_epoch_end(self, epoch, logs=None):
        """Looks at the epoch's values."""
        if self.look({key: float(value) for key, value in (logs or {}).items()}):
            self.ended = self.model.stop_training = True

    def look(self, logs: dict) -> bool:
        """Whether the training ends with these values of an epoch."""
        raise NotImplementedError

    def get_state(self) -> dict:
        """What has to survive the process."""
        return {name: getattr(self, name) for name in ("ended", *self.names)}

    def set_state(self, state: dict):
        """Takes up the state that was kept."""
        for name, value in state.items():
            setattr(self, name, value)


class EarlyStop(Stop):
    """Ends it when the validation loss has not become better for a while.

    Args:
        patience: Epochs, at least 1.
        min_delta: What counts as better.
    """

    names = ("best", "wait")

    def __init__(self, patience: int, min_delta: float):
        super().__init__()
        self._patience, self._min_delta = patience, min_delta
        self.best, self.wait = math.inf, 0

    def look(self, logs):
        """Counts the epochs."""
        if logs["val_loss"] < self.best - self._min_delta:
            self.best, self.wait = logs["val_loss"], 0
        else:
            self.wait += 1
        return self.wait >= self._patience


class LossFell(Stop):
    """Ends it when a training loss has fallen to a share of its first value.

    The first value is that of the first epoch. A loss of 0 does not count: an
    explanation that is black everywhere costs nothing.

    Args:
        name: Of the loss.
        share: Between 0 and 1.

    Reference:
        Rules of thumb of Rio-Torto, Fernandes, Teixeira, Pattern Recognition Letters
        133, 2020.
    """

    names = ("first",)

    def __init__(self, name: str, share: float):
        super().__init__()
        self._name, self._share, self.first = name, share, None

    def look(self, logs):
        """Compares with the first epoch."""
        value = logs[self._name]
        self.first = value if self.first is None else self.first
        return 0 < value <= self._share * self.first


class Collapse(Stop):
    """Ends it when the explanations are 0, or 1, everywhere: nothing learns any more.

    A ReLU that answers 0 everywhere has no gradient, nor has a tanh that answers 1.
    """

    @staticmethod
    def flat(mean: float) -> bool:
        """Whether a mean explanation says that all of them are nearly 0, or 1."""
        return not FLAT < mean < 1 - FLAT

    def look(self, logs):
        """Looks at the mean explanation of the validation images."""
        mean = logs["val_explanation_mean"]
        dead = not FLAT < mean < 1 - SATURATED
        if dead:
            logger.warning(
                "The explanations are %s everywhere (mean %.4f): this phase ends here.",
                "black" if mean < 0.5 else "white",
                mean,
            )
        return dead
