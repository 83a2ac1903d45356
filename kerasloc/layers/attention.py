"""Attention on features, and soft masks of attention maps."""

import keras
from keras import ops

from kerasloc.layers.resize import AlignedResize

FLAT = 1e-5  # range of a flat map


@keras.saving.register_keras_serializable(package="kerasloc")
class ScaledAdd(keras.layers.Layer):
    """Add a branch to features, scaled by a learned ``gamma`` that starts at 0.

    The branch does nothing at first, and contributes as far as it helps.

    Examples:
        >>> layer = ScaledAdd()
        >>> layer.build((1, 2))
        >>> _ = layer.gamma.assign([0.5])
        >>> layer(ops.ones((1, 2)), ops.ones((1, 2))).numpy()
        array([[1.5, 1.5]], dtype=float32)
    """

    def build(self, features_shape, branch_shape=None):
        self.gamma = self.add_weight((1,), "zeros", name="gamma")

    def call(self, features, branch):
        return features + ops.cast(self.gamma, features.dtype) * branch

    def compute_output_shape(self, features_shape, branch_shape):
        return features_shape


@keras.saving.register_keras_serializable(package="kerasloc")
class SoftMask(keras.layers.Layer):
    """Turn maps into soft masks of the image's size: near 1 where hot, else near 0.

    Maps (n, rows, cols, classes) are resized bilinearly (corners aligned), scaled to
    [0, 1] by their minimum and maximum, and passed through
    ``sigmoid(steepness * (map - sigma))``.

    Args:
        size: (rows, cols) of the masks.
        steepness: Slope of the step.
        sigma: Position of the step, in [0, 1].
        **kwargs: Keyword arguments of ``keras.layers.Layer``.

    Examples:
        >>> maps = ops.reshape(ops.array([0.0, 1.0]), (1, 1, 2, 1))
        >>> SoftMask((1, 3))(maps)[0, 0, :, 0].numpy().round(3)
        array([0., 1., 1.], dtype=float32)

    Reference:
        Ouyang et al., Learning hierarchical attention for weakly-supervised chest X-ray
        abnormality localization and diagnosis, IEEE TMI 40(10), 2021.
    """

    def __init__(
        self, size: tuple, steepness: float = 100, sigma: float = 0.4, **kwargs
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.size = tuple(size)
        self.steepness, self.sigma = float(steepness), float(sigma)
        self._resize = AlignedResize(size, dtype="float32")

    def build(self, maps_shape):
        self._resize.build(maps_shape)

    def call(self, maps):
        maps = self._resize(maps)
        low = ops.min(maps, axis=(1, 2), keepdims=True)
        span = ops.max(maps, axis=(1, 2), keepdims=True) - low
        span = ops.where(ops.equal(span, 0.0), FLAT, span)
        return ops.sigmoid(self.steepness * ((maps - low) / span - self.sigma))

    def compute_output_shape(self, maps_shape):
        return (maps_shape[0], *self.size, maps_shape[3])

    def get_config(self):
        step = {"steepness": self.steepness, "sigma": self.sigma}
        return {**super().get_config(), "size": self.size, **step}
