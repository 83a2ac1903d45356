"""Batch normalization that uses TensorFlow's fused kernel where there is one."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasloc")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' own layer, fused on TensorFlow: same weights, same answers, less time.

    Images (four axes, channels last) go through TensorFlow's fused kernel, in
    half precision too; everything else, and every other backend, through Keras.
    """

    def call(self, inputs, training=None, mask=None):
        if not self._can_fuse(inputs, mask):
            return super().call(inputs, training=training, mask=mask)
        training = bool(training) and self.trainable
        outputs, mean, variance = self._fused(inputs, training)
        if training:
            self._update_moving(inputs, mean, variance)
        return outputs

    def _can_fuse(self, inputs, mask) -> bool:
        """Whether the fused kernel computes what Keras would."""
        return (
            keras.backend.backend() == "tensorflow"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and self.scale
            and self.center
            and mask is None
            and not self.synchronized
            and not getattr(self, "renorm", False)
        )

    def _fused(self, inputs, training):
        """Outputs and the mean and unbiased variance that they were made with."""
        import tensorflow as tf

        # The kernel takes 16-bit images, but statistics of 32 bits only.
        gamma, beta, mean, variance = (
            tf.cast(weight, tf.float32)
            for weight in (
                self.gamma,
                self.beta,
                self.moving_mean,
                self.moving_variance,
            )
        )
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=ops.cast(inputs, self.compute_dtype),
            scale=gamma,
            offset=beta,
            mean=mean,
            variance=variance,
            epsilon=self.epsilon,
            is_training=training,
        )
        return outputs, mean, variance

    def _update_moving(self, inputs, mean, variance):
        """Moving statistics as Keras keeps them: of the biased variance."""
        shape = ops.shape(inputs)
        count = ops.cast(shape[0] * shape[1] * shape[2], "float32")
        biased = variance * (count - 1) / count
        for moving, batch in (
            (self.moving_mean, mean),
            (self.moving_variance, biased),
        ):
            new = ops.cast(batch, moving.dtype) * (1.0 - self.momentum)
            new = moving * self.momentum + new
            # A replica may get no image of a small last batch: nothing to learn from.
            moving.assign(ops.where(count > 0, new, moving))
