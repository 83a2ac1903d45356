"""Published names into networks, all of them or an error."""

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


class Wrapper:
    def __init__(self, model):
        self.model = model


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


def refusal(model, source):
    """What is said of arrays that are refused; the model stays as it was."""
    before = model.get_weights()
    with pytest.raises(ValueError, match="Every array of a weight file fits") as error:
        load_torch(model, source)
    assert "backbone, options, class count and channel count" in str(error.value)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    return str(error.value)


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


def test_a_wrapper_and_a_file_do_as_well(model, arrays, torch_writer, tmp_path):
    path = torch_writer(tmp_path / "w.pth", arrays)
    assert load_torch(Wrapper(model), str(path)).matched == 8
    np.testing.assert_array_equal(model.get_weights()[-1], arrays["net.head.0.bias"])


def test_a_nested_mapping_and_lists_do_as_well(model, arrays):
    load_torch(model, {"epoch": 3, "state_dict": arrays})
    load_torch(model, {name: array.tolist() for name, array in arrays.items()})
    np.testing.assert_array_equal(model.get_weights()[-1], arrays["net.head.0.bias"])


def test_layers_of_a_model_inside_the_model_are_found(model, arrays):
    outer_image = keras.Input((8, 8, 3))
    outer = keras.Model(outer_image, model(outer_image))
    assert load_torch(outer, arrays).matched == 8


def test_surplus_entries_are_counted_and_named(model, arrays):
    more = {"net.encoder.bn1.num_batches_tracked": 7, "module.fc.weight": [[1.0]]}
    matched = load_torch(model, arrays | {k: np.array(v) for k, v in more.items()})
    assert matched == Matched(8, tuple(more))
    text = "8 of 8 arrays matched; 2 entries left aside (fc, num_batches_tracked)"
    assert str(matched) == text
    assert str(Matched(213)) == "213 of 213 arrays matched"


def test_unknown_names_are_listed(model, arrays):
    arrays["net.encoder.layer9.conv.weight"] = np.ones(1)
    part = "8 arrays match; 1 unknown to the network: net.encoder.layer9.conv.weight"
    said = refusal(model, arrays)
    assert "the mapping" in said
    assert part in said


def test_an_unknown_parameter_of_a_known_layer_is_listed(model, arrays):
    arrays["net.encoder.conv1.bias"] = np.ones(2)
    assert "1 unknown to the network: net.encoder.conv1.bias" in refusal(model, arrays)


def test_arrays_of_the_network_that_get_nothing_are_listed(model, arrays):
    del arrays["net.head.0.bias"], arrays["net.encoder.bn1.running_var"]
    part = "2 of the network that got nothing: bn1/moving_variance, head_0/bias"
    said = refusal(model, arrays)
    assert "6 arrays match" in said
    assert part in said


def test_other_shapes_are_listed_as_the_file_has_them(model, arrays):
    arrays["net.encoder.conv1.weight"] = np.ones((2, 1, 3, 3), "float32")
    arrays["net.head.0.bias"] = np.ones(14, "float32")
    arrays["net.decoder.up.0.weight"] = np.ones(2, "float32")
    assert (
        "5 arrays match; 3 of another shape: "
        "net.encoder.conv1.weight (2, 1, 3, 3) for (2, 3, 3, 3), "
        "net.decoder.up.0.weight (2,) for (2, 1, 3, 3), "
        "net.head.0.bias (14,) for (4,)"
    ) in refusal(model, arrays)


def test_two_names_for_one_layer_are_listed(model, arrays):
    arrays["module.head.0.bias"] = arrays["net.head.0.bias"]
    part = "for a layer that has another: module.head.0.bias (as net.head.0 is)"
    assert part in refusal(model, arrays)


def test_long_lists_are_shortened(model, arrays):
    arrays |= {f"block.{i}.weight": np.ones(1) for i in range(20)}
    said = refusal(model, arrays)
    assert "20 unknown to the network: block.0.weight" in said
    assert "and 8 more" in said


def test_weights_of_nothing_at_all_are_refused(model):
    assert "0 arrays match; 8 of the network that got nothing" in refusal(model, {})


def test_what_is_no_model_or_no_source_is_refused(model, arrays):
    with pytest.raises(TypeError, match=r"go into a Keras model.*: Wrapper"):
        load_torch(Wrapper("a model"), arrays)
    with pytest.raises(TypeError, match=r"from a path or from a mapping.*: list"):
        load_torch(model, [arrays])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pylon", "deeplabv3plus", "fpn_groupnorm"])
def test_published_names_fit_the_networks(name, network_golden):
    golden = network_golden(name)
    model = golden.build()
    expected = model.get_weights()
    model.set_weights([np.zeros_like(array) for array in expected])
    assert load_torch(model, golden.arrays()).matched == len(expected)
    for array, got in zip(expected, model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, array)
