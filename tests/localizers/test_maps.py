"""PYLON and its rivals as people call them."""

import dataclasses
import json
import struct
import zlib

import keras
import numpy as np
import pytest

import kerasloc
from kerasloc.localizers import MapLocalizer, wrappers
from kerasloc.metrics import resize_maps
from kerasloc.postprocess import pipeline

WRAPPERS = {k: w for k, w in wrappers().items() if issubclass(w, MapLocalizer)}
SMALL = {
    "pylon": {"decoder_channels": 8},
    "baseline": {},
    "li2018": {"decoder_channels": 8, "out_size": 5},
    "fpn": {"pyramid_channels": 8, "decoder_channels": 8},
    "unet": {"decoder_channels": [8, 8, 8, 4, 4]},
    "deeplabv3plus": {"decoder_channels": 8, "atrous_rates": [1, 2]},
    "pan": {"decoder_channels": 8},
}
NAMES = ("edema", "mass", "nodule")
SIZE = (64, 96)
XRAY = (0.4984, 0.2483)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def make(family, **arguments):
    arguments = {"class_names": NAMES, "im_size": SIZE, "channels": 1, **arguments}
    options = {"backbone": "resnet18", **SMALL[family]}
    return WRAPPERS[family](**{**options, **arguments})


def by_rule(path, shape):
    """Weights that make every normalization do something."""
    rng = np.random.default_rng([7, zlib.crc32(path.encode())])
    if path.endswith("moving_variance"):
        return rng.uniform(0.5, 1.5, shape)
    if path.endswith("gamma"):
        return rng.uniform(0.3, 0.9, shape)
    if len(shape) == 1:
        return 0.1 * rng.standard_normal(shape)
    return rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))


def fill(model):
    for layer in model.layers:
        for weight in layer.weights:
            weight.assign(by_rule(f"{layer.name}/{weight.name}", weight.shape))


def plain_sigmoid(values):
    return 1 / (1 + np.exp(-values.astype(float)))


QUICK = ("baseline", "pylon")
DEPTHWISE = "deeplabv3plus"
FAMILIES = [
    pytest.param(family, marks=() if family in QUICK else pytest.mark.slow)
    for family in (*QUICK, *sorted(set(SMALL) - {*QUICK}))  # HAM: test_ham
]
# What is said of the wrapper and not of the networks that it is around
of_any = pytest.mark.parametrize("wrapper", QUICK, indirect=True)
of_any_layers = pytest.mark.parametrize("wrapper", [*QUICK, DEPTHWISE], indirect=True)


@pytest.fixture(scope="module", params=FAMILIES)
def wrapper(request):
    answer = make(request.param)
    fill(answer.model)
    return answer


@pytest.fixture(scope="module")
def optimized(wrapper):
    return wrapper.optimize()


@pytest.fixture(scope="module")
def baseline():
    answer = make("baseline")
    fill(answer.model)
    return answer


@pytest.fixture(scope="module")
def xrays():
    return np.random.default_rng(0).random((3, *SIZE, 1), dtype="float32")


@pytest.fixture(scope="module")
def raw(wrapper, xrays):
    """What the bare network answers."""
    answer = wrapper.model.predict_on_batch((xrays - XRAY[0]) / XRAY[1])
    return {key: np.asarray(value) for key, value in answer.items()}


# Classification


def test_images_are_normalized_before_the_network(wrapper, xrays, raw):
    assert (wrapper.config.mean, wrapper.config.std) == ((XRAY[0],), (XRAY[1],))
    np.testing.assert_allclose(wrapper.logits(xrays), raw["logits"], atol=1e-5)
    np.testing.assert_allclose(wrapper.maps(xrays), raw["maps"], atol=1e-5)


def test_thresholds_decide_what_is_there(baseline, xrays):
    probabilities = baseline.predict_proba(xrays)
    middle = np.sort(probabilities, axis=0)[1]
    each = make("baseline", thresholds=middle)
    fill(each.model)
    np.testing.assert_array_equal(each.predict(xrays), probabilities > middle)
    assert each.predict(xrays).sum(axis=0).tolist() == [1, 1, 1]
    low = float(probabilities.min()) - 1e-3
    one = make("baseline", thresholds=max(low, 0))
    fill(one.model)
    assert one.predict(xrays).all()


def test_single_label_networks_answer_with_an_index(xrays):
    model = make("baseline", multi_label=False)
    fill(model.model)
    np.testing.assert_allclose(model.predict_proba(xrays).sum(axis=1), 1, atol=1e-6)
    assert model.predict(xrays[0]) == model.logits(xrays[0]).argmax()
    assert type(model.predict(xrays[0])) is int
    assert type(model.generate_cams(xrays[0])[2]) is int


# Normalization


