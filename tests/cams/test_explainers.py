"""One call for every method: published maps, classes, images, weights and memory."""

import gc
import re
import warnings
import weakref

import keras
import numpy as np
import pytest
from keras import layers

import kerasloc
from kerasloc.cams import METHODS, AblationCAM, ScoreCAM
from kerasloc.layers import AlignedResize
from kerasloc.metrics import min_max

SIZE, CLASSES = (12, 10), 3
pytestmark = pytest.mark.usefixtures("op_by_op")


def arrays_of(model):
    return [array.copy() for array in model.get_weights()]


def output_of(model, layer):
    """Function from images to a layer's output."""
    return keras.Model(model.inputs[0], model.get_layer(layer).output).predict_on_batch


# Published maps

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
def test_maps_equal_the_published_ones(
    cam_golden, published, quiet, pool, method, number
):
    # Score-CAM is a prediction for each of 512 channels
    count = 1 if method == "scorecam" else 2
    with quiet():
        errors = cam_golden.errors(published[pool], pool, method, number, count)
    assert errors.shape == (count,)
    assert errors.max() < 1e-3


# Classes and sizes


@pytest.mark.parametrize("method", METHODS)
def test_all_forms_of_classes_have_the_maps_of_the_single_classes(
    model, x, explain, method
):
    single = [explain(model, x, method, classes=k) for k in range(CLASSES)]
    single = np.stack(single, axis=-1)
    assert single.shape == (4, *SIZE, CLASSES)
    best = model.predict_on_batch(x).argmax(axis=-1)
    assert len(set(best)) > 1
    rows = np.arange(4)
    lists = [[2, 0], [0, 1], [1, 2], [2, 1]]
    first, second = np.transpose(lists)
    for classes, expected in (
        ("all", single),
        (first, single[rows, :, :, first]),
        (None, single[rows, :, :, best]),
        (lists, np.stack([single[rows, :, :, k] for k in (first, second)], axis=-1)),
    ):
        maps = explain(model, x, method, classes=classes)
        np.testing.assert_allclose(maps, expected, atol=1e-5)
    alone = explain(model, x[2], method, classes=1)
    np.testing.assert_allclose(alone, single[2, ..., 1], atol=1e-5)


def test_a_single_logit_is_class_zero(network, x, explain):
    single = network("sigmoid", units=1)
    maps = explain(single, x, classes=0)
    np.testing.assert_array_equal(explain(single, x), maps)
    np.testing.assert_array_equal(explain(single, x, classes="all")[..., 0], maps)
    with pytest.raises(ValueError, match=r"one logit has one class.*Received: 1"):
        kerasloc.cam(single, x, classes=1)


def test_sizes_and_layers_can_be_chosen(model, x, explain):
    assert explain(model, x, size=(7, 9)).shape == (4, 7, 9)
    assert explain(model, x, size=5, classes="all").shape == (4, 5, 5, 3)
    assert METHODS["hirescam"](model, "early").maps(x).shape == (4, 5, 4)
    assert METHODS["hirescam"](model).maps(x).shape == (4, 4, 3)


def test_sizes_may_be_unknown_until_images_come(network, x, explain):
    free = network(size=(None, None))
    assert explain(free, x).shape == (4, *SIZE)
    assert explain(free, x[:, :8, :9]).shape == (4, 8, 9)


