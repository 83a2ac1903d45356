"""The plain classifier's poolings; parity: test_goldens."""

import numpy as np
import pytest

from kerasloc.models.baseline import baseline


@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_logits_are_the_pooled_maps(pooling):
    model = baseline((64, 96, 1), 3, "resnet18", pooling=pooling)
    x = np.random.default_rng(0).standard_normal((2, 64, 96, 1)).astype("float32")
    outputs = model(x)
    maps = np.asarray(outputs["maps"])
    pooled = {"max": maps.max, "avg": maps.mean}[pooling](axis=(1, 2))
    np.testing.assert_allclose(outputs["logits"], pooled, rtol=1e-5, atol=1e-6)


def test_head_is_a_1x1_convolution_with_a_bias():
    head = baseline((32, 32, 1), 3, "resnet18").get_layer("out")
    assert (tuple(head.kernel.shape), head.use_bias) == ((1, 1, 512, 3), True)
