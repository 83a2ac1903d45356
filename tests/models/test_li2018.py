"""Li's grid of patches and its pooling; parity: test_goldens."""

import numpy as np

from kerasloc.models.li2018 import li2018


def build(**options):
    return li2018((32, 64, 1), 3, "resnet18", **options)


def test_logits_are_the_softened_noisy_or_of_the_maps():
    x = np.random.default_rng(0).standard_normal((2, 32, 64, 1)).astype("float32")
    outputs = build(out_size=5, min_val=0.5, decoder_channels=8)(x)
    maps = np.asarray(outputs["maps"], float)
    assert maps.shape == (2, 5, 5, 3)
    absent = np.prod(1 - 0.5 / (1 + np.exp(-maps)), axis=(1, 2))
    expected = np.log((1 - absent) / absent)
    np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-4)


def test_published_options_are_the_defaults():
    model = build()
    assert tuple(model.get_layer("out_1").kernel.shape) == (3, 3, 512, 512)
    assert model.get_layer("out_1").use_bias
    assert tuple(model.get_layer("out_4").kernel.shape) == (1, 1, 512, 3)
    assert model.get_layer("out_0").size == (20, 20)
    assert model.get_layer("logits").min_val == 0.98
