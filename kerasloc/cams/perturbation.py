"""Methods that weigh activations by logits of perturbed images or features."""

import keras
import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from tqdm import tqdm

from kerasloc.cams.backend import images_at_once, predict
from kerasloc.cams.core import Explainer, weighted_sum
from kerasloc.layers import AlignedResize
from kerasloc.metrics import min_max


class ScoreCAM(Explainer):
    """Score-CAM: ``sum_k softmax(s)_k A_k``, s the logits of the masked images.

    The mask of a channel is A_k, resized to the image and scaled to [0, 1]. An image
    costs a forward pass for every channel that is not flat, a few at a time.

    Examples:
        >>> ScoreCAM.combine([[[[1.0, 2.0], [3.0, 0.0]]]], [[5.0, 5.0]])  # weights 0.5
        array([[[1.5, 1.5]]], dtype=float32)

    Reference:
        Wang et al., Score-CAM: Score-Weighted Visual Explanations for Convolutional
        Neural Networks, CVPR Workshops 2020.
    """

    mask_pixels = 2**19  # predicted together on a CPU: 10 images of 224 pixels
    single = "as its weights are a softmax over the channels of one layer"

    @staticmethod
    def combine(activations: npt.ArrayLike, scores: npt.ArrayLike) -> np.ndarray:
        """Weigh channels by the softmax of their scores (n, channels)."""
        return weighted_sum(activations, softmax(np.asarray(scores, np.float32), 1))

    def explain(self, images, features, classes):
        """Compute the maps of every class."""
        classes = self._chosen(features, classes)
        tables = self._cut.tables(features)
        rows = ([array[i : i + 1] for array in tables] for i in range(len(images)))
        scores = np.stack([*map(self._masked, images, features[0], rows)])
        maps = [self.combine(features[0], _take(scores, ids)) for ids in classes.T]
        return np.stack(maps, axis=-1)

    def _masked(self, image, features, tables) -> np.ndarray:
        """Logits (channels, classes) of an image masked by each channel."""
        size, channels = image.shape[:2], features.shape[-1]
        features = np.asarray(features, np.float32)
        resize = AlignedResize(size, dtype="float32")
        # flat channels make a black image, predicted once for all of them
        live = np.ptp(features, axis=(0, 1)) > 0
        live = np.flatnonzero(live & np.isfinite(features).all(axis=(0, 1)))
        black = self._score(np.zeros_like(image)[None], tables)
        scores = np.repeat(black, channels, axis=0)
        step = images_at_once(size, self.mask_pixels)
        for start in _progress(range(0, len(live), step), "Score-CAM"):
            batch = live[start : start + step]
            masks = keras.ops.convert_to_numpy(resize(features[None, ..., batch]))
            masks = min_max(np.moveaxis(masks[0], -1, 0))[..., None]
            scores[batch] = self._score(masks * image, tables)
        return scores

    def _score(self, images, tables) -> np.ndarray:
        images = images.astype(self._cut.image.dtype)
        repeated = [np.repeat(array, len(images), axis=0) for array in tables]
        inputs = [images, *repeated] if repeated else images
        return np.asarray(predict(self._cut.whole, inputs))


class AblationCAM(Explainer):
    """Ablation-CAM: ``sum_k ((y - y_k) / y) A_k``, y_k the logit with channel k zeroed.

    A logit y of exactly 0 has weights 0. Channels are zeroed in the layer's features:
    only the layers behind are computed again, for many channels together.

    Examples:
        >>> AblationCAM.combine([[[[1.0, 2.0], [3.0, 0.0]]]], [4.0], [[3.0, 2.0]])
        array([[[1.25, 0.75]]], dtype=float32)

    Reference:
        Desai, Ramaswamy: Ablation-CAM: Visual Explanations for Deep Convolutional
        Network via Gradient-free Localization, WACV 2020, equation 4.
    """

    feature_values = 2**21  # ablated together: 8 MiB

    @staticmethod
    def combine(
        activations: npt.ArrayLike, logits: npt.ArrayLike, ablated: npt.ArrayLike
    ) -> np.ndarray:
        """Weigh channels of A by the logits (n,) and the ablated ones (n, channels)."""
        y = np.asarray(logits, np.float32)[:, None]
        loss = y - np.asarray(ablated, np.float32)
        defined = np.broadcast_to(y != 0, loss.shape)
        weights = np.divide(loss, y, out=np.zeros_like(loss), where=defined)
        return weighted_sum(activations, weights)

    def explain(self, images, features, classes):
        """Compute the maps of every class."""
        classes = self._chosen(features, classes)
        logits = self._logits(features)
        rows = [[array[i : i + 1] for array in features] for i in range(len(images))]
        ablated = np.stack([self._ablated(row) for row in rows])
        pairs = ((_take(logits, ids), _take(ablated, ids)) for ids in classes.T)
        return np.stack([self.combine(features[0], *pair) for pair in pairs], axis=-1)

    def _ablated(self, features) -> np.ndarray:
        """Logits (channels, classes) of one image without each channel."""
        channels = features[0].shape[-1]
        values = sum(array.size for array in features)
        step = int(np.clip(self.feature_values // values, 1, channels))
        batches = [
            self._logits(_without(features, np.arange(start, start + step) % channels))
            for start in _progress(range(0, channels, step), "Ablation-CAM")
        ]
        return np.concatenate(batches)[:channels]


def _progress(batches, title: str):
    """Batches of channels; with a bar if an image takes longer than a second."""
    return tqdm(batches, title, unit="batch", leave=False, delay=1)


def _take(values, classes):
    """Values (n, ..., classes) of one class per image."""
    return values[np.arange(len(values)), ..., classes]


def _without(features, channels) -> list[np.ndarray]:
    """Copies of the features, one per channel, with 0 for it."""
    copies = [np.repeat(array, len(channels), axis=0) for array in features]
    copies[0][np.arange(len(channels)), ..., channels] = 0
    return copies
