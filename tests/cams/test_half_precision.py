"""Maps of networks that compute in half precision are those in single precision."""

import keras
import numpy as np
import pytest
from keras import layers

from kerasloc.cams import METHODS, FeatureGradient
from kerasloc.cams.gradient import GradientExplainer

pytestmark = pytest.mark.half_precision
GRADIENT_METHODS = [k for k, v in METHODS.items() if issubclass(v, GradientExplainer)]


def network(policy, size, factor=1.0, last=None):
    """A classifier of which all layers have a policy; the last may have another."""
    default = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        image = keras.Input((size, size, 1))
        y = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(image)
        z = layers.Dense(3, "softmax", dtype=last)(layers.GlobalAveragePooling2D()(y))
        model = keras.Model(image, z)
    finally:
        keras.config.set_dtype_policy(default)
    rng = np.random.default_rng(0)
    *first, kernel, bias = [rng.normal(size=w.shape) for w in model.weights]
    model.set_weights([*first, factor * kernel, bias])
    return model


def images(size):
    x = np.random.default_rng(1).random((2, size, size, 1), dtype="float32")
    x[:, : size // 3] *= 0.2
    return x


def assert_near(half, single, methods, x, explain):
    for method in methods:
        expected = explain(single, x, method, classes="all")
        maps = explain(half, x, method, classes="all")
        assert expected.max() == 1
        np.testing.assert_allclose(maps, expected, atol=1e-2, err_msg=method)


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize("factor", [1, 1e-4, 1e-7])
@pytest.mark.parametrize("policy", ["mixed_float16", "float16"])
def test_maps_with_small_weights_of_the_head_are_near(policy, factor, explain):
    last = "float32" if factor < 1e-5 else None  # such weights are no float16
    half, single = (network(p, 16, factor, last) for p in (policy, "float32"))
    assert_near(half, single, GRADIENT_METHODS, images(16), explain)


@pytest.mark.usefixtures("op_by_op")
def test_maps_of_large_images_are_near(explain):
    half, single = (network(p, 1024, 0.1) for p in ("mixed_float16", "float32"))
    methods = ["gradcam", "gradcampp", "layercam"]
    assert_near(half, single, methods, images(1024)[:1], explain)


def head(weight, policy="float16"):
    features = keras.Input((2, 3), dtype=policy)
    dense = layers.Dense(2, use_bias=False, dtype=policy)
    outputs = dense(layers.GlobalAveragePooling1D(dtype=policy)(features))
    dense.set_weights([np.full((3, 2), weight)])
    return keras.Model([features], {"logits": outputs})


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize("weight", [6e4, 1.0, 1e-3, 6e-5, 0])
@pytest.mark.parametrize("policy", ["float16", "float32"])
def test_gradients_are_exact_from_the_largest_to_the_smallest(weight, policy):
    _, gradient = FeatureGradient(head(weight, policy))([np.ones((4, 2, 3))], [0] * 4)
    np.testing.assert_allclose(gradient, weight / 2, rtol=2e-3)


@pytest.mark.usefixtures("op_by_op")
def test_images_have_scales_apart():
    """One image has a large gradient, one a tiny one, one none, one is NaN."""
    features = keras.Input((1,), dtype="float16")
    powers = layers.Lambda(lambda x: x * x * x, dtype="float16")(features)
    call = FeatureGradient(keras.Model([features], {"logits": powers}))
    x = np.array([[32.0], [2.0**-10], [0.0], [np.nan]])
    _, gradient = call([x], [0] * 4)
    np.testing.assert_allclose(gradient, 3 * x**2, rtol=2e-3)
    for row, expected in zip(x, gradient, strict=True):
        np.testing.assert_array_equal(call([row[None]], [0])[1][0], expected)
