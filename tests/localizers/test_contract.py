"""What all wrappers have in common, on networks of a moment."""

import keras
import numpy as np
import pytest
from scipy.special import expit, softmax

import kerasloc
from kerasloc.localizers import wrappers

FAMILIES = ("half", "full", "pylon", "ham", "explainer")
NAMES = ("edema", "mass", "étoile à cinq")
SIZE = (32, 48)
CALLS = {
    "half": ("low_res_cam", "cam"),
    "full": ("low_res_cam", "high_res_cam", "refine"),
    "pylon": ("low_res_cam", "high_res_cam", "refine"),
    "ham": ("low_res_cam", "high_res_cam", "refine"),
    "explainer": ("low_res_cam", "high_res_cam", "grad_cam", "refine"),
}
OF_IMAGES = {
    "ham": (
        "refined_maps",
        "abnormality_maps",
        "abnormality_heatmaps",
        "predict_abnormality",
    ),
    "explainer": ("explanations",),
}


def calls(family, name):
    """Methods that take images; with `custom_class`, those that take that."""
    chosen = (*CALLS[family], "generate_cams", "boxes")
    if name == "custom_class":
        return chosen
    return (*chosen, "logits", "maps", "heatmaps", *OF_IMAGES.get(family, ()))


def pairs(name):
    return [(family, call) for family in FAMILIES for call in calls(family, name)]


@pytest.fixture(scope="module")
def all_wrappers(make):
    return {family: make(family) for family in FAMILIES}


@pytest.fixture(params=FAMILIES)
def wrapper(request, all_wrappers):
    return all_wrappers[request.param]


@pytest.fixture
def raw(wrapper, x):
    """Outputs of the bare network for normalized images."""
    mean, std = wrapper.config.mean[0], wrapper.config.std[0]
    outputs = wrapper.model.predict_on_batch((x - mean) / std)
    return {name: np.asarray(output) for name, output in outputs.items()}


def assert_near(results, expected, share=1e-5):
    """Float32 on any instruction set: within a share of the largest value."""
    limit = share * max(1, np.abs(expected).max())
    np.testing.assert_allclose(results, expected, rtol=0, atol=limit)


def test_one_forward_pass_has_the_results_of_the_methods(wrapper, x):
    outputs = wrapper.forward(x)
    assert wrapper.outputs <= set(outputs)
    assert_near(outputs["probabilities"], wrapper.predict_proba(x))
    for classes in (None, 1, [2, 0]):
        assert_near(wrapper.maps_of(outputs, classes), wrapper.maps(x, classes))
        heat = wrapper.heatmaps_of(outputs, classes)
        assert_near(heat, wrapper.heatmaps(x, classes))


def test_wrappers_are_public_and_say_what_they_hold(wrapper):
    cls = type(wrapper)
    assert getattr(kerasloc, cls.__name__) is wrappers()[wrapper.family] is cls
    assert wrapper.class_names == NAMES
    assert repr(wrapper).startswith(f"{cls.__name__}(3 classes: edema, mass, ")
    assert repr(object.__new__(cls)) == f"{cls.__name__}(without a network)"


def test_predictions_are_those_of_the_network(wrapper, x, raw):
    logits = raw["logits"]
    assert_near(wrapper.logits(x), logits)
    np.testing.assert_array_equal(
        wrapper.predictN(x, 2), np.argsort(-logits, axis=1)[:, :2]
    )
    with pytest.raises(ValueError, match="n from 1 to 3"):
        wrapper.predictN(x)
    if wrapper.config.multi_label:
        assert_near(wrapper.predict_proba(x), expit(logits.astype(float)))
        np.testing.assert_array_equal(wrapper.predict(x), logits > 0)
        assert wrapper.predict(x).dtype.kind == "i"
    else:
        assert_near(wrapper.predict_proba(x), softmax(logits.astype(float), axis=1))
        np.testing.assert_array_equal(wrapper.predict(x), logits.argmax(axis=1))
        assert type(wrapper.predict(x[0])) is int


def test_images_of_a_batch_and_alone_give_the_same(wrapper, x):
    family = wrapper.family
    for call in {*calls(family, "x")} - {"boxes", "generate_cams", "refine"}:
        batch = getattr(wrapper, call)(x)
        for image in (x[1], x[1:2], x[1, ..., 0]):
            assert_near(getattr(wrapper, call)(image), batch[1], 1e-3)
        assert len(getattr(wrapper, call)(x[1], squeeze=False)) == 1
    results = wrapper.generate_cams(x)
    for image in (x[1], x[1:2]):
        for single, batch in zip(wrapper.generate_cams(image), results, strict=True):
            assert_near(single, batch[1], 1e-3)
    assert {len(part) for part in wrapper.generate_cams(x[0], squeeze=False)} == {1}
    single = type(wrapper.generate_cams(x[0])[-1]) is int
    assert single == (not wrapper.config.multi_label)
    assert isinstance(wrapper.boxes(x), list)
    assert wrapper.boxes(x[0]).shape[1] == 6


def test_more_images_than_a_batch_keep_their_order(wrapper, x):
    many = np.concatenate([x] * 14)
    for results, few in zip(
        wrapper.generate_cams(many, [0, 1, 2] * 14),
        wrapper.generate_cams(x, [0, 1, 2]),
        strict=True,
    ):
        assert_near(results, np.concatenate([few] * 14), 1e-3)


