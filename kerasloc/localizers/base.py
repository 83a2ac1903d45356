"""Base class of the wrappers: check images, classify, draw, save."""

import dataclasses
import inspect
import os
import pathlib
import warnings
from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np
import numpy.typing as npt
from scipy.special import expit, softmax

from kerasloc import boxes as box_tools
from kerasloc import runs
from kerasloc.cams import run
from kerasloc.checks import as_images, class_index, class_indices
from kerasloc.configs import NetworkConfig
from kerasloc.localizers.loading import Overrides, build, load_network
from kerasloc.maps import min_max, resize_maps
from kerasloc.models import families
from kerasloc.models.folding import fold

Class = int | str
Classes = Class | Sequence[Class] | None


class _Signature:
    """Signature of a wrapper: its own arguments and the options of its family."""

    def __get__(self, instance, owner) -> inspect.Signature:
        parameters = inspect.signature(owner.__init__).parameters.values()
        arguments = [p for p in parameters if p.name not in ("self", "options")]
        family = getattr(owner, "family", None)
        if family not in families.names():
            return inspect.Signature(arguments)
        options = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=field.type,
            )
            for field in dataclasses.fields(families.get(family).options)
        ]
        return inspect.Signature([*arguments, *options])


class Localizer:
    """A network with named outputs that classifies images and localizes the classes.

    Images are (rows, cols, channels), gray ones also (rows, cols), or a batch of
    them; uint8, uint16 or float in [0, 1]. Methods return one image's result without
    the leading axis, unless ``squeeze=False``.

    Args:
        weights: A run folder, a `.keras`, `.weights.h5`, published legacy `.h5` or
            PyTorch file. None with ``num_classes``: an untrained network; None alone:
            the newest run in ``results/``.
        num_classes: Number of classes; read from the weights by default.
        im_size: Image size in pixels, a number or (rows, cols); read from the run
            folder by default.
        channels: Number of channels of the images; read from the weights by default.
        class_names: Names of the classes in the order of the logits.
        multi_label: Whether an image has any number of classes, or exactly one.
        thresholds: Probability above which a class is predicted, one for all (0.5) or
            one per class; multi-label only.
        mean: Mean of the images, one for all channels or one each; subtracted.
        std: Standard deviation of the images, likewise; images are divided by it.
        **options: Options of the family's network, as in the signature.

    Attributes:
        model: The bare network: normalized images in, named outputs out.
        config: Description of the network.

    Raises:
        ValueError: If the weights do not exist or do not match.
        TypeError: If the network has no such option.

    Example:
        >>> import numpy as np, kerasloc
        >>> wrapper = kerasloc.Pylon(
        ...     num_classes=2, im_size=32, backbone="resnet18", decoder_channels=8
        ... )
        >>> images = np.zeros((3, 32, 32, 3), np.uint8)
        >>> wrapper.predict_proba(images).shape, wrapper.maps(images).shape
        ((3, 2), (3, 8, 8, 2))
    """

    __signature__ = _Signature()

    family: str
    outputs: frozenset[str]
    default_size = 224
    default_multi_label = False
    cam_layer: str | None = None  # layer of kerasloc.cam; None: the last

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
        self._hold(*load_network(type(self), weights, overrides))

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
        """Save weights and description in a folder for ``kerasloc.load``.

        Args:
            folder: Folder, made when absent; its weights and description are replaced.

        Returns:
            The folder.
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
            precision: ``float32``, ``mixed_float16`` or ``mixed_bfloat16``; None keeps
                it. Half precision moves results by about a percent.
        """
        model = self.model if precision is None else self._in_precision(precision)
        model = model if self.config.folded else fold(model)
        wrapper = object.__new__(type(self))
        wrapper._hold(model, dataclasses.replace(self.config, folded=True))
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

        Raises:
            ValueError: If there are fewer than ``n`` classes, or ``n`` is below 1.
        """
        if not 1 <= n <= self.config.num_classes:
            raise ValueError(
                f"Expected n from 1 to {self.config.num_classes}, the number of "
                f"classes. Received: {n!r}."
            )
        order = np.argsort(-self.logits(x, squeeze=squeeze), axis=-1, kind="stable")
        return order[..., :n]

    def maps(
        self, x: npt.ArrayLike, classes: Classes = None, *, squeeze: bool = True
    ) -> np.ndarray:
        """Compute raw maps at the network's own size, (n, rows, cols, classes).

        Args:
            x: Images.
            classes: One class, index or name (no last axis), several, or None for all.
            squeeze: Whether one image loses its axis.
        """
        raise NotImplementedError

    def generate_cams(
        self, x: npt.ArrayLike, custom_class: Classes = None, *, squeeze: bool = True
    ) -> tuple:
        """Compute ``(high, low, preds)`` in one forward pass; see the families."""
        raise NotImplementedError

    def heatmaps(
        self,
        x: npt.ArrayLike,
        classes: Classes = None,
        size: Sequence[int] | None = None,
        *,
        squeeze: bool = True,
    ) -> np.ndarray:
        """Compute heat maps in [0, 1] at the image's size.

        Args:
            x: Images.
            classes: One class, index or name (no last axis), several, or None for all.
            size: (rows, cols) of the heat maps in pixels; the image's by default.
            squeeze: Whether one image loses its axis.

        Returns:
            Array (n, rows, cols, classes), without the last axis for one class. Where
            maps are pooled to logits it is the probability at every pixel; HRCAM's maps
            are scaled by their own minimum and maximum, a flat one to 0.
        """
        maps = self._maps_to_show(x, classes)
        one_class = maps.ndim == 3
        stack = maps[..., None] if one_class else maps
        count, rows, cols, channels = stack.shape
        flat = np.moveaxis(stack, -1, 1).reshape(-1, rows, cols)
        size = tuple(size) if size is not None else self.config.im_size
        heat = self._heat(flat, size)
        _warn_flat(heat, channels)
        heat = np.moveaxis(heat.reshape(count, channels, *size), 1, -1)
        heat = heat[..., 0] if one_class else heat
        return heat[0] if count == 1 and squeeze else heat

    def boxes(
        self,
        x: npt.ArrayLike,
        threshold: float = 0.5,
        *,
        custom_class: Classes = None,
        squeeze: bool = True,
    ) -> np.ndarray | list[np.ndarray]:
        """Find the boxes around the hot regions of the map of one class per image.

        Args:
            x: Images.
            threshold: Heat above which a pixel is hot, in [0, 1].
            custom_class: Index or name, or one per image; the predicted class by
                default.
            squeeze: Whether one image returns its array alone.

        Returns:
            For every image an array of rows x, y, w, h, class, score in pixels, the
            largest region first; the score is the mean heat in the box.
        """
        images, single = as_images(x, self.config.input_shape)
        classes = self._classes(custom_class, len(images))
        maps, chosen = self._chosen_maps(images, classes)
        heat = self._relative_heat(maps, self.config.im_size)
        rows = [_scored(h, threshold, c) for h, c in zip(heat, chosen, strict=True)]
        return rows[0] if single and squeeze else rows

    def refine(
        self,
        x: npt.ArrayLike,
        custom_class: Classes = None,
        *,
        squeeze: bool = True,
        **options: Any,
    ) -> dict | list[dict]:
        """Run HRCAM's post-processing on the model's own maps.

        Args:
            x: Images.
            custom_class: Index or name, or one per image; the predicted class by
                default.
            squeeze: Whether one image returns its dict alone.
            **options: Options of :func:`kerasloc.postprocess.pipeline`.

        Returns:
            A dict of every step for one image, a list of them for several.
        """
        from kerasloc.postprocess import pipeline

        images, single = as_images(x, self.config.input_shape)
        high, low, _ = self.generate_cams(images, custom_class, squeeze=False)
        high = resize_maps(high, self.config.im_size)
        steps = [
            pipeline(image, low_map, high_map, **options)
            for image, low_map, high_map in zip(images, low, high, strict=True)
        ]
        return steps[0] if single and squeeze else steps

    def prepare(self, x: npt.ArrayLike) -> np.ndarray:
        """Check and normalize images for :attr:`model`; always a batch.

        Args:
            x: Images, or one.
        """
        images, _ = as_images(x, self.config.input_shape)
        return self._normalized(images)

    def _normalized(self, images: np.ndarray) -> np.ndarray:
        mean, std = (np.float32(v) for v in (self.config.mean, self.config.std))
        return (images - mean) / std

    def _run(self, model: keras.Model, images: np.ndarray, *inputs) -> Any:
        """Compute the outputs of a model for checked images in [0, 1]."""
        return run(model, self._normalized(images), *inputs)

    def _maps_to_show(self, x, classes: Classes) -> np.ndarray:
        """Compute the maps that heat maps are made of, (n, rows, cols[, classes])."""
        return self.maps(x, classes, squeeze=False)

    def _chosen_maps(self, images, classes) -> tuple[np.ndarray, np.ndarray]:
        """Compute one map per image for boxes, (n, rows, cols), and its class, (n,)."""
        raise NotImplementedError

    def _heat(self, maps: np.ndarray, size) -> np.ndarray:
        """Scale maps (n, rows, cols) to [0, 1] and to a size."""
        return min_max(resize_maps(maps, size))

    def _relative_heat(self, maps: np.ndarray, size) -> np.ndarray:
        """Compute the heat maps for boxes, whose maximum is 1."""
        return self._heat(maps, size)

    def _probabilities(self, logits: np.ndarray) -> np.ndarray:
        if self.config.multi_label:
            return expit(logits)
        return softmax(logits, axis=-1)

    def _decide(self, logits: np.ndarray) -> np.ndarray | int:
        if self.config.multi_label:
            return (self._probabilities(logits) > self.config.thresholds).astype(int)
        index = logits.argmax(axis=-1)
        return int(index) if logits.ndim == 1 else index

    def _columns(self, classes: Classes) -> int | list[int] | slice:
        """Return the index of a map's last axis: one class, several, or all."""
        if classes is None:
            return slice(None)
        if isinstance(classes, str) or np.ndim(classes) == 0:
            return class_index(classes, self.config.class_names)
        return [class_index(value, self.config.class_names) for value in classes]

    def _classes(self, custom_class: Classes, count: int) -> np.ndarray:
        """Return one class index per image, -1 for the predicted class."""
        names = self.config.class_names
        indices, listed = class_indices(custom_class, count, names)
        if listed:
            raise ValueError(
                "Expected custom_class to be one class, or one per image. Received: "
                f"{custom_class!r}. Use maps(x, classes) for several classes."
            )
        return indices[:, 0].astype(np.int32)


def _warn_flat(heat: np.ndarray, channels: int) -> None:
    flat = np.flatnonzero(~heat.any(axis=(1, 2)))
    if len(flat):
        images = sorted(set((flat // channels).tolist()))
        warnings.warn(
            f"A flat map has no maximum; its heat map is 0. Images: {images}.",
            stacklevel=3,
        )


def _scored(heat: np.ndarray, threshold: float, index: int) -> np.ndarray:
    """Return the rows x, y, w, h, class, score of one heat map."""
    regions = box_tools.from_mask(heat > threshold)
    scores = [
        heat[int(y) : int(y + h), int(x) : int(x + w)].mean() for x, y, w, h in regions
    ]
    tail = np.stack([np.full(len(regions), float(index)), np.array(scores)], axis=1)
    return np.concatenate([regions, tail], axis=1)
