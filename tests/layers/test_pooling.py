"""Multiple-instance pooling: the plain formula, and where that one breaks."""

import keras
import numpy as np
import pytest

from kerasloc.layers import MultipleInstancePooling


def noise(scale=3.0, shape=(2, 5, 4, 3)):
    return (scale * np.random.default_rng(0).standard_normal(shape)).astype("float32")


def expected(maps, min_val=0.98):
    """The paper's formula in float64: fine where its product is not 1."""
    sigmoid = 1 / (1 + np.exp(-maps.astype(float)))
    absent = np.prod(min_val + (1 - min_val) * (1 - sigmoid), axis=(1, 2))
    return np.log((1 - absent) / absent)


def test_two_places_of_one_half_each():
    maps = np.zeros((1, 1, 2, 1), "float32")
    logit = np.asarray(MultipleInstancePooling(min_val=0.5)(maps))
    present = 1 - 0.75**2
    np.testing.assert_allclose(logit, [[np.log(present / (1 - present))]], rtol=1e-5)


@pytest.mark.parametrize("min_val", [0.98, 0.5, 0.01])
@pytest.mark.parametrize("scale", [0.1, 3.0, 10.0])
def test_answers_equal_the_formula(min_val, scale):
    maps = noise(scale)
    logits = np.asarray(MultipleInstancePooling(min_val)(maps))
    np.testing.assert_allclose(logits, expected(maps, min_val), rtol=1e-4, atol=1e-4)


def test_answers_pass_from_one_formula_to_the_other_without_a_step():
    """The two forms meet at a product of 1 - 1e-6."""
    levels = np.linspace(-14, -11, 301).astype("float32")
    maps = np.broadcast_to(levels[:, None, None, None], (301, 2, 2, 1))
    logits = np.asarray(MultipleInstancePooling()(maps))[:, 0]
    # so small a probability adds up: 4 places of 0.02 sigmoid(level)
    sums = np.log(4 * 0.02) - np.log1p(np.exp(-levels.astype(float)))
    np.testing.assert_allclose(logits, sums, atol=1e-4)


@pytest.mark.parametrize("level", [-1e4, -100.0, 0.0, 100.0, 1e4])
def test_logits_and_gradients_are_finite_for_any_maps(level):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the tape is TensorFlow's")
    tf = pytest.importorskip("tensorflow")
    maps = tf.fill((1, 20, 20, 2), level)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        logits = MultipleInstancePooling()(maps)
    gradient = tape.gradient(logits, maps)
    assert np.isfinite(logits).all()
    assert np.isfinite(gradient).all()
    if level < -50:  # the logit follows the maps, one for one
        np.testing.assert_allclose(logits, level + np.log(0.02 * 400), rtol=1e-4)
        np.testing.assert_allclose(np.sum(gradient, axis=(1, 2)), 1, rtol=1e-4)


def test_gradients_are_those_of_the_formula():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the tape is TensorFlow's")
    tf = pytest.importorskip("tensorflow")
    maps = noise(shape=(1, 2, 2, 1))
    variable = tf.constant(maps)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        logits = MultipleInstancePooling()(variable)
    step = 1e-4 * np.eye(4).reshape(4, 2, 2, 1)
    slopes = (expected(maps + step) - expected(maps - step)) / 2e-4
    gradient = tape.gradient(logits, variable).numpy()
    np.testing.assert_allclose(gradient.ravel(), slopes.ravel(), rtol=1e-3)


def test_ceiling_of_twenty_by_twenty_is_8_08():
    logit = float(MultipleInstancePooling()(np.full((1, 20, 20, 1), 1e4))[0, 0])
    assert logit == pytest.approx(8.08, abs=0.005)


def test_stays_float32_in_mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        logits = MultipleInstancePooling()(noise())
    finally:
        keras.config.set_dtype_policy(before)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"


def test_saved_layer_comes_back(tmp_path):
    maps = keras.Input((5, 4, 3))
    model = keras.Model(maps, MultipleInstancePooling(0.9, name="pool")(maps))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("pool").min_val == 0.9
    np.testing.assert_array_equal(
        loaded.predict_on_batch(noise()), model.predict_on_batch(noise())
    )


@pytest.mark.parametrize("min_val", [0, 1, -0.1, 98, float("nan")])
def test_a_share_outside_is_refused(min_val):
    with pytest.raises(ValueError, match="min_val lies between 0 and 1"):
        MultipleInstancePooling(min_val)
