"""PAN's global branch and gates; parity: test_goldens."""

import keras
import numpy as np
import pytest

from kerasloc.models.pan import pan

GLOBAL = ["fpa_branch1_0", "gau3_conv1_0", "gau2_conv1_0", "gau1_conv1_0"]


@pytest.mark.parametrize(("use_gap", "means"), [(True, GLOBAL), (False, [])])
def test_means_over_the_image_take_part_or_not(use_gap, means):
    model = pan((32, 32, 1), 2, "resnet18", use_gap=use_gap)
    found = {
        layer.name
        for layer in model.layers
        if isinstance(layer, keras.layers.GlobalAveragePooling2D)
    }
    assert found == set(means)


def test_a_gate_lies_between_0_and_1_and_weighs_the_finer_features():
    model = pan((32, 64, 1), 2, "resnet18", decoder_channels=6)
    names = ("gau1_gate", "gau1_conv2_relu", "gau1_multiply")
    parts = keras.Model(model.input, [model.get_layer(n).output for n in names])
    x = np.random.default_rng(0).standard_normal((2, 32, 64, 1)).astype("float32")
    gate, fine, product = map(np.asarray, parts(x))
    assert gate.shape == (2, 1, 1, 6)
    assert 0 < gate.min() < gate.max() < 1
    np.testing.assert_allclose(product, gate * fine, rtol=1e-5)


def test_published_options_are_the_defaults():
    model = pan((32, 32, 1), 2, "resnet18")
    assert tuple(model.get_layer("gau3_conv2_conv").kernel.shape) == (3, 3, 256, 128)
    assert tuple(model.get_layer("segmentation_head_0").kernel.shape) == (3, 3, 128, 2)
