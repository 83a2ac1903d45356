"""The explainer-classifier over its true networks: saved, loaded, optimized.

Published files: weights/test_explainer_checkpoints.
"""

import dataclasses

import numpy as np
import pytest
from keras import layers

import kerasloc

NAMES = ("kein Vieleck", "étoile à cinq", "zèbre")
SIZE = (32, 48)


def make(**arguments):
    given = {"class_names": NAMES, "im_size": SIZE, "channels": 1}
    return kerasloc.ExplainerClassifier(**{**given, **arguments})


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).random((3, *SIZE, 1), dtype="float32")


@pytest.fixture(scope="module")
def vgg(fill_by_rule):
    answer = make(classifier="vgg", mean=0.5, std=0.25)
    fill_by_rule(answer.model)
    return answer


@pytest.fixture(scope="module")
def expected(vgg, x):
    answer = outputs(vgg, x)
    assert answer["explanation"].std() > 0.01
    assert answer["explanation"].max() <= 1
    return answer


def outputs(wrapper, x):
    return {"explanation": wrapper.explanations(x), "logits": wrapper.logits(x)}


def assert_same(answer, expected):
    for name, values in expected.items():
        np.testing.assert_allclose(answer[name], values, atol=1e-4, rtol=1e-4)


def test_the_vgg_explains_as_well(vgg, x, expected):
    bare = vgg.model((x - 0.5) / 0.25, training=False)
    np.testing.assert_allclose(
        expected["explanation"], np.asarray(bare["explanation"])[..., 0], atol=1e-5
    )
    high, low, _ = vgg.generate_cams(x)
    assert (high.shape, low.shape) == ((3, *SIZE), (3, 4, 6))
    np.testing.assert_allclose(low[:, 0, 0], high[:, :8, :8].mean((1, 2)), rtol=1e-4)
    maps = [vgg.grad_cam(x, index) for index in range(3)]
    assert maps[0].shape == (3, 4, 6)
    assert not np.allclose(maps[0], maps[1], rtol=1e-3, atol=0)


def test_saved_networks_answer_as_before(vgg, x, expected, tmp_path):
    loaded = kerasloc.load(vgg.save(tmp_path / "run"))
    assert type(loaded) is kerasloc.ExplainerClassifier
    assert loaded.config == vgg.config
    assert loaded.config.class_names == NAMES
    for name, values in outputs(loaded, x).items():
        np.testing.assert_array_equal(values, expected[name])
    high = loaded.high_res_cam(x, "étoile à cinq")
    np.testing.assert_allclose(high, expected["explanation"], atol=1e-6)
    with pytest.raises(ValueError, match=r"of the family 'explainer'.*kerasloc\.load"):
        kerasloc.Pylon(tmp_path / "run")


def test_lone_weights_tell_what_they_are_of(vgg, x, expected, tmp_path):
    vgg.model.save_weights(tmp_path / "lone.weights.h5")
    loaded = kerasloc.ExplainerClassifier(
        tmp_path / "lone.weights.h5", im_size=SIZE, mean=0.5, std=0.25
    )
    assert (loaded.config.num_classes, loaded.config.channels) == (3, 1)
    assert loaded.config.options == {"classifier": "vgg"}
    assert_same(outputs(loaded, x), expected)


def test_keras_files_answer_as_before(vgg, x, expected, tmp_path):
    vgg.model.save(tmp_path / "model.keras")
    loaded = kerasloc.ExplainerClassifier(tmp_path / "model.keras", mean=0.5, std=0.25)
    assert loaded.config.im_size == SIZE
    assert loaded.config.options == {"classifier": "vgg"}
    assert_same(outputs(loaded, x), expected)
    assert loaded.grad_cam(x).shape == (3, 4, 6)


def test_optimized_networks_answer_the_same_and_are_saved(vgg, x, expected, tmp_path):
    optimized = vgg.optimize()
    kinds = {type(layer) for layer in optimized.model.layers}
    assert not any(issubclass(k, layers.BatchNormalization) for k in kinds)
    assert_same(outputs(optimized, x), expected)
    assert optimized.config == dataclasses.replace(vgg.config, folded=True)
    loaded = kerasloc.load(optimized.save(tmp_path / "run"))
    assert_same(outputs(loaded, x), expected)
    np.testing.assert_allclose(loaded.grad_cam(x), vgg.grad_cam(x), atol=1e-5)


@pytest.mark.slow
def test_resnet18_is_the_default_and_can_be_optimized(fill_by_rule):
    wrapper = make(im_size=(32, 64))
    assert wrapper.config.options == {}
    fill_by_rule(wrapper.model)
    wrapper.model.get_layer("explainer_bn").beta.assign([1.0])
    x = np.random.default_rng(1).random((2, 32, 64, 1), dtype="float32")
    optimized = wrapper.optimize()
    assert_same(outputs(optimized, x), outputs(wrapper, x))
    kinds = {type(layer) for layer in optimized.model.layers}
    assert not any(issubclass(k, layers.BatchNormalization) for k in kinds)
    low = optimized.low_res_cam(x)
    assert optimized.grad_cam(x, "zèbre").shape == low.shape == (2, 1, 2)
