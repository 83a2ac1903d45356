"""One call for every method: published answers, classes, heads, and what goes wrong."""

import contextlib
import gc
import re
import warnings
import weakref

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasloc
from kerasloc.cams import METHODS, explainers
from kerasloc.metrics import min_max

SIZE, CLASSES = (12, 10), 3
GRADIENT = ("gradcam", "gradcampp", "xgradcam", "hirescam", "layercam", "eigengradcam")
OF_A_CLASS = [name for name in METHODS if name != "eigencam"]
pytestmark = pytest.mark.usefixtures("op_by_op")


def network(end="linear", units=CLASSES, size=SIZE):
    """Convolution, ReLU, mean, Dense: small enough for every method."""
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((*size, 2), name="image"),
            layers.Conv2D(6, 3, strides=2, activation="relu", name="early"),
            layers.Conv2D(5, 2, activation="relu", name="last"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(units, activation=end, name="out", bias_initializer="normal"),
        ]
    )


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).random((4, *SIZE, 2), dtype="float32")


@pytest.fixture(scope="module")
def model(x):
    """Of which every image thinks otherwise."""
    answer = network()
    bias = answer.get_layer("out").bias
    bias.assign(bias - answer.predict_on_batch(x).mean(axis=0))
    return answer


@contextlib.contextmanager
def quiet():
    """Maps of random networks may be 0 throughout."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Nothing speaks")
        yield


def explain(*args, **options):
    with quiet():
        return kerasloc.cam(*args, **options)


QUICK = [name for name in METHODS if name not in ("cam", "scorecam")]
GOLDENS = [
    *[("max", name, 1) for name in QUICK],
    *[("avg", name, 2) for name in QUICK],
    pytest.param("avg", "scorecam", 0, marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def published(cam_golden):
    """Networks with the golden's weights, by pooling, made once."""
    return {pool: cam_golden.build(pool) for pool in ("max", "avg")}