WRONG = [
    ({"method": "grad-cam"}, "cam, gradcam.*'grad-cam'"),
    ({"method": ["cam"]}, r"cam, gradcam.*\['cam'\]"),
    ({"method": None}, "cam, gradcam.*None"),
    ({"layer": "nothing"}, "'nothing'.*: early, last"),
    ({"layer": "out"}, re.escape("'out', whose output is (None, 3)")),
    ({"classes": [0, 1, 2]}, "Received: 3 for 4 images"),
    ({"classes": [0, 1, 2, 0, 1]}, "Received: 5 for 4 images"),
    ({"classes": [[0], 1, 2, 0]}, "lists and numbers"),
    ({"classes": [[0], [1], [2, 0], [0]]}, r"lists of \[1, 2\]"),
    ({"classes": [[], [], [], []]}, r"lists of \[0\]"),
    ({"classes": [0, 1, -1, 0]}, "from 0 to 2. Received: -1"),
    ({"classes": np.eye(3)[[2, 0, 1, 0]]}, r"\[0.0, 0.0, 1.0\] .*labels.argmax\(-1\)"),
    ({"classes": "cat"}, "from 0 to 2. Received: 'cat'"),
    ({"size": (0, 3)}, r"size.*\(0, 3\)"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_wrong_options_are_refused(model, x, options, message):
    with pytest.raises(ValueError, match=message):
        kerasloc.cam(model, x, **options)


# Logits


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("end", ["softmax", "sigmoid"])
def test_a_head_with_an_activation_is_explained_by_its_logits(
    model, network, x, explain, method, end
):
    *rest, kernel, bias = model.get_weights()
    for scale in (1, 1e4):  # saturated
        weights = [*rest, scale * kernel, bias]
        ended, plain = network(end, weights=weights), network(weights=weights)
        expected = explain(plain, x, method, classes=[0, 1, 2, 0])
        maps = explain(ended, x, method, classes=[0, 1, 2, 0])
        np.testing.assert_allclose(maps, expected, atol=1e-5)
    assert expected.any()
    assert ended.predict_on_batch(x).max(axis=-1).min() == 1.0


def test_raw_maps_of_a_mean_and_a_linear_head_sum_up_to_the_logit(model, x):
    logits = model.predict_on_batch(x) - np.asarray(model.get_weights()[-1])
    for number in range(CLASSES):
        cam = METHODS["cam"](model).maps(x, number)
        np.testing.assert_allclose(cam.mean(axis=(1, 2)), logits[:, number], atol=1e-5)
        hires = METHODS["hirescam"](model).maps(x, number)
        np.testing.assert_allclose(hires.sum(axis=(1, 2)), logits[:, number], atol=1e-5)


def test_maps_without_normalization_can_be_compared(model, network, x, explain):
    raw = explain(model, x, classes="all", normalize=False)
    assert (raw >= 0).all()
    flat = np.moveaxis(raw, -1, 1).reshape(-1, *SIZE)
    scaled = np.moveaxis(min_max(flat).reshape(4, 3, *SIZE), 1, -1)
    np.testing.assert_allclose(explain(model, x, classes="all"), scaled, atol=1e-6)
    *rest, kernel, bias = model.get_weights()
    double = network(weights=[*rest, 2 * kernel, bias])
    twice = explain(double, x, classes="all", normalize=False)
    np.testing.assert_allclose(twice, 2 * raw, atol=1e-6)


# Ablation-CAM and Score-CAM


def test_ablation_of_an_early_layer_is_that_of_the_whole_model(model, network, x):
    """Channels of `early` are zeroed by their weights, from the image on."""
    raw = METHODS["ablationcam"](model, "early").maps(x, 1)
    activations = output_of(model, "early")(x)
    logits, weights = model.predict_on_batch(x)[:, 1], []
    for channel in range(activations.shape[-1]):
        arrays = arrays_of(model)
        arrays[2][:, :, channel] = 0  # the kernel behind
        ablated = network(weights=arrays).predict_on_batch(x)[:, 1]
        weights.append((logits - ablated) / logits)
    expected = np.einsum("nrck,kn->nrc", activations, np.stack(weights))
    np.testing.assert_allclose(raw, expected, rtol=1e-3, atol=1e-4)


def test_memory_bounds_do_not_alter_the_maps(model, x):
    class NarrowScoreCAM(ScoreCAM):
        image_pixels = mask_pixels = 1

    class NarrowAblationCAM(AblationCAM):
        image_pixels = feature_values = 1

    for wide, narrow in ((ScoreCAM, NarrowScoreCAM), (AblationCAM, NarrowAblationCAM)):
        expected = wide(model).maps(x, "all")
        atol = 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(narrow(model).maps(x, "all"), expected, atol=atol)


def test_a_dead_channel_has_the_score_of_a_black_image(model, network, x):
    arrays = arrays_of(model)
    arrays[2][..., 0], arrays[3][0] = 0, -1.0  # the first channel of `last`
    dead = network(weights=arrays)
    features = output_of(dead, "last")(x)
    assert not features[..., 0].any()
    masks = keras.ops.convert_to_numpy(AlignedResize(SIZE)(features))
    low, high = masks.min(axis=(1, 2), keepdims=True), masks.max((1, 2), keepdims=True)
    masks = (masks - low) / np.where(high > low, high - low, 1)
    channels = np.moveaxis(masks, -1, 0)[..., None]
    scores = [dead.predict_on_batch(x * mask)[:, 0] for mask in channels]
    scores = np.exp(np.stack(scores, axis=1))
    weights = scores / scores.sum(axis=1, keepdims=True)
    expected = np.einsum("nrck,nk->nrc", features, weights)
    maps = METHODS["scorecam"](dead).maps(x, 0)
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5)


# Weights, precision and memory


@pytest.mark.graphs
def test_new_weights_count_at_once(network, x, explain):
    changing = network()
    before = explain(changing, x, "cam", classes=0, normalize=False)
    kernel = changing.get_layer("out").kernel
    kernel.assign(3 * kernel)
    after = explain(changing, x, "cam", classes=0, normalize=False)
    np.testing.assert_allclose(after, 3 * before, rtol=1e-5)


def test_the_cut_of_a_model_is_freed_with_it(network, x, explain):
    short_lived = network()
    explain(short_lived, x)
    ghost = weakref.ref(short_lived)
    del short_lived
    gc.collect()
    assert ghost() is None


@pytest.mark.graphs
def test_repeated_calls_make_nothing_new(model, x, explain):
    explain(model, x, "gradcam")
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(5):
        explain(model, x, "gradcam")
    gc.collect()
    assert len(gc.get_objects()) - before < 50


@pytest.mark.half_precision
@pytest.mark.graphs
def test_mixed_precision_works(network, x, explain):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = network()
    finally:
        keras.config.set_dtype_policy("float32")
    single = network(weights=half.get_weights())
    for method in METHODS:
        maps = explain(half, x, method, classes=1)
        assert maps.dtype == np.float32
        expected = explain(single, x, method, classes=1)
        np.testing.assert_allclose(maps, expected, atol=0.1)


# Maps without evidence


@pytest.mark.parametrize("method", METHODS)
def test_maps_without_a_maximum_are_zero_and_named(model, network, x, method):
    *rest, kernel, bias = arrays_of(model)
    zero = network(weights=[0 * array for array in model.get_weights()])
    against = network(weights=[*rest, -np.abs(kernel), bias])
    for empty in (zero, against) if method == "cam" else (zero,):
        with pytest.warns(UserWarning, match=r"heat map is 0. Images: \[0, 1, 2, 3\]"):
            assert not kerasloc.cam(empty, x, method, classes=0).any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_pixel_harms_the_map_of_its_image_alone(model, x, explain, method, bad):
    broken = x.copy()
    broken[1, 3, 3] = bad
    with pytest.warns(UserWarning, match=r"Images: \[.*1.*\], NaN in 1 maps"):
        maps = kerasloc.cam(model, broken, method, classes=1)
    assert not maps[1].any()
    rest = [0, 2, 3]
    expected = explain(model, x, method, classes=1)
    np.testing.assert_allclose(maps[rest], expected[rest], atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("widths", [(3,), (16, 16, 16)])
def test_rounding_of_a_flat_image_is_not_a_map(method, widths):
    """All positions of a flat image are equal, but for the last digits."""
    keras.utils.set_random_seed(0)
    stack = [layers.Conv2D(width, 3, activation="relu") for width in widths]
    tail = [layers.GlobalAveragePooling2D(), layers.Dense(3)]
    flat = keras.Sequential([keras.Input((20, 20, 2)), *stack, *tail])
    with pytest.warns(UserWarning, match="the same everywhere"):
        maps = kerasloc.cam(flat, np.full((1, 20, 20, 2), 0.37), method, classes="all")
    assert not maps.any()


def test_the_warning_points_at_the_caller(network, x):
    zero = network()
    zero.set_weights([0 * array for array in zero.get_weights()])
    for call in (kerasloc.cam, lambda *pair: METHODS["gradcam"](pair[0])(pair[1])):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call(zero, x)
        assert caught[0].filename == __file__


# Images


@pytest.mark.parametrize("kind", ["uint8", "int64", "bool"])
def test_integers_where_floats_are_taken_are_refused(model, x, kind):
    with pytest.raises(TypeError, match=f"takes float32. Received: {kind}.*x / 255"):
        kerasloc.cam(model, x.astype(kind))


def test_a_model_that_takes_bytes_gets_them_and_refuses_floats(x, explain):
    image = keras.Input((*SIZE, 2), dtype="uint8")
    y = layers.Conv2D(3, 3, name="last")(layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(y)))
    for method in ("gradcam", "scorecam"):
        maps = explain(model, (255 * x).astype("uint8"), method)
        assert maps.shape == (4, *SIZE)
    with pytest.raises(TypeError, match=r"takes uint8. Received: float32"):
        kerasloc.cam(model, x)


@pytest.mark.parametrize("shape", [(4, 12, 11, 2), (4, 12, 10), (0, 12, 10, 2), (3,)])
def test_images_of_another_shape_are_refused(model, shape):
    with pytest.raises(
        ValueError, match=rf"\(None, 12, 10, 2\).*{re.escape(str(shape))}"
    ):
        kerasloc.cam(model, np.zeros(shape, "float32"))


def test_the_one_input_may_come_in_a_dict_or_list(model, x):
    explainer = METHODS["hirescam"](model)
    expected = explainer.maps(x, 0)
    for images in ({"image": x}, [x], (x,), keras.ops.convert_to_tensor(x)):
        np.testing.assert_array_equal(explainer.maps(images, 0), expected)


def dataset(x):
    import tensorflow as tf

    return tf.data.Dataset.from_tensors(x)


BAD = [
    (dataset, TypeError, "TensorDataset.*batches"),
    (lambda x: "image.png", TypeError, "Received: str"),
    (lambda x: None, TypeError, "Received: NoneType"),
    (lambda x: [x[0], x[0, :5]], ValueError, "one size"),
]


@pytest.mark.parametrize(("images", "error", "message"), BAD)
def test_other_objects_than_images_are_refused(model, x, images, error, message):
    with pytest.raises(error, match=message):
        kerasloc.cam(model, images(x))
