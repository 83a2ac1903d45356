"""Networks that other people build: their ends, layers, parts and images."""

import pathlib
import re
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import kerasloc
from kerasloc.cams import CAM, METHODS, GradCAM, HiResCAM

SHAPE = (12, 10, 2)
pytestmark = pytest.mark.usefixtures("op_by_op")
pooled = layers.GlobalAveragePooling2D


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).random((3, *SHAPE), dtype="float32")


def conv(filters, **options):
    return layers.Conv2D(filters, 3, padding="same", **options)


@pytest.fixture
def image():
    keras.utils.set_random_seed(1)
    return keras.Input(SHAPE)


def dense(activation):
    def end(z):
        return layers.Dense(3, activation=activation)(z)

    return end


def own_softmax(values):
    return ops.softmax(values, axis=-1)


sure = dense("softmax")
ENDS = {
    "TensorFlow's function": dense(tf.nn.softmax),
    "a layer as activation": dense(layers.Softmax()),
    "a function of one's own": dense(own_softmax),
    "sparsemax": dense("sparsemax"),
    "Lambda": lambda z: layers.Lambda(own_softmax)(layers.Dense(3)(z)),
    "Identity behind": lambda z: layers.Identity()(sure(z)),
    "Dropout behind": lambda z: layers.Dropout(0.5)(sure(z)),
    "Reshape behind": lambda z: layers.Reshape((3,))(sure(z)),
    "a cast behind": lambda z: ops.cast(sure(z), "float64"),
    "Flatten behind": lambda z: layers.Flatten()(
        layers.Softmax()(layers.Reshape((1, 1, 3))(layers.Dense(3)(z)))
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_scores_are_known_by_what_they_do(image, x, end):
    z = pooled()(conv(4, activation="relu")(image))
    model = keras.Model(image, ENDS[end](z))
    plain = keras.Model(image, layers.Dense(3)(z))
    *others, kernel, bias = model.get_weights()
    for one in (model, plain):
        one.set_weights([*others, 1e4 * kernel, bias])  # saturated
    expected = HiResCAM(plain).maps(x, "all")
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(HiResCAM(model).maps(x, "all"), expected, rtol=1e-5)


@pytest.mark.parametrize("activation", ["tanh", "relu", "softplus"])
def test_what_makes_no_scores_belongs_to_the_logits(image, x, activation):
    z = pooled()(conv(4, activation="relu")(image))
    layer = layers.Dense(3)
    model = keras.Model(image, layers.Activation(activation)(layer(z)))
    features = keras.Model(image, z)(x)
    with tf.GradientTape() as tape:
        tape.watch(features)
        score = tf.reduce_sum(keras.activations.get(activation)(layer(features))[:, 1])
    gradient = tape.gradient(score, features).numpy()[:, None, None]
    maps = conv_output(model)(x).numpy() * gradient / (12 * 10)
    np.testing.assert_allclose(
        HiResCAM(model).maps(x, 1), maps.sum(axis=-1), rtol=1e-4, atol=1e-7
    )


def conv_output(model):
    return keras.Model(model.inputs[0], model.layers[1].output)


def test_a_layer_that_is_called_twice_is_its_last_call(image, x):
    relu = layers.ReLU(name="twice")
    y = relu(conv(5, name="deeper")(relu(conv(4)(image))))
    model = keras.Model(image, layers.Dense(3)(pooled()(y)))
    expected = GradCAM(model, "twice").maps(x, 0)
    np.testing.assert_array_equal(GradCAM(model).maps(x, 0), expected)
    assert not np.allclose(GradCAM(model, "deeper").maps(x, 0), expected)
    assert CAM(model).maps(x, 0).shape == (3, 12, 10)


def test_the_default_is_what_the_whole_answer_is_made_of(image, x):
    y = conv(4, activation="relu", name="all")(image)
    y = layers.Concatenate()([pooled()(conv(3)(y)), pooled()(conv(3, name="b")(y))])
    model = keras.Model(image, layers.Dense(3)(y))
    expected = GradCAM(model, "all").maps(x, 0)
    np.testing.assert_array_equal(GradCAM(model).maps(x, 0), expected)


def test_branches_alone_have_the_last_as_default(image, x):
    scaled = layers.Rescaling(2.0)(image)  # all is made of it, but it is the image
    branches = [pooled()(conv(3, name=name)(scaled)) for name in "ab"]
    model = keras.Model(image, layers.Dense(3)(layers.Concatenate()(branches)))
    maps = [GradCAM(model, name).maps(x, 0) for name in "ab"]
    assert any(np.array_equal(GradCAM(model).maps(x, 0), one) for one in maps)


def test_layers_may_change_between_calls(x):
    model = keras.Sequential([keras.Input(SHAPE), conv(4), pooled(), layers.Dense(4)])
    assert kerasloc.cam(model, x, classes="all").shape == (3, 12, 10, 4)
    model.pop()
    model.add(layers.Dense(6))
    maps = HiResCAM(model).maps(x, "all")
    assert maps.shape == (3, 12, 10, 6)
    again = HiResCAM(keras.models.clone_model(model))
    again._cut.whole.set_weights(model.get_weights())
    np.testing.assert_allclose(again.maps(x, "all"), maps, atol=1e-6)


def base():
    image = keras.Input(SHAPE)
    return keras.Model(image, conv(4, name="inner")(image), name="base")


@pytest.mark.parametrize("by_name", [False, True])
def test_a_nested_model_is_a_layer_too(image, x, by_name):
    nested = base()
    y = nested(inputs=image) if by_name else nested(image)
    model = keras.Model(image, layers.Dense(3)(pooled()(conv(2)(layers.ReLU()(y)))))
    expected = GradCAM(model, "base/inner").maps(x, 0)
    np.testing.assert_array_equal(GradCAM(model, "base").maps(x, 0), expected)


@pytest.mark.parametrize("pool", ["mean", "max", "full"])
def test_pooling_has_many_forms(image, x, pool):
    y = conv(4, name="last")(image)
    z = {
        "mean": lambda: ops.mean(y, axis=(1, 2)),
        "max": lambda: ops.max(y, axis=[2, 1]),
        "full": lambda: layers.Flatten()(layers.AveragePooling2D((12, 10))(y)),
    }[pool]()
    model = keras.Model(image, layers.Dense(3)(z))
    kernel = model.layers[-1].get_weights()[0]
    expected = conv_output(model)(x).numpy() @ kernel
    np.testing.assert_allclose(CAM(model).maps(x, "all"), expected, atol=1e-5)


def test_maps_of_classes_are_their_own_cam(image, x):
    y = conv(3, name="maps")(conv(4)(image))
    model = keras.Model(image, layers.Softmax()(pooled()(y)))
    expected = keras.Model(image, y)(x).numpy()
    np.testing.assert_allclose(CAM(model, "maps").maps(x, "all"), expected, atol=1e-6)


@pytest.mark.parametrize(
    "head",
    [
        lambda y: pooled()(layers.Conv2D(4, 1, activation="relu")(y)),
        lambda y: layers.Dense(3)(pooled()(layers.ReLU()(y))),
        lambda y: pooled()(layers.Conv2D(4, 1, groups=2)(y)),
        lambda y: pooled()(layers.Conv2D(4, 1, strides=2)(y)),
        lambda y: layers.Dense(3)(layers.Dense(3)(pooled()(y))),
        lambda y: layers.Dense(3)(ops.mean(y, axis=(1, 3))),
    ],
)
def test_a_head_that_is_not_linear_has_no_cam(image, x, head):
    model = keras.Model(image, head(conv(4, name="last")(image)))
    with pytest.raises(ValueError, match="CAM needs a linear head"):
        kerasloc.cam(model, x, "cam", "last")


@pytest.mark.parametrize("method", METHODS)
def test_rounding_is_no_map(method):
    """Of a flat image all places are equal, but for the last digits."""
    keras.utils.set_random_seed(0)
    stack = [layers.Conv2D(16, 3, activation="relu") for _ in range(2)]
    model = keras.Sequential(
        [keras.Input((20, 20, 2)), *stack, layers.Conv2D(16, 3), pooled()]
    )
    model.add(layers.Dense(3))
    flat = np.full((1, 20, 20, 2), 0.37, "float32")
    with pytest.warns(UserWarning, match="heat map is 0"):
        assert not kerasloc.cam(model, flat, method, classes="all").any()


@pytest.mark.parametrize("method", METHODS)
def test_infinite_features_harm_their_own_map_only(image, x, method):
    model = keras.Model(image, layers.Dense(3)(pooled()(conv(4, name="last")(image))))
    broken = x.copy()
    broken[1, 3, 3] = np.inf
    with pytest.warns(UserWarning, match=r"Images: \[.*1.*\], NaN in 1 maps"):
        answer = kerasloc.cam(model, broken, method, classes=1)
    assert not answer[1].any()
    assert np.isfinite(answer).all()


def test_features_that_the_logits_do_not_feel_have_no_map(image, x):
    y = ops.stop_gradient(conv(4, name="below")(image))
    model = keras.Model(image, layers.Dense(3)(pooled()(conv(2)(y))))
    with pytest.warns(UserWarning, match="heat map is 0"):
        assert not kerasloc.cam(model, x, layer="below").any()


def test_the_warning_points_at_who_asked(image, x):
    model = keras.Model(image, layers.Dense(3)(pooled()(conv(4)(image))))
    model.set_weights([np.zeros_like(one) for one in model.get_weights()])
    for ask in (lambda: kerasloc.cam(model, x), lambda: GradCAM(model)(x)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ask()
        assert pathlib.Path(caught[0].filename).name == "test_models.py"


def small(image):
    return keras.Model(image, layers.Dense(3)(pooled()(conv(4)(image))))


def test_the_one_input_may_come_in_a_dict_or_list(image, x):
    model = small(image)
    expected = HiResCAM(model).maps(x, 0)
    for given in ({"image": x}, [x], (x,), ops.convert_to_tensor(x)):
        np.testing.assert_array_equal(HiResCAM(model).maps(given, 0), expected)


BAD = {
    "dataset": (tf.data.Dataset.from_tensors, TypeError, "take batches"),
    "path": (lambda x: "image.png", TypeError, "Received: str"),
    "None": (lambda x: None, TypeError, "Received: NoneType"),
    "sizes": (lambda x: [x[0], x[0, :5]], ValueError, "have one size"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_image_is_refused(image, x, name):
    given, error, message = BAD[name]
    with pytest.raises(error, match=message):
        kerasloc.cam(small(image), given(x))


def test_floats_where_bytes_are_taken_are_refused(x):
    image = keras.Input(SHAPE, dtype="uint8")
    y = pooled()(conv(3)(layers.Rescaling(1 / 255)(image)))
    model = keras.Model(image, layers.Dense(2)(y))
    with pytest.raises(TypeError, match=r"takes uint8. Received: float32"):
        kerasloc.cam(model, x)


def test_channels_first_are_refused(x):
    image = keras.Input((2, 12, 10))
    y = layers.Conv2D(3, 3, data_format="channels_first")(image)
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(y)))
    with pytest.raises(ValueError, match="channels first"):
        kerasloc.cam(model, np.moveaxis(x, -1, 1))


@pytest.mark.parametrize("method", [["cam"], None, 3])
def test_a_method_is_a_name(image, x, method):
    with pytest.raises(ValueError, match="A method is one of"):
        kerasloc.cam(small(image), x, method)


def test_an_explainer_says_where_it_looks(image):
    said = repr(GradCAM(small(image)))
    assert re.fullmatch(r"GradCAM\(layer 'conv2d\w*' \(12, 10, 4\), 3 classes\)", said)
