"""Models of images and tables, of several images; pairs of images and labels."""

import pickle

import keras
import numpy as np
import pytest
from keras import layers

import kerasloc
from kerasloc.cams import CAM, METHODS, AblationCAM, GradCAM, ScoreCAM

SHAPE = (12, 10, 2)
pytestmark = pytest.mark.usefixtures("op_by_op")
pooled = layers.GlobalAveragePooling2D


@pytest.fixture(scope="module")
def table():
    return np.random.default_rng(1).random((4, 3), dtype="float32")


def with_table(order=("image", "table"), named=False):
    """The table scales the features within, and is joined to them at the end."""
    keras.utils.set_random_seed(2)
    image, table = keras.Input(SHAPE, name="image"), keras.Input((3,), name="table")
    y = layers.Conv2D(4, 3, activation="relu", name="early")(image)
    y = layers.Multiply()([y, layers.Reshape((1, 1, 4))(layers.Dense(4)(table))])
    y = layers.Conv2D(5, 2, name="last")(y)
    z = layers.Concatenate()([layers.Dense(2, "relu")(table), pooled()(y)])
    inputs = {"image": image, "table": table}
    inputs = inputs if named else [inputs[name] for name in order]
    return keras.Model(inputs, layers.Dense(3, "softmax", name="out")(z))


def frozen(model, row):
    """The model of an image alone, for one row of the table."""
    image = keras.Input(SHAPE)
    y = layers.Lambda(lambda x: keras.ops.zeros((keras.ops.shape(x)[0], 3)) + row)
    return keras.Model(image, model([image, y(image)]))


@pytest.mark.parametrize("method", METHODS)
def test_tables_are_held_fixed(x, table, explain, method):
    """As in a model of the image alone that has the row built in."""
    model = with_table()
    maps = explain(model, [x, table], method, classes=1)
    assert maps.shape == (4, 12, 10)
    assert len({tuple(row) for row in table}) == 4
    for index in (0, 3):
        alone = explain(
            frozen(model, table[index]), x[index : index + 1], method, "last", 1
        )
        np.testing.assert_allclose(maps[index], alone[0], atol=1e-4)


@pytest.mark.parametrize("method", ["gradcam", "scorecam", "ablationcam"])
def test_inputs_come_in_the_order_of_the_model_or_by_name(x, table, explain, method):
    expected = explain(with_table(), (x, table), method)
    turned = with_table(("table", "image"))
    np.testing.assert_allclose(explain(turned, [table, x], method), expected, atol=1e-5)
    for model in (turned, with_table(named=True)):
        maps = explain(model, {"table": table, "image": x}, method)
        np.testing.assert_allclose(maps, expected, atol=1e-5)
    single = explain(with_table(), [x[1], table[1]], method)
    np.testing.assert_allclose(single, expected[1], atol=1e-5)


@pytest.mark.filterwarnings("ignore:When providing")  # Keras, of keys
@pytest.mark.parametrize("keys", [("a", "b"), ("b", "a")])
def test_inputs_are_named_by_the_keys_of_the_model(x, table, explain, keys):
    plain = with_table()
    named = keras.Model(dict(zip(keys, plain.inputs, strict=True)), plain.outputs[0])
    nested = [keras.Input(tensor.shape[1:]) for tensor in plain.inputs]
    nested = keras.Model(dict(zip(keys, nested, strict=True)), plain(nested))
    inputs = dict(zip(keys, (x, table), strict=True))
    for model in (named, nested):
        maps = explain(model, inputs, "gradcam")
        np.testing.assert_allclose(maps, explain(plain, [x, table], "gradcam"))


@pytest.mark.parametrize("rows", [[["a", 1, 2]] * 4, [[1, 2, 3], [4], [5], [6]]])
def test_tables_that_are_no_numbers_are_named(x, rows):
    with pytest.raises(TypeError, match=r"'table' \(None, 3\) as float32.*list"):
        kerasloc.cam(with_table(), [x, rows])


