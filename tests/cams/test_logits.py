"""Logits before the ends of networks; the user's layers are never touched."""

import threading

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasloc
from kerasloc.cams import CAM, METHODS, HiResCAM
from kerasloc.cams.graph import call_of
from kerasloc.cams.logits import BeforeActivation, before_activation

SHAPE = (12, 10, 2)


def network(end, factor=1, batch=None):
    """A classifier that ends in a function of four pooled features."""
    image = keras.Input(SHAPE, batch_size=batch)
    z = layers.Conv2D(4, 3, activation="relu", name="last")(image)
    model = keras.Model(image, end(layers.GlobalAveragePooling2D()(z)))
    rng = np.random.default_rng(1)
    *first, kernel, bias = [rng.normal(size=w.shape) for w in model.weights]
    model.set_weights([*first, factor * kernel, bias])
    return model


def logits(model, x):
    explainer = HiResCAM(model)
    return explainer._logits(explainer._cut.encode(x))


# Layers with an activation


class Untouchable(layers.Dense):
    """A layer whose attributes are never set once it is built."""

    def __setattr__(self, name, value):
        if name == "activation" and getattr(self, "built", False):
            raise RuntimeError(name)
        super().__setattr__(name, value)


class Named(layers.Layer):
    """A layer of a user that keeps the name of its activation."""

    def __init__(self, activation):
        super().__init__()
        self.activation = activation

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 3))
        self.bias = self.add_weight(shape=(3,))

    def call(self, values):
        linear = values @ self.kernel + self.bias
        return keras.activations.get(self.activation)(linear)


class Inner(Named):
    """A layer whose activation comes before its weights."""

    def call(self, values):
        return keras.activations.get(self.activation)(values) @ self.kernel + self.bias


def with_lora(activation):
    def end(z):
        layer = layers.Dense(3, activation)
        outputs = layer(z)
        layer.enable_lora(2)
        layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
        return outputs

    return end


def pixel(layer):
    return lambda z: layers.Flatten()(layer(layers.Reshape((1, 1, 4))(z)))


LAYERS = {
    "Dense": lambda f: Untouchable(3, activation=f),
    "EinsumDense": lambda f: layers.EinsumDense(
        "nc,ck->nk", 3, bias_axes="k", activation=f
    ),
    "a convolution": lambda f: pixel(layers.Conv2D(3, 1, activation=f)),
    "mixed_float16": lambda f: layers.Dense(3, f, dtype="mixed_float16"),
    "a layer of the user": Named,
    "LoRA": with_lora,
    "a wrapper": lambda f: layers.SpectralNormalization(layers.Dense(3, f)),
    "TimeDistributed": lambda f: (
        lambda z: layers.Flatten()(
            layers.TimeDistributed(layers.Dense(3, f))(layers.Reshape((1, 4))(z))
        )
    ),
}


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("kind", LAYERS)
def test_logits_are_those_of_the_layer_without_activation(kind, activation, x):
    model = network(LAYERS[kind](activation))
    config, before = model.get_config(), model.predict_on_batch(x)
    expected = logits(network(LAYERS[kind]("linear")), x)
    np.testing.assert_allclose(logits(model, x), expected, rtol=1e-3, atol=1e-4)
    assert model.get_config() == config
    np.testing.assert_array_equal(model.predict_on_batch(x), before)


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize(
    "end",
    [
        lambda z: 2 * Inner("sigmoid")(z),
        lambda z: layers.LSTM(3, activation="sigmoid")(layers.Reshape((1, 4))(z)),
        lambda z: (layers.Dense(1, "sigmoid")(z) + layers.Dense(1, "sigmoid")(z)) / 2,
        lambda z: layers.Dense(3, "softmax")(z) ** 2,
        lambda z: ops.sqrt(ops.absolute(layers.Dense(3)(z))),
        lambda z: ops.log(layers.Dense(3)(z)),
    ],
)
def test_an_activation_that_is_not_last_belongs_to_the_logits(end, x):
    model = network(end)
    expected = model.predict_on_batch(x)
    np.testing.assert_allclose(logits(model, x), expected, rtol=1e-4, atol=1e-5)


def test_new_weights_and_an_error_in_the_middle_leave_the_layer_as_it_is():
    class Broken(layers.Dense):
        def call(self, values):
            if values.shape[0] == 7:
                raise RuntimeError("in the middle")
            return super().call(values)

    layer = Broken(2, "softmax")
    layer.build((None, 4))
    before, config = BeforeActivation(layer), layer.get_config()
    with pytest.raises(RuntimeError, match="in the middle"):
        before(np.ones((7, 4), "float32"))
    layer.set_weights([np.ones((4, 2)), np.array([0, 1])])
    np.testing.assert_array_equal(before(np.ones((1, 4), "float32")), [[4, 5]])
    assert layer.get_config() == config
    assert layer.activation is keras.activations.softmax


