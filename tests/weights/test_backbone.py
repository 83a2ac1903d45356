"""A ResNet's arrays in the backbone, and nowhere else."""

import keras
import numpy as np
import pytest

from kerasloc.weights import load_backbone
from kerasloc.weights.imagenet import fit_channels

SHAPES = {
    "conv1.weight": (2, 3, 3, 3),
    "bn1.weight": (2,),
    "bn1.bias": (2,),
    "bn1.running_mean": (2,),
    "bn1.running_var": (2,),
    "layer1.0.conv1.weight": (4, 2, 1, 1),
}
FC = {"fc.weight": np.ones((5, 4)), "fc.bias": np.ones(5)}


def network(channels=3):
    image = keras.Input((8, 8, channels))
    x = keras.layers.Conv2D(2, 3, use_bias=False, name="conv1")(image)
    x = keras.layers.BatchNormalization(name="bn1")(x)
    x = keras.layers.Conv2D(4, 1, use_bias=False, name="layer1_0_conv1")(x)
    return keras.Model(image, keras.layers.Conv2D(1, 1, name="head")(x))


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {name: rng.random(shape, "float32") for name, shape in SHAPES.items()}


def test_the_backbone_is_filled_and_the_head_is_not(arrays):
    model = network()
    head = model.get_layer("head").get_weights()
    matched = load_backbone(model, arrays | FC)
    assert str(matched) == "6 of 6 arrays matched; 2 entries left aside (fc)"
    kernel = model.get_layer("layer1_0_conv1").kernel
    expected = arrays["layer1.0.conv1.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(kernel, expected)
    np.testing.assert_array_equal(model.get_layer("head").kernel, head[0])


def test_the_file_of_a_network_fills_its_backbone(arrays, torch_writer, tmp_path):
    state = {f"net.encoder.{name}": array for name, array in arrays.items()}
    state["net.decoder.up.0.weight"] = np.ones((1, 4, 1, 1), "float32")
    path = torch_writer(tmp_path / "w.pt", state)
    matched = load_backbone(network(), path)
    assert matched.matched == 6
    assert matched.ignored == ("net.decoder.up.0.weight",)


def test_a_gray_network_has_the_features_of_the_color_network_for_gray(arrays):
    gray, color = network(1), network(3)
    for model in (gray, color):
        load_backbone(model, arrays)
    taps = [keras.Model(m.input, m.get_layer("bn1").output) for m in (gray, color)]
    images = np.random.default_rng(1).random((1, 8, 8, 1), dtype="float32")
    features = [taps[0](images), taps[1](np.repeat(images, 3, axis=-1))]
    np.testing.assert_allclose(*features, rtol=1e-4, atol=1e-5)


def test_two_channels_are_the_first_two_times_one_and_a_half():
    kernel = np.arange(6.0).reshape(2, 3, 1, 1)
    np.testing.assert_array_equal(fit_channels(kernel, 1)[:, :, 0, 0], [[3], [12]])
    expected = [[0, 1.5], [4.5, 6]]
    np.testing.assert_array_equal(fit_channels(kernel, 2)[:, :, 0, 0], expected)
    assert fit_channels(kernel, 3) is kernel
    assert fit_channels(kernel[:, :1], 1).shape == (2, 1, 1, 1)


@pytest.mark.parametrize(("count", "channels"), [(3, 4), (1, 3), (4, 3), (4, 1)])
def test_other_channel_counts_are_refused(arrays, count, channels):
    arrays["conv1.weight"] = np.ones((2, count, 3, 3), "float32")
    with pytest.raises(ValueError, match=f"Received: one of {count} for.*{channels}"):
        load_backbone(network(channels), arrays)


def test_a_deeper_networks_arrays_are_refused_and_nothing_changes(arrays, unchanged):
    model = network()
    arrays["layer1.0.conv3.weight"] = np.ones((1, 1, 1, 1), "float32")
    del arrays["bn1.bias"]
    message = r"1 unknown.*layer1.0.conv3.weight.*1 of the network.*bn1/beta"
    with unchanged(model), pytest.raises(ValueError, match=message):
        load_backbone(model, arrays)


def test_a_network_without_a_backbone_is_refused(arrays):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"the layers conv1, bn1.*sequential"):
        load_backbone(model, arrays)
