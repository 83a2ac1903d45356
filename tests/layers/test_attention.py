"""A branch that starts at zero, and soft masks of maps."""

import keras
import numpy as np
import pytest

from kerasloc.layers import AlignedResize, ScaledAdd, SoftMask


def noise(*shape):
    return np.random.default_rng(0).random(shape, dtype="float32")


def values(tensor):
    return keras.ops.convert_to_numpy(tensor)


# Scaled sum


def test_a_new_branch_adds_nothing_and_later_gamma_times_itself():
    x, branch = noise(2, 3, 4, 5), noise(2, 3, 4, 1)
    layer = ScaledAdd()
    np.testing.assert_array_equal(values(layer(x, branch)), x)
    assert [tuple(weight.shape) for weight in layer.trainable_weights] == [(1,)]
    layer.gamma.assign([-0.5])
    np.testing.assert_allclose(values(layer(x, branch)), x - 0.5 * branch, rtol=1e-6)
    wide = noise(2, 3, 4, 5)
    np.testing.assert_allclose(values(layer(x, wide)), x - 0.5 * wide, rtol=1e-6)


def test_gamma_is_learned_although_it_starts_at_0(tf):
    x, branch = noise(2, 3, 4, 5), noise(2, 3, 4, 1)
    layer = ScaledAdd()
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(x, branch))
    (slope,) = tape.gradient(total, layer.trainable_weights)
    np.testing.assert_allclose(slope, [5 * branch.sum()], rtol=1e-5)


def test_the_sum_has_the_precision_of_its_features(half_precision):
    total = ScaledAdd()(noise(1, 2, 2, 3), noise(1, 2, 2, 1))
    assert keras.backend.standardize_dtype(total.dtype) == "bfloat16"


# Soft masks


def formula(maps, size, steepness=100.0, sigma=0.4):
    """Image by image and class by class, in float64."""
    large = values(AlignedResize(size, dtype="float32")(maps)).astype(float)
    masks = np.empty_like(large)
    for image in range(len(large)):
        for index in range(large.shape[-1]):
            plane = large[image, ..., index]
            span = np.ptp(plane) or 1e-5
            heat = (plane - plane.min()) / span
            masks[image, ..., index] = 1 / (1 + np.exp(-steepness * (heat - sigma)))
    return masks


def test_masks_equal_the_formula():
    maps = 7 * noise(3, 4, 5, 2) * np.array([1.0, 1e-3], "float32")
    masks = values(SoftMask((13, 9))(maps))
    assert masks.shape == (3, 13, 9, 2)
    np.testing.assert_allclose(masks, formula(maps, (13, 9)), atol=1e-4)
    gentle = values(SoftMask((13, 9), steepness=3, sigma=0.7)(maps))
    expected = formula(maps, (13, 9), 3, 0.7)
    np.testing.assert_allclose(gentle, expected, atol=1e-5)


@pytest.mark.parametrize("level", [0.0, 3.0, 1e6, 1e-40])
def test_a_flat_map_gives_an_empty_mask(level):
    masks = values(SoftMask((8, 8))(np.full((2, 3, 3, 1), level, "float32")))
    assert masks.shape == (2, 8, 8, 1)
    assert masks.max() < 1e-6


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_gradients_of_flat_and_other_maps_are_finite(tf, level):
    maps = tf.constant(level * noise(2, 3, 4, 2))
    with tf.GradientTape() as tape:
        tape.watch(maps)
        total = tf.reduce_sum(SoftMask((9, 8))(maps))
    slope = tape.gradient(total, maps)
    assert np.isfinite(slope).all()
    assert np.any(slope != 0)


def test_masks_stay_float32_in_mixed_precision(half_precision):
    maps = noise(1, 3, 4, 1)
    masks = SoftMask((6, 8))(maps)
    assert keras.backend.standardize_dtype(masks.dtype) == "float32"
    np.testing.assert_allclose(values(masks), formula(maps, (6, 8)), atol=1e-4)


def test_saved_layers_come_back(reloaded):
    maps = keras.Input((3, 4, 2))
    added = ScaledAdd(name="added")(maps, maps)
    masks = SoftMask((6, 5), steepness=10, sigma=0.5, name="masks")(added)
    assert masks.shape == (None, 6, 5, 2)
    model = keras.Model(maps, masks)
    model.get_layer("added").gamma.assign([0.3])
    masks = reloaded(model, noise(2, 3, 4, 2)).get_layer("masks")
    assert (masks.size, masks.steepness, masks.sigma) == ((6, 5), 10.0, 0.5)


@pytest.mark.parametrize("size", [(0, 5), (5,), (2.5, 5)])
def test_wrong_sizes_are_refused(size):
    with pytest.raises(ValueError, match="size="):
        SoftMask(size)
