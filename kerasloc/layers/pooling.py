"""Pooling of maps to logits: a softened noisy-or, and log-sum-exp."""

import keras
from keras import ops

TINY = -1e-6  # log probability of absence, above which 1 - p is rounded away


@keras.saving.register_keras_serializable(package="kerasloc")
class MultipleInstancePooling(keras.layers.Layer):
    """Pool maps to the logit that any position shows the class: a softened noisy-or.

    The probability is ``1 - prod(min_val + (1 - min_val) (1 - sigmoid(map)))`` over the
    positions; it is computed in log space and stays finite for maps of any size. With
    400 positions and 0.98 no logit exceeds 8.08. Maps (n, rows, cols, classes) become
    logits (n, classes).

    Args:
        min_val: Lower bound of a position's factor in the product, in (0, 1).
        **kwargs: Keyword arguments of ``keras.layers.Layer``.

    Raises:
        ValueError: If ``min_val`` is not in (0, 1).

    Examples:
        >>> MultipleInstancePooling(0.5)(ops.zeros((1, 1, 2, 1))).numpy().round(4)
        array([[-0.2513]], dtype=float32)

    Reference:
        Li et al., Thoracic Disease Identification and Localization with Limited
        Supervision, CVPR 2018.
    """

    def __init__(self, min_val: float = 0.98, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        if not 0 < min_val < 1:
            raise ValueError(f"Expected min_val in (0, 1). Received: {min_val!r}.")
        self.min_val = float(min_val)

    def call(self, maps):
        share = 1.0 - self.min_val
        # log of the probability that no position shows the class
        absent = ops.sum(ops.log1p(-share * ops.sigmoid(maps)), axis=(1, 2))
        tiny = absent > TINY
        safe = ops.where(tiny, -1.0, absent)  # else NaN gradients
        log_present = ops.where(
            tiny,
            ops.log(share) + ops.logsumexp(ops.log_sigmoid(maps), axis=(1, 2)),
            ops.log(-ops.expm1(safe)),
        )
        return log_present - absent

    def compute_output_shape(self, maps_shape):
        return (maps_shape[0], maps_shape[3])

    def get_config(self):
        return {**super().get_config(), "min_val": self.min_val}


@keras.saving.register_keras_serializable(package="kerasloc")
class LogSumExpPooling(keras.layers.Layer):
    """Pool features to their smooth maximum, ``log(mean(exp(r x))) / r`` per channel.

    It lies between the mean (small ``r``) and the maximum (large ``r``). Features (n,
    rows, cols, channels) become values (n, channels).

    Args:
        r: Sharpness, above 0.
        **kwargs: Keyword arguments of ``keras.layers.Layer``.

    Raises:
        ValueError: If ``r`` is not above 0.

    Examples:
        >>> features = ops.reshape(ops.array([0.0, 1.0]), (1, 1, 2, 1))
        >>> LogSumExpPooling(r=6.0)(features).numpy().round(4)
        array([[0.8849]], dtype=float32)

    Reference:
        Pinheiro, Collobert, From Image-level to Pixel-level Labeling with Convolutional
        Networks, CVPR 2015.
    """

    def __init__(self, r: float = 6.0, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        if not r > 0:
            raise ValueError(f"Expected r above 0. Received: {r!r}.")
        self.r = float(r)

    def call(self, features):
        rows, cols = ops.shape(features)[1:3]
        positions = ops.cast(rows * cols, features.dtype)
        pooled = ops.logsumexp(self.r * features, axis=(1, 2)) - ops.log(positions)
        return pooled / self.r

    def compute_output_shape(self, features_shape):
        return (features_shape[0], features_shape[3])

    def get_config(self):
        return {**super().get_config(), "r": self.r}
