"""Maps of classes inside a network, attention on features, and soft masks."""

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


class ChosenClassMap(keras.layers.Layer):
    """Compute the class activation map of one class per image.

    Called with features (n, rows, cols, channels), logits (n, classes) and class
    indices (n,), -1 for the highest logit; returns maps (n, rows, cols).

    Args:
        classifier: Dense layer on the pooled features; its bias is not used.
        **kwargs: Keyword arguments of ``keras.layers.Layer``.

    Examples:
        >>> classifier = keras.layers.Dense(2)
        >>> logits = classifier(ops.ones((1, 3)))
        >>> features = ops.ones((1, 4, 5, 3))
        >>> maps = ChosenClassMap(classifier)(features, logits, ops.array([-1]))
        >>> tuple(maps.shape)
        (1, 4, 5)

    Reference:
        Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016.
    """

    def __init__(self, classifier: keras.layers.Dense, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.classifier = classifier

    def call(self, features, logits, classes):
        highest = ops.cast(ops.argmax(logits, axis=-1), "int32")
        chosen = ops.where(classes < 0, highest, ops.cast(classes, "int32"))
        columns = ops.take(ops.transpose(self.classifier.kernel), chosen, axis=0)
        return ops.einsum("nrck,nk->nrc", features, columns)

    def compute_output_shape(self, features_shape, *_):
        return features_shape[:-1]


@keras.saving.register_keras_serializable(package="kerasloc")
class MappedDense(keras.layers.Dense):
    """Classifier without bias that also returns the class activation maps.

    Called with pooled features (n, channels) and features (n, rows, cols, channels);
    returns logits (n, units) and maps (n, rows, cols, units), the ReLU of the features
    times the kernel. The maps train the features only: no gradient reaches the kernel
    through them.

    Args:
        units: Number of classes.
        **kwargs: Keyword arguments of ``keras.layers.Dense``.

    Examples:
        >>> logits, maps = MappedDense(2)(ops.ones((1, 3)), ops.ones((1, 4, 5, 3)))
        >>> tuple(logits.shape), tuple(maps.shape)
        ((1, 2), (1, 4, 5, 2))
    """

    def __init__(self, units: int, **kwargs):
        super().__init__(units, **{"dtype": "float32", **kwargs, "use_bias": False})

    def build(self, pooled_shape, features_shape=None):
        super().build(pooled_shape)

    def call(self, pooled, features, training=None):
        logits = super().call(pooled, training=training)
        kernel = ops.stop_gradient(self.kernel)
        return logits, ops.relu(ops.matmul(features, kernel))

    def compute_output_shape(self, pooled_shape, features_shape):
        shapes = pooled_shape, features_shape
        return tuple((*shape[:-1], self.units) for shape in shapes)
