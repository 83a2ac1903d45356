"""HAM saved, loaded and optimized; published files: weights/test_ham_checkpoints."""

import dataclasses

import keras
import numpy as np
import pytest

import kerasloc

NAMES = ("edema", "mass", "nodule")
SIZE = (32, 48)


def make(**arguments):
    given = {"class_names": NAMES, "im_size": SIZE, "channels": 1}
    return kerasloc.HAM(**{**given, "backbone": "resnet18", **arguments})


@pytest.fixture(scope="module")
def wrapper(fill_by_rule):
    answer = make()
    fill_by_rule(answer.model)
    return answer


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).standard_normal((2, *SIZE, 1)).astype("float32")


def outputs(wrapper, x):
    """All six, of the bare network."""
    answer = wrapper.model.predict_on_batch(x)
    return {name: np.asarray(value) for name, value in answer.items()}


@pytest.fixture(scope="module")
def expected(wrapper, x):
    answer = outputs(wrapper, x)
    assert len(answer) == 6
    assert answer["maps"].max() > 0.1
    return answer


@pytest.fixture(scope="module")
def optimized(wrapper):
    return wrapper.optimize()


def assert_same(answer, expected, share=1e-4):
    """Within a share of the largest value; soft masks are steep."""
    assert sorted(answer) == sorted(expected)
    for name, values in expected.items():
        wide = 10 * share if "refined" in name else share
        limit = wide * max(1, np.abs(values).max())
        np.testing.assert_allclose(answer[name], values, rtol=0, atol=limit)


def test_lone_weights_tell_what_they_are_of(wrapper, x, expected, tmp_path):
    wrapper.model.save_weights(tmp_path / "lone.weights.h5")
    loaded = kerasloc.HAM(tmp_path / "lone.weights.h5", im_size=SIZE)
    assert (loaded.config.num_classes, loaded.config.channels) == (3, 1)
    assert loaded.config.options == {"backbone": "resnet18"}
    assert_same(outputs(loaded, x), expected)


@pytest.mark.slow
def test_keras_files_answer_as_before_with_their_options(x, tmp_path):
    other = make(downsampling=16)
    other.model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"layer3_0.* differ.*Add the options"):
        kerasloc.HAM(tmp_path / "model.keras")
    loaded = kerasloc.HAM(tmp_path / "model.keras", downsampling=16)
    assert loaded.config.im_size == SIZE
    assert_same(outputs(loaded, x), outputs(other, x))


def test_optimized_networks_answer_the_same(wrapper, optimized, x, expected):
    assert_same(outputs(optimized, x), expected)
    kinds = {type(layer) for layer in optimized.model.layers}
    assert not any(issubclass(k, keras.layers.BatchNormalization) for k in kinds)
    assert optimized.config == dataclasses.replace(wrapper.config, folded=True)
    assert not wrapper.config.folded


def test_optimized_networks_are_saved_and_loaded(optimized, x, expected, tmp_path):
    loaded = kerasloc.load(optimized.save(tmp_path / "run"))
    assert loaded.config == optimized.config
    assert_same(outputs(loaded, x), expected)


@pytest.mark.half_precision
@pytest.mark.slow
def test_half_precision_answers_nearly_the_same(wrapper, x, expected):
    fast = wrapper.optimize(precision="mixed_bfloat16")
    assert fast.model.get_layer("conv1").compute_dtype == "bfloat16"
    answer = outputs(fast, x)
    assert {value.dtype for value in answer.values()} == {np.dtype("float32")}
    for name in ("logits", "abnormality_logits", "maps", "abnormality_maps"):
        assert_same({name: answer[name]}, {name: expected[name]}, 0.05)
