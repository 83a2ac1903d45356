"""Bilinear resizing whose outer pixels stay where they are, which Keras lacks."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasloc")
class AlignedResize(keras.layers.Layer):
    """Features at another size, bilinearly, the centers of the corners aligned.

    Output pixel i of a side lies at ``i * (old - 1) / (new - 1)``: the first and the
    last pixel keep their values (``align_corners=True`` elsewhere). A side of one
    pixel is repeated. Computed in float32, given back in the layer's own precision.
    Sizes may be unknown until the layer is called.

    Args:
        size: (rows, cols) of the answer, or None.
        scale: Factor of both sides, a whole number, or None. With neither, the
            layer is called with a second argument, whose size the answer takes.

    Raises:
        ValueError: If both are given, or one is not positive.
    """

    def __init__(self, size=None, scale: int | None = None, **kwargs):
        super().__init__(**kwargs)
        wanted = (*size,) if size is not None else (scale,) if scale is not None else ()
        ambiguous = size is not None and (scale is not None or len(wanted) != 2)
        if ambiguous or any(int(value) != value or value < 1 for value in wanted):
            raise ValueError(
                "A resize has a size (rows, cols) or a scale, whole numbers from 1. "
                f"Received: size={size!r}, scale={scale!r}."
            )
        self.size = None if size is None else tuple(int(side) for side in size)
        self.scale = None if scale is None else int(scale)

    def call(self, features, like=None):
        """The resized features (n, rows, cols, channels)."""
        size = self._target(ops.shape(features), like)
        known = all(isinstance(side, int) for side in size)
        if known and tuple(features.shape[1:3]) == size:
            return features
        if keras.backend.backend() == "tensorflow":
            resized = _with_tensorflow(features, size)
        else:
            resized = _with_matrices(features, size)
        return ops.cast(resized, self.compute_dtype)

    def compute_output_shape(self, features_shape, like_shape=None):
        """(n, rows, cols, channels); None where it is not known yet."""
        size = self.size
        if like_shape is not None:
            size = like_shape[1:3]
        elif size is None:
            scale = self._scale()
            size = [
                None if side is None else scale * side for side in features_shape[1:3]
            ]
        return (features_shape[0], *size, features_shape[3])

    def get_config(self):
        """What makes the layer again."""
        return {**super().get_config(), "size": self.size, "scale": self.scale}

    def _target(self, shape, like):
        """(rows, cols) of the answer; tensors where they are not known yet."""
        if like is not None:
            return tuple(ops.shape(like)[1:3])
        if self.size is not None:
            return self.size
        return tuple(self._scale() * side for side in shape[1:3])

    def _scale(self) -> int:
        if self.scale is None:
            raise ValueError(
                "A resize without size and scale is called with the features and a "
                "partner whose size they take. Received: the features alone."
            )
        return self.scale


def _with_tensorflow(features, size):
    import tensorflow as tf

    return tf.raw_ops.ResizeBilinear(
        images=features, size=tf.stack(size), align_corners=True
    )


def _with_matrices(features, size):
    """As bilinear resizing is separable: one small matrix for each side."""
    rows, cols = (
        _matrix(old, new) for old, new in zip(features.shape[1:3], size, strict=True)
    )
    features = ops.cast(features, "float32")
    return ops.einsum("pr,nrcx,qc->npqx", rows, features, cols)


def _matrix(old, new):
    """Shares (new, old) of the old pixels of a side in the new ones."""
    step = (old - 1) / (new - 1) if new > 1 else 0.0
    places = ops.arange(new, dtype="float32")[:, None] * step
    return ops.maximum(1.0 - ops.abs(places - ops.arange(old, dtype="float32")), 0.0)
