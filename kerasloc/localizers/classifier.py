"""Networks that are loaded, saved, optimized and classify images."""

import dataclasses
import inspect
import os
import pathlib
from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np
import numpy.typing as npt
from scipy.special import expit, softmax

from kerasloc import runs
from kerasloc.cams import run
from kerasloc.checks import as_images
from kerasloc.configs import NetworkConfig
from kerasloc.localizers.description import Overrides, build
from kerasloc.localizers.loading import load_network
from kerasloc.models import families
from kerasloc.models.folding import fold
from kerasloc.processes import (
    check_process,
    is_unsafe_fork,
    pack_model,
    unpack_model,
)


class _Signature:
    """Signature of a wrapper: its own arguments and the options of its family."""

    def __get__(self, instance, owner) -> inspect.Signature:
        parameters = inspect.signature(owner.__init__).parameters.values()
        arguments = [p for p in parameters if p.name not in ("self", "options")]
        family = getattr(owner, "family", None)
        if family not in families.names():
            return inspect.Signature(arguments)
        kind = inspect.Parameter.KEYWORD_ONLY
        options = [
            inspect.Parameter(f.name, kind, default=f.default, annotation=f.type)
            for f in dataclasses.fields(families.get(family).options)
        ]
        return inspect.Signature([*arguments, *options])


