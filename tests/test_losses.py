"""Losses that Keras lacks."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kerasloc.losses import MaskedBinaryCrossentropy

NAN = np.nan


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(size=(4, 3)).astype("float32") * 3


def each(labels, logits):
    """One value per image."""
    return np.asarray(MaskedBinaryCrossentropy(reduction=None)(labels, logits))


def test_known_labels_give_keras_own_loss(logits):
    labels = np.random.default_rng(1).integers(0, 2, (4, 3)).astype("float32")
    keras_own = keras.losses.BinaryCrossentropy(from_logits=True)
    np.testing.assert_allclose(
        MaskedBinaryCrossentropy()(labels, logits),
        keras_own(labels, logits),
        rtol=1e-6,
    )


def test_a_value_is_what_an_eye_computes():
    # log(1 + exp(-1)) = 0.3133, log(1 + exp(2)) = 2.1269
    np.testing.assert_allclose(
        each([[1.0, 0.0, NAN]], [[1.0, 2.0, 5.0]]), (0.313262 + 2.126928) / 2, rtol=1e-5
    )


def test_unknown_labels_do_not_matter(logits):
    labels = np.float32([[1, NAN, 0], [NAN, NAN, 1], [0, 1, NAN], [1, 0, 1]])
    others = np.where(np.isnan(labels), logits + 100, logits)
    np.testing.assert_array_equal(each(labels, logits), each(labels, others))


def test_every_image_is_averaged_over_its_own_known_labels(logits):
    one_known = np.float32([[1, NAN, NAN]] * 4)
    alone = keras.losses.BinaryCrossentropy(from_logits=True, reduction=None)(
        np.ones((4, 1)), logits[:, :1]
    )
    np.testing.assert_allclose(each(one_known, logits), alone, rtol=1e-6)


def test_an_image_without_a_known_label_counts_zero(logits):
    labels = np.full((4, 3), NAN, "float32")
    assert float(MaskedBinaryCrossentropy()(labels, logits)) == 0
    assert each(labels, logits).tolist() == [0, 0, 0, 0]


def test_gradients_are_finite_and_zero_where_unknown(logits):
    labels = np.float32([[1, NAN, 0], [NAN, NAN, NAN], [0, 1, NAN], [1, 0, 1]])
    x = tf.Variable(logits * 100)  # far out, where a naive formula overflows
    with tf.GradientTape() as tape:
        loss = MaskedBinaryCrossentropy()(labels, x)
    gradient = tape.gradient(loss, x).numpy()
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()
    assert not gradient[np.isnan(labels)].any()


def test_the_gradient_is_the_probability_minus_the_label():
    labels, x = np.float32([[1, 0, NAN]]), tf.Variable([[0.5, -2.0, 1.0]])
    with tf.GradientTape() as tape:
        loss = MaskedBinaryCrossentropy()(labels, x)
    probability = 1 / (1 + np.exp(-np.array([0.5, -2.0])))
    expected = [*(probability - [1, 0]) / 2, 0]
    np.testing.assert_allclose(tape.gradient(loss, x)[0], expected, rtol=1e-5)


def test_it_works_compiled_and_after_saving(logits, tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.compile("sgd", loss=MaskedBinaryCrossentropy())
    labels = np.float32([[1, NAN, 0]] * 4)
    expected = model.test_on_batch(logits, labels)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.isclose(loaded.test_on_batch(logits, labels), expected, rtol=1e-6)
    model.train_on_batch(logits, labels)
    assert all(np.isfinite(ops.convert_to_numpy(w)).all() for w in model.weights)