def test_batches_and_memory_bounds_do_not_alter_the_maps(x, table):
    class NarrowScoreCAM(ScoreCAM):
        image_pixels = mask_pixels = 1

    class NarrowAblationCAM(AblationCAM):
        image_pixels = feature_values = 1

    model = with_table()
    for wide, narrow in ((ScoreCAM, NarrowScoreCAM), (AblationCAM, NarrowAblationCAM)):
        expected = wide(model).maps([x, table], "all")
        maps = narrow(model).maps([x, table], "all")
        np.testing.assert_allclose(maps, expected, atol=1e-5)


def test_several_tables_of_any_kind_are_taken(x, explain):
    image, age, site = (
        keras.Input(SHAPE),
        keras.Input((1,), name="age"),
        keras.Input((), dtype="int32", name="site"),
    )
    y = pooled()(layers.Conv2D(3, 3, name="conv")(image))
    coded = layers.Embedding(5, 2)(site)
    logits = layers.Dense(2)(layers.Concatenate()([y, age, coded]))
    model = keras.Model([age, site, image], logits)
    ages, sites = np.array([30, 40, 50, 60]), np.array([0, 1, 2, 4])
    for method in METHODS:
        maps = explain(model, [ages, sites, x], method)
        columns = explain(model, [ages[:, None], list(sites), x], method)
        np.testing.assert_array_equal(maps, columns)
    assert CAM(model).maps([ages[0], sites[0], x[0]]).shape == (10, 8)
    with pytest.raises(TypeError, match=r"'site' as int32.*float64"):
        kerasloc.cam(model, [ages, sites + 0.5, x])


def test_weights_of_channels_are_no_second_image(x, explain):
    image, weights = keras.Input(SHAPE), keras.Input((1, 1, 3))
    y = layers.Multiply(name="weighed")([layers.Conv2D(3, 3)(image), weights])
    model = keras.Model([image, weights], layers.Dense(2)(pooled()(y)))
    assert explain(model, [x, np.ones((4, 1, 1, 3))]).shape == (4, 12, 10)
    assert "weighed" in repr(CAM(model))


BAD = [
    (lambda x, t: x, "2 inputs, .image, table.*ndarray"),
    (lambda x, t: [x], "2 inputs.*list of 1"),
    (lambda x, t: [x, t, t], "2 inputs.*list of 3"),
    (lambda x, t: [x, t[:3]], r"'table' \(None, 3\).*\(3, 3\) for 4 images"),
    (lambda x, t: [x, t[:, :2]], r"'table' \(None, 3\).*\(4, 2\)"),
    (lambda x, t: [t, x], r"images \(None, 12, 10, 2\).*\(4, 3\)"),
    (lambda x, t: [x[0], t], r"'table'.*\(4, 3\) for 1 images"),
    (lambda x, t: {"image": x}, "dict of image"),
    (lambda x, t: {"image": x, "table": t, "more": t}, "dict of image, table, more"),
    (lambda x, t: ([x, t], [0, 1, 0, 1]), "images and labels.*tuple of 2"),
    (lambda x, t: ({"image": x, "table": t}, [0] * 4), "images and labels"),
]


@pytest.mark.parametrize(("inputs", "message"), BAD)
def test_inputs_that_do_not_fit_are_named(x, table, inputs, message):
    with pytest.raises(ValueError, match=message):
        kerasloc.cam(with_table(), inputs(x, table))


PAIRS = [
    lambda x: (x, np.arange(4)),
    lambda x: [x, np.eye(4)],
    lambda x: (x, [0, 1, 2, 0]),
    lambda x: (x[0], 1),
    lambda x: (x[0], np.eye(3)[0]),
    lambda x: (x, np.arange(4), np.ones(4)),
    lambda x: ({"image": x}, np.arange(4)),
    lambda x: tuple(map(keras.ops.convert_to_tensor, (x, np.arange(4)))),
]


@pytest.mark.parametrize("pair", PAIRS)
def test_a_pair_of_images_and_labels_is_named(model, x, pair):
    with pytest.raises(ValueError, match=r"pair of images and labels.*x\[0\]"):
        kerasloc.cam(model, pair(x))


