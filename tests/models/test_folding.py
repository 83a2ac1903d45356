"""Batch normalization folded into convolutions."""

import keras
import numpy as np
import pytest
from keras import layers

from kerasloc.layers import BatchNormalization
from kerasloc.models.folding import fold, is_folded

SIZE = (6, 7, 4)


def fill(model, seed=0):
    """Weights that make every normalization do something."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        for weight in layer.weights:
            low, high = -0.5, 0.5
            if weight.name == "moving_variance":
                low, high = 0.5, 1.5
            elif weight.name == "gamma":
                low, high = 0.3, 0.9
            weight.assign(rng.uniform(low, high, weight.shape))
    return model


def images(seed=1):
    return np.random.default_rng(seed).standard_normal((2, *SIZE)).astype("float32")


def answers(model, x):
    return [np.asarray(one) for one in keras.tree.flatten(model.predict_on_batch(x))]


def folded(model):
    """The folded copy, after a look at whether it answers as the model does."""
    fill(model)
    copy = fold(model)
    for a, b in zip(answers(copy, images()), answers(model, images()), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    return copy


def norms(model):
    kind = layers.BatchNormalization
    return [layer.name for layer in model.layers if isinstance(layer, kind)]


@pytest.mark.parametrize(
    "convolution",
    [
        lambda: layers.Conv2D(6, 3, use_bias=False, padding="same"),
        lambda: layers.Conv2D(6, 3, use_bias=True, strides=2),
        lambda: layers.Conv2D(6, 3, groups=2, use_bias=False),
        lambda: layers.Conv2D(6, 3, dilation_rate=2),
        lambda: layers.DepthwiseConv2D(3, use_bias=False),
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=2),
    ],
    ids=["plain", "bias", "grouped", "dilated", "depthwise", "multiplier"],
)
def test_a_normalization_goes_into_the_convolution_before_it(convolution):
    image = keras.Input(SIZE)
    x = BatchNormalization(epsilon=1e-2, name="norm")(convolution()(image))
    copy = folded(keras.Model(image, layers.Activation("relu")(x)))
    assert not norms(copy)
    assert len(copy.weights) == 2  # kernel, bias


@pytest.mark.parametrize(("scale", "center"), [(True, False), (False, True)])
def test_scale_and_shift_may_be_missing(scale, center):
    image = keras.Input(SIZE)
    x = layers.Conv2D(3, 1, use_bias=False)(image)
    x = layers.BatchNormalization(scale=scale, center=center)(x)
    assert not norms(folded(keras.Model(image, x)))


def test_numbers_an_eye_can_check():
    image = keras.Input((1, 1, 1))
    x = layers.Conv2D(1, 1, name="conv")(image)
    model = keras.Model(image, layers.BatchNormalization(epsilon=0.0, name="n")(x))
    model.get_layer("conv").set_weights([np.full((1, 1, 1, 1), 3.0), np.array([5.0])])
    statistics = np.array([[2.0], [7.0], [1.0], [16.0]])  # gamma, beta, mean, variance
    model.get_layer("n").set_weights(list(statistics))
    kernel, bias = fold(model).get_layer("conv").get_weights()
    assert (kernel.item(), bias.item()) == (1.5, 9.0)  # 2 / 4 * (3 x + 5 - 1) + 7


def test_a_convolution_that_others_see_too_stays():
    image = keras.Input(SIZE)
    tap = layers.Conv2D(4, 3, padding="same", name="conv")(image)
    x = layers.BatchNormalization(name="norm")(tap)
    for model in (
        keras.Model(image, layers.Add()([x, tap])),
        keras.Model(image, {"x": x, "tap": tap}),
        keras.Model(image, x + 2.0 * tap),  # steps that are no layers
    ):
        assert norms(folded(model)) == ["norm"]


def test_a_normalization_of_something_else_stays():
    image = keras.Input(SIZE)
    x = layers.BatchNormalization(name="first")(image)
    x = layers.Conv2D(4, 3, activation="relu")(x)
    x = layers.BatchNormalization(name="after_relu")(x)
    x = layers.Conv2DTranspose(4, 3)(x)
    x = layers.BatchNormalization(name="after_transpose")(x)
    x = layers.BatchNormalization(axis=1, name="other_axis")(layers.Conv2D(4, 3)(x))
    names = ["first", "after_relu", "after_transpose", "other_axis"]
    assert norms(folded(keras.Model(image, x))) == names


def test_a_convolution_used_twice_stays():
    image = keras.Input(SIZE)
    shared = layers.Conv2D(4, 3, padding="same", name="shared")
    x = layers.BatchNormalization(name="norm")(shared(image))
    model = keras.Model(image, layers.Add()([x, shared(x)]))
    assert norms(folded(model)) == ["norm"]


def test_a_normalization_used_twice_stays():
    image = keras.Input(SIZE)
    norm = layers.BatchNormalization(name="norm")
    parts = [norm(layers.Conv2D(4, 3)(image)) for _ in range(2)]
    assert norms(folded(keras.Model(image, layers.Add()(parts)))) == ["norm"]


def test_names_stay_and_the_model_is_left_alone():
    image = keras.Input(SIZE, name="image")
    x = layers.Conv2D(4, 3, use_bias=False, name="conv")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    model = fill(keras.Model(image, {"out": x}))
    before = model.get_weights()
    copy = fold(model)
    assert [one.name for one in copy.layers] == [one.name for one in model.layers]
    assert set(copy.output) == {"out"}
    assert not model.get_layer("conv").use_bias
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    copy.get_layer("conv").set_weights([np.zeros((3, 3, 4, 4)), np.zeros(4)])
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_folding_twice_and_saving_change_nothing(tmp_path):
    image = keras.Input(SIZE)
    x = layers.Conv2D(4, 3, use_bias=False)(image)
    model = fill(keras.Model(image, layers.BatchNormalization()(x)))
    once = fold(model)
    assert (is_folded(model), is_folded(once)) == (False, True)
    once.save(tmp_path / "folded.keras")
    expected = answers(once, images())[0]
    for other in (fold(once), keras.saving.load_model(tmp_path / "folded.keras")):
        np.testing.assert_array_equal(answers(other, images())[0], expected)


def test_layers_keep_their_precision():
    image = keras.Input(SIZE)
    x = layers.Conv2D(4, 3, use_bias=False, dtype="mixed_bfloat16", name="c")(image)
    x = layers.BatchNormalization(dtype="mixed_bfloat16", name="n")(x)
    x = layers.Conv2D(2, 1, dtype="float32", name="head")(x)
    copy = fold(fill(keras.Model(image, x)))
    types = [copy.get_layer(name).compute_dtype for name in ("c", "n", "head")]
    assert types == ["bfloat16", "bfloat16", "float32"]
    assert copy.get_layer("c").kernel.dtype == "float32"
