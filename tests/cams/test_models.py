"""Networks of users: their ends, layers, nested models and heads."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import kerasloc
from kerasloc.cams import CAM, METHODS, GradCAM, HiResCAM
from kerasloc.cams.logits import PROBES

SHAPE = (12, 10, 2)
pytestmark = pytest.mark.usefixtures("op_by_op")
pooled = layers.GlobalAveragePooling2D


def conv(filters, **options):
    return layers.Conv2D(filters, 3, padding="same", **options)


@pytest.fixture
def image():
    keras.utils.set_random_seed(1)
    return keras.Input(SHAPE)


def small(image):
    return keras.Model(image, layers.Dense(3)(pooled()(conv(4, name="last")(image))))


def output_of(model, layer):
    """A layer's output for images as an array."""
    taps = keras.Model(model.inputs[0], model.get_layer(layer).output)
    return lambda x: np.asarray(taps(x))


# Ends


def dense(activation):
    def end(z):
        return layers.Dense(3, activation=activation)(z)

    return end


def custom_softmax(values):
    return ops.softmax(values, axis=-1)


sure = dense("softmax")
ENDS = {
    "layer": lambda z: layers.Softmax()(layers.Dense(3)(z)),
    "Activation": lambda z: layers.Activation("sigmoid", dtype="float32")(
        dense(None)(z)
    ),
    "softmax operation": lambda z: ops.softmax(layers.Dense(3)(z)),
    "sigmoid operation": lambda z: ops.sigmoid(layers.Dense(3)(z)),
    "TensorFlow's function": dense(tf.nn.softmax),
    "a layer as activation": dense(layers.Softmax()),
    "a custom function": dense(custom_softmax),
    "sparsemax": dense("sparsemax"),
    "Lambda": lambda z: layers.Lambda(custom_softmax)(layers.Dense(3)(z)),
    "linear behind": lambda z: layers.Activation("linear")(sure(z)),
    "Identity behind": lambda z: layers.Identity()(sure(z)),
    "Dropout behind": lambda z: layers.Dropout(0.5)(sure(z)),
    "Reshape behind": lambda z: layers.Reshape((3,))(sure(z)),
    "a cast behind": lambda z: ops.cast(sure(z), "float64"),
    "Flatten behind": lambda z: layers.Flatten()(
        layers.Softmax()(layers.Reshape((1, 1, 3))(layers.Dense(3)(z)))
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_scores_are_recognized_by_their_values(image, x, end):
    z = pooled()(conv(4, activation="relu")(image))
    model = keras.Model(image, ENDS[end](z))
    plain = keras.Model(image, layers.Dense(3)(z))
    *rest, kernel, bias = model.get_weights()
    for network in (model, plain):
        network.set_weights([*rest, 1e4 * kernel, bias])  # saturated
    expected = HiResCAM(plain).maps(x, "all")
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(HiResCAM(model).maps(x, "all"), expected, rtol=1e-5)


@pytest.mark.parametrize("activation", ["tanh", "relu", "softplus"])
def test_other_functions_belong_to_the_logits(image, x, activation):
    z = pooled()(conv(4, activation="relu", name="last")(image))
    layer = layers.Dense(3)
    model = keras.Model(image, layers.Activation(activation)(layer(z)))
    features = keras.Model(image, z)(x)
    with tf.GradientTape() as tape:
        tape.watch(features)
        score = tf.reduce_sum(keras.activations.get(activation)(layer(features))[:, 1])
    gradient = tape.gradient(score, features).numpy()[:, None, None]
    maps = output_of(model, "last")(x) * gradient / (12 * 10)
    np.testing.assert_allclose(
        HiResCAM(model).maps(x, 1), maps.sum(axis=-1), rtol=1e-4, atol=1e-7
    )


@pytest.mark.parametrize("units", [1, 3])
def test_a_function_that_fails_on_probes_belongs_to_the_logits(image, units):
    class Picky(layers.Layer):
        def call(self, values):
            probed = values.shape[0] == PROBES
            return ops.reshape(values, (7, -1)) if probed else values

    z = layers.Dense(units)(pooled()(conv(4, name="last")(image)))
    assert repr(GradCAM(keras.Model(image, Picky()(z)))).endswith(f"{units} classes)")


# Layers


def test_a_layer_that_is_called_twice_is_its_last_call(image, x):
    relu = layers.ReLU(name="twice")
    y = relu(conv(5, name="deeper")(relu(conv(4)(image))))
    model = keras.Model(image, layers.Dense(3)(pooled()(y)))
    expected = GradCAM(model, "twice").maps(x, 0)
    np.testing.assert_array_equal(GradCAM(model).maps(x, 0), expected)
    assert not np.allclose(GradCAM(model, "deeper").maps(x, 0), expected)
    assert CAM(model).maps(x, 0).shape == (4, 12, 10)


def test_the_default_layer_is_the_last_that_all_of_the_output_needs(image, x):
    y = conv(4, activation="relu", name="all")(image)
    y = layers.Concatenate()([pooled()(conv(3)(y)), pooled()(conv(3, name="b")(y))])
    model = keras.Model(image, layers.Dense(3)(y))
    expected = GradCAM(model, "all").maps(x, 0)
    np.testing.assert_array_equal(GradCAM(model).maps(x, 0), expected)


def test_layers_may_change_between_calls(x):
    model = keras.Sequential([keras.Input(SHAPE), conv(4), pooled(), layers.Dense(4)])
    assert kerasloc.cam(model, x, classes="all").shape == (4, 12, 10, 4)
    model.pop()
    model.add(layers.Dense(6))
    maps = HiResCAM(model).maps(x, "all")
    assert maps.shape == (4, 12, 10, 6)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(HiResCAM(clone).maps(x, "all"), maps, atol=1e-6)


def test_features_that_do_not_reach_the_logits_have_no_map(image, x):
    y = ops.stop_gradient(conv(4, name="below")(image))
    model = keras.Model(image, layers.Dense(3)(pooled()(conv(2)(y))))
    with pytest.warns(UserWarning, match="heat map is 0"):
        assert not kerasloc.cam(model, x, layer="below").any()


def test_an_explainer_names_its_layer(image):
    assert repr(GradCAM(small(image))) == "GradCAM(layer 'last' (12, 10, 4), 3 classes)"


def test_an_output_called_logits_is_enough(image, x):
    model = small(image)
    outputs = {"logits": model.outputs[0], "more": model.inputs}
    named = HiResCAM(keras.Model(model.inputs, outputs))
    np.testing.assert_array_equal(named.maps(x), HiResCAM(model).maps(x))


# Nested models


@pytest.fixture(scope="module")
def nested():
    """A classifier over a headless one, as in transfer learning."""
    keras.utils.set_random_seed(4)
    image = keras.Input(SHAPE)
    y = conv(4, name="conv")(image)
    z = conv(4, activation="relu", name="side")(y)
    y = layers.ReLU(name="sum")(layers.Add()([y, z]))
    base = keras.Model(image, y, name="base")
    tail = keras.Sequential(
        [keras.Input((12, 10, 4)), layers.Conv2D(5, 3, activation="relu", name="conv")],
        name="tail",
    )
    image = keras.Input(SHAPE)
    y = tail(base(layers.Rescaling(2.0)(image), training=False))
    y = layers.Dropout(0.5)(layers.GlobalMaxPooling2D()(y))
    return keras.Model(image, layers.Dense(3, activation="softmax")(y))


@pytest.mark.parametrize("method", METHODS)
def test_nested_models_are_opened_loaded_and_left_as_they_were(
    nested, x, explain, method, tmp_path
):
    before = nested.predict_on_batch(x), nested.get_config(), nested.get_weights()
    maps = explain(nested, x, method, classes="all")
    assert maps.shape == (4, 12, 10, 3)
    np.testing.assert_array_equal(nested.predict_on_batch(x), before[0])
    assert nested.get_config() == before[1]
    for after, array in zip(nested.get_weights(), before[2], strict=True):
        np.testing.assert_array_equal(after, array)
    nested.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        explain(loaded, x, method, classes="all"), maps, atol=1e-5
    )


def test_layers_within_nested_models_have_paths(nested, x):
    inner = GradCAM(nested, "base/sum").maps(x)
    np.testing.assert_array_equal(GradCAM(nested, "sum").maps(x), inner)
    last = GradCAM(nested).maps(x)
    np.testing.assert_array_equal(GradCAM(nested, "tail/conv").maps(x), last)
    with pytest.raises(ValueError, match="'conv', which matches base/conv and tail/c"):
        kerasloc.cam(nested, x, layer="conv")


def test_a_layer_beside_a_shortcut_keeps_what_bypasses_it(nested, x):
    """`side` is added to what it is made of: the logits need both."""
    base, head = nested.get_layer("base"), nested.layers[-1]
    model = keras.Model(nested.inputs[0], head.output)
    kernel, bias = head.get_weights()
    features = output_of(base, "side")(2 * x)
    maps = METHODS["ablationcam"](model, "base/side").maps(x, 0)
    plain = keras.Model(nested.inputs[0], head.input)
    side, weights = base.get_layer("side"), []
    kept = side.get_weights()

    def logits():
        return plain.predict_on_batch(x) @ kernel[:, 0] + bias[0]

    total = logits()
    for channel in range(4):
        arrays = [array.copy() for array in kept]
        for array in arrays:
            array[..., channel] = 0
        side.set_weights(arrays)
        weights.append((total - logits()) / total)
    side.set_weights(kept)
    expected = np.einsum("nrck,kn->nrc", features, np.stack(weights))
    np.testing.assert_allclose(maps, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("by_name", [False, True])
def test_a_nested_model_is_a_layer_too(image, x, by_name):
    inside = keras.Input(SHAPE)
    base = keras.Model(inside, conv(4, name="inner")(inside), name="base")
    y = base(inputs=image) if by_name else base(image)
    model = keras.Model(image, layers.Dense(3)(pooled()(conv(2)(layers.ReLU()(y)))))
    expected = GradCAM(model, "base/inner").maps(x, 0)
    np.testing.assert_array_equal(GradCAM(model, "base").maps(x, 0), expected)


@pytest.mark.graphs
@pytest.mark.slow
def test_a_ready_made_network_within_another_has_every_map(explain):
    base = keras.applications.MobileNetV2(
        input_shape=(64, 64, 3), alpha=0.35, include_top=False, weights=None
    )
    image = keras.Input((64, 64, 3))
    y = base(layers.Rescaling(1 / 127.5, -1)(image), training=False)
    y = layers.Dropout(0.2)(pooled()(y))
    model = keras.Model(image, layers.Dense(4, activation="softmax")(y))
    images = np.random.default_rng(0).uniform(0, 255, (4, 64, 64, 3)).astype("float32")
    for method in METHODS:
        layer = "block_16_project" if method == "scorecam" else None  # few channels
        maps = explain(model, images, method, layer, classes=[0, 1, 2, 3])
        assert maps.shape == (4, 64, 64)
        assert np.isfinite(maps).all()


# Heads of CAM


@pytest.mark.parametrize("pool", ["mean", "max", "full"])
def test_pooling_has_several_forms(image, x, pool):
    y = conv(4, name="last")(image)
    z = {
        "mean": lambda: ops.mean(y, axis=(1, 2)),
        "max": lambda: ops.max(y, axis=[2, 1]),
        "full": lambda: layers.Flatten()(layers.AveragePooling2D((12, 10))(y)),
    }[pool]()
    model = keras.Model(image, layers.Dense(3)(z))
    expected = output_of(model, "last")(x) @ model.get_weights()[-2]
    np.testing.assert_allclose(CAM(model).maps(x, "all"), expected, atol=1e-5)


def test_maps_of_classes_are_their_cam(image, x):
    y = conv(3, name="maps")(conv(4)(image))
    model = keras.Model(image, layers.Softmax()(pooled()(y)))
    expected = output_of(model, "maps")(x)
    np.testing.assert_allclose(CAM(model, "maps").maps(x, "all"), expected, atol=1e-6)


def test_a_classifier_by_pixels_then_pooling_has_cam_too(image, x):
    y = layers.Conv2D(3, 1)(conv(5, activation="relu", name="last")(image))
    model = keras.Model(image, layers.GlobalMaxPooling2D()(y))
    expected = output_of(model, "last")(x) @ model.get_weights()[-2][0, 0]
    np.testing.assert_allclose(CAM(model, "last").maps(x, "all"), expected, atol=1e-5)


@pytest.mark.parametrize(
    "head",
    [
        lambda y: pooled()(layers.Conv2D(4, 1, activation="relu")(y)),
        lambda y: layers.Dense(3)(pooled()(layers.ReLU()(y))),
        lambda y: layers.Dense(3)(pooled()(conv(4)(y))),
        lambda y: pooled()(layers.Conv2D(4, 1, groups=2)(y)),
        lambda y: pooled()(layers.Conv2D(4, 1, strides=2)(y)),
        lambda y: layers.Dense(3)(layers.Dense(3)(pooled()(y))),
        lambda y: layers.Dense(3)(ops.mean(y, axis=(1, 3))),
        lambda y: layers.Dense(3)(layers.Flatten()(y)),
    ],
)
def test_a_head_that_is_not_linear_has_no_cam(image, x, head):
    model = keras.Model(image, head(conv(4, name="last")(image)))
    with pytest.raises(ValueError, match=r"CAM needs a linear head.*Received: \w+"):
        kerasloc.cam(model, x, "cam", "last")


# Refused


def test_models_without_one_image_one_output_and_a_graph_are_refused(image, x):
    y, second = pooled()(conv(3)(image)), keras.Input(SHAPE)
    joined = pooled()(conv(3)(layers.Add()([image, second])))
    flat = keras.Input((5,))
    no_rows = layers.Dense(2)(layers.Flatten()(image))
    cases = [
        (keras.Model([image, second], joined), ValueError, "2 inputs, 1 outputs"),
        (keras.Model(image, [y, y * 2]), ValueError, "Received: 1 inputs, 2 outputs"),
        (keras.Model(image, {"a": y, "b": y}), ValueError, "1 inputs, 2 outputs"),
        (keras.Model(image, conv(2)(image)), ValueError, r"output \(None, 12"),
        (keras.Sequential([layers.Dense(2)]), ValueError, "by a call on images"),
        ("model.keras", TypeError, "Received: str"),
        (keras.Model(flat, layers.Dense(2)(flat)), ValueError, r"takes \(None, 5\)"),
        (keras.Model(image, no_rows), ValueError, "rows and columns.*without one"),
    ]
    for model, error, message in cases:
        with pytest.raises(error, match=message):
            kerasloc.cam(model, x)


def test_a_layer_of_one_pixel_is_refused_and_never_the_default(image, x):
    y = layers.GlobalAveragePooling2D(keepdims=True, name="one")(conv(3)(image))
    model = keras.Model(image, layers.Flatten()(layers.Conv2D(3, 1)(y)))
    assert CAM(model).maps(x).shape == (4, 12, 10)
    shape = re.escape("(None, 1, 1, 3)")
    with pytest.raises(ValueError, match=f"'one', whose output is {shape}"):
        kerasloc.cam(model, x, layer="one")


def test_channels_first_are_refused(x):
    image = keras.Input((2, 12, 10))
    y = layers.Conv2D(3, 3, data_format="channels_first")(image)
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(y)))
    with pytest.raises(ValueError, match="channels first"):
        kerasloc.cam(model, np.moveaxis(x, -1, 1))