def test_a_batch_of_a_dataset_with_labels_is_named(model, x):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((x, [0, 1, 2, 0]))
    for element in (*dataset.batch(2).take(1), *dataset.take(1)):
        with pytest.raises(ValueError, match="images and labels, a tuple of 2"):
            kerasloc.cam(model, element)


@pytest.mark.parametrize("count", [(), (2,)])
def test_a_wrapper_names_a_pair_too(count):
    wrapper = kerasloc.FPN(num_classes=2, im_size=64, backbone="resnet18")
    pair = np.zeros((*count, 64, 64, 3)), np.zeros(count, int)
    for method in (wrapper.predict, wrapper.maps, lambda x: kerasloc.cam(wrapper, x)):
        with pytest.raises(ValueError, match="images and labels"):
            method(pair)


def test_a_list_of_images_is_a_batch(model, x, explain):
    for images in (x[:2], x[:3]):
        maps = explain(model, list(images), classes=0)
        np.testing.assert_array_equal(maps, explain(model, images, classes=0))


# Several images


def two_images(early=False):
    front, side = keras.Input(SHAPE, name="front"), keras.Input(SHAPE, name="side")
    if early:
        y = layers.Conv2D(3, 3, name="both")(layers.Concatenate()([front, side]))
        return keras.Model([front, side], layers.Dense(2)(pooled()(y)))
    pair = [layers.Conv2D(3, 3, name=f"of_{x.name}")(x) for x in (front, side)]
    joined = layers.Concatenate()([pooled()(y) for y in pair])
    return keras.Model([front, side], layers.Dense(2)(joined))


def test_several_images_are_an_error_that_asks_which(x):
    with pytest.raises(
        ValueError, match=r"front \(of_front\).*side \(of_side\).*layer="
    ):
        kerasloc.cam(two_images(), [x, x])
    with pytest.raises(ValueError, match=r"front \(both\), side \(both\)"):
        kerasloc.cam(two_images(early=True), [x, x])
    with pytest.raises(ValueError, match=r"'both'.*front and side"):
        kerasloc.cam(two_images(early=True), [x, x], layer="both")
    with pytest.raises(ValueError, match=r"one image.*\['of_front', 'of_side'\]"):
        GradCAM(two_images(), ["of_front", "of_side"])


@pytest.mark.parametrize("method", METHODS)
def test_a_layer_of_one_image_holds_the_second_fixed(x, explain, method):
    model = two_images()
    maps = explain(model, [x[::-1], x], method, "of_side", classes=0)
    assert maps.shape == (4, 12, 10)
    turned = keras.Model(model.inputs[::-1], model.outputs)
    expected = explain(turned, [x, x[::-1]], method, "of_side", classes=0)
    np.testing.assert_allclose(maps, expected, atol=1e-6)


@pytest.mark.parametrize("bypass", [False, True])
def test_a_model_whose_head_takes_an_input_saves_as_before(x, table, bypass, tmp_path):
    inputs = [keras.Input(SHAPE), keras.Input((3,))]
    y = layers.Conv2D(2, 3, padding="same", name="last")(inputs[0])
    if bypass:
        inputs, y = inputs[:1], layers.Multiply()([y, inputs[0]])
    scores = layers.Concatenate()([pooled()(y), *inputs[1:]])
    model = keras.Model(inputs, layers.Dense(2)(scores))
    images = [x, table][: len(inputs)]
    config, logits = model.get_config(), np.asarray(model(images))
    explainer = GradCAM(model, "last")
    maps = explainer.maps(images if inputs[1:] else x, 1)
    assert model.get_config() == config
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(images), logits, rtol=1e-5, atol=1e-6)
    copied = pickle.loads(pickle.dumps(explainer))
    np.testing.assert_allclose(
        copied.maps(images if inputs[1:] else x, 1), maps, rtol=1e-5, atol=1e-6
    )
