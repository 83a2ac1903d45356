import numpy as np
import pytest
import tensorflow as tf

from kerasloc.data.augment import ColorJitter

LUMA = np.array([0.299, 0.587, 0.114])


def jittered(channels, seed, **limits):
    """Noise before and after the jitter."""
    values = np.random.default_rng(0).uniform(0.2, 0.8, (8, 9, channels))
    image = tf.constant(values, tf.float32)
    limits = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0} | limits
    return image.numpy(), ColorJitter(**limits)({"image": image}, seed)["image"].numpy()


def test_brightness_multiplies(seed):
    before, after = jittered(1, seed(4), brightness=0.1)
    ratio = after / before
    assert np.ptp(ratio) < 1e-5
    assert 0.9 <= ratio[0, 0, 0] <= 1.1
    assert abs(ratio[0, 0, 0] - 1) > 1e-3


@pytest.mark.parametrize("channels", [1, 3])
def test_contrast_keeps_the_mean_and_changes_the_deviation(seed, channels):
    before, after = jittered(channels, seed(4), contrast=0.3)
    luma = LUMA if channels == 3 else np.ones(1)
    np.testing.assert_allclose((after @ luma).mean(), (before @ luma).mean(), atol=1e-5)
    assert abs(after.std() / before.std() - 1) > 0.01


def test_saturation_moves_colors_to_and_from_their_gray(seed):
    before, after = jittered(3, seed(4), saturation=0.2)
    np.testing.assert_allclose(after @ LUMA, before @ LUMA, atol=1e-5)
    assert np.abs(after - before).max() > 1e-3
    before, after = jittered(1, seed(4), saturation=0.2)
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_values_stay_within_0_and_1(seed):
    for number in range(10):
        _, image = jittered(3, seed(number), brightness=1, contrast=1, saturation=1)
        assert 0 <= image.min() <= image.max() <= 1
