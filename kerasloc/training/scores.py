"""Scores that Keras lacks, as they are shown while a network trains."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasloc")
class KnownLabelAccuracy(keras.metrics.Mean):
    """Share of the known labels that logits tell right.

    Labels are 1, 0 or NaN (unknown); yes is a logit above 0.
    """

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Counts a batch; ``sample_weight`` has no place here."""
        known = ops.logical_not(ops.isnan(y_true))
        right = ops.equal(ops.greater(y_true, 0.5), ops.greater(y_pred, 0))
        return super().update_state(
            ops.cast(right, "float32"), ops.cast(known, "float32")
        )