class Classifier:
    """A network with named outputs that classifies images.

    Arguments, attributes and errors as for :class:`~kerasloc.localizers.Localizer`.
    """

    __signature__ = _Signature()

    family: str
    outputs: frozenset[str]
    default_size = 224
    default_multi_label = False

    def __init__(
        self,
        weights: str | os.PathLike | None = None,
        *,
        num_classes: int | None = None,
        im_size: int | Sequence[int] | None = None,
        channels: int | None = None,
        class_names: Sequence[str] | None = None,
        multi_label: bool | None = None,
        thresholds: float | Sequence[float] | None = None,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        **options: Any,
    ):
        overrides = Overrides(
            num_classes=num_classes,
            im_size=im_size,
            channels=channels,
            class_names=class_names,
            multi_label=multi_label,
            thresholds=thresholds,
            mean=mean,
            std=std,
            options=options,
        )
        self._start(*load_network(type(self), weights, overrides))

    def _start(self, model: keras.Model, config: NetworkConfig) -> None:
        """Hold a network; what is made of it is made again where a pickle is read."""
        before = set(vars(self))
        self._hold(model, config)
        made = set(vars(self)) - before
        self._made = {name for name in made if name.startswith("_")} | {"_made"}

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickles and copies hold: network, description, user's values."""
        state = {k: v for k, v in vars(self).items() if k not in self._made}
        return {**state, "model": pack_model(self.model)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the wrapper again, in any process but a fork, where that may hang."""
        values = {key: value for key, value in state.items() if key != "model"}
        vars(self).update(values)
        if not is_unsafe_fork(keras.backend.backend()):
            self._start(unpack_model(state["model"]), self.config)
            vars(self).update(values)  # such as a user's cam_layer

    def __getattr__(self, name: str) -> Any:
        """Raise: there is no such attribute, or no network in this fork."""
        check_process(keras.backend.backend())
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}.")

    def _hold(self, model: keras.Model, config: NetworkConfig) -> None:
        """Store a network; families add the models that they need around it."""
        self.model, self.config = model, config
        self._scores = keras.Model(model.input, model.output["logits"])

    @classmethod
    def normalization(cls, channels: int) -> dict:
        """Return the published mean and deviation of images; empty for none."""
        return families.get(cls.family).normalization(channels)

    @classmethod
    def load(cls, folder_or_weights: str | os.PathLike) -> Self:
        """Load the wrapper with the weights of a run folder or a weight file."""
        return cls(folder_or_weights)

    def save(self, folder: str | os.PathLike) -> pathlib.Path:
        """Save weights and description for ``kerasloc.load``; returns the folder.

        The folder is made when absent; weights and description in it are replaced.
        """
        folder = pathlib.Path(folder)
        runs.save_weights(self.model, folder / runs.SAVED_WEIGHTS)
        runs.write_network(folder, self.config)
        return folder

    def optimize(self, precision: str | None = None) -> Self:
        """Return a wrapper for inference: the same results in fewer steps.

        Batch normalization that follows a convolution is folded into it. The wrapper
        can be saved and loaded; it is not for training.

        Args:
            precision: ``float32``, ``mixed_float16`` or ``mixed_bfloat16``, which move
                results by about a percent; None keeps it.
        """
        check_process(keras.backend.backend())
        model = self.model if precision is None else self._in_precision(precision)
        model = model if self.config.folded else fold(model)
        wrapper = object.__new__(type(self))
        wrapper._start(model, dataclasses.replace(self.config, folded=True))
        return wrapper

    def _in_precision(self, precision: str) -> keras.Model:
        """Build the network again with another number format inside."""
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(precision)
        try:
            model = build(self.config)
        finally:
            keras.config.set_dtype_policy(policy)
        model.set_weights(self.model.get_weights())
        return model

    def __repr__(self) -> str:
        return f"{type(self).__name__}({getattr(self, 'config', 'without a network')})"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of the logits."""
        return tuple(self.config.class_names)

    def summary(self) -> None:
        """Print Keras' table of the layers."""
        self.model.summary()

    def logits(self, x: npt.ArrayLike, *, squeeze: bool = True) -> np.ndarray:
        """Compute the scores before softmax or sigmoid, (n, classes)."""
        images, single = as_images(x, self.config.input_shape)
        logits = self._run(self._scores, images)
        return logits[0] if single and squeeze else logits

    def predict_proba(self, x: npt.ArrayLike, *, squeeze: bool = True) -> np.ndarray:
        """Compute probabilities (n, classes): softmax, or sigmoid when multi-label."""
        return self._probabilities(self.logits(x, squeeze=squeeze))

    def predict(self, x: npt.ArrayLike, *, squeeze: bool = True) -> np.ndarray | int:
        """Predict the class index of every image; multi-label: 0 or 1 per class."""
        return self._decide(self.logits(x, squeeze=squeeze))

    def predictN(  # noqa: N802
        self, x: npt.ArrayLike, n: int = 5, *, squeeze: bool = True
    ) -> np.ndarray:
        """Predict the indices of the ``n`` likeliest classes, best first.

        ``n`` below 1 or above the number of classes is a ValueError.
        """
        if not 1 <= n <= self.config.num_classes:
            raise ValueError(
                f"Expected n from 1 to {self.config.num_classes}. Received: {n!r}."
            )
        order = np.argsort(-self.logits(x, squeeze=squeeze), axis=-1, kind="stable")
        return order[..., :n]

    def prepare(self, x: npt.ArrayLike) -> np.ndarray:
        """Check and normalize images for :attr:`model`; always a batch."""
        images, _ = as_images(x, self.config.input_shape)
        return self._normalized(images)

    def _normalized(self, images: np.ndarray) -> np.ndarray:
        mean = np.array(self.config.mean, np.float32)
        return (images - mean) / np.array(self.config.std, np.float32)

    def _run(self, model: keras.Model, images: np.ndarray, *inputs) -> Any:
        """Compute the outputs of a model for checked images in [0, 1]."""
        return run(model, self._normalized(images), *inputs)

    def _probabilities(self, logits: np.ndarray) -> np.ndarray:
        return expit(logits) if self.config.multi_label else softmax(logits, axis=-1)

    def _decide(self, logits: np.ndarray) -> np.ndarray | int:
        if self.config.multi_label:
            return (self._probabilities(logits) > self.config.thresholds).astype(int)
        index = logits.argmax(axis=-1)
        return int(index) if logits.ndim == 1 else index