def test_color_images_are_normalized_as_imagenet_was():
    model = make("baseline", channels=3)
    assert (model.config.mean, model.config.std) == IMAGENET
    x = np.random.default_rng(1).random((2, *SIZE, 3), dtype="float32")
    normal = ((x - IMAGENET[0]) / IMAGENET[1]).astype("float32")
    expected = model.model.predict_on_batch(normal)["logits"]
    assert_near(model.logits(x), expected, 1e-5)


def test_a_given_normalization_wins_and_is_kept(xrays, tmp_path):
    model = make("baseline", mean=0.25, std=0.5, thresholds=[0.1, 0.2, 0.3])
    fill(model.model)
    expected = model.model.predict_on_batch((xrays - 0.25) / 0.5)["logits"]
    np.testing.assert_allclose(model.logits(xrays), expected, atol=1e-5)
    loaded = kerasloc.load(model.save(tmp_path / "run"))
    assert (loaded.config.mean, loaded.config.std) == ((0.25,), (0.5,))
    assert loaded.config.thresholds == (0.1, 0.2, 0.3)
    np.testing.assert_array_equal(loaded.predict(xrays), model.predict(xrays))


# Maps and heat maps


def test_heat_maps_are_probabilities_at_the_images_size(wrapper, xrays, raw):
    heat = wrapper.heatmaps(xrays, [0, 2])
    assert heat.shape == (3, *SIZE, 2)
    assert 0 <= heat.min() < heat.max() <= 1
    expected = resize_maps(plain_sigmoid(raw["maps"][..., 2]), SIZE)
    np.testing.assert_allclose(heat[..., 1], expected, atol=1e-5)
    one = wrapper.heatmaps(xrays[0], "nodule", size=(40, 50))
    expected = resize_maps(plain_sigmoid(raw["maps"][0, ..., 2]), (40, 50))
    np.testing.assert_allclose(one, expected, atol=1e-5)


# Class activation maps


def tape_grad_cam(wrapper, images, classes):
    """Grad-CAM of stage5 by one tape over the whole network."""
    import tensorflow as tf

    model = wrapper.model
    both = keras.Model(
        model.input, [model.get_layer("stage5").output, model.output["logits"]]
    )
    with tf.GradientTape() as tape:
        features, logits = both(tf.constant((images - XRAY[0]) / XRAY[1]))
        chosen = tf.reduce_sum(logits * tf.one_hot(classes, len(NAMES)))
    weights = tf.reduce_mean(tape.gradient(chosen, features), axis=(1, 2))
    cam = tf.einsum("nrck,nk->nrc", features, weights)
    return tf.nn.relu(cam).numpy()


def test_the_high_map_is_that_of_the_chosen_class(wrapper, xrays, raw):
    chosen = wrapper.high_res_cam(xrays, [2, "edema", 1])
    expected = [raw["maps"][i, ..., c] for i, c in enumerate([2, 0, 1])]
    np.testing.assert_allclose(chosen, expected, atol=1e-5)
    best = raw["logits"].argmax(axis=1)
    expected = [raw["maps"][i, ..., c] for i, c in enumerate(best)]
    np.testing.assert_allclose(wrapper.high_res_cam(xrays), expected, atol=1e-5)


def test_the_low_map_is_grad_cam_of_the_deepest_features(wrapper, xrays):
    low = wrapper.low_res_cam(xrays, [1, 0, 2])
    expected = tape_grad_cam(wrapper, xrays, [1, 0, 2])
    assert low.shape == expected.shape
    assert low.shape[1:] == wrapper.model.get_layer("stage5").output.shape[1:3]
    assert low.min() >= 0
    assert low.max() > 0
    np.testing.assert_allclose(low, expected, atol=1e-5 * max(1, expected.max()))


# Boxes and refinement


@of_any
def test_boxes_surround_what_is_hot_and_tell_class_and_heat(wrapper, xrays):
    heat = wrapper.heatmaps(xrays[0], 1)
    heat = heat / heat.max()
    rows = wrapper.boxes(xrays[0], threshold=0.8, custom_class="mass")
    assert rows.ndim == 2
    covered = np.zeros(SIZE, bool)
    for x, y, w, h, index, score in rows:
        part = slice(int(y), int(y + h)), slice(int(x), int(x + w))
        covered[part] = True
        assert index == 1
        assert score == pytest.approx(heat[part].mean(), abs=1e-5)
    assert np.all(covered[heat > 0.8 + 1e-5])
    assert [one.shape[1] for one in wrapper.boxes(xrays)] == [6, 6, 6]