@pytest.mark.graphs
def test_threads_have_the_maps_of_a_single_one_and_leave_the_model_as_it_is(x):
    """Four threads explain new models at once."""
    for _ in range(3):
        model, twin = (network(layers.Dense(3, "softmax"), 100) for _ in range(2))
        config, expected = model.get_config(), kerasloc.cam(twin, x, classes=1)
        before, maps = model(x), [None] * 4
        barrier = threading.Barrier(len(maps))

        def explain(index, model=model, maps=maps, barrier=barrier):
            barrier.wait()
            maps[index] = kerasloc.cam(model, x, classes=1)

        threads = [threading.Thread(target=explain, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        np.testing.assert_allclose(maps, [expected] * len(maps), atol=1e-5)
        np.testing.assert_array_equal(model(x), before)
        assert model.get_config() == config


# Scores that are joined


def two(join):
    """An end of probabilities of two classes made of one."""
    return lambda z: join(layers.Dense(1, "sigmoid")(z))


def of_logit(function):
    return lambda z: function(layers.Dense(1)(z))


def both(p):
    return ops.concatenate([1 - p, p], axis=-1)


TWO_CLASSES = {
    "Concatenate": two(lambda p: layers.Concatenate()([1 - p, p])),
    "an operation": two(both),
    "stack": two(lambda p: ops.stack([1.0 - p[:, 0], p[:, 0]], axis=1)),
    "a stack that is flattened": two(
        lambda p: layers.Flatten()(ops.stack([1 - p, p], axis=1))
    ),
    "Lambda": two(layers.Lambda(both)),
    "Lambda with the sigmoid": of_logit(
        layers.Lambda(lambda z: both(ops.sigmoid(z))),
    ),
    "Activation": of_logit(lambda z: both(layers.Activation("sigmoid")(z))),
    "Rescaling": two(
        lambda p: layers.Concatenate()([layers.Rescaling(-1.0, 1.0)(p), p])
    ),
    "Subtract": two(lambda p: both(1 - layers.Subtract()([ops.ones_like(p), p]))),
    "a cast behind": two(lambda p: ops.cast(both(p), "float64")),
    "two sigmoids": of_logit(
        lambda z: layers.Concatenate()([ops.sigmoid(-z), ops.sigmoid(z)])
    ),
    "clipped": two(lambda p: ops.clip(both(p), 1e-7, 1 - 1e-7)),
}


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize("batch", [None, 1])
@pytest.mark.parametrize("end", TWO_CLASSES)
def test_probabilities_of_two_classes_are_recognized_like_a_sigmoid(end, batch, x):
    model = network(TWO_CLASSES[end], 1e4, batch)
    sigmoid = network(layers.Dense(1, "sigmoid"), 1e4)
    assert set(np.unique(model.predict_on_batch(x[:1]).round(5))) == {0, 1}  # saturated
    x = x[:batch]
    expected = HiResCAM(sigmoid).maps(x, 0)
    np.testing.assert_allclose(HiResCAM(model).maps(x, 1), expected, rtol=1e-5)
    np.testing.assert_allclose(HiResCAM(model).maps(x, 0), -expected, rtol=1e-5)


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("swap", [False, True])
def test_every_method_explains_both_of_two_classes(method, swap, x, explain):
    def join(p):
        return layers.Concatenate()([p, 1 - p] if swap else [1 - p, p])

    model = network(two(join), 1e4)
    sigmoid = network(layers.Dense(1, "sigmoid"), 1e4)
    maps = explain(model, x, method, classes="all")
    np.testing.assert_allclose(
        maps[..., 0 if swap else 1], explain(sigmoid, x, method), atol=1e-5
    )
    predicted = model.predict_on_batch(x).argmax(axis=-1)
    expected = maps[range(4), ..., predicted]
    np.testing.assert_array_equal(explain(model, x, method), expected)
    assert expected.any()


@pytest.mark.usefixtures("op_by_op")
@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (lambda z: ops.flip(layers.Dense(3, "softmax")(z), axis=-1), [2, 1, 0]),
        (lambda z: layers.Dense(3, "softmax")(z)[:, 1:], [1, 2]),
        (
            lambda z: layers.Concatenate()(
                ops.split(layers.Dense(3, "sigmoid")(z), 3, axis=-1)[::-1]
            ),
            [2, 1, 0],
        ),
    ],
)
def test_scores_in_another_order_have_the_logits_in_it(end, expected, x):
    linear = logits(network(layers.Dense(3), 1e4), x)
    model = network(end, 1e4)
    np.testing.assert_allclose(logits(model, x), linear[:, expected], rtol=1e-5)
    maps = CAM(network(layers.Dense(3), 1e4)).maps(x, "all")[..., expected]
    np.testing.assert_allclose(CAM(model).maps(x, "all"), maps, rtol=1e-5)


def test_scores_of_several_layers_are_joined_as_their_logits_are():
    z = keras.Input((4,))
    first, second = layers.Dense(2), layers.Dense(1)
    scores = [ops.softmax(first(z)), ops.sigmoid(second(z))]
    model = keras.Model(z, before_activation(layers.Concatenate()(scores)))
    linear = keras.Model(z, layers.Concatenate()([first(z), second(z)]))
    values = np.random.default_rng(0).normal(0, 99, (5, 4)).astype("float32")
    np.testing.assert_allclose(model(values), linear(values), rtol=1e-6)
    complement = before_activation(1 - layers.Dense(3, "softmax")(z))
    assert type(call_of(complement).operation).__name__ == "Subtract"  # no logits
