"""What an attention does to features, and what makes a soft mask of one."""

import keras
from keras import ops

from kerasloc.layers.resize import AlignedResize

FLAT = 1e-5  # what the range of a flat map counts as


@keras.saving.register_keras_serializable(package="kerasloc")
class ScaledAdd(keras.layers.Layer):
    """Features plus a share of others; the share ``gamma`` is learned, from 0 on.

    So a branch does nothing at first and takes part as far as it helps.
    """

    def build(self, features_shape, others_shape=None):
        """Makes ``gamma``, (1,)."""
        self.gamma = self.add_weight((1,), "zeros", name="gamma")

    def call(self, features, others):
        """The sum; ``others`` may have one channel for all."""
        return features + ops.cast(self.gamma, features.dtype) * others

    def compute_output_shape(self, features_shape, others_shape):
        """Of the features."""
        return features_shape


@keras.saving.register_keras_serializable(package="kerasloc")
class SoftMask(keras.layers.Layer):
    """Maps at the size of the image, nearly 1 where they are hot and 0 elsewhere.

    Resized bilinearly (corners aligned), stretched to [0, 1] by each map's own minimum
    and maximum, and through ``sigmoid(steepness * (map - sigma))``.

    Args:
        size: (rows, cols) of the answer.
        steepness: Of the step.
        sigma: Where it lies, in [0, 1].

    Reference:
        Ouyang et al., Learning hierarchical attention for weakly-supervised chest X-ray
        abnormality localization and diagnosis, IEEE TMI 40(10), 2021.
    """

    def __init__(self, size, steepness: float = 100.0, sigma: float = 0.4, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.size = tuple(size)
        self.steepness, self.sigma = float(steepness), float(sigma)
        self._resize = AlignedResize(self.size, dtype="float32")

    def build(self, maps_shape):
        """Makes the resize, which has no weights."""
        self._resize.build(maps_shape)

    def call(self, maps):
        """Soft masks (n, *size, classes) of maps (n, rows, cols, classes)."""
        maps = self._resize(maps)
        low = ops.min(maps, axis=(1, 2), keepdims=True)
        span = ops.max(maps, axis=(1, 2), keepdims=True) - low
        span = ops.where(ops.equal(span, 0.0), FLAT, span)
        return ops.sigmoid(self.steepness * ((maps - low) / span - self.sigma))

    def compute_output_shape(self, maps_shape):
        """(n, rows, cols, classes)."""
        return (maps_shape[0], *self.size, maps_shape[3])

    def get_config(self):
        """What makes the layer again."""
        own = {"size": self.size, "steepness": self.steepness, "sigma": self.sigma}
        return {**super().get_config(), **own}
