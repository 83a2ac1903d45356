"""Maps of chosen classes from features and the classifier that weighs them."""

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
