"""Poolings of maps: the plain formulas, and where those break."""

import keras
import numpy as np
import pytest
from scipy.special import logsumexp

from kerasloc.layers import LogSumExpPooling, MultipleInstancePooling


def noise(scale=3.0, shape=(2, 5, 4, 3)):
    return (scale * np.random.default_rng(0).standard_normal(shape)).astype("float32")


def expected(maps, min_val=0.98):
    """The paper's formula in float64: fine where its product is not 1."""
    sigmoid = 1 / (1 + np.exp(-maps.astype(float)))
    absent = np.prod(min_val + (1 - min_val) * (1 - sigmoid), axis=(1, 2))
    return np.log((1 - absent) / absent)


def test_two_positions_of_one_half_each():
    maps = np.zeros((1, 1, 2, 1), "float32")
    logit = np.asarray(MultipleInstancePooling(min_val=0.5)(maps))
    present = 1 - 0.75**2
    np.testing.assert_allclose(logit, [[np.log(present / (1 - present))]], rtol=1e-5)


@pytest.mark.parametrize("min_val", [0.98, 0.5, 0.01])
@pytest.mark.parametrize("scale", [0.1, 3.0, 10.0])
def test_logits_equal_the_formula(min_val, scale):
    maps = noise(scale)
    logits = np.asarray(MultipleInstancePooling(min_val)(maps))
    np.testing.assert_allclose(logits, expected(maps, min_val), rtol=1e-4, atol=1e-4)


def test_logits_pass_between_the_formulas_without_a_step():
    """The two forms meet at a product of 1 - 1e-6."""
    levels = np.linspace(-14, -11, 301).astype("float32")
    maps = np.broadcast_to(levels[:, None, None, None], (301, 2, 2, 1))
    logits = np.asarray(MultipleInstancePooling()(maps))[:, 0]
    # so small a probability adds up: 4 positions of 0.02 sigmoid(level)
    sums = np.log(4 * 0.02) - np.log1p(np.exp(-levels.astype(float)))
    np.testing.assert_allclose(logits, sums, atol=1e-4)


@pytest.mark.parametrize("level", [-1e4, -100.0, 0.0, 100.0, 1e4])
def test_logits_and_gradients_are_finite_for_any_maps(tf, level):
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


def test_gradients_are_those_of_the_formula(tf):
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


@pytest.mark.parametrize("pool", [MultipleInstancePooling, LogSumExpPooling])
def test_pooled_values_are_float32_in_mixed_precision(pool, half_precision):
    pooled = pool()(keras.ops.cast(noise(), "bfloat16"))
    assert keras.backend.standardize_dtype(pooled.dtype) == "float32"


@pytest.mark.parametrize(
    ("pool", "name", "value"),
    [(MultipleInstancePooling, "min_val", 0.9), (LogSumExpPooling, "r", 2.0)],
)
def test_saved_layers_come_back_for_any_size(pool, name, value, reloaded):
    maps = keras.Input((None, None, 3))
    model = keras.Model(maps, pool(value, name="pool")(maps))
    assert model.output.shape == (None, 3)
    layer = reloaded(model, noise()).get_layer("pool")
    assert getattr(layer, name) == value


@pytest.mark.parametrize("min_val", [0, 1, -0.1, 98, float("nan")])
def test_a_min_val_out_of_range_is_refused(min_val):
    with pytest.raises(ValueError, match=f"min_val.*{min_val}"):
        MultipleInstancePooling(min_val)


# Log-sum-exp


def smooth_maximum(maps, r):
    """The formula in float64."""
    maps = maps.astype(float)
    positions = maps.shape[1] * maps.shape[2]
    return (logsumexp(r * maps, axis=(1, 2)) - np.log(positions)) / r


@pytest.mark.parametrize("r", [0.1, 1, 6.0, 50])
def test_the_smooth_maximum_equals_the_formula(r):
    maps = noise()
    pooled = np.asarray(LogSumExpPooling(r)(maps))
    assert pooled.shape == (2, 3)
    np.testing.assert_allclose(pooled, smooth_maximum(maps, r), rtol=1e-4, atol=1e-5)


def test_the_smooth_maximum_of_two_positions():
    maps = np.array([0.0, 1.0], "float32").reshape(1, 1, 2, 1)
    expected = np.log((1 + np.exp(6.0)) / 2) / 6
    assert float(LogSumExpPooling()(maps)[0, 0]) == pytest.approx(expected, rel=1e-5)


def test_the_smooth_maximum_lies_between_mean_and_maximum_and_reaches_both():
    maps = noise()
    low, high = maps.mean(axis=(1, 2)), maps.max(axis=(1, 2))
    before = low
    for r in (0.3, 1, 3, 10):
        pooled = np.asarray(LogSumExpPooling(r)(maps))
        assert (pooled > before).all()
        assert (pooled < high).all()
        before = pooled
    near_mean = np.asarray(LogSumExpPooling(1e-3)(maps))
    np.testing.assert_allclose(near_mean, low, atol=0.02)
    near_maximum = np.asarray(LogSumExpPooling(1e3)(maps))
    np.testing.assert_allclose(near_maximum, high, atol=0.005)


@pytest.mark.parametrize("level", [-1e4, 0.0, 1e4])
def test_the_smooth_maximum_is_stable_and_its_gradients_share_out_1(tf, level):
    maps = tf.fill((2, 7, 5, 3), level)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        pooled = LogSumExpPooling()(maps)
    np.testing.assert_allclose(pooled, np.full((2, 3), level), rtol=1e-5, atol=1e-6)
    slope = tape.gradient(pooled, maps)
    np.testing.assert_allclose(slope, np.full((2, 7, 5, 3), 1 / 35), rtol=1e-3)


def test_one_hot_position_among_cold_positions_counts():
    maps = np.full((1, 16, 16, 1), -1e4, "float32")
    maps[0, 3, 4] = 1e4
    expected = 1e4 - np.log(256) / 6
    assert float(LogSumExpPooling()(maps)[0, 0]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("r", [0, -6, float("nan")])
def test_a_sharpness_that_is_not_above_0_is_refused(r):
    with pytest.raises(ValueError, match=f"r above 0.*{r}"):
        LogSumExpPooling(r)
