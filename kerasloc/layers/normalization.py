"""Batch normalization that uses TensorFlow's fused kernel where there is one."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasloc")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' batch normalization, fused on TensorFlow: same outputs in less time.

    Images (four axes, channels last) go through TensorFlow's fused kernel, also in half
    precision; everything else, and the other backends, through Keras. Arguments and
    weights are those of ``keras.layers.BatchNormalization``.

    Examples:
        >>> layer = BatchNormalization(epsilon=0.0)
        >>> images = ops.reshape(ops.array([1.0, 3.0]), (2, 1, 1, 1))
        >>> layer(images, training=True).numpy().ravel()
        array([-1.,  1.], dtype=float32)

    Reference:
        Ioffe, Szegedy, Batch Normalization: Accelerating Deep Network Training by
        Reducing Internal Covariate Shift, ICML 2015.
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
        """Test if the fused kernel computes the same as Keras."""
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
        """Compute outputs, and the mean and unbiased variance of the batch."""
        import tensorflow as tf

        # the kernel takes 16-bit images, but 32-bit statistics only
        weights = self.gamma, self.beta, self.moving_mean, self.moving_variance
        gamma, beta, mean, variance = (tf.cast(w, tf.float32) for w in weights)
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
        """Update the moving statistics as Keras does: with the biased variance."""
        shape = ops.shape(inputs)
        count = ops.cast(shape[0] * shape[1] * shape[2], "float32")
        biased = variance * (count - 1) / count
        pairs = ((self.moving_mean, mean), (self.moving_variance, biased))
        for moving, batch in pairs:
            new = ops.cast(batch, moving.dtype) * (1.0 - self.momentum)
            new = moving * self.momentum + new
            # a replica may get no image of a small last batch: no update
            moving.assign(ops.where(count > 0, new, moving))
