"""Maps of the chosen class, or of all, from features and a classifier."""

import keras
import numpy as np

from kerasloc.layers import ChosenClassMap, MappedDense


def test_map_is_the_features_weighed_by_the_chosen_column():
    classifier = keras.layers.Dense(3)
    classifier.build((None, 2))
    kernel = np.array([[1, 0, -1], [0, 2, 5]], "float32")
    classifier.set_weights([kernel, np.full(3, 9, "float32")])  # no bias in the map
    features = np.random.default_rng(0).random((2, 4, 5, 2), dtype="float32")
    logits = np.array([[0, 1, 0], [7, 1, 2]], "float32")
    maps = ChosenClassMap(classifier)(features, logits, np.array([2, -1], "int32"))
    np.testing.assert_allclose(maps[0], features[0] @ kernel[:, 2], rtol=1e-5)
    np.testing.assert_allclose(maps[1], features[1] @ kernel[:, 0], rtol=1e-5)


# A classifier and the maps that its weights make


def mapped(units=3, channels=4, **options):
    layer = MappedDense(units, **options)
    rng = np.random.default_rng(1)
    pooled = rng.standard_normal((2, channels)).astype("float32")
    features = rng.standard_normal((2, 5, 6, channels)).astype("float32")
    layer(pooled, features)
    return layer, pooled, features


def test_logits_are_weighed_pooled_features_and_maps_the_features():
    layer, pooled, features = mapped()
    kernel = np.asarray(layer.kernel)
    assert [tuple(weight.shape) for weight in layer.weights] == [(4, 3)]  # no bias
    logits, maps = layer(pooled, features)
    np.testing.assert_allclose(logits, pooled @ kernel, rtol=1e-4, atol=1e-5)
    expected = np.maximum(features @ kernel, 0)
    assert (expected == 0).any()
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5)


def test_maps_train_the_features_and_logits_the_kernel(tf):
    layer, pooled, features = mapped()
    features = tf.constant(features)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(features)
        logits, maps = layer(pooled, features)
        both = tf.reduce_sum(logits), tf.reduce_sum(maps)
    assert tape.gradient(both[1], layer.kernel) is None
    assert np.any(tape.gradient(both[1], features) != 0)
    expected = np.repeat(pooled.sum(axis=0)[:, None], 3, axis=1)
    slope = tape.gradient(both[0], layer.kernel)
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-5)
    assert tape.gradient(both[0], features) is None


def test_logits_and_maps_are_float32_in_mixed_precision(half_precision):
    layer, *inputs = mapped()
    outputs = layer(*(keras.ops.cast(x, "bfloat16") for x in inputs))
    assert {keras.backend.standardize_dtype(y.dtype) for y in outputs} == {"float32"}


def test_the_classifier_never_has_a_bias():
    assert mapped(use_bias=True)[0].bias is None


def test_the_saved_classifier_comes_back(reloaded):
    inputs = keras.Input((4,)), keras.Input((5, 6, 4))
    logits, maps = MappedDense(3, name="head")(*inputs)
    assert (logits.shape, maps.shape) == ((None, 3), (None, 5, 6, 3))
    _, *x = mapped()
    reloaded(keras.Model(inputs, {"logits": logits, "maps": maps}), x)
