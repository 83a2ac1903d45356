"""Common core of the methods: images in, a model cut at a layer, heat maps out."""

import abc
import functools
import math
import sys
import warnings
from collections.abc import Sequence

import keras
import numpy as np
import numpy.typing as npt

from kerasloc.cams.backend import images_at_once, predict
from kerasloc.cams.cutting import Cut, cut_at
from kerasloc.cams.graph import call_of
from kerasloc.cams.inputs import as_inputs, check_no_labels, input_names
from kerasloc.cams.tokens import Reshape
from kerasloc.checks import Classes, as_size, class_indices
from kerasloc.metrics import min_max, resize_maps
from kerasloc.processes import pack_model, unpack_model

NOISE = 1e-5  # rounding noise of features and maps, as a share of their maximum
SHOWN = 10  # images in a warning
SHARED = 8  # images that shares of the logit are measured on


class Explainer(abc.ABC):
    """A method on one model and layer, for any number of images.

    A method is a subclass that defines ``explain``, listed in
    :data:`kerasloc.cams.METHODS`.

    Args:
        model: Functional or sequential classifier of images, alone or beside tables,
            or a wrapper of this package. A final softmax or sigmoid is left out:
            methods explain logits.
        layer: Name of a layer with rows and columns, or tokens of patches
            (``base/conv`` of nested models), or of a nested model; several names for
            the sum of their maps, each for what bypasses the rest. By default the
            wrapper's layer, or the last that all of the output needs.
        reshape: Tokens (n, tokens, channels) on the grid of patches: None where the
            graph shows which token is which patch; ``"tokens"`` in reading order, for
            rows * cols tokens, or one more, the class token, first; the grid
            (rows, cols) if these numbers are not the image's shape.

    Raises:
        TypeError: If ``model`` is not a model.
        ValueError: If the model has several images or outputs, or no such layer; if
            branches join after pooling, or a part is opaque, and there is no default.

    Examples:
        >>> class MeanChannel(Explainer):
        ...     def explain(self, images, features, classes):
        ...         return features[0].mean(axis=-1, keepdims=True)
        >>> image = keras.Input((4, 4, 1))
        >>> x = keras.layers.Conv2D(2, 3, kernel_initializer="ones", name="conv")(image)
        >>> model = keras.Model(image, keras.layers.GlobalMaxPooling2D()(x))
        >>> MeanChannel(model)
        MeanChannel(layer 'conv' (2, 2, 2), 2 classes)
        >>> MeanChannel(model)(np.eye(4)[None, ..., None], size=2)
        array([[[1., 0.],
                [0., 1.]]], dtype=float32)
    """

    image_pixels = 40_000  # approximate pixels of the images in a batch on a CPU
    spread = False  # whether the map's sum, not its mean, is the share of the logit
    single: str | None = None  # why maps of several layers cannot be summed

    def __init__(
        self,
        model,
        layer: str | Sequence[str] | None = None,
        reshape: Reshape = None,
    ):
        self._model, self._layer, self._reshape = model, layer, reshape
        self._wrapper = None if isinstance(model, keras.Model) else model
        if len(self._cuts) > 1 and self.single:  # errors of layers are raised here
            raise ValueError(
                f"Expected one layer for {type(self).__name__}, {self.single}. "
                f"Received: layer={layer!r}. Use one of them, or a method "
                "whose maps add up to logits, such as hirescam."
            )

    @functools.cached_property
    def _cuts(self) -> list[Cut]:
        """Cuts at the layers; made again at the first use of a pickle or copy."""
        if isinstance(self._model, bytes):
            self._model = unpack_model(self._model)
        network, layer = self._model, self._layer
        if self._wrapper is not None:
            network = getattr(network, "model", network)
            if layer is None:
                layer = getattr(self._wrapper, "cam_layer", None)
        names: list = [layer]
        if isinstance(layer, (list, tuple, np.ndarray)):
            names = list(layer)
        return cut_at(network, names, self._reshape)

    @functools.cached_property
    def _cut(self) -> Cut:
        """The cut that ``explain`` is called for."""
        return self._cuts[0]

    def __getstate__(self) -> dict:
        """Return what pickles and copies hold: all but the cuts."""
        cuts = ("_cut", "_cuts")
        state = {key: value for key, value in vars(self).items() if key not in cuts}
        if isinstance(self._model, keras.Model):
            state["_model"] = pack_model(self._model)
        return state

    @abc.abstractmethod
    def explain(
        self, images: np.ndarray, features: list[np.ndarray], classes: np.ndarray
    ) -> np.ndarray:
        """Compute raw maps (n, rows, cols, classes) of a batch.

        Args:
            images: Array (n, rows, cols, channels).
            features: Outputs of the cut's encoder, first those of the layer.
            classes: Class indices (n, classes); -1 for the highest logit.
        """

    def __call__(
        self,
        x,
        classes: Classes = None,
        size: int | tuple[int, int] | None = None,
        normalize: bool = True,
    ) -> np.ndarray:
        """Compute heat maps of images.

        Args:
            x: Images as for :func:`kerasloc.cam`; and all further arguments.
            classes: None for the highest logit of each image, a class for all images,
                one per image, a list of several per image, or ``"all"``.
            size: (rows, cols) of the maps, or a number; the images' by default.
            normalize: Scale each map to [0, 1].

        Returns:
            Array as from :func:`kerasloc.cam`: evidence for the class (ReLU); 0
            throughout, with a warning, where there is none, or the map has NaN.

        Raises:
            TypeError: If images are integers and the model takes floats.
            ValueError: If images, classes or the size do not fit.
        """
        inputs, single = self._inputs(x)
        size = inputs[0].shape[1:3] if size is None else as_size(size)
        maps, nested = self._raw(inputs, classes)
        heat = _as_heat(maps, size, normalize)
        return _squeeze(heat, single, nested)

    def maps(self, x, classes: Classes = None) -> np.ndarray:
        """Compute raw maps at the layer's size, before ReLU; NaN where undefined.

        Of several layers at the largest size.
        """
        inputs, single = self._inputs(x)
        maps, nested = self._raw(inputs, classes)
        return _squeeze(maps, single, nested)

    def __repr__(self):
        layers = [
            f"{halves.graph.path(call_of(halves.features))!r} "
            f"{tuple(halves.head.inputs[0].shape[1:])}"
            for halves in self._cuts
        ]
        return (
            f"{type(self).__name__}(layer {' and '.join(layers)}, "
            f"{self._cut.classes} classes)"
        )

    def shares(self, x, classes: Classes = None) -> np.ndarray:
        """Measure the share of the logit that every layer's features have.

        Features times gradients of the logit, summed; in percent of their absolute
        sum over the layers, averaged over images and classes.
        """
        inputs, _ = self._inputs(x)
        indices, _ = self._indices(classes, len(inputs[0]))
        inputs, indices = [array[:SHARED] for array in inputs], indices[:SHARED]
        totals = np.zeros((len(self._cuts), *indices.shape))
        for number, halves in enumerate(self._cuts):
            features = halves.encode(*inputs)
            for column, index in enumerate(indices.T):
                _, gradients = halves.gradient(features, index)
                products = features[0].astype(np.float32) * gradients
                totals[number, :, column] = products.sum(axis=(1, 2, 3))
        scale = np.abs(totals).sum(axis=0)
        return 100 * (totals / np.where(scale > 0, scale, 1)).mean(axis=(1, 2))

    def _chosen(self, features, classes):
        """Class indices, those of the highest logits in the place of -1."""
        if (classes >= 0).all():
            return classes
        highest = self._logits(features).argmax(axis=-1)
        return np.where(classes < 0, highest[:, None], classes)

    def _logits(self, features) -> np.ndarray:
        outputs = predict(self._cut.head, features)
        return np.asarray(outputs["logits"], np.float32)

    def _indices(self, classes, count):
        """Class indices (n, classes), -1 if predicted; True if images have lists."""
        names = range(self._cut.classes)
        if self._wrapper is not None:
            names = list(self._wrapper.config.class_names)
        return class_indices(classes, count, names)

    def _raw(self, inputs, classes):
        """Raw maps (n, rows, cols, classes); True if images have lists of them."""
        images = inputs[0]
        indices, nested = self._indices(classes, len(images))
        step = images_at_once(images.shape[1:3], self.image_pixels)
        batches = []
        for start in range(0, len(images), step):
            batch = [array[start : start + step] for array in inputs]
            with np.errstate(over="ignore", invalid="ignore"):  # warned of by _as_heat
                batches.append(self._of_batch(batch, indices[start : start + step]))
        return np.concatenate(batches), nested

    def _of_batch(self, inputs, classes) -> np.ndarray:
        """Raw maps of a batch, summed over the layers."""
        maps = []
        for halves in self._cuts:
            explainer = object.__new__(type(self))
            vars(explainer).update(vars(self), _cut=halves)
            features = halves.encode(*inputs)
            if len(self._cuts) > 1:  # the same classes for all layers
                classes = explainer._chosen(features, classes)
            maps.append(explainer.explain(inputs[0], features, classes))
        return maps[0] if len(maps) == 1 else _summed(maps, self.spread)

    def _inputs(self, x):
        """Inputs as the network takes them, first images; True if it was one image."""
        if self._wrapper is None:
            cut = self._cut  # opens a pickled model
            inputs = zip(input_names(self._model), cut.graph.inputs, strict=True)
            return as_inputs(x, dict(inputs), cut.image)
        check_no_labels(x)
        images = self._wrapper.prepare(x)
        if not len(images):
            raise ValueError("Expected at least one image. Received: no images.")
        return [images], np.ndim(x) < images.ndim and len(images) == 1