@of_any
def test_refine_works_on_the_models_own_maps(wrapper, xrays):
    low = wrapper.low_res_cam(xrays, squeeze=False)
    index = int(np.argmax(np.ptp(low, axis=(1, 2))))
    high, low, _ = wrapper.generate_cams(xrays[index])
    steps = wrapper.refine(xrays[index], roi_percentile=60)
    expected = pipeline(xrays[index], low, resize_maps(high, SIZE), roi_percentile=60)
    assert steps["merged"].shape == SIZE
    np.testing.assert_allclose(steps["merged"], expected["merged"], atol=1e-5)


def test_refine_says_when_grad_cam_is_flat(xrays):
    model = make("baseline")
    model.model.get_layer("out").set_weights([np.zeros((1, 1, 512, 3)), np.zeros(3)])
    assert not model.low_res_cam(xrays[0]).any()
    with pytest.raises(ValueError, match="low CAM with more than one value"):
        model.refine(xrays[0])


# Files


def test_saved_networks_answer_as_before(wrapper, xrays, tmp_path):
    folder = wrapper.save(tmp_path / "run")
    loaded = kerasloc.load(folder)
    assert type(loaded) is type(wrapper)
    assert loaded.config == wrapper.config
    for call in ("logits", "maps"):
        np.testing.assert_array_equal(
            getattr(loaded, call)(xrays), getattr(wrapper, call)(xrays)
        )


def test_lone_weights_tell_what_they_are_of(wrapper, xrays, tmp_path):
    file = tmp_path / "lone.weights.h5"
    wrapper.model.save_weights(file)
    unseen = {"li2018": ["out_size"], "deeplabv3plus": ["atrous_rates"]}
    told = {key: SMALL[wrapper.family][key] for key in unseen.get(wrapper.family, ())}
    loaded = type(wrapper)(file, im_size=SIZE, **told)
    assert loaded.config.num_classes == 3
    assert loaded.config.channels == 1
    np.testing.assert_array_equal(loaded.logits(xrays), wrapper.logits(xrays))


@of_any
def test_keras_files_answer_as_before(wrapper, xrays, tmp_path):
    wrapper.model.save(tmp_path / "model.keras")
    options = wrapper.config.options
    loaded = type(wrapper)(tmp_path / "model.keras", class_names=NAMES, **options)
    assert loaded.config.im_size == SIZE
    np.testing.assert_allclose(loaded.maps(xrays), wrapper.maps(xrays), atol=1e-6)
    np.testing.assert_allclose(
        loaded.low_res_cam(xrays), wrapper.low_res_cam(xrays), atol=1e-4
    )


def test_options_that_weights_do_not_tell_are_asked_for(xrays, tmp_path):
    average = make("baseline", pooling="avg")
    average.model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"logits differ.*Add the options"):
        kerasloc.Baseline(tmp_path / "model.keras")
    loaded = kerasloc.Baseline(tmp_path / "model.keras", pooling="avg")
    np.testing.assert_allclose(loaded.logits(xrays), average.logits(xrays), atol=1e-6)


def test_files_of_another_family_are_refused(baseline, tmp_path):
    folder = baseline.save(tmp_path / "run")
    baseline.model.save_weights(tmp_path / "lone.weights.h5")
    with pytest.raises(ValueError, match=r"of the family 'baseline'.*kerasloc\.load"):
        kerasloc.Pylon(folder)
    for family in sorted(set(WRAPPERS) - {"baseline"}):
        with pytest.raises(ValueError, match=r"architecture.*looks like: baseline"):
            WRAPPERS[family](tmp_path / "lone.weights.h5")


def test_weights_of_another_class_count_are_refused(baseline, tmp_path):
    folder = baseline.save(tmp_path / "run")
    with pytest.raises(ValueError, match="of another shape: out/kernel"):
        kerasloc.Baseline(folder, num_classes=5)


# Inference


def assert_near(answer, expected, share):
    limit = share * max(1, np.abs(expected).max())
    np.testing.assert_allclose(answer, expected, rtol=0, atol=limit)


def test_optimized_networks_answer_the_same(wrapper, optimized, xrays):
    assert_near(optimized.logits(xrays), wrapper.logits(xrays), 1e-4)
    assert_near(optimized.maps(xrays), wrapper.maps(xrays), 1e-4)
    for a, b in zip(
        optimized.generate_cams(xrays, 1), wrapper.generate_cams(xrays, 1), strict=True
    ):
        assert_near(a, b, 1e-4)


def test_optimized_networks_have_no_normalization_left(wrapper, optimized):
    kinds = {type(layer) for layer in optimized.model.layers}
    assert not any(issubclass(k, keras.layers.BatchNormalization) for k in kinds)
    assert len(optimized.model.weights) < len(wrapper.model.weights)
    assert optimized.config == dataclasses.replace(wrapper.config, folded=True)


def test_optimizing_leaves_the_network_as_it_was(wrapper, optimized):
    assert not wrapper.config.folded
    for layer in wrapper.model.layers:
        for weight in layer.weights:
            expected = by_rule(f"{layer.name}/{weight.name}", weight.shape)
            np.testing.assert_array_equal(weight, expected.astype("float32"))