def test_maps_of_classes_by_index_and_name_are_those_of_all(wrapper, x):
    refined = ("refined_maps",) if wrapper.family == "ham" else ()
    for call in ("maps", "heatmaps", *refined):
        compute = getattr(wrapper, call)
        maps = compute(x)
        assert maps.shape[-1] == 3
        for index in (1, np.int64(1), "mass"):
            assert_near(compute(x, index), maps[..., 1])
        assert_near(compute(x, ["étoile à cinq", 0]), maps[..., [2, 0]])
        assert_near(compute(x[0], "mass"), maps[0, ..., 1], 1e-3)


def test_cams_are_of_the_predicted_class_or_of_the_chosen_one(wrapper, x, raw):
    best = raw["logits"].argmax(axis=1)
    for call in calls(wrapper.family, "custom_class"):
        if call not in ("boxes", "generate_cams", "refine"):
            compute = getattr(wrapper, call)
            assert_near(compute(x), compute(x, best), 1e-3)
            mixed = compute(x, [2, "mass", 0])
            for row, index in enumerate((2, 1, 0)):
                assert_near(mixed[row], compute(x, index)[row], 1e-3)


def test_cams_and_predictions_are_those_of_the_single_calls(wrapper, x):
    high = () if wrapper.family == "half" else ("high_res_cam",)
    for custom_class in (None, 0, [2, "mass", 0]):
        *maps, preds = wrapper.generate_cams(x, custom_class)
        for call, cam in zip((*high, "low_res_cam"), maps, strict=True):
            assert_near(cam, getattr(wrapper, call)(x, custom_class), 1e-3)
        np.testing.assert_array_equal(preds, wrapper.predict(x))


@pytest.mark.parametrize("wrong", [3, -1, 0.5, "cow", [0, 1], [0, 1, 3], [[0, 1]] * 3])
@pytest.mark.parametrize(("family", "call"), pairs("custom_class"))
def test_unknown_classes_are_refused(all_wrappers, x, family, call, wrong):
    if (family, call) != ("half", "refine"):
        with pytest.raises(ValueError, match="class"):
            getattr(all_wrappers[family], call)(x, custom_class=wrong)


@pytest.mark.parametrize("wrong", [3, "cow", [0, 7]])
@pytest.mark.parametrize("call", ["maps", "heatmaps"])
def test_maps_of_unknown_classes_are_refused(wrapper, x, call, wrong):
    with pytest.raises(ValueError, match="class index from 0 to 2"):
        getattr(wrapper, call)(x, wrong)


@pytest.mark.parametrize("labels", [[0, 1, 0], [0.0, 1.0, 0.0], np.eye(3)])
def test_labels_are_no_classes_of_maps(wrapper, x, labels):
    with pytest.raises(ValueError, match=r"Received: \["):
        wrapper.maps(x, labels)
    if wrapper.family != "half" and np.ndim(labels) == 2:
        with pytest.raises(ValueError, match=r"labels.argmax\(-1\)"):
            wrapper.high_res_cam(x, labels)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda x: x * 255, ValueError, "255"),
        (lambda x: np.where(x > 0.5, np.nan, x), ValueError, "NaN"),
        (lambda x: x[:, :16], ValueError, "32 x 48 x 1"),
        (lambda x: np.repeat(x, 3, axis=-1), ValueError, "channels"),
        (lambda x: x[:0], ValueError, "at least one image"),
        (lambda x: (x * 255).astype(int), TypeError, "astype"),
    ],
)
@pytest.mark.parametrize(("family", "call"), pairs("x"))
def test_wrong_images_are_refused(
    all_wrappers, x, family, call, change, error, message
):
    with pytest.raises(error, match=message):
        getattr(all_wrappers[family], call)(change(x))


def test_bytes_are_images_as_floats_are(wrapper, x):
    eight = (x * 255).astype("uint8")
    floats = eight.astype("float32") / 255
    np.testing.assert_array_equal(wrapper.logits(eight), wrapper.logits(floats))


@pytest.mark.parametrize("family", ["pylon", "ham", "explainer"])
def test_the_network_runs_once_for_maps_and_prediction(all_wrappers, x, family):
    wrapper = all_wrappers[family]
    counters = [layer for layer in wrapper.model.layers if hasattr(layer, "calls")]
    wrapper.generate_cams(x)  # builds what is needed
    before = [counter.calls for counter in counters]
    wrapper.generate_cams(x)
    assert [counter.calls for counter in counters] == [1 + n for n in before]


@pytest.mark.parametrize("family", FAMILIES)
def test_saved_wrappers_are_loaded_as_they_were(make, x, tmp_path, family, request):
    if family not in ("half", "full"):  # the tiny network has to stay registered
        request.getfixturevalue("tiny_families")
    wrapper = make(family, mean=0.25, std=0.5)
    folder = wrapper.save(tmp_path / "run")
    cls = type(wrapper)
    for loaded in (
        kerasloc.load(folder),
        cls.load(folder),
        cls(folder / "model.weights.h5"),
    ):
        assert type(loaded) is cls
        assert loaded.config == wrapper.config
        np.testing.assert_array_equal(loaded.logits(x), wrapper.logits(x))
    with pytest.raises(ValueError, match=rf"family '{family}'.*kerasloc\.load"):
        kerasloc.FPN(folder)


def test_an_unknown_precision_is_refused_and_leaves_the_policy(wrapper):
    before = keras.config.dtype_policy()
    with pytest.raises(ValueError, match="mixed_float8_of_mine"):
        wrapper.optimize(precision="mixed_float8_of_mine")
    assert keras.config.dtype_policy() is before
