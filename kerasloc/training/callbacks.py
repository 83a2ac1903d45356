"""What happens at the end of every epoch: history, best and last weights, pictures."""

import math
import time

import keras
import numpy as np

from kerasloc.weights import save_atomically

DRAWS = 2**20  # of a layer in an epoch, at most


class EpochEnd(keras.callbacks.Callback):
    """Writes the history, the best weights and the state, in an order that can break.

    History comes first and is cut to the state's epoch on resuming, so every epoch is
    in it once wherever the process dies.

    Args:
        run: The open run.
        network: The model whose weights are kept as the best ones.
        monitor: Name of the value, and ``"min"`` or ``"max"``.
        others: Callbacks with a state to be kept: objects with ``get_state`` and
            ``set_state``.
        eligible: Function from an epoch's values to whether its weights may be the
            best; None: always.
    """

    def __init__(self, run, network, monitor, others=(), *, eligible=None):
        super().__init__()
        self._eligible = eligible
        self._run, self._network, self._others = run, network, others
        self._name, mode = monitor
        self._sign = {"min": 1.0, "max": -1.0}[mode]
        state = run.read_state() or {"epoch": 0, "best": math.inf, "others": []}
        self.first_epoch, self._best = state["epoch"], state["best"]
        for other, kept in zip(others, state["others"], strict=False):
            other.set_state(kept)
        self._rows = [row for row in run.history if row["epoch"] <= self.first_epoch]
        self._began = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the clock."""
        self._began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        """Writes what the epoch gave."""
        seconds = round(time.monotonic() - self._began, 2)
        values = {key: float(value) for key, value in (logs or {}).items()}
        self._rows.append({"epoch": epoch + 1, **values, "seconds": seconds})
        self._run.write_history(self._rows)
        score = self._sign * values[self._name]
        path = self._run.folder / "best.weights.h5"
        if self._eligible is not None and not self._eligible(values):
            score = math.inf
        if score < self._best or not path.is_file():  # the first may be NaN
            self._best = min(self._best, score)  # in this order NaN is left out
            save_atomically(self._network, path)
        state = {
            "epoch": epoch + 1,
            "best": self._best,
            "others": [other.get_state() for other in self._others],
        }
        self._run.save_state(self.model, state)


class KeepBest(keras.callbacks.Callback):
    """Keeps the weights that were best by one more value; NaN is never better.

    Comes before :class:`EpochEnd`, which keeps its state.

    Args:
        run: The open run.
        network: The model whose weights are kept.
        name: Of the file: ``NAME.weights.h5``.
        monitor: Name of the value; the highest is the best.
    """

    def __init__(self, run, network, name: str, monitor: str):
        super().__init__()
        self._path = run.folder / f"{name}.weights.h5"
        self._network, self._monitor, self._best = network, monitor, -math.inf

    def on_epoch_end(self, epoch, logs=None):
        """Writes the weights if they are better."""
        value = float((logs or {})[self._monitor])
        if value > self._best:
            self._best = value
            save_atomically(self._network, self._path)

    def get_state(self) -> float:
        """What has to survive the process."""
        return self._best

    def set_state(self, state: float):
        """Takes up the state that was kept."""
        self._best = state


class EpochDraws(keras.callbacks.Callback):
    """Lets the seed and the number of an epoch decide what dropout draws in it.

    Keras keeps in no file how far the draws were; so a run that goes on draws what it
    would have drawn.
    """

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the count of every generator."""
        for variable in self.model.variables:
            if variable.name == "seed_generator_state":
                first = keras.ops.convert_to_numpy(variable)[0]
                state = np.array([first, epoch * DRAWS])
                variable.assign(state.astype(variable.dtype))


class FiniteLoss(keras.callbacks.Callback):
    """Ends a training whose loss is no number any more; comes before what writes."""

    def on_epoch_end(self, epoch, logs=None):
        """Raises unless the loss is a finite number."""
        loss = float((logs or {})["loss"])
        if not math.isfinite(loss):
            raise ValueError(
                f"A loss is a finite number. Received: {loss} in epoch {epoch + 1}. "
                "Give a smaller --learning-rate and another --results-name."
            )


class ReduceLROnPlateau(keras.callbacks.ReduceLROnPlateau):
    """Keras' own, with a state that a resumed run takes up."""

    _kept = None

    def get_state(self) -> dict:
        """What has to survive the process."""
        return {
            "best": float(self.best),
            "wait": int(self.wait),
            "cooldown": int(self.cooldown_counter),
        }

    def set_state(self, state: dict):
        """Takes a state up when training begins."""
        self._kept = state

    def on_train_begin(self, logs=None):
        """Takes up the state that was kept."""
        super().on_train_begin(logs)
        if self._kept is not None:
            self.best, self.wait = self._kept["best"], self._kept["wait"]
            self.cooldown_counter = self._kept["cooldown"]


class AttentionImages(keras.callbacks.Callback):
    """Fixed validation images with their maps, in TensorBoard every epoch.

    Args:
        folder: Of the logs.
        maps: Function that gives the maps as they are now, by name, as
            :func:`draw_maps` takes them.
        images: (n, rows, cols, channels) in [0, 1]; a few.
    """

    def __init__(self, folder, maps, images):
        super().__init__()
        self._folder, self._maps, self._images = str(folder), maps, images

    def on_epoch_end(self, epoch, logs=None):
        """Draws the maps as they are now."""
        import tensorflow as tf

        writer = tf.summary.create_file_writer(self._folder)
        with writer.as_default(step=epoch):  # from 0, as Keras' curves
            tf.summary.image("image", self._images, max_outputs=len(self._images))
            for name, maps in self._maps().items():
                pictures = draw_maps(self._images, maps)
                tf.summary.image(name, pictures, max_outputs=len(pictures))
        writer.close()


class StopAtRate(keras.callbacks.Callback):
    """Ends a training whose learning rate has fallen far enough; before what writes.

    Args:
        rate: The end is the first epoch after which the rate is not above this.
    """

    def __init__(self, rate: float):
        super().__init__()
        self._rate = rate

    def on_epoch_end(self, epoch, logs=None):
        """Looks at the rate."""
        if self.reached(self.model.optimizer):
            self.model.stop_training = True

    def reached(self, optimizer) -> bool:
        """Whether the optimizer's rate is not above the last one."""
        rate = keras.ops.convert_to_numpy(optimizer.learning_rate)  # of any strategy
        return float(rate) <= self._rate


def draw_maps(images, maps) -> np.ndarray:
    """The images with their maps over them, (n, rows, cols, 3) in [0, 1].

    Args:
        images: (n, rows, cols, channels) in [0, 1].
        maps: (n, rows, cols) of any smaller size; or heat maps in [0, 1] of all
            classes at the images' size, (n, rows, cols, classes).
    """
    from kerasloc.metrics import min_max, resize_maps
    from kerasloc.plotting import overlay_image, paint_classes

    if maps.ndim == 4:
        drawn = [paint_classes(i, m) for i, m in zip(images, maps, strict=True)]
        return np.stack(drawn).astype(np.float32)
    heat = min_max(resize_maps(maps, images.shape[1:3]))
    drawn = [overlay_image(i, h, 0.5) for i, h in zip(images, heat, strict=True)]
    return np.stack(drawn).astype(np.float32)
