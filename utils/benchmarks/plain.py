"""A copy of a network that has Keras' layers only, to compare with."""

import keras
from keras import ops


class KerasResize(keras.layers.Layer):
    """Features at the size of other features, corners aligned, by Keras operations."""

    def call(self, features, like):
        """The resized features (n, rows, cols, channels)."""
        for axis in (1, 2):
            features = _stretch(features, axis, like.shape[axis])
        return features

    def compute_output_shape(self, features_shape, like_shape):
        """(n, rows, cols, channels)."""
        return (features_shape[0], *like_shape[1:3], features_shape[3])


def _stretch(features, axis: int, new: int):
    """Features with a side interpolated to another length."""
    old = features.shape[axis]
    if old == new:
        return features
    if old == 1:  # the scale would divide by zero
        return ops.repeat(features, new, axis=axis)
    scale = (new - 1) / (old - 1)
    shape = list(ops.shape(features))
    shape[axis] = new
    return ops.image.scale_and_translate(
        features, tuple(shape), [scale], [0.5 - scale / 2], (axis,), "linear", False
    )


def plain_copy(model: keras.Model) -> keras.Model:
    """Copy a network, with its weights, to Keras' layers."""
    copy = keras.models.clone_model(
        model, clone_function=_plain_layer, call_function=_call
    )
    for layer in model.layers:
        copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


def _plain_layer(layer):
    from kerasloc.layers import AlignedResize, BatchNormalization

    if type(layer) is AlignedResize:
        return KerasResize(name=layer.name, dtype=layer.dtype_policy)
    replaced = {BatchNormalization: keras.layers.BatchNormalization}
    kind = replaced.get(type(layer), type(layer))
    return kind.from_config(layer.get_config())


def _call(layer, *args, **kwargs):
    """Call a layer without the arguments that Keras has added to the first call."""
    names = set(kwargs) - {"mask", "training"}
    return layer(*args, **{name: kwargs[name] for name in names})