@pytest.mark.graphs
@pytest.mark.parametrize(("pool", "method", "number"), GOLDENS)
def test_maps_equal_the_published_ones(cam_golden, published, pool, method, number):
    # Score-CAM is a prediction for each of 512 channels
    count = 1 if method == "scorecam" else 2
    with quiet():
        errors = cam_golden.errors(published[pool], pool, method, number, count)
    assert errors.shape == (count,)
    assert errors.max() < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_lists_and_all_are_the_classes_one_by_one(model, x, method):
    each = np.stack([explain(model, x, method, classes=k) for k in range(3)], axis=-1)
    assert each.shape == (4, *SIZE, 3)
    together = explain(model, x, method, classes="all")
    np.testing.assert_allclose(together, each, atol=1e-5)
    own = explain(model, x, method, classes=[2, 0, 1, 2])
    rows = np.arange(4)
    np.testing.assert_allclose(own, each[rows, :, :, [2, 0, 1, 2]], atol=1e-5)
    lists = explain(model, x, method, classes=[[2, 0], [0, 0], [1, 2], [2, 1]])
    np.testing.assert_allclose(lists[..., 0], each[rows, :, :, [2, 0, 1, 2]], atol=1e-5)
    np.testing.assert_allclose(lists[..., 1], each[rows, :, :, [0, 0, 2, 1]], atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_default_is_the_predicted_class(model, x, method):
    best = model.predict_on_batch(x).argmax(axis=-1)
    assert len(set(best)) > 1
    expected = explain(model, x, method, classes=best)
    np.testing.assert_allclose(explain(model, x, method), expected, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_an_image_alone_has_the_map_that_it_has_among_others(model, x, method):
    together = explain(model, x, method, classes=1)
    alone = explain(model, x[2], method, classes=1)
    assert alone.shape == SIZE
    np.testing.assert_allclose(alone, together[2], atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("end", ["softmax", "sigmoid"])
def test_a_head_with_an_activation_is_explained_by_its_logits(model, x, method, end):
    other = network(end)
    other.set_weights(model.get_weights())
    expected = explain(model, x, method, classes=[0, 1, 2, 0])
    answer = explain(other, x, method, classes=[0, 1, 2, 0])
    np.testing.assert_allclose(answer, expected, atol=1e-5)


def ends(tensor):
    """The ways that softmax and sigmoid come at the end of a model."""
    yield layers.Softmax()(tensor)
    yield layers.Activation("sigmoid", dtype="float32")(tensor)
    yield ops.softmax(tensor)
    yield ops.sigmoid(tensor)
    yield layers.Activation("linear")(layers.Activation("softmax")(tensor))


def test_every_way_to_end_in_probabilities_is_seen_through(model, x):
    expected = explain(model, x, "hirescam", normalize=False)
    for answer in ends(model.outputs[0]):
        other = keras.Model(model.inputs, answer)
        maps = explain(other, x, "hirescam", normalize=False)
        np.testing.assert_allclose(maps, expected, atol=1e-6)


@pytest.mark.parametrize("method", GRADIENT)
def test_a_saturated_softmax_has_the_maps_of_its_logits(model, x, method):
    sure = network("softmax")
    *others, kernel, bias = model.get_weights()
    plain = network()
    for one in (sure, plain):
        one.set_weights([*others, 1e4 * kernel, bias])
    assert sure.predict_on_batch(x).max(axis=-1).min() == 1.0
    expected = explain(plain, x, method, classes=0)
    assert expected.any()
    np.testing.assert_allclose(explain(sure, x, method, classes=0), expected, atol=1e-5)


def test_a_single_logit_is_class_zero(x):
    single = network("sigmoid", units=1)
    answer = explain(single, x, classes=0)
    np.testing.assert_array_equal(explain(single, x), answer)
    assert explain(single, x, classes="all").shape == (4, *SIZE, 1)
    with pytest.raises(ValueError, match=r"one logit, which is class 0.*Received: 1"):
        kerasloc.cam(single, x, classes=1)


def test_raw_maps_of_a_mean_and_a_linear_head_sum_up_to_the_logit(model, x):
    logits = model.predict_on_batch(x) - np.asarray(model.get_weights()[-1])
    for number in range(CLASSES):
        cam = METHODS["cam"](model).maps(x, number)
        np.testing.assert_allclose(cam.mean(axis=(1, 2)), logits[:, number], atol=1e-5)
        hires = METHODS["hirescam"](model).maps(x, number)
        np.testing.assert_allclose(hires.sum(axis=(1, 2)), logits[:, number], atol=1e-5)


def test_maps_without_normalization_can_be_compared(model, x):
    raw = explain(model, x, classes="all", normalize=False)
    assert (raw >= 0).all()
    flat = np.moveaxis(raw, -1, 1).reshape(-1, *SIZE)
    scaled = np.moveaxis(min_max(flat).reshape(4, 3, *SIZE), 1, -1)
    np.testing.assert_allclose(explain(model, x, classes="all"), scaled, atol=1e-6)
    double = network()
    double.set_weights(model.get_weights())
    double.get_layer("out").kernel.assign(2 * model.get_layer("out").kernel)
    twice = explain(double, x, classes="all", normalize=False)
    np.testing.assert_allclose(twice, 2 * raw, atol=1e-6)


def test_the_size_can_be_chosen(model, x):
    assert explain(model, x, size=(7, 9)).shape == (4, 7, 9)
    assert explain(model, x, size=5, classes="all").shape == (4, 5, 5, 3)


def test_a_layer_can_be_chosen(model, x):
    early = METHODS["hirescam"](model, "early")
    assert early.maps(x).shape == (4, 5, 4)
    assert METHODS["hirescam"](model).maps(x).shape == (4, 4, 3)


def test_ablation_of_an_early_layer_is_that_of_the_whole_model(model, x):
    """Channels of `early` are taken away by their weights, from the image on."""
    raw = METHODS["ablationcam"](model, "early").maps(x, 1)
    activations = keras.Model(model.inputs[0], model.get_layer("early").output)(x)
    activations = np.asarray(activations)
    whole, weights = model.predict_on_batch(x)[:, 1], []
    for channel in range(activations.shape[-1]):
        without = network()
        arrays = [one.copy() for one in model.get_weights()]
        arrays[2][:, :, channel] = 0  # the kernel behind
        without.set_weights(arrays)
        weights.append((whole - without.predict_on_batch(x)[:, 1]) / whole)
    expected = np.einsum("nrck,kn->nrc", activations, np.stack(weights))
    np.testing.assert_allclose(raw, expected, rtol=1e-3, atol=1e-4)


def test_memory_bounds_do_not_alter_the_answer(model, x, monkeypatch):
    wide = [explain(model, x, name) for name in ("scorecam", "ablationcam")]
    monkeypatch.setattr(explainers, "IN_MEMORY", 1)
    monkeypatch.setattr(explainers, "images_at_once", lambda *_: 1)
    narrow = [explain(model, x, name) for name in ("scorecam", "ablationcam")]
    np.testing.assert_allclose(narrow, wide, atol=1e-5)


def test_a_dead_channel_has_the_score_of_a_black_image(model, x):
    dead = network()
    arrays = [one.copy() for one in model.get_weights()]
    arrays[2][..., 0], arrays[3][0] = 0, -1.0  # the first channel of `last`
    dead.set_weights(arrays)
    maps = METHODS["scorecam"](dead).maps(x, 0)
    features = np.asarray(keras.Model(dead.inputs[0], dead.get_layer("last").output)(x))
    assert not features[..., 0].any()
    scores = []
    for channel in range(features.shape[-1]):
        one = ops.convert_to_numpy(
            kerasloc.layers.AlignedResize(SIZE)(features[..., channel : channel + 1])
        )
        low, high = one.min(axis=(1, 2, 3)), one.max(axis=(1, 2, 3))
        low, span = low[:, None, None, None], (high - low)[:, None, None, None]
        mask = np.where(span > 0, (one - low) / np.where(span > 0, span, 1), 0)
        scores.append(dead.predict_on_batch(x * mask)[:, 0])
    scores = np.exp(np.stack(scores, axis=1))
    weights = scores / scores.sum(axis=1, keepdims=True)
    expected = np.einsum("nrck,nk->nrc", features, weights)
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5)


def nested(end="softmax"):
    """A classifier over a headless one, as in transfer learning."""
    keras.utils.set_random_seed(4)
    image = keras.Input((*SIZE, 2))
    y = layers.Conv2D(4, 3, padding="same", name="conv")(image)
    z = layers.Conv2D(4, 3, padding="same", activation="relu", name="side")(y)
    y = layers.ReLU(name="sum")(layers.Add()([y, z]))
    base = keras.Model(image, y, name="base")
    tail = keras.Sequential(
        [keras.Input((*SIZE, 4)), layers.Conv2D(5, 3, activation="relu", name="conv")],
        name="tail",
    )
    image = keras.Input((*SIZE, 2))
    y = tail(base(layers.Rescaling(2.0)(image), training=False))
    y = layers.Dropout(0.5)(layers.GlobalMaxPooling2D()(y))
    return keras.Model(image, layers.Dense(CLASSES, activation=end)(y))


@pytest.mark.parametrize("method", METHODS)
def test_nested_models_are_opened(x, method):
    whole = nested()
    assert explain(whole, x, method, classes="all").shape == (4, *SIZE, CLASSES)


def test_layers_within_nested_models_have_paths(x):
    whole = nested()
    inner = METHODS["gradcam"](whole, "base/sum").maps(x)
    np.testing.assert_array_equal(METHODS["gradcam"](whole, "sum").maps(x), inner)
    last = METHODS["gradcam"](whole).maps(x)
    np.testing.assert_array_equal(METHODS["gradcam"](whole, "tail/conv").maps(x), last)
    with pytest.raises(ValueError, match="stands for base/conv and tail/conv"):
        kerasloc.cam(whole, x, layer="conv")


def test_a_layer_beside_a_shortcut_keeps_what_goes_around_it(x):
    """`side` is added to what it is made of: the logits need both."""
    whole = nested("linear")
    maps = METHODS["ablationcam"](whole, "base/side").maps(x, 0)
    logits = whole.predict_on_batch(x)[:, 0]
    side = whole.get_layer("base").get_layer("side")
    kept = [one.copy() for one in side.get_weights()]
    features = np.asarray(
        keras.Model(whole.get_layer("base").inputs[0], side.output)(2 * x)
    )
    weights = []
    for channel in range(4):
        kernel, bias = (one.copy() for one in kept)
        kernel[..., channel], bias[channel] = 0, 0
        side.set_weights([kernel, bias])
        weights.append((logits - whole.predict_on_batch(x)[:, 0]) / logits)
    side.set_weights(kept)
    expected = np.einsum("nrck,kn->nrc", features, np.stack(weights))
    np.testing.assert_allclose(maps, expected, rtol=1e-3, atol=1e-4)


def test_a_loaded_model_has_the_same_maps(x, tmp_path):
    whole = nested()
    whole.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for method in ("gradcam", "ablationcam"):
        expected = explain(whole, x, method, "base/sum")
        answer = explain(loaded, x, method, "base/sum")
        np.testing.assert_allclose(answer, expected, atol=1e-5)


def test_the_model_is_left_as_it_was(x, tmp_path):
    whole = nested()
    before = whole.predict_on_batch(x), whole.get_config(), whole.get_weights()
    explain(whole, x, "gradcam")
    np.testing.assert_array_equal(whole.predict_on_batch(x), before[0])
    assert whole.get_config() == before[1]
    for one, other in zip(whole.get_weights(), before[2], strict=True):
        np.testing.assert_array_equal(one, other)
    whole.save(tmp_path / "after.keras")


@pytest.mark.graphs
def test_new_weights_count_at_once(x):
    changing = network()
    before = explain(changing, x, "cam", classes=0, normalize=False)
    kernel = changing.get_layer("out").kernel
    kernel.assign(3 * kernel)
    after = explain(changing, x, "cam", classes=0, normalize=False)
    np.testing.assert_allclose(after, 3 * before, rtol=1e-5)


def test_what_was_made_of_a_model_goes_with_it(x):
    short_lived = nested()
    explain(short_lived, x)
    ghost = weakref.ref(short_lived)
    del short_lived
    gc.collect()
    assert ghost() is None


@pytest.mark.graphs
def test_repeated_calls_make_nothing_new(model, x):
    explain(model, x, "gradcam")
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(5):
        explain(model, x, "gradcam")
    gc.collect()
    assert len(gc.get_objects()) - before < 50


@pytest.mark.graphs
def test_mixed_precision_works(x):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = network()
    finally:
        keras.config.set_dtype_policy("float32")
    single = network()
    single.set_weights(half.get_weights())
    for method in METHODS:
        answer = explain(half, x, method, classes=1)
        assert answer.dtype == np.float32
        expected = explain(single, x, method, classes=1)
        np.testing.assert_allclose(answer, expected, atol=0.1)


def test_sizes_may_be_unknown_until_images_come(x):
    free = network(size=(None, None))
    assert explain(free, x).shape == (4, *SIZE)
    assert explain(free, x[:, :8, :9]).shape == (4, 8, 9)


def test_a_classifier_by_pixels_then_pooling_has_cam_too(x):
    image = keras.Input((*SIZE, 2))
    y = layers.Conv2D(5, 3, activation="relu", name="last")(image)
    y = layers.Conv2D(CLASSES, 1, name="by_pixel")(y)
    whole = keras.Model(image, layers.GlobalMaxPooling2D()(y))
    features = keras.Model(image, whole.get_layer("last").output).predict_on_batch(x)
    kernel = whole.get_layer("by_pixel").get_weights()[0][0, 0]
    maps = METHODS["cam"](whole, "last").maps(x, 2)
    np.testing.assert_allclose(maps, features @ kernel[:, 2], atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_map_without_a_hottest_place_is_zero_and_named(model, x, method):
    zero = network()
    zero.set_weights([np.zeros_like(one) for one in model.get_weights()])
    with pytest.warns(UserWarning, match=r"heat map is 0. Images: \[0, 1, 2, 3\]"):
        answer = kerasloc.cam(zero, x, method, classes=0)
    assert not answer.any()


@pytest.mark.parametrize("method", METHODS)
def test_nan_in_an_image_harms_its_own_map_only(model, x, method):
    broken = x.copy()
    broken[1, 3, 3] = np.nan
    with pytest.warns(UserWarning, match=r"Images: \[.*1.*NaN in 1 maps"):
        answer = kerasloc.cam(model, broken, method, classes=1)
    assert not answer[1].any()
    others = [0, 2, 3]
    expected = explain(model, x, method, classes=1)
    np.testing.assert_allclose(answer[others], expected[others], atol=1e-5)


def test_what_speaks_against_the_class_everywhere_gives_zeros(model, x):
    against = network()
    *others, kernel, bias = model.get_weights()
    against.set_weights([*others, -np.abs(kernel), bias])
    with pytest.warns(UserWarning, match="Nothing speaks for the class"):
        answer = kerasloc.cam(against, x, "cam", classes=1)
    assert not answer.any()


def test_a_flat_image_gives_no_nan():
    padded = keras.Sequential(
        [
            keras.Input((*SIZE, 2)),
            layers.Conv2D(3, 1, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    )
    for method in METHODS:
        with pytest.warns(UserWarning, match="the same everywhere"):
            answer = kerasloc.cam(
                padded, np.full((1, *SIZE, 2), 0.5), method, classes=0
            )
        assert not answer.any()


WRONG = {
    "A method is one of cam, gradcam": {"method": "grad-cam"},
    "Received: 'nothing'. Those there are: early, last": {"layer": "nothing"},
    "'out', whose answer is (None, 3)": {"layer": "out"},
    "Received: 3 for 4 images": {"classes": [0, 1, 2]},
    "Received: 5 for 4 images": {"classes": [0, 1, 2, 0, 1]},
    "lists and numbers": {"classes": [[0], 1, 2, 0]},
    "lists of [1, 2]": {"classes": [[0], [1], [2, 0], [0]]},
    "lists of [0]": {"classes": [[], [], [], []]},
    "from 0 to 2. Received: 3": {"classes": 3},
    "from 0 to 2. Received: -1": {"classes": [0, 1, -1, 0]},
    "from 0 to 2. Received: 0.5": {"classes": 0.5},
    "from 0 to 2. Received: nan": {"classes": float("nan")},
    "from 0 to 2. Received: True": {"classes": True},
    "from 0 to 2. Received: 'cat'": {"classes": "cat"},
    "An image size is a positive number": {"size": (0, 3)},
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_options_are_refused(model, x, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        kerasloc.cam(model, x, **WRONG[message])


def test_whole_numbers_of_any_type_are_classes(model, x):
    expected = explain(model, x, classes=2)
    for number in (2.0, np.int64(2), np.uint8(2), np.array(2)):
        np.testing.assert_array_equal(explain(model, x, classes=number), expected)


@pytest.mark.parametrize("kind", ["uint8", "int64", "bool"])
def test_whole_numbers_where_floats_are_taken_are_refused(model, x, kind):
    with pytest.raises(TypeError, match=f"takes float32. Received: {kind}.*x / 255"):
        kerasloc.cam(model, x.astype(kind))


def test_a_model_that_takes_bytes_gets_them(x):
    image = keras.Input((*SIZE, 2), dtype="uint8")
    y = layers.Conv2D(3, 3, name="last")(layers.Rescaling(1 / 255)(image))
    whole = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(y)))
    images = (255 * x).astype("uint8")
    for method in ("gradcam", "scorecam"):
        assert explain(whole, images, method).shape == (4, *SIZE)


@pytest.mark.parametrize("shape", [(4, 12, 11, 2), (4, 12, 10), (0, 12, 10, 2), (3,)])
def test_images_of_another_shape_are_refused(model, shape):
    with pytest.raises(ValueError, match=r"takes images \(None, 12, 10, 2\)"):
        kerasloc.cam(model, np.zeros(shape, "float32"))


def with_inputs(count):
    images = [keras.Input((*SIZE, 2)) for _ in range(count)]
    y = images[0] if count == 1 else layers.Add()(images)
    y = layers.Conv2D(3, 3)(y)
    return images, layers.GlobalAveragePooling2D()(y)


def test_models_without_one_image_one_answer_and_a_graph_are_refused(x):
    (image, *_), y = with_inputs(1)
    cases = [
        (keras.Model(*with_inputs(2)), ValueError, "Received: 2 inputs, 1 outputs"),
        (keras.Model(image, [y, y * 2]), ValueError, "Received: 1 inputs, 2 outputs"),
        (keras.Model(image, {"a": y, "b": y}), ValueError, "1 inputs, 2 outputs"),
        (keras.Model(image, layers.Conv2D(2, 3)(image)), ValueError, r"answers \(None"),
        (keras.Sequential([layers.Dense(2)]), ValueError, "by a call on images"),
        ("model.keras", TypeError, "Received: str"),
        (keras.Model(i := keras.Input((5,)), layers.Dense(2)(i)), ValueError, "images"),
    ]
    for model, error, message in cases:
        with pytest.raises(error, match=message):
            kerasloc.cam(model, x)


def test_a_model_without_rows_and_columns_is_refused(x):
    image = keras.Input((*SIZE, 2))
    flat = keras.Model(image, layers.Dense(2)(layers.Flatten()(image)))
    with pytest.raises(ValueError, match="a model without one"):
        kerasloc.cam(flat, x)


def test_a_layer_of_one_pixel_is_refused_and_never_the_default(x):
    image = keras.Input((*SIZE, 2))
    y = layers.Conv2D(3, 3, name="last")(image)
    y = layers.GlobalAveragePooling2D(keepdims=True, name="pooled")(y)
    y = layers.Flatten()(layers.Conv2D(CLASSES, 1, name="by_pixel")(y))
    whole = keras.Model(image, y)
    assert METHODS["cam"](whole).maps(x).shape == (4, 10, 8)
    with pytest.raises(
        ValueError, match=r"'pooled', whose answer is \(None, 1, 1, 3\)"
    ):
        kerasloc.cam(whole, x, layer="pooled")


def test_cam_needs_a_linear_head(model, x):
    with pytest.raises(ValueError, match=r"CAM needs a linear head.*Received: last"):
        kerasloc.cam(model, x, "cam", layer="early")
    image = keras.Input((*SIZE, 2))
    y = layers.Flatten()(layers.Conv2D(3, 3)(image))
    with pytest.raises(ValueError, match="CAM needs a linear head"):
        kerasloc.cam(keras.Model(image, layers.Dense(2)(y)), x, "cam")


def test_an_answer_called_logits_is_enough(model, x):
    named = keras.Model(
        model.inputs, {"logits": model.outputs[0], "more": model.inputs}
    )
    np.testing.assert_array_equal(explain(named, x), explain(model, x))


@pytest.mark.graphs
@pytest.mark.slow
def test_a_ready_made_network_within_another_has_every_map():
    base = keras.applications.MobileNetV2(
        input_shape=(64, 64, 3), alpha=0.35, include_top=False, weights=None
    )
    image = keras.Input((64, 64, 3))
    y = base(layers.Rescaling(1 / 127.5, -1)(image), training=False)
    y = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(y))
    whole = keras.Model(image, layers.Dense(4, activation="softmax")(y))
    images = np.random.default_rng(0).uniform(0, 255, (4, 64, 64, 3)).astype("float32")
    for method in METHODS:
        layer = "block_16_project" if method == "scorecam" else None  # few channels
        answer = explain(whole, images, method, layer, classes=[0, 1, 2, 3])
        assert answer.shape == (4, 64, 64)
        assert np.isfinite(answer).all()
