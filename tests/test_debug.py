import keras
import numpy as np
import pytest

from kerasloc.debug import check_weights, get_model_memory_usage, layers_in_one

GB = 2**30


def small(names=("conv", "head"), dtype=None):
    keras.utils.set_random_seed(0)
    image = keras.Input((4, 4, 1), name="image", dtype="float32")
    x = keras.layers.Conv2D(3, 3, padding="same", name=names[0], dtype=dtype)(image)
    x = keras.layers.Flatten(dtype=dtype)(x)
    return keras.Model(image, keras.layers.Dense(2, name=names[1], dtype=dtype)(x))


def nest(inner):
    image = keras.Input((4, 4, 1))
    return keras.Model(image, keras.layers.ReLU()(inner(image)))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_memory_is_activations_of_a_batch_and_parameters(batch_size):
    # outputs: image 16, conv 48, flat 48, head 2; weights: 9 * 3 + 3, 48 * 2 + 2
    expected = 4 * (batch_size * (16 + 48 + 48 + 2) + 30 + 98) / GB
    assert get_model_memory_usage(small(), batch_size) == pytest.approx(expected)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    expected = 4 * (batch_size * (5 + 3) + 18) / GB
    assert get_model_memory_usage(model, batch_size) == pytest.approx(expected)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_activations_take_half(policy):
    # the image and the weights stay in single precision
    expected = (4 * (16 + 30 + 98) + 2 * (48 + 48 + 2)) / GB
    assert get_model_memory_usage(small(dtype=policy), 1) == pytest.approx(expected)


def test_nested_models_count_by_their_layers():
    outer, inner = (get_model_memory_usage(m, 1) for m in (nest(small()), small()))
    assert outer - inner == pytest.approx(4 * 2 / GB)  # the ReLU


@pytest.mark.parametrize(
    ("layers", "batch_size", "message"),
    [
        ([keras.layers.Dense(3)], 1, "Sequential 'sequential"),
        ([keras.Input((None, 2, 1)), keras.layers.ReLU()], 1, "None, 2, 1"),
        ([keras.Input((3,))], 0, "batch_size=0"),
    ],
)
def test_models_without_a_graph_or_sizes_and_empty_batches_are_errors(
    layers, batch_size, message
):
    with pytest.raises(ValueError, match=message):
        get_model_memory_usage(keras.Sequential(layers), batch_size)


def test_the_changed_layer_is_named():
    first, second = small(), small()
    assert check_weights(first, second) == []
    first.get_layer("head").bias.assign([0, 1])
    second.get_layer("head").bias.assign([0, np.nextafter(np.float32(1), 2)])
    assert check_weights(first, second) == ["head"]


def test_nan_equals_nan_and_no_number():
    first, second, third = small(), small(), small()
    for model in (first, second):
        model.get_layer("conv").bias.assign([np.nan, 0, 0])
    assert check_weights(first, second) == []
    assert check_weights(first, third, tolerance=1) == ["conv"]


def test_differences_up_to_the_tolerance_are_equal_and_another_shape_differs():
    first, second = small(), small()
    second.get_layer("head").bias.assign([0.5, 0])
    assert check_weights(first, second, tolerance=0.5) == []
    assert check_weights(first, second, tolerance=0.4) == ["head"]
    dense = [keras.layers.Dense(3, name="head") for _ in range(2)]
    pair = zip((2, 4), dense, strict=True)
    models = [keras.Sequential([keras.Input((n,)), layer]) for n, layer in pair]
    assert check_weights(*models, tolerance=100) == ["head"]


def test_layers_of_one_model_are_ignored_and_listed():
    first, second = small(("conv", "head")), small(("conv", "top"))
    assert check_weights(first, second) == []
    assert layers_in_one(first, second) == (["head"], ["top"])


def test_layers_of_nested_models_have_paths():
    first, second = nest(small()), nest(small())
    second.layers[1].get_layer("conv").bias.assign([1, 2, 3])
    second.layers[1].name = first.layers[1].name = "inner"
    assert check_weights(first, second) == ["inner/conv"]


def test_models_without_a_common_layer_and_a_negative_tolerance_are_errors():
    with pytest.raises(ValueError, match="a, b in model1 and c, d in model2"):
        check_weights(small(("a", "b")), small(("c", "d")))
    with pytest.raises(ValueError, match="tolerance=-1"):
        check_weights(small(), small(), tolerance=-1)
