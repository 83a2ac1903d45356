"""One ritual for every method: images in, a model cut at a layer, heat maps out."""

import keras
import numpy as np
from tqdm import tqdm

from kerasloc.cams import methods
from kerasloc.cams.batches import images_at_once
from kerasloc.cams.cutting import cut
from kerasloc.cams.heat import as_heat
from kerasloc.cams.inputs import as_classes, as_model_takes
from kerasloc.cams.linear import linear_kernel
from kerasloc.cams.opening import node_of
from kerasloc.checks import as_size
from kerasloc.layers import AlignedResize
from kerasloc.metrics import min_max

IN_MEMORY = 2**21  # numbers of features that are ablated together, 8 MiB
PIXELS = 2**19  # that Score-CAM predicts together: 10 images of 224 pixels


class CAM:
    """CAM: for a linear head on pooled features, A times the weights of the class.

    An explainer of one model and layer, for many images: call it. The other methods
    are classes like this one.

    Args:
        model: A Keras model that classifies images, functional or sequential, also
            nested or loaded, or a wrapper of this package. Softmax or sigmoid at its
            end is left out: all is about logits.
        layer: Name of a layer with rows and columns (``base/conv`` of nested ones where
            ``conv`` alone is not enough) or of a nested model; by default the
            wrapper's own, or the last that all of the answer is made of.

    Raises:
        TypeError: If it is no model.
        ValueError: If the model has several inputs or outputs, or no such layer.
    """

    def __init__(self, model, layer: str | None = None):
        self._wrapper = None if isinstance(model, keras.Model) else model
        network = model if self._wrapper is None else getattr(model, "model", model)
        if layer is None and self._wrapper is not None:
            layer = getattr(model, "cam_layer", None)
        self._cut = cut(network, layer)
        self._check()

    def __call__(self, x, classes=None, size=None, normalize=True) -> np.ndarray:
        """Heat maps of images.

        Args:
            x: Images as the model takes them, (n, rows, cols, channels), or one. A
                wrapper takes uint8 or floats in [0, 1].
            classes: None for the highest logit of each image, a number for all images,
                one per image, a list of several per image, or ``"all"``.
            size: (rows, cols) of the answer, or a number; the images' by default.
            normalize: Whether each map is scaled from its minimum and maximum to [0,
                1]; without, maps of images and classes can be compared.

        Returns:
            What speaks for the class (ReLU), (n, rows, cols), or (n, rows, cols,
            classes) for lists and ``"all"``; without the first axis for one image. 0
            throughout, with a warning, where nothing does, the map is flat, or it has
            NaN.

        Raises:
            TypeError: If images are integers and the model takes floats.
            ValueError: If images, classes or the size do not fit.
        """
        images, single = self._images(x)
        size = images.shape[1:3] if size is None else as_size(size)
        maps, several = self._raw(images, classes)
        heat = as_heat(maps, size, normalize)
        heat = heat if several else heat[..., 0]
        return heat[0] if single else heat

    def __repr__(self):
        layer = self._cut.graph.path(node_of(self._cut.features))
        classes, shape = self._cut.classes, tuple(self._cut.features.shape[1:])
        return f"{type(self).__name__}(layer {layer!r} {shape}, {classes} classes)"

    def maps(self, x, classes=None) -> np.ndarray:
        """Raw maps at the layer's size, before ReLU; any range, NaN where undefined.

        Args:
            x: Images.
            classes: As for calling it.
        """
        images, single = self._images(x)
        maps, several = self._raw(images, classes)
        maps = maps if several else maps[..., 0]
        return maps[0] if single else maps

    def _check(self):
        """Raises ValueError where a method does not go with the model."""
        linear_kernel(self._cut)

    def _some(self, images, features, classes) -> np.ndarray:
        """Raw maps (n, rows, cols, classes) of a few images.

        Args:
            images: (n, rows, cols, channels).
            features: The encoder's answers, a list.
            classes: (n, classes); below 0: the highest logit.
        """
        kernel = linear_kernel(self._cut)[:, self._chosen(features, classes)]
        return np.einsum("nrck,knj->nrcj", features[0], kernel)

    def _chosen(self, features, classes):
        """The classes, where they are below 0 those of the highest logits."""
        if (classes >= 0).all():
            return classes
        likeliest = self._logits(features).argmax(axis=-1)
        return np.where(classes < 0, likeliest[:, None], classes)

    def _logits(self, features) -> np.ndarray:
        outputs = self._cut.head.predict_on_batch(features)
        return np.asarray(outputs["logits"], np.float32)

    def _raw(self, images, classes):
        """Raw maps (n, rows, cols, classes), and whether several were asked for."""
        chosen, several = as_classes(classes, len(images), self._names())
        step = images_at_once(images.shape[1:3])
        parts = []
        for start in range(0, len(images), step):
            some = images[start : start + step]
            features = self._cut.encode(some)
            with np.errstate(over="ignore", invalid="ignore"):  # named later
                found = self._some(some, features, chosen[start : start + step])
            parts.append(found)
        return np.concatenate(parts), several

    def _names(self):
        """The names of classes; their numbers where there are none."""
        if self._wrapper is not None:
            return list(self._wrapper.config.class_names)
        return list(range(self._cut.classes))

    def _images(self, x):
        """Images as the network takes them, and whether it was one."""
        if self._wrapper is not None:
            images = self._wrapper.prepare(x)
            if not len(images):
                raise ValueError("There is at least one image. Received: none.")
            return images, np.ndim(x) < images.ndim and len(images) == 1
        return as_model_takes(x, self._cut.graph.image)


