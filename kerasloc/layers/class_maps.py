"""Maps of classes from features and the classifier that weighs them."""

import keras
from keras import ops


class ChosenClassMap(keras.layers.Layer):
    """One class activation map per image: its features weighed by a classifier column.

    Args:
        classifier: The Dense layer behind the pooled features; its bias is not used.
    """

    def __init__(self, classifier: keras.layers.Dense, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.classifier = classifier

    def call(self, features, logits, classes):
        """The maps (n, rows, cols) of ``classes``; below 0: of the highest logit."""
        highest = ops.cast(ops.argmax(logits, axis=-1), "int32")
        chosen = ops.where(classes < 0, highest, ops.cast(classes, "int32"))
        columns = ops.take(ops.transpose(self.classifier.kernel), chosen, axis=0)
        return ops.einsum("nrck,nk->nrc", features, columns)

    def compute_output_shape(self, features_shape, *_):
        return features_shape[:-1]


@keras.saving.register_keras_serializable(package="kerasloc")
class MappedDense(keras.layers.Dense):
    """A classifier without bias, and the maps that its weights make of the features.

    Called with pooled features (n, channels) and the features (n, rows, cols,
    channels); answers logits (n, units) and maps (n, rows, cols, units), the features
    weighed by the kernel, 0 where that is below. The maps train the features only: no
    gradient reaches the kernel through them.

    Args:
        units: How many classes.
        **kwargs: Of ``keras.layers.Dense``.
    """

    def __init__(self, units, **kwargs):
        super().__init__(units, **{"dtype": "float32", **kwargs, "use_bias": False})

    def build(self, pooled_shape, features_shape=None):
        """Makes the kernel."""
        super().build(pooled_shape)

    def call(self, pooled, features, training=None):
        """Logits and maps."""
        logits = super().call(pooled, training=training)
        kernel = ops.stop_gradient(self.kernel)
        return logits, ops.relu(ops.matmul(features, kernel))

    def compute_output_shape(self, pooled_shape, features_shape):
        """Of both answers."""
        return (
            (*pooled_shape[:-1], self.units),
            (*features_shape[:-1], self.units),
        )
