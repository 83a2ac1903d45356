"""Blocks of decoders: convolutions, attention, head, image."""

import keras
import numpy as np
import pytest

from kerasloc.backbones import blocks


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def made(build, shape=(8, 8, 4)):
    """A model of one block."""
    keras.utils.set_random_seed(0)
    image = keras.Input(shape)
    return keras.Model(image, build(image))


def weighted(model):
    return [layer.name for layer in model.layers if layer.weights]


def test_conv_bn_relu_has_a_bias_the_published_names_and_nothing_below_0():
    model = made(lambda x: blocks.conv_bn_relu(x, 5, 3, "up1_conv1"))
    assert weighted(model) == ["up1_conv1_conv", "up1_conv1_bn"]
    assert model.get_layer("up1_conv1_conv").use_bias
    y = np.asarray(model(noise(2, 8, 8, 4)))
    assert y.shape == (2, 8, 8, 5)
    assert y.min() == 0 < y.max()


def test_conv_bn_may_be_below_0():
    model = made(lambda x: blocks.conv_bn(x, 5, 1, "gate"))
    assert weighted(model) == ["gate_conv", "gate_bn"]
    assert np.asarray(model(noise(2, 8, 8, 4))).min() < 0


def test_decoder_starts_he_uniform_by_fan_in_and_the_head_glorot_uniform():
    model = made(lambda x: blocks.conv(x, 64, 3, "conv"), (8, 8, 32))
    kernel, bias = model.get_layer("conv").get_weights()
    assert np.abs(kernel).max() == pytest.approx(np.sqrt(6 / (9 * 32)), rel=0.01)
    assert not bias.any()
    model = made(lambda x: blocks.head(x, 40, 1), (8, 8, 128))
    kernel, bias = model.get_layer("segmentation_head_0").get_weights()
    assert np.abs(kernel).max() == pytest.approx(np.sqrt(6 / 168), rel=0.01)
    assert not bias.any()


def test_separable_convolution_is_depthwise_then_1x1_with_nothing_between():
    model = made(lambda x: blocks.separable(x, 6, 3, "aspp", dilation=2))
    depthwise, pointwise = model.get_layer("aspp_0"), model.get_layer("aspp_1")
    assert weighted(model) == ["aspp_0", "aspp_1"]
    assert depthwise.dilation_rate == (2, 2)
    assert not depthwise.use_bias
    assert not pointwise.use_bias
    x = noise(1, 8, 8, 4)
    kernel, mix = depthwise.get_weights()[0], pointwise.get_weights()[0]
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    spread = sum(
        padded[:, 2 * i : 2 * i + 8, 2 * j : 2 * j + 8] * kernel[i, j, :, 0]
        for i in range(3)
        for j in range(3)
    )
    np.testing.assert_allclose(model(x), spread @ mix[0, 0], atol=1e-4)


def test_global_mean_keeps_four_axes():
    model = made(lambda x: blocks.global_mean(x, "mean"), (3, 5, 4))
    x = noise(2, 3, 5, 4)
    expected = x.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(model(x), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "halves"),
    [
        ((8, 8), [(4, 4), (2, 2), (1, 1)]),
        ((3, 2), [(2, 1), (1, 1), (1, 1)]),
        ((1, 1), 3 * [(1, 1)]),
        ((5, 12), [(3, 6), (2, 3), (1, 2)]),
    ],
)
def test_attention_of_halved_sizes_multiplies_the_features(size, halves):
    model = made(lambda x: blocks.pyramid_attention(x, 6, "pa"), (*size, 4))
    levels = [model.get_layer(f"pa_down{n}_0").output.shape[1:3] for n in (1, 2, 3)]
    assert levels == halves  # rounded up
    names = ("pa_mid_0_relu", "pa_up")
    taps = keras.Model(model.input, [model.get_layer(n).output for n in names])
    x = noise(2, *size, 4)
    mid, attention = (np.asarray(tap) for tap in taps(x))
    assert attention.shape == (2, *size, 1)
    assert np.isfinite(mid * attention).all()
    np.testing.assert_allclose(model(x), mid * attention, atol=1e-6)


@pytest.mark.parametrize("deepest", ["conv3", "down3_2"])
def test_attention_has_the_published_names(deepest):
    model = made(lambda x: blocks.pyramid_attention(x, 6, "pa", deepest))
    sizes = {
        layer.name: layer.kernel_size[0]
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    }
    assert sizes == {
        "pa_mid_0_conv": 1,
        "pa_down1_1_conv": 7,
        "pa_down2_1_conv": 5,
        "pa_down3_1_conv": 3,
        f"pa_{deepest}_conv": 3,
        "pa_conv2_conv": 5,
        "pa_conv1_conv": 7,
    }


def test_head_is_float32_in_mixed_precision():
    image = keras.Input((8, 8, 4), dtype="bfloat16")
    assert blocks.head(image, 3, 1).dtype == "float32"


def test_logits_are_the_maxima_of_the_maps():
    image = keras.Input((3, 5, 4))
    model = blocks.max_pooled(image, keras.layers.Identity(name="maps")(image), "m")
    x = noise(2, 3, 5, 4)
    outputs = model(x)
    assert list(outputs) == ["logits", "maps"]
    np.testing.assert_array_equal(outputs["logits"], x.max(axis=(1, 2)))


@pytest.mark.parametrize(
    ("shape", "classes", "message"),
    [
        ((64, 64), 2, r"rows, cols, channels.*\(64, 64\)"),
        ((1, 64, 64, 3), 2, r"rows, cols, channels.*\(1, 64, 64, 3\)"),
        ((64, 100, 3), 2, "multiples of 32. Received: 64 x 100.*64 x 96"),
        ((None, None, 3), 2, "size.*None"),
        ((64, 64, 0), 2, "channel.*2 classes, 0 channels"),
        ((64, 64, 1.5), 2, "channel.*1.5 channels"),
        ((64, 64, 3), 0, "class.*0 classes"),
        ((64, 64, 3), 1.5, "class.*1.5 classes"),
    ],
)
def test_images_that_do_not_fit_are_refused(shape, classes, message):
    with pytest.raises(ValueError, match=message):
        blocks.start(shape, classes)
    assert blocks.start([64, 32, 1], 3).name == "image"


def test_sides_may_be_multiples_of_another_number():
    with pytest.raises(ValueError, match=r"multiples of 64.*96"):
        blocks.start((96, 64, 3), 2, multiple=64)


def test_shapes_of_another_family_tell_nothing():
    arrays = {"conv1": {"kernel": np.zeros((7, 7, 3, 64))}}
    assert blocks.describe(arrays, lambda kernels: {}, "out") == {}