class _Gradient(CAM):
    """Methods of activations and gradients."""

    combine: staticmethod

    def _check(self):
        """All models have gradients."""

    def _some(self, images, features, classes):
        maps = [
            self.combine(features[0], self._cut.gradient(features, one)[1])
            for one in classes.T
        ]
        return np.stack(maps, axis=-1)


class GradCAM(_Gradient):
    """Grad-CAM; see :func:`kerasloc.cams.methods.grad_cam`. Arguments: :class:`CAM`."""

    combine = staticmethod(methods.grad_cam)


class GradCAMPlusPlus(_Gradient):
    """Grad-CAM++; see :func:`kerasloc.cams.methods.grad_cam_plus_plus`."""

    combine = staticmethod(methods.grad_cam_plus_plus)


class XGradCAM(_Gradient):
    """XGrad-CAM; see :func:`kerasloc.cams.methods.x_grad_cam`."""

    combine = staticmethod(methods.x_grad_cam)


class HiResCAM(_Gradient):
    """HiRes-CAM; see :func:`kerasloc.cams.methods.hi_res_cam`."""

    combine = staticmethod(methods.hi_res_cam)


class LayerCAM(_Gradient):
    """Layer-CAM; see :func:`kerasloc.cams.methods.layer_cam`."""

    combine = staticmethod(methods.layer_cam)


class EigenGradCAM(_Gradient):
    """Eigen-Grad-CAM; see :func:`kerasloc.cams.methods.eigen_grad_cam`."""

    combine = staticmethod(methods.eigen_grad_cam)


class EigenCAM(CAM):
    """Eigen-CAM, the same for every class; :func:`kerasloc.cams.methods.eigen_cam`."""

    def _check(self):
        """All models have features."""

    def _some(self, images, features, classes):
        maps = methods.eigen_cam(features[0])[..., None]
        return np.repeat(maps, classes.shape[1], axis=-1)


class ScoreCAM(CAM):
    """Score-CAM; see :func:`kerasloc.cams.methods.score_cam`.

    An image costs a forward pass for every channel that is not flat, a few at a time.
    """

    def _check(self):
        """All models have scores."""

    def _some(self, images, features, classes):
        classes = self._chosen(features, classes)
        scores = [
            self._masked(image, one)
            for image, one in zip(images, features[0], strict=True)
        ]
        scores = np.stack(scores)  # (n, channels, classes)
        maps = [methods.score_cam(features[0], _of(scores, one)) for one in classes.T]
        return np.stack(maps, axis=-1)

    def _masked(self, image, features) -> np.ndarray:
        """Logits (channels, classes) of an image seen through each channel."""
        size, channels = image.shape[:2], features.shape[-1]
        features = np.asarray(features, np.float32)
        resize = AlignedResize(size, dtype="float32")
        # a flat channel is a black image, which need not be asked more than once
        live = np.ptp(features, axis=(0, 1)) > 0
        live = np.flatnonzero(live & np.isfinite(features).all(axis=(0, 1)))
        dark = self._score(np.zeros_like(image)[None])
        scores = np.repeat(dark, channels, axis=0)
        step = images_at_once(size, PIXELS)
        for start in _slow(range(0, len(live), step), "Score-CAM"):
            some = live[start : start + step]
            masks = keras.ops.convert_to_numpy(resize(features[None, ..., some]))
            masks = min_max(np.moveaxis(masks[0], -1, 0))[..., None]
            scores[some] = self._score(masks * image)
        return scores

    def _score(self, images) -> np.ndarray:
        images = images.astype(self._cut.graph.image.dtype)
        return np.asarray(self._cut.whole.predict_on_batch(images))


class AblationCAM(CAM):
    """Ablation-CAM; see :func:`kerasloc.cams.methods.ablation_cam`.

    Channels are taken away from the layer's features, from where only the layers
    behind are computed again, for many channels together.
    """

    def _check(self):
        """All models have scores."""

    def _some(self, images, features, classes):
        classes = self._chosen(features, classes)
        logits = self._logits(features)
        ablated = np.stack(
            [
                self._ablated([part[place : place + 1] for part in features])
                for place in range(len(images))
            ]
        )  # (n, channels, classes)
        maps = [
            methods.ablation_cam(features[0], _of(logits, one), _of(ablated, one))
            for one in classes.T
        ]
        return np.stack(maps, axis=-1)

    def _ablated(self, features) -> np.ndarray:
        """Logits (channels, classes) of one image without each channel."""
        channels = features[0].shape[-1]
        numbers = sum(one.size for one in features)
        step = int(np.clip(IN_MEMORY // numbers, 1, channels))
        parts = [
            self._logits(_without(features, np.arange(start, start + step) % channels))
            for start in _slow(range(0, channels, step), "Ablation-CAM")
        ]
        return np.concatenate(parts)[:channels]


METHODS = {
    "cam": CAM,
    "gradcam": GradCAM,
    "gradcampp": GradCAMPlusPlus,
    "xgradcam": XGradCAM,
    "hirescam": HiResCAM,
    "layercam": LayerCAM,
    "eigencam": EigenCAM,
    "eigengradcam": EigenGradCAM,
    "scorecam": ScoreCAM,
    "ablationcam": AblationCAM,
}


def _slow(batches, what: str):
    """Batches of channels; a bar, if an image takes longer than a second."""
    return tqdm(batches, what, unit="batch", leave=False, delay=1)


def _of(values, classes):
    """Values (n, ..., classes) of one class per image."""
    return values[np.arange(len(values)), ..., classes]


def _without(features, channels) -> list[np.ndarray]:
    """The features once for each channel, with 0 for it."""
    copies = [np.repeat(one, len(channels), axis=0) for one in features]
    copies[0][np.arange(len(channels)), ..., channels] = 0
    return copies
