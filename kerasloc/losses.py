"""Losses that Keras lacks; one value per image."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasloc")
class MaskedBinaryCrossentropy(keras.losses.Loss):
    """Binary cross-entropy from logits, averaged over an image's known labels.

    Labels are 1, 0 or NaN (unknown); an image without a known label counts 0.
    """

    def call(self, y_true, y_pred):
        """One value per image, (n,)."""
        known = ops.logical_not(ops.isnan(y_true))
        truth = ops.where(known, y_true, ops.zeros_like(y_true))
        one_by_one = ops.binary_crossentropy(truth, y_pred, from_logits=True)
        weight = ops.cast(known, one_by_one.dtype)
        count = ops.maximum(ops.sum(weight, axis=-1), 1.0)
        return ops.sum(one_by_one * weight, axis=-1) / count
