"""The fused batch normalization against Keras."""

import keras
import numpy as np
import pytest

from kerasloc.layers import BatchNormalization


def pair(shape, **options):
    x = np.random.default_rng(0).normal(2, 3, shape).astype("float32")
    layers = BatchNormalization(**options), keras.layers.BatchNormalization(**options)
    for layer in layers:
        layer.build(shape)
    return x, *layers


@pytest.mark.parametrize("shape", [(4, 5, 6, 7), (1, 1, 2, 3), (8, 3)])
def test_training_answers_and_moving_statistics_equal_keras(shape):
    x, fused, reference = pair(shape, momentum=0.9)
    for _ in range(2):
        a, b = fused(x, training=True), reference(x, training=True)
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=2e-5)
    for array, expected in zip(fused.weights, reference.weights, strict=True):
        np.testing.assert_allclose(
            np.asarray(array.value), np.asarray(expected.value), rtol=1e-5, atol=1e-5
        )


def test_inference_answers_equal_keras():
    x, fused, reference = pair((4, 5, 6, 7))
    rng = np.random.default_rng(1)
    values = [rng.uniform(0.5, 1.5, 7) for _ in range(4)]
    fused.set_weights(values)
    reference.set_weights(values)
    np.testing.assert_allclose(
        np.asarray(fused(x)), np.asarray(reference(x)), atol=1e-5
    )


def test_frozen_layer_stays_in_inference_mode():
    x, fused, _ = pair((4, 5, 6, 7))
    fused.trainable = False
    np.testing.assert_allclose(
        np.asarray(fused(x, training=True)), np.asarray(fused(x)), atol=1e-6
    )
    assert np.all(fused.get_weights()[2] == 0)


def test_gradients_equal_keras(tf):
    x, fused, reference = pair((4, 5, 6, 7))
    gradients = []
    for layer in (fused, reference):
        image = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(image)
            loss = tf.reduce_sum(layer(image, training=True) ** 3)
        gradients.append(tape.gradient(loss, [image, layer.gamma.value]))
    for array, expected in zip(*gradients, strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_keeps_its_type_and_float32_statistics(policy):
    layer = BatchNormalization(dtype=policy)
    x = np.random.default_rng(0).normal(size=(4, 5, 6, 7)).astype("float32")
    y = layer(x, training=True)
    assert keras.backend.standardize_dtype(y.dtype) == policy.removeprefix("mixed_")
    assert layer.moving_mean.dtype == "float32"


def test_saved_layer_comes_back(reloaded):
    model = keras.Sequential([keras.Input((4, 4, 3)), BatchNormalization()])
    loaded = reloaded(model, np.ones((2, 4, 4, 3), "float32"))
    assert isinstance(loaded.layers[-1], BatchNormalization)
