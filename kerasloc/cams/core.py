"""Common core of the methods: images in, a model cut at a layer, heat maps out."""

import abc
import functools
import sys
import warnings

import keras
import numpy as np
import numpy.typing as npt

from kerasloc.cams.backend import as_batch, images_at_once
from kerasloc.cams.cutting import Cut, cut
from kerasloc.cams.graph import call_of
from kerasloc.checks import Classes, as_size, class_indices
from kerasloc.metrics import min_max, resize_maps
from kerasloc.processes import pack_model, unpack_model

NOISE = 1e-5  # rounding noise of features and maps, as a share of their maximum
SHOWN = 10  # images in a warning


class Explainer(abc.ABC):
    """A method on one model and layer, for any number of images.

    A method is a subclass that defines ``explain``, listed in
    :data:`kerasloc.cams.METHODS`.

    Args:
        model: Functional or sequential classifier of images, or a wrapper of this
            package. A final softmax or sigmoid is left out: methods explain logits.
        layer: Name of a layer with rows and columns (``base/conv`` of nested models)
            or of a nested model; by default the wrapper's layer, or the last that all
            of the output needs.

    Raises:
        TypeError: If ``model`` is not a model.
        ValueError: If the model has several inputs or outputs, or no such layer.

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

    def __init__(self, model, layer: str | None = None):
        self._model, self._layer = model, layer
        self._wrapper = None if isinstance(model, keras.Model) else model
        _ = self._cut  # errors are raised here

    @functools.cached_property
    def _cut(self) -> Cut:
        """The cut of the model; made again at the first use of a pickle or copy."""
        if isinstance(self._model, bytes):
            self._model = unpack_model(self._model)
        network, layer = self._model, self._layer
        if self._wrapper is not None:
            network = getattr(network, "model", network)
            if layer is None:
                layer = getattr(self._wrapper, "cam_layer", None)
        return cut(network, layer)

    def __getstate__(self) -> dict:
        """Return what pickles and copies hold: all but the cut."""
        state = {key: value for key, value in vars(self).items() if key != "_cut"}
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
        images, single = self._images(x)
        size = images.shape[1:3] if size is None else as_size(size)
        maps, nested = self._raw(images, classes)
        heat = _as_heat(maps, size, normalize)
        return _squeeze(heat, single, nested)

    def maps(self, x, classes: Classes = None) -> np.ndarray:
        """Compute raw maps at the layer's size, before ReLU; NaN where undefined."""
        images, single = self._images(x)
        maps, nested = self._raw(images, classes)
        return _squeeze(maps, single, nested)

    def __repr__(self):
        layer = self._cut.graph.path(call_of(self._cut.features))
        classes, shape = self._cut.classes, tuple(self._cut.features.shape[1:])
        return f"{type(self).__name__}(layer {layer!r} {shape}, {classes} classes)"

    def _chosen(self, features, classes):
        """Class indices, those of the highest logits in the place of -1."""
        if (classes >= 0).all():
            return classes
        highest = self._logits(features).argmax(axis=-1)
        return np.where(classes < 0, highest[:, None], classes)

    def _logits(self, features) -> np.ndarray:
        outputs = self._cut.head.predict_on_batch(features)
        return np.asarray(outputs["logits"], np.float32)

    def _raw(self, images, classes):
        """Raw maps (n, rows, cols, classes); True if images have lists of them."""
        names = range(self._cut.classes)
        if self._wrapper is not None:
            names = list(self._wrapper.config.class_names)
        indices, nested = class_indices(classes, len(images), names)
        step = images_at_once(images.shape[1:3], self.image_pixels)
        batches = []
        for start in range(0, len(images), step):
            batch = images[start : start + step]
            features = self._cut.encode(batch)
            with np.errstate(over="ignore", invalid="ignore"):  # warned of by _as_heat
                maps = self.explain(batch, features, indices[start : start + step])
            batches.append(maps)
        return np.concatenate(batches), nested

    def _images(self, x):
        """Images as the network takes them; True if it was one image."""
        if self._wrapper is None:
            return as_batch(x, self._cut.graph.image)
        images = self._wrapper.prepare(x)
        if not len(images):
            raise ValueError("Expected at least one image. Received: no images.")
        return images, np.ndim(x) < images.ndim and len(images) == 1


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