def _summed(maps, spread):
    """Sum raw maps of several layers at the largest size.

    Sums over positions are shares of the logit where maps are ``spread``: each is
    scaled so that its sum stays what it was.
    """
    size = tuple(np.max([array.shape[1:3] for array in maps], axis=0))
    total = 0
    for array in maps:
        scale = math.prod(array.shape[1:3]) / math.prod(size) if spread else 1
        resized = resize_maps(np.moveaxis(array, -1, 1), size)
        total = total + np.float32(scale) * np.moveaxis(resized, 1, -1)
    return total


def _squeeze(maps, single, nested):
    maps = maps if nested else maps[..., 0]
    return maps[0] if single else maps


def _as_heat(maps, size, normalize):
    """Turn raw maps (n, rows, cols, classes) into heat maps: ReLU, resize, min-max."""
    count, rows, cols, classes = maps.shape
    flat = np.moveaxis(maps, -1, 1).reshape(-1, rows, cols)
    flat = resize_maps(np.maximum(_with_evidence(flat, classes), 0), size)
    heat = min_max(flat) if normalize else flat
    return np.moveaxis(heat.reshape(count, classes, *size), 1, -1)


def _with_evidence(maps, classes):
    """Maps, 0 throughout where they have no maximum; warns of the images of those."""
    finite = np.isfinite(maps).all(axis=(1, 2))
    maps = np.where(finite[:, None, None], maps, 0)
    noise = NOISE * np.abs(maps).max(axis=(1, 2))
    flat = np.ptp(np.maximum(maps, 0), axis=(1, 2)) <= noise
    if flat.any():
        images = sorted(set((np.flatnonzero(flat) // classes).tolist()))
        more = f" and {len(images) - SHOWN} more" if len(images) > SHOWN else ""
        nans = f", NaN in {(~finite).sum()} maps" if not finite.all() else ""
        warnings.warn(
            "Nothing speaks for the class anywhere, or it is the same everywhere; the "
            f"heat map is 0. Images: {images[:SHOWN]}{more}{nans}.",
            stacklevel=_levels_to_user(),
        )
    return np.where(flat[:, None, None], 0, maps)


def _levels_to_user() -> int:
    """Stack level, for the caller, of the nearest frame outside of this package."""
    frame, level = sys._getframe(1), 1
    # a program that is executed as text has no name
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(__package__):
        frame, level = frame.f_back, level + 1
    return level


def weighted_sum(activations: npt.ArrayLike, weights: npt.ArrayLike) -> np.ndarray:
    """Sum channels (n, rows, cols, channels) times weights (n, channels), float32.

    Examples:
        >>> weighted_sum(np.ones((1, 1, 2, 3)), np.array([[1.0, 2.0, 3.0]]))
        array([[[6., 6.]]], dtype=float32)
    """
    a, w = np.asarray(activations, np.float32), np.asarray(weights, np.float32)
    return np.einsum("nrck,nk->nrc", a, w)
