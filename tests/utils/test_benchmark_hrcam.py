"""The suite hrcam of the benchmark."""

import keras
import numpy as np
import pytest

from kerasloc import FullModel
from kerasloc.backbones import densenet_fcn

NETWORK = {"growth": 2, "initial_filters": 2, "layers_per_block": 1, "blocks": 1}
SIZES = {"im_size": 32, "train_size": 8, "batch_size": 2, "images": 1}


@pytest.fixture(scope="module")
def suite(load_suite):
    return load_suite("hrcam")


@pytest.fixture
def options(suite, quick_options):
    return quick_options(suite, **SIZES)


def test_plain_networks_are_built_inside_only(suite):
    fused = densenet_fcn.BatchNormalization
    with suite.built_with("mixed_bfloat16", plain=True):
        assert densenet_fcn.BatchNormalization is keras.layers.BatchNormalization
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert densenet_fcn.BatchNormalization is fused
    assert keras.config.dtype_policy().name == "float32"


def test_the_published_code_draws_the_same_maps(suite):
    wrapper = FullModel(num_classes=3, im_size=16, **NETWORK)
    image = np.random.default_rng(0).random((16, 16, 3), dtype="float32")
    high, low, best = suite.published_cams(wrapper)(image)
    expected_high, expected_low, expected_best = wrapper.generate_cams(image)
    np.testing.assert_allclose(high, expected_high, atol=1e-5)
    np.testing.assert_allclose(low, expected_low, atol=1e-5)
    assert best == expected_best


def test_cams_are_compared_with_the_published_code(suite, options, comparisons):
    published = "three predicts"
    assert comparisons(suite.cams(options, NETWORK)) == [
        (published, None, None),
        ("three predicts, Keras' BatchNorm", published, None),
        ("generate_cams, one by one", published, 4),
        ("generate_cams, 1 at once", published, 15),
    ]


def test_training_compares_three_networks_of_both_families(suite, options, comparisons):
    usual, built = densenet_fcn.BatchNormalization, []

    def step(family, side, options):
        fused = densenet_fcn.BatchNormalization is usual
        built.append((family, side, fused, keras.config.dtype_policy().name))
        return list

    expected = []
    for family in ("half", "full"):
        plain, fused = f"{family}, 8 px, Keras' BatchNorm", f"{family}, 8 px, fused"
        expected += [(plain, None, None), (fused, plain, 1.2)]
        expected += [(f"{fused}, mixed_bfloat16", fused, None)]
    assert comparisons(suite.training(options, step)) == expected
    settings = [(False, "float32"), (True, "float32"), (True, "mixed_bfloat16")]
    assert built == [(f, 8, *pair) for f in ("half", "full") for pair in settings]


@pytest.mark.parametrize("family", ["half", "full"])
def test_a_training_step_changes_the_trained_weights(suite, options, changes, family):
    step = suite.training_step(family, 8, options, NETWORK)
    trainer = step.func.__self__
    assert changes(step, trainer.trainable_variables)
    frozen = trainer.get_layer("initial_conv2D")
    assert frozen.trainable == (family == "half")


def test_the_pipeline_is_compared_with_training_and_continues_without_imgaug(
    suite, options, comparisons
):
    def read(table, options, augment, cache=None):
        if augment == "imgaug":
            raise ImportError("imgaug could not be imported")
        return suite.reading(table, options, augment, cache)

    *rows, skipped = suite.pipeline(options, lambda *_: list, read, file_size=16)
    train = "half, 32 px, training step"
    assert comparisons(rows) == [
        (train, None, None),
        ("PNG none", train, 1),
        ("JPEG none", train, 1),
        ("JPEG affine", train, 1),
        ("JPEG affine memory", train, 1),
    ]
    assert skipped["name"] == "JPEG imgaug"
    assert skipped["skipped"] == "skipped: imgaug could not be imported"
