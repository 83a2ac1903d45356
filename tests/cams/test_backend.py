"""Gradients of a logit with respect to features, batch sizes, the order of outputs."""

import keras
import numpy as np
import pytest
from keras import layers

from kerasloc.cams import FeatureGradient, images_at_once, run

BATCH, ROWS, COLS, CHANNELS, CLASSES = 3, 2, 4, 5, 3


def head():
    """Logits: the products of the two means, weighed; maps: the sum of both."""
    first = keras.Input((ROWS, COLS, CHANNELS), name="first")
    second = keras.Input((ROWS, COLS, CHANNELS), name="second")
    a = layers.GlobalAveragePooling2D()(first)
    b = layers.GlobalAveragePooling2D()(second)
    dense = layers.Dense(CLASSES, use_bias=False, name="dense", dtype="float32")
    x = dense(layers.Multiply()([a, b]))
    maps = layers.Add()([first, second])
    return keras.Model([first, second], {"logits": x, "maps": maps})


def by_hand(features, second, kernel, classes):
    """d logit / d feature = kernel[:, class] * mean(second) / positions."""
    weights = kernel[:, classes].T * second.mean(axis=(1, 2))  # (n, channels)
    return np.broadcast_to(weights[:, None, None] / (ROWS * COLS), features.shape)


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    shape = (2, BATCH, ROWS, COLS, CHANNELS)
    return list(rng.standard_normal(shape).astype("float32"))


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return head()


@pytest.mark.parametrize("position", [0, 1, -1, -2])
def test_gradient_and_outputs_are_those_by_hand(network, pair, position):
    classes = np.array([2, 0, 1])
    call = FeatureGradient(network, position)
    outputs, gradient = call(pair, classes)
    kernel = np.asarray(network.get_layer("dense").get_weights()[0])
    expected = by_hand(pair[position], pair[1 - position % 2], kernel, classes)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)
    expected = network.predict_on_batch(pair)
    assert set(outputs) == {"logits", "maps"}
    for key, value in outputs.items():
        assert isinstance(value, np.ndarray)
        np.testing.assert_allclose(value, expected[key], atol=1e-6)
    for i in range(BATCH):  # whatever the batch
        _, alone = call([array[i : i + 1] for array in pair], classes[i : i + 1])
        np.testing.assert_allclose(gradient[i : i + 1], alone, atol=1e-6)


def test_below_zero_is_the_highest_logit(network, pair):
    call = FeatureGradient(network)
    outputs, gradient = call(pair, [-1, -1, 1])
    best = outputs["logits"].argmax(axis=1)
    _, expected = call(pair, [best[0], best[1], 1])
    np.testing.assert_array_equal(gradient, expected)


def test_new_weights_are_used_at_once(pair):
    network = head()
    call = FeatureGradient(network)
    _, before = call(pair, [0, 0, 0])
    kernel = network.get_layer("dense").get_weights()[0]
    network.get_layer("dense").set_weights([2 * kernel])
    _, after = call(pair, [0, 0, 0])
    np.testing.assert_allclose(after, 2 * before, atol=1e-6)


def test_normalization_and_dropout_are_those_of_inference(pair):
    feature = keras.Input((ROWS, COLS, CHANNELS))
    x = layers.BatchNormalization(epsilon=0.0, name="norm")(feature)
    x = layers.Dropout(0.5)(x)
    logits = layers.GlobalAveragePooling2D(name="logits")(x)
    network = keras.Model([feature], {"logits": logits})
    statistics = [np.full(CHANNELS, value) for value in (2.0, 1.0, 3.0, 4.0)]
    network.get_layer("norm").set_weights(statistics)
    outputs, gradient = FeatureGradient(network)([pair[0]], [1, 1, 1])
    expected = (pair[0].mean(axis=(1, 2)) - 3) + 1  # 2 / sqrt(4) = 1
    np.testing.assert_allclose(outputs["logits"], expected, atol=1e-5)
    np.testing.assert_allclose(gradient[..., 1], 1 / (ROWS * COLS), atol=1e-6)
    assert not np.delete(gradient, 1, axis=-1).any()
    after = network.get_layer("norm").get_weights()
    np.testing.assert_array_equal(after, statistics)


@pytest.mark.half_precision
def test_half_precision_features_give_single_precision_outputs():
    feature = keras.Input((ROWS, COLS, CHANNELS), dtype="bfloat16")
    pooled = layers.GlobalAveragePooling2D(dtype="bfloat16")(feature)
    logits = layers.Activation("linear", dtype="float32", name="logits")(pooled)
    network = keras.Model([feature], {"logits": logits})
    x = keras.ops.ones((2, ROWS, COLS, CHANNELS), dtype="bfloat16")
    outputs, gradient = FeatureGradient(network)([x], [0, 4])
    assert {outputs["logits"].dtype, gradient.dtype} == {np.dtype("float32")}
    np.testing.assert_allclose(gradient[0, ..., 0], 1 / (ROWS * COLS), rtol=1e-2)
    assert not gradient[0, ..., 1:].any()


def test_an_unknown_backend_is_refused(network, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    with pytest.raises(ValueError, match=r"tensorflow, jax, torch.*'numpy'"):
        FeatureGradient(network)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((16, 16), 32), ((96, 96), 4), ((224, 224), 2), ((1024, 512), 2)],
)
def test_large_images_have_small_batches_on_a_cpu(size, expected):
    assert images_at_once(size, accelerator=False) == expected
    assert images_at_once(size, accelerator=True) == 32


@pytest.mark.parametrize("structure", ["tensor", "list", "dict"])
def test_outputs_keep_their_structure_and_the_order_of_the_images(structure):
    x = keras.Input((2, 2, 1))
    twice = x * 2
    outputs = {"tensor": twice, "list": [twice, x], "dict": {"a": twice, "b": x}}
    images = np.arange(20, dtype="float32").reshape(5, 2, 2, 1)
    arrays = run(keras.Model(x, outputs[structure]), images, batch_size=2)
    keras.tree.assert_same_structure(arrays, outputs[structure])
    np.testing.assert_array_equal(keras.tree.flatten(arrays)[0], 2 * images)


def test_no_image_is_refused():
    x = keras.Input((2, 2, 1))
    with pytest.raises(ValueError, match="at least one image"):
        run(keras.Model(x, x * 2), np.zeros((0, 2, 2, 1)))
