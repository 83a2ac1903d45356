"""Pooling of maps to logits that Keras lacks."""

import keras
from keras import ops

TINY = -1e-6


@keras.saving.register_keras_serializable(package="kerasloc")
class MultipleInstancePooling(keras.layers.Layer):
    """Logit that some place of a map shows the class: a softened noisy-or.

    The probability is ``1 - prod(min_val + (1 - min_val) (1 - sigmoid(map)))`` over the
    places; it is computed in log space and stays finite for maps of any size. With
    400 places and 0.98 no logit exceeds 8.08.

    Args:
        min_val: In (0, 1): what a place leaves of the product at least.

    Raises:
        ValueError: If ``min_val`` is outside.

    Reference:
        Li et al., Thoracic Disease Identification and Localization with Limited
        Supervision, CVPR 2018.
    """

    def __init__(self, min_val: float = 0.98, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        if not 0 < min_val < 1:
            raise ValueError(f"min_val lies between 0 and 1. Received: {min_val!r}.")
        self.min_val = float(min_val)

    def call(self, maps):
        """Logits (n, classes) of maps (n, rows, cols, classes)."""
        share = 1.0 - self.min_val
        # log of the probability that no place shows the class
        absent = ops.sum(ops.log1p(-share * ops.sigmoid(maps)), axis=(1, 2))
        tiny = absent > TINY
        safe = ops.where(tiny, -1.0, absent)  # or where() would pass on NaN gradients
        log_present = ops.where(
            tiny,
            ops.log(share) + ops.logsumexp(ops.log_sigmoid(maps), axis=(1, 2)),
            ops.log(-ops.expm1(safe)),
        )
        return log_present - absent

    def compute_output_shape(self, maps_shape):
        """(n, classes)."""
        return (maps_shape[0], maps_shape[3])

    def get_config(self):
        """What makes the layer again."""
        return {**super().get_config(), "min_val": self.min_val}


@keras.saving.register_keras_serializable(package="kerasloc")
class LogSumExpPooling(keras.layers.Layer):
    """A smooth maximum over the places: log(mean(exp(r x))) / r, per channel.

    It lies between the mean (small ``r``) and the maximum (large ``r``).

    Args:
        r: Above 0.

    Raises:
        ValueError: If it is not.

    Reference:
        Pinheiro, Collobert, From Image-level to Pixel-level Labeling with Convolutional
        Networks, CVPR 2015.
    """

    def __init__(self, r: float = 6.0, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        if not r > 0:
            raise ValueError(f"r is above 0. Received: {r!r}.")
        self.r = float(r)

    def call(self, features):
        """Values (n, channels) of features (n, rows, cols, channels)."""
        rows, cols = ops.shape(features)[1:3]
        places = ops.cast(rows * cols, features.dtype)
        pooled = ops.logsumexp(self.r * features, axis=(1, 2)) - ops.log(places)
        return pooled / self.r

    def compute_output_shape(self, features_shape):
        """(n, channels)."""
        return (features_shape[0], features_shape[3])

    def get_config(self):
        """What makes the layer again."""
        return {**super().get_config(), "r": self.r}
