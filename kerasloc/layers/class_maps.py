"""Class activation maps inside a network: features weighed by a classifier."""

import keras
from keras import ops


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
