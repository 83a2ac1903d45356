import keras
import numpy as np
import pytest

from kerasloc.debug import check_weights, get_model_memory_usage, layers_in_one

GB = 2**30


def small(names=("one", "two"), dtype=None):
    keras.utils.set_random_seed(0)
    image = keras.Input((4, 4, 1), name="image", dtype="float32")
    x = keras.layers.Conv2D(3, 3, padding="same", name=names[0], dtype=dtype)(image)
    x = keras.layers.Flatten(dtype=dtype)(x)
    return keras.Model(image, keras.layers.Dense(2, name=names[1], dtype=dtype)(x))


def nest(inner):
    image = keras.Input((4, 4, 1))
    return keras.Model(image, keras.layers.ReLU()(inner(image)))


def test_memory_is_activations_and_parameters():
    # outputs: image 16, one 48, flat 48, two 2; weights: 9 * 3 + 3, 48 * 2 + 2
    expected = 4 * (16 + 48 + 48 + 2 + 30 + 98) / GB
    assert get_model_memory_usage(small(), 1) == pytest.approx(expected)


def test_only_activations_grow_with_the_batch():
    one, three = (get_model_memory_usage(small(), n) for n in (1, 3))
    assert three - one == pytest.approx(2 * 4 * (16 + 48 + 48 + 2) / GB)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_activations_take_half(policy):
    # the image and the weights stay in single precision
    expected = (4 * (16 + 30 + 98) + 2 * (48 + 48 + 2)) / GB
    assert get_model_memory_usage(small(dtype=policy), 1) == pytest.approx(expected)


def test_nested_models_count_by_their_layers():
    added = get_model_memory_usage(nest(small()), 1) - get_model_memory_usage(
        small(), 1
    )
    assert added == pytest.approx(4 * 2 / GB)  # the ReLU


def test_a_sequential_model_counts_like_a_functional_one():
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    assert get_model_memory_usage(model, 2) == pytest.approx(
        4 * (2 * (5 + 3) + 18) / GB
    )


def test_a_model_without_a_graph_is_refused():
    with pytest.raises(ValueError, match=r"without symbolic inputs. Wrap it"):
        get_model_memory_usage(keras.Sequential([keras.layers.Dense(3)]), 1)


def test_open_sizes_are_refused():
    image = keras.Input((None, None, 1))
    model = keras.Model(image, keras.layers.ReLU()(image))
    with pytest.raises(ValueError, match=r"fixed sizes. Received"):
        get_model_memory_usage(model, 1)


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="batch_size=0"):
        get_model_memory_usage(small(), 0)


def test_equal_models_differ_nowhere():
    assert check_weights(small(), small()) == []


def test_the_changed_layer_is_named():
    first, second = small(), small()
    first.get_layer("two").bias.assign([0, 1])
    second.get_layer("two").bias.assign([0, np.nextafter(np.float32(1), 2)])
    assert check_weights(first, second) == ["two"]


def test_nan_equals_nan_and_no_number():
    first, second, third = small(), small(), small()
    for model in (first, second):
        model.get_layer("one").bias.assign([np.nan, 0, 0])
    assert check_weights(first, second) == []
    assert check_weights(first, third, tolerance=1) == ["one"]


def test_differences_up_to_the_tolerance_are_equal():
    first, second = small(), small()
    second.get_layer("two").bias.assign([0.5, 0])
    assert check_weights(first, second, tolerance=0.5) == []
    assert check_weights(first, second, tolerance=0.4) == ["two"]


def test_another_shape_differs():
    first, second = (
        keras.Sequential([keras.Input((n,)), keras.layers.Dense(3, name="head")])
        for n in (2, 4)
    )
    assert check_weights(first, second, tolerance=100) == ["head"]


def test_layers_of_one_model_are_left_aside_and_listed():
    first, second = small(("one", "head")), small(("one", "other"))
    assert check_weights(first, second) == []
    assert layers_in_one(first, second) == (["head"], ["other"])


def test_layers_of_nested_models_have_paths():
    first, second = nest(small()), nest(small())
    second.layers[1].get_layer("one").bias.assign([1, 2, 3])
    second.layers[1].name = first.layers[1].name = "inner"
    assert check_weights(first, second) == ["inner/one"]


def test_models_without_a_common_layer_are_refused():
    with pytest.raises(ValueError, match=r"in common \(a, b and c, d\)"):
        check_weights(small(("a", "b")), small(("c", "d")))


def test_a_negative_tolerance_is_refused():
    with pytest.raises(ValueError, match=r"at least 0. Received: -1"):
        check_weights(small(), small(), tolerance=-1)