@of_any
def test_optimizing_twice_changes_nothing(optimized, xrays):
    twice = optimized.optimize()
    assert twice.config == optimized.config
    np.testing.assert_array_equal(twice.logits(xrays), optimized.logits(xrays))


@of_any_layers
def test_optimized_networks_are_saved_and_loaded(optimized, xrays, tmp_path):
    loaded = kerasloc.load(optimized.save(tmp_path / "run"))
    assert loaded.config == optimized.config
    np.testing.assert_array_equal(loaded.logits(xrays), optimized.logits(xrays))


def test_an_optimized_keras_file_can_be_saved_again(baseline, xrays, tmp_path):
    fast = baseline.optimize()
    fast.model.save(tmp_path / "fast.keras")
    loaded = kerasloc.Baseline(tmp_path / "fast.keras")
    again = kerasloc.load(loaded.save(tmp_path / "run"))
    np.testing.assert_allclose(again.logits(xrays), fast.logits(xrays), atol=1e-5)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("family", ["pylon"])
def test_half_precision_answers_nearly_the_same(family, precision, xrays):
    before = keras.config.dtype_policy()
    model = make(family)
    fill(model.model)
    fast = model.optimize(precision=precision)
    assert fast.model.get_layer("conv1").compute_dtype == precision[len("mixed_") :]
    assert keras.config.dtype_policy() is before
    assert_near(fast.logits(xrays), model.logits(xrays), 0.05)
    high, low, _ = fast.generate_cams(xrays, 1)
    assert {high.dtype, low.dtype} == {np.dtype("float32")}
    assert_near(high, model.high_res_cam(xrays, 1), 0.05)


def test_a_network_that_cannot_be_built_leaves_the_policy(baseline, registered_as):
    def broken(*arguments, **options):
        raise ValueError("no network today")

    before = keras.config.dtype_policy()
    with (
        registered_as("baseline", broken),
        pytest.raises(ValueError, match="no network today"),
    ):
        baseline.optimize(precision="mixed_bfloat16")
    assert keras.config.dtype_policy() is before


# Weights of others


def write_safetensors(path, arrays):
    header, data = {}, b""
    for name, array in arrays.items():
        stop = len(data) + array.nbytes
        shape = list(array.shape)
        offsets = [len(data), stop]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
        data += np.ascontiguousarray(array).tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def as_published(model, prefix):
    """The network's arrays under PyTorch's names, with its axes."""
    kinds = {
        "gamma": "weight",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
        "kernel": "weight",
        "bias": "bias",
    }
    arrays = {}
    for layer in model.layers:
        for weight in layer.weights:
            array = np.asarray(weight)
            array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
            path = layer.name.replace("_", ".")
            arrays[f"{prefix}{path}.{kinds[weight.name]}"] = array
    return arrays


def test_published_files_describe_themselves(baseline, xrays, tmp_path):
    arrays = as_published(baseline.model, "module.net.")
    file = write_safetensors(tmp_path / "net.safetensors", arrays)
    loaded = kerasloc.Baseline(file, im_size=SIZE)
    assert (loaded.config.num_classes, loaded.config.channels) == (3, 1)
    assert loaded.config.options == {"backbone": "resnet18"}
    np.testing.assert_array_equal(loaded.logits(xrays), baseline.logits(xrays))
    with pytest.raises(ValueError, match="architecture"):
        kerasloc.Pylon(file)


def test_imagenet_weights_go_into_the_backbone(baseline, tmp_path, monkeypatch):
    arrays = as_published(baseline.model, "")
    kernel = arrays.pop("conv1.weight")
    arrays["conv1.weight"] = np.repeat(kernel, 3, axis=1) / 3
    arrays = {name: a for name, a in arrays.items() if not name.startswith("out")}
    write_safetensors(tmp_path / "resnet18.safetensors", arrays)
    monkeypatch.setenv("KERASLOC_WEIGHTS", str(tmp_path))
    for channels, expected in ((1, kernel), (3, arrays["conv1.weight"])):
        loaded = make("pylon", weights="imagenet", channels=channels)
        first = np.asarray(loaded.model.get_layer("conv1").kernel)
        np.testing.assert_allclose(first, expected.transpose(2, 3, 1, 0), atol=1e-6)
        last = loaded.model.get_layer("layer4_1_bn2").get_weights()
        for a, b in zip(
            last, baseline.model.get_layer("layer4_1_bn2").get_weights(), strict=True
        ):
            np.testing.assert_array_equal(a, b)


def test_imagenet_needs_a_class_count():
    with pytest.raises(ValueError, match="one class name per class"):
        kerasloc.Pylon("imagenet")
