"""Bilinear resizing with aligned corners, which Keras lacks."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasloc")
class AlignedResize(keras.layers.Layer):
    """Resize features bilinearly with aligned centers of the corner pixels.

    Output pixel i of a side is at ``i * (old - 1) / (new - 1)``: the first and the last
    pixel keep their values (``align_corners=True`` in other libraries). A side of one
    pixel is repeated. Computed in float32 and returned in the layer's precision. Sizes
    may be unknown until the call.

    Args:
        size: (rows, cols) of the output, or None.
        scale: Factor of both sides, a whole number, or None. With neither, the layer is
            called with a second argument, whose size the output takes.
        **kwargs: Keyword arguments of ``keras.layers.Layer``.

    Raises:
        ValueError: If there are both a size and a scale, or a value is not positive.

    Examples:
        >>> ramp = ops.reshape(ops.array([0.0, 3.0]), (1, 1, 2, 1))
        >>> AlignedResize(size=(1, 4))(ramp).numpy().ravel()
        array([0., 1., 2., 3.], dtype=float32)
    """

    def __init__(self, size: tuple | None = None, scale: int | None = None, **kwargs):
        super().__init__(**kwargs)
        values = (*size,) if size is not None else (scale,) if scale is not None else ()
        ambiguous = size is not None and (scale is not None or len(values) != 2)
        if ambiguous or any(int(value) != value or value < 1 for value in values):
            raise ValueError(
                "Expected a size (rows, cols) or a scale, whole numbers from 1. "
                f"Received: size={size!r}, scale={scale!r}."
            )
        self.size = None if size is None else tuple(int(side) for side in size)
        self.scale = None if scale is None else int(scale)

    def call(self, features, like=None):
        size = self._target(ops.shape(features), like)
        static = all(isinstance(side, int) for side in size)
        if static and tuple(features.shape[1:3]) == size:
            return features
        fast = keras.backend.backend() == "tensorflow"
        resized = (_with_tensorflow if fast else _with_matrices)(features, size)
        return ops.cast(resized, self.compute_dtype)

    def compute_output_shape(self, features_shape, like_shape=None):
        size = self.size
        if like_shape is not None:
            size = like_shape[1:3]
        elif size is None:
            scale, sides = self._scale(), features_shape[1:3]
            size = [None if side is None else scale * side for side in sides]
        return (features_shape[0], *size, features_shape[3])

    def get_config(self):
        return {**super().get_config(), "size": self.size, "scale": self.scale}

    def _target(self, shape, like):
        """Return (rows, cols) of the output; tensors where unknown until the call."""
        if like is not None:
            return tuple(ops.shape(like)[1:3])
        if self.size is not None:
            return self.size
        return tuple(self._scale() * side for side in shape[1:3])

    def _scale(self) -> int:
        if self.scale is None:
            raise ValueError(
                "Expected the features and a tensor whose size they take, as the layer "
                "has no size and no scale. Received: the features alone."
            )
        return self.scale


def _with_tensorflow(features, size):
    import tensorflow as tf

    return tf.raw_ops.ResizeBilinear(
        images=features, size=tf.stack(size), align_corners=True
    )


def _with_matrices(features, size):
    """Resize with one small matrix per side, as bilinear resizing is separable."""
    rows, cols = map(_matrix, features.shape[1:3], size)
    features = ops.cast(features, "float32")
    return ops.einsum("pr,nrcx,qc->npqx", rows, features, cols)


def _matrix(old, new):
    """Return the weights (new, old) of a side's old pixels in the new ones."""
    step = (old - 1) / (new - 1) if new > 1 else 0.0
    positions = ops.arange(new, dtype="float32")[:, None] * step
    return ops.maximum(1.0 - ops.abs(positions - ops.arange(old, dtype="float32")), 0.0)
