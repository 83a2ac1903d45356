"""The small VGG: sizes, widths, hook; parity: weights/test_explainer_checkpoints."""

import keras
import numpy as np
import pytest

from kerasloc.backbones.vgg import WIDTHS, conv_relu_twice, vgg

STAGES = [f"conv_mod{stage}" for stage in range(4)]


def build(shape=(16, 32, 3), hook=None):
    image = keras.Input(shape)
    return keras.Model(image, vgg(image, hook))


@pytest.fixture(scope="module")
def model():
    return build()


def test_it_has_four_stages_of_two_convolutions(model):
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    names = [f"{stage}_conv{number}" for stage in STAGES for number in (0, 1)]
    assert [layer.name for layer in convolutions] == names
    assert WIDTHS == (32, 64, 128, 256)
    assert [layer.filters for layer in convolutions] == sorted(2 * WIDTHS)
    assert all(layer.use_bias for layer in convolutions)
    counts = 9_248 + 896 + 18_496 + 36_928 + 73_856 + 147_584 + 295_168 + 590_080
    assert model.count_params() == counts


def test_every_stage_halves_the_image_behind_itself(model):
    assert model.output.shape == (None, 1, 2, 256)
    for stage, name in enumerate(STAGES):
        before = model.get_layer(f"{name}_conv1_relu").output
        assert before.shape[1:3] == (16 >> stage, 32 >> stage)
        assert model.get_layer(f"{name}_pool").input is before


def test_the_hook_stands_between_a_stage_and_its_pooling():
    seen = []

    def hook(features, name):
        seen.append((name, features.shape[1:]))
        return keras.layers.Rescaling(0.0, name=f"{name}_hooked")(features)

    model = build((32, 16, 1), hook)
    sizes = [(32 >> k, 16 >> k, width) for k, width in enumerate(WIDTHS)]
    assert seen == list(zip(STAGES, sizes, strict=True))
    for name in STAGES:
        hooked = model.get_layer(f"{name}_hooked")
        assert hooked.input is model.get_layer(f"{name}_conv1_relu").output
        assert model.get_layer(f"{name}_pool").input is hooked.output
    assert not np.any(model(np.ones((1, 32, 16, 1))))


def test_a_module_is_two_convolutions_with_relu():
    image = keras.Input((2, 2, 1))
    model = keras.Model(image, conv_relu_twice(image, 2, "part"))
    first, second = np.zeros((3, 3, 1, 2)), np.zeros((3, 3, 2, 2))
    first[1, 1, 0] = [1, -1]  # the image, and what is below 0
    second[1, 1] = [[1, 2], [3, -4]]
    model.set_weights([first, np.zeros(2), second, np.array([0.5, 0])])
    outputs = np.asarray(model(np.array([[[[1.0], [-2.0]], [[0.0], [3.0]]]])))
    expected = [[[1.5, 2], [6.5, 0]], [[0.5, 0], [3.5, 6]]]
    np.testing.assert_allclose(outputs[0], expected)
