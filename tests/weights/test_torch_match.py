"""Published names into networks, all arrays or an error."""

import types

import keras
import numpy as np
import pytest

from kerasloc.weights import Matched, load_torch

SHAPES = {
    "net.encoder.conv1.weight": (2, 3, 3, 3),
    "net.encoder.bn1.weight": (2,),
    "net.encoder.bn1.bias": (2,),
    "net.encoder.bn1.running_mean": (2,),
    "net.encoder.bn1.running_var": (2,),
    "net.decoder.up.0.weight": (2, 1, 3, 3),
    "net.head.0.weight": (4, 2, 1, 1),
    "net.head.0.bias": (4,),
}


@pytest.fixture
def model():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(2, 3, use_bias=False, name="conv1")(image)
    x = keras.layers.BatchNormalization(name="bn1")(x)
    x = keras.layers.DepthwiseConv2D(3, use_bias=False, name="up_0")(x)
    return keras.Model(image, keras.layers.Conv2D(4, 1, name="head_0")(x))


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {name: rng.random(shape, "float32") for name, shape in SHAPES.items()}


@pytest.fixture
def refusal(model, unchanged):
    """Function from refused arrays to the error; the model stays as it was."""

    def error_of(source):
        with unchanged(model), pytest.raises(ValueError, match="arrays match") as error:
            load_torch(model, source)
        assert "backbone, options, class count and channel count" in str(error.value)
        return str(error.value)

    return error_of


def test_every_array_reaches_its_variable(model, arrays):
    assert load_torch(model, arrays) == Matched(8)
    weights = {variable.path: np.asarray(variable) for variable in model.weights}
    assert len(weights) == 8
    for path, name, axes in [
        ("conv1/kernel", "net.encoder.conv1.weight", (2, 3, 1, 0)),
        ("bn1/gamma", "net.encoder.bn1.weight", (0,)),
        ("bn1/beta", "net.encoder.bn1.bias", (0,)),
        ("bn1/moving_mean", "net.encoder.bn1.running_mean", (0,)),
        ("bn1/moving_variance", "net.encoder.bn1.running_var", (0,)),
        ("up_0/kernel", "net.decoder.up.0.weight", (2, 3, 0, 1)),
        ("head_0/kernel", "net.head.0.weight", (2, 3, 1, 0)),
        ("head_0/bias", "net.head.0.bias", (0,)),
    ]:
        np.testing.assert_array_equal(weights[path], arrays[name].transpose(axes))


def test_files_and_nested_mappings_of_lists_do_as_well(
    model, arrays, torch_writer, tmp_path
):
    path = torch_writer(tmp_path / "w.pth", arrays)
    nested = {"epoch": 3, "state_dict": arrays}
    lists = {name: array.tolist() for name, array in arrays.items()}
    for source in (str(path), nested, lists):
        model.set_weights([0 * array for array in model.get_weights()])
        assert load_torch(types.SimpleNamespace(model=model), source).matched == 8
        bias = model.get_layer("head_0").bias
        np.testing.assert_array_equal(bias, arrays["net.head.0.bias"])


def test_layers_of_nested_models_are_filled(model, arrays):
    image = keras.Input((8, 8, 3))
    assert load_torch(keras.Model(image, model(image)), arrays).matched == 8


def test_surplus_entries_are_counted_and_named(model, arrays):
    more = {"net.encoder.bn1.num_batches_tracked": 7, "module.fc.weight": [[1.0]]}
    matched = load_torch(model, arrays | {k: np.array(v) for k, v in more.items()})
    assert matched == Matched(8, tuple(more))
    text = "8 of 8 arrays matched; 2 entries left aside (fc, num_batches_tracked)"
    assert str(matched) == text
    assert str(Matched(213)) == "213 of 213 arrays matched"


def test_unknown_names_are_listed(arrays, refusal):
    arrays["net.encoder.layer9.conv.weight"] = np.ones(1)
    arrays["net.encoder.conv1.bias"] = np.ones(2)
    assert (
        "the mapping, of which 8 arrays match; 2 unknown to the network: "
        "net.encoder.layer9.conv.weight, net.encoder.conv1.bias."
    ) in refusal(arrays)


def test_arrays_of_the_network_without_a_match_are_listed(arrays, refusal):
    del arrays["net.head.0.bias"], arrays["net.encoder.bn1.running_var"]
    assert (
        "6 arrays match; 2 of the network that got nothing: "
        "bn1/moving_variance, head_0/bias"
    ) in refusal(arrays)
    assert "0 arrays match; 8 of the network that got nothing" in refusal({})


def test_unlike_shapes_are_listed_as_the_file_has_them(arrays, refusal):
    arrays["net.encoder.conv1.weight"] = np.ones((2, 1, 3, 3), "float32")
    arrays["net.head.0.bias"] = np.ones(14, "float32")
    arrays["net.decoder.up.0.weight"] = np.ones(2, "float32")
    assert (
        "5 arrays match; 3 of another shape: "
        "net.encoder.conv1.weight (2, 1, 3, 3) for (2, 3, 3, 3), "
        "net.decoder.up.0.weight (2,) for (2, 1, 3, 3), "
        "net.head.0.bias (14,) for (4,)"
    ) in refusal(arrays)


def test_two_names_for_one_layer_are_listed(arrays, refusal):
    arrays["module.head.0.bias"] = arrays["net.head.0.bias"]
    text = "for a layer that has another: module.head.0.bias (as net.head.0 is)"
    assert text in refusal(arrays)


def test_long_lists_are_shortened(arrays, refusal):
    arrays |= {f"block.{i}.weight": np.ones(1) for i in range(20)}
    error = refusal(arrays)
    assert "20 unknown to the network: block.0.weight" in error
    assert "and 8 more" in error


def test_other_objects_than_models_and_sources_are_refused(model, arrays):
    with pytest.raises(TypeError, match=r"Keras model.*: SimpleNamespace"):
        load_torch(types.SimpleNamespace(model="a model"), arrays)
    with pytest.raises(TypeError, match=r"path or a mapping.*: list"):
        load_torch(model, [arrays])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pylon", "deeplabv3plus", "fpn_groupnorm"])
def test_published_names_fit_the_networks(name, network_golden):
    golden = network_golden(name)
    model = golden.build()
    expected = model.get_weights()
    model.set_weights([np.zeros_like(array) for array in expected])
    assert load_torch(model, golden.arrays()).matched == len(expected)
    for array, loaded in zip(expected, model.get_weights(), strict=True):
        np.testing.assert_array_equal(loaded, array)
