"""Layer, variable and axes of a published parameter."""

import keras
import numpy as np
import pytest

from kerasloc.weights.torch_match import (
    as_numpy,
    bare,
    find_layer,
    find_variable,
    is_surplus,
    to_keras,
)

# Layers


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("layer1.0.conv1", "layer1_0_conv1"),
        ("net.encoder.layer1.0.conv1", "layer1_0_conv1"),
        ("module.model.layer1.0.conv1", "layer1_0_conv1"),
        ("encoder.module.net.layer1.0.conv1", "layer1_0_conv1"),
        ("classifier.sb1.block0.conv1", "layer1_0_conv1"),
        ("module.model.classifier.sb3.block22.bn2", "layer3_22_bn2"),
        ("sb2.block0.downsample.0", "layer2_0_downsample_0"),
    ],
)
def test_holders_are_stripped_and_explainer_blocks_renamed(path, name):
    layers = {name: "the layer", name.rpartition("_")[2]: "another"}
    assert find_layer(path, layers) == "the layer"
    assert bare(f"{path}.weight").replace(".", "_") == f"{name}_weight"


@pytest.mark.parametrize("path", ["sb5.block0.conv1", "asb1.block0.conv1", "sb1.block"])
def test_names_that_resemble_such_a_block_stay(path):
    layers = {"layer5_0_conv1": 1, "alayer1_0_conv1": 1, "layer1_0_conv1": 1}
    assert find_layer(path, layers) is None
    assert bare(path) == path


def test_nothing_is_stripped_from_the_name_of_a_layer():
    layers = {"decoder_out": "long", "out": "short"}
    assert find_layer("net.decoder.out", layers) == "long"
    assert find_layer("net.encoder.out", layers) == "short"


@pytest.mark.parametrize("path", ["", "net", "net.conv9", "head.conv1", "conv1.net"])
def test_other_names_have_no_layer(path):
    assert find_layer(path, {"conv1": "a layer"}) is None


@pytest.mark.parametrize(
    ("name", "surplus"),
    [
        ("bn1.num_batches_tracked", True),
        ("net.encoder.bn1.num_batches_tracked", True),
        ("fc.weight", True),
        ("module.encoder.fc.bias", True),
        ("classifier.fc.weight", True),
        ("fc2.weight", False),
        ("net.attention.fc.weight", False),
    ],
)
def test_counters_and_the_classifier_are_surplus(name, surplus):
    assert is_surplus(name) is surplus


def test_a_bare_name_keeps_its_last_word():
    assert bare("module.net.encoder.bn1.weight") == "bn1.weight"
    assert bare("net.model") == "model"


# Variables


NORMALIZATION = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
    "gamma": "gamma",
    "kernel": None,
}


class Gate(keras.layers.Layer):
    def build(self, shape):
        self.gamma = self.add_weight(shape=(1,), name="gamma")


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (keras.layers.BatchNormalization(), NORMALIZATION),
        (
            keras.layers.GroupNormalization(2),
            {"weight": "gamma", "running_mean": None},
        ),
        (
            keras.layers.Conv2D(2, 1, use_bias=False),
            {"weight": "kernel", "bias": None},
        ),
        (Gate(), {"gamma": "gamma"}),
    ],
)
def test_parameters_are_variables_by_the_kind_of_layer(layer, names):
    layer.build((None, 4, 4, 2))
    for parameter, name in names.items():
        variable = find_variable(layer, parameter)
        assert getattr(variable, "name", None) == name
        if name == "gamma":
            array = np.ones(variable.shape)
            assert to_keras(layer, variable, array).shape == array.shape


# Axes, by the outputs of a kernel

AXES = {
    "convolution": (
        keras.layers.Conv2D(5, (2, 3)),
        (5, 4, 2, 3),
        lambda x, kernel: np.einsum("rci,oirc->o", x, kernel),
    ),
    "grouped": (
        keras.layers.Conv2D(6, (2, 3), groups=2),
        (6, 2, 2, 3),
        lambda x, kernel: np.einsum(
            "rcgi,goirc->go", x.reshape(2, 3, 2, 2), kernel.reshape(2, 3, 2, 2, 3)
        ),
    ),
    "depthwise": (
        keras.layers.DepthwiseConv2D((2, 3)),
        (4, 1, 2, 3),
        lambda x, kernel: np.einsum("rci,iorc->i", x, kernel),
    ),
    "transposed": (
        keras.layers.Conv2DTranspose(5, (2, 3), strides=(2, 3)),
        (4, 5, 2, 3),
        lambda x, kernel: np.einsum("RCi,iorc->RrCco", x, kernel),
    ),
    "dense": (
        keras.layers.Dense(5),
        (5, 4),
        lambda x, kernel: np.einsum("rci,oi->rco", x, kernel),
    ),
}


@pytest.mark.parametrize("kind", AXES)
def test_kernels_have_the_published_axes_and_are_not_flipped(kind):
    layer, shape, formula = AXES[kind]
    rng = np.random.default_rng(0)
    images = rng.random((1, 2, 3, 4), dtype="float32")
    kernel = rng.random(shape, dtype="float32")
    layer.build(images.shape)
    layer.kernel.assign(to_keras(layer, layer.kernel, kernel))
    expected = formula(images[0], kernel).ravel()
    np.testing.assert_allclose(np.ravel(layer(images)), expected, rtol=1e-5)


# Arrays


def test_tensors_are_detached_and_brain_floats_widened():
    class Tensor:
        dtype = "torch.bfloat16"
        calls = ()

        def __getattr__(self, name):
            if name not in ("detach", "cpu", "float"):
                raise AttributeError(name)
            self.calls += (name,)
            return lambda: np.ones(2) if name == "float" else self

    tensor = Tensor()
    np.testing.assert_array_equal(as_numpy(tensor), [1, 1])
    assert tensor.calls[-1] == "float"
    assert {"detach", "cpu"} <= set(tensor.calls)


def test_lists_are_arrays_too():
    np.testing.assert_array_equal(as_numpy([1, 2]), [1, 2])
