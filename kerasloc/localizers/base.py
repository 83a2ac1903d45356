"""What every wrapper does in the same way: check images, classify, draw, save."""

import dataclasses
import pathlib
import warnings

import keras
import numpy as np
from scipy.special import expit

from kerasloc import boxes as box_tools
from kerasloc import runs
from kerasloc.cams import run
from kerasloc.checks import as_images
from kerasloc.configs import NetworkConfig
from kerasloc.localizers.resolve import build, network_and_config
from kerasloc.metrics import min_max, resize_maps
from kerasloc.models.folding import fold


class Localizer:
    """A network that says what is in an image, and where.

    Images are (rows, cols, channels), gray ones also (rows, cols), or a batch of
    them; uint8 or float in [0, 1]. One image, or a batch of one, gives answers
    without the leading axis unless ``squeeze=False``.

    Args:
        weights: A run folder, a `.keras`, `.weights.h5` or published legacy `.h5`
            file; None with ``num_classes`` gives an untrained network, None without
            anything the newest run in ``results/``.
        num_classes: How many; known from the weights when left out.
        im_size: Number or (rows, cols); from the run folder, else 224.
        channels: Of the images; known from the weights when left out.
        class_names: One per class, in the order of the logits.
        multi_label: Whether an image may have several classes.
        **options: Of the family's network; and ``thresholds``: probability above which
            a class is there, one for all (0.5) or one per class (multi-label only);
            ``mean`` and ``std``: of the images, per channel or one for all, which the
            network wants taken off and divided by.

    Attributes:
        model: The bare network: normalized images in, named outputs out.
        config: What describes the network.

    Raises:
        ValueError: If the weights do not exist or do not fit.
    """

    family: str
    commands: tuple[str, ...]
    outputs: frozenset
    builder: staticmethod
    describe: staticmethod
    default_size = 224
    default_multi_label = False
    cam_layer: str | None = None  # that kerasloc.cam looks at; None: the last

    def __init__(
        self,
        weights=None,
        *,
        num_classes=None,
        im_size=None,
        channels=None,
        class_names=None,
        multi_label=None,
        **options,
    ):
        given = {
            "num_classes": num_classes,
            "im_size": im_size,
            "channels": channels,
            "class_names": class_names,
            "multi_label": multi_label,
            **{name: options.pop(name, None) for name in ("thresholds", "mean", "std")},
            "options": options,
        }
        self._hold(*network_and_config(type(self), weights, given))

    def _hold(self, model: keras.Model, config: NetworkConfig):
        """Takes a network; families add the models that they need around it."""
        self.model, self.config = model, config
        self._scores = keras.Model(model.input, model.output["logits"])

    @classmethod
    def normalization(cls, channels: int) -> dict:
        """Mean and deviation of a network that is not told any: none."""
        return {}

    @classmethod
    def load(cls, folder_or_weights):
        """The wrapper with the weights of a run folder or a weight file."""
        return cls(folder_or_weights)

    def save(self, folder) -> pathlib.Path:
        """Writes a folder that :meth:`load` and ``kerasloc.load`` read.

        Args:
            folder: Made when absent; weights and description in it are replaced.
        """
        folder = pathlib.Path(folder)
        runs.save_weights(self.model, folder / runs.SAVED_WEIGHTS)
        runs.write_network(folder, self.config)
        return folder

    def optimize(self, precision: str | None = None):
        """A wrapper for inference: the same answers from fewer, larger steps.

        Batch normalization that follows a convolution is folded into it. The answer
        can be saved and loaded; it is not for training.

        Args:
            precision: ``float32`` (default: as it is), ``mixed_float16`` or
                ``mixed_bfloat16``; half precision moves answers by a percent or so.
        """
        model = self.model if precision is None else self._in_precision(precision)
        model = model if self.config.folded else fold(model)
        answer = object.__new__(type(self))
        answer._hold(model, dataclasses.replace(self.config, folded=True))
        return answer

    def _in_precision(self, precision: str) -> keras.Model:
        """The network once more, with another number format inside."""
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(precision)
        try:
            model = build(type(self), self.config)
        finally:
            keras.config.set_dtype_policy(policy)
        model.set_weights(self.model.get_weights())
        return model

    def __repr__(self):
        return f"{type(self).__name__}({getattr(self, 'config', 'without a network')})"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the classes, in the order of the logits."""
        return tuple(self.config.class_names)

    def summary(self):
        """Prints Keras' table of the layers."""
        self.model.summary()

    def logits(self, x, *, squeeze=True) -> np.ndarray:
        """Scores before softmax or sigmoid, (n, classes)."""
        images, single = as_images(x, self.config.input_shape)
        answer = self._run(self._scores, images)
        return answer[0] if single and squeeze else answer

    def predict_proba(self, x, *, squeeze=True) -> np.ndarray:
        """Probabilities (n, classes); each for itself when multi-label."""
        return self._probabilities(self.logits(x, squeeze=squeeze))

    def predict(self, x, *, squeeze=True):
        """The class index of every image; multi-label: 0 or 1 per class."""
        return self._decide(self.logits(x, squeeze=squeeze))

    def predictN(self, x, n: int = 5, *, squeeze=True) -> np.ndarray:  # noqa: N802
        """Indices of the ``n`` likeliest classes, best first.

        Raises:
            ValueError: If there are fewer than ``n`` classes, or ``n`` is below 1.
        """
        if not 1 <= n <= self.config.num_classes:
            raise ValueError(
                f"n lies between 1 and the {self.config.num_classes} classes. "
                f"Received: {n!r}."
            )
        order = np.argsort(-self.logits(x, squeeze=squeeze), axis=-1, kind="stable")
        return order[..., :n]

    def heatmaps(self, x, classes=None, size=None, *, squeeze=True) -> np.ndarray:
        """The maps in [0, 1] at the image's size.

        Args:
            x: Images.
            classes: As for :meth:`maps`.
            size: (rows, cols) of the answer; the image's by default.
            squeeze: Whether one image loses its axis.

        Returns:
            Array (n, rows, cols, classes), without the last axis for one class. Where
            maps are pooled to logits it is the probability at every place; HRCAM's
            maps are scaled by their own minimum and maximum, a flat one to 0.
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

    def boxes(self, x, threshold: float = 0.5, *, custom_class=None, squeeze=True):
        """Boxes around what is hot in the map of one class per image.

        Args:
            x: Images.
            threshold: In [0, 1]; heat above it is hot.
            custom_class: As for the maps; the predicted class by default.
            squeeze: Whether one image gives its array alone.

        Returns:
            For every image an array of rows x, y, w, h, class, score in pixels, the
            largest part first; the score is the mean heat in the part's box.
        """
        images, single = as_images(x, self.config.input_shape)
        classes = self._classes(custom_class, len(images))
        maps, chosen = self._chosen_maps(images, classes)
        heat = self._relative_heat(maps, self.config.im_size)
        answer = [_scored(h, threshold, c) for h, c in zip(heat, chosen, strict=True)]
        return answer[0] if single and squeeze else answer

    def refine(self, x, custom_class=None, *, squeeze=True, **options):
        """Every step of HRCAM's post-processing on the model's own maps.

        Args:
            x: Images.
            custom_class: As for the maps; the predicted class by default.
            squeeze: Whether one image gives its dict alone.
            **options: Of :func:`kerasloc.postprocess.pipeline`.

        Returns:
            A dict of the steps for one image, a list of them for several.
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

    def prepare(self, x) -> np.ndarray:
        """Images as :attr:`model` takes them: a checked batch, normalized.

        Args:
            x: Images, or one.
        """
        images, _ = as_images(x, self.config.input_shape)
        return self._normalized(images)

    def _normalized(self, images):
        mean, std = (np.float32(v) for v in (self.config.mean, self.config.std))
        return (images - mean) / std

    def _run(self, model, images, *others):
        """The model's outputs for checked images in [0, 1]."""
        return run(model, self._normalized(images), *others)

    def _maps_to_show(self, x, classes) -> np.ndarray:
        """What heat maps are made of, (n, rows, cols[, classes])."""
        return self.maps(x, classes, squeeze=False)

    def _heat(self, maps, size) -> np.ndarray:
        """Maps (n, rows, cols) in [0, 1] at a size."""
        return min_max(resize_maps(maps, size))

    def _relative_heat(self, maps, size) -> np.ndarray:
        """For boxes: heat maps whose maximum is 1."""
        return self._heat(maps, size)

    def _probabilities(self, logits):
        if self.config.multi_label:
            return expit(logits)
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)

    def _decide(self, logits):
        if self.config.multi_label:
            return (self._probabilities(logits) > self.config.thresholds).astype(int)
        index = logits.argmax(axis=-1)
        return int(index) if logits.ndim == 1 else index

    def _class_index(self, one) -> int:
        """The index of a class given as index or name."""
        names = self.config.class_names
        if isinstance(one, str):
            if one in names:
                return names.index(one)
        elif one == int(one) and 0 <= one < len(names):
            return int(one)
        raise ValueError(
            f"A class is an index from 0 to {len(names) - 1} or one of the names "
            f"{', '.join(names[:20])}. Received: {one!r}."
        )

    def _classes(self, custom_class, count: int) -> np.ndarray:
        """One index per image, -1 for the predicted class."""
        if custom_class is None:
            return np.full(count, -1, np.int32)
        if isinstance(custom_class, str) or np.ndim(custom_class) == 0:
            return np.full(count, self._class_index(custom_class), np.int32)
        if len(custom_class) != count:
            raise ValueError(
                "custom_class is one class, or one per image. Received: "
                f"{len(custom_class)} classes for {count} images."
            )
        return np.array([self._class_index(one) for one in custom_class], np.int32)


def _warn_flat(heat, channels):
    flat = np.flatnonzero(~heat.any(axis=(1, 2)))
    if len(flat):
        images = sorted(set((flat // channels).tolist()))
        warnings.warn(
            f"A flat map has no hottest place; its heat map is 0. Images: {images}.",
            stacklevel=3,
        )


def _scored(heat, threshold, index):
    """Rows x, y, w, h, class, score of one heat map."""
    found = box_tools.from_mask(heat > threshold)
    scores = [
        heat[int(y) : int(y + h), int(x) : int(x + w)].mean() for x, y, w, h in found
    ]
    tail = np.stack([np.full(len(found), float(index)), np.array(scores)], axis=1)
    return np.concatenate([found, tail], axis=1)
