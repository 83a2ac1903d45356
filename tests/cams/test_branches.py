"""Branches that join after pooling: no default, and the sum of several layers' maps."""

import pickle
import re

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasloc
from kerasloc.cams import CAM, METHODS, AblationCAM, GradCAM, HiResCAM
from kerasloc.cams.choice import BranchError
from kerasloc.maps import resize_maps

SHAPE = (12, 10, 2)
pytestmark = pytest.mark.usefixtures("op_by_op")
pooled = layers.GlobalAveragePooling2D
ADDITIVE = [name for name, method in METHODS.items() if method.single is None]


@pytest.fixture
def image():
    keras.utils.set_random_seed(1)
    return keras.Input(SHAPE, name="image")


def conv(name, filters=4, **options):
    return layers.Conv2D(filters, 3, activation="relu", name=name, **options)


def branches(image, order="ab", join=layers.Concatenate, pool=pooled):
    """Branches with the same weights in any order, ``b`` on a coarser grid."""
    features = {"a": conv("a")(image), "b": conv("b", strides=2)(image)}
    joined = join()([pool()(features[name]) for name in order])
    model = keras.Model(image, layers.Dense(3, name="out")(joined))
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        layer = model.get_layer(name)
        layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    if join is layers.Concatenate:
        halves = dict(zip("ab", rng.normal(size=(2, 4, 3)), strict=True))
        kernel = np.concatenate([halves[name] for name in order])
        model.get_layer("out").set_weights([kernel, np.zeros(3)])
    return model


def raw(model, x, layer):
    """Features of a layer at the size of the finest."""
    taps = keras.Model(model.inputs[0], model.get_layer(layer).output)
    features = np.moveaxis(np.asarray(taps(x)), -1, 1)
    return np.moveaxis(resize_maps(features, (10, 8)), 1, -1)


def test_branches_have_no_default_and_the_error_lists_their_shares(image, x):
    model = branches(image)
    with pytest.raises(BranchError) as caught:
        kerasloc.cam(model, x, classes=1)
    pattern = r"(\w) \((\d+), (\d+), 4\) (-?\d+) % of the logit"
    listed = {match[0]: match[1:] for match in re.findall(pattern, str(caught.value))}
    assert (listed["a"][:2], listed["b"][:2]) == (("10", "8"), ("5", "4"))
    kernel = model.get_weights()[-2][:, 1]
    totals = []
    for name, weights in zip("ab", np.split(kernel, 2), strict=True):
        taps = keras.Model(model.inputs[0], model.get_layer(name).output)
        totals.append(np.asarray(taps(x)).mean(axis=(1, 2)) @ weights)
    shares = 100 * np.mean(totals / np.abs(totals).sum(axis=0), axis=1)
    received = [int(listed[name][2]) for name in "ab"]
    np.testing.assert_allclose(received, shares, atol=1)
    for method in METHODS.values():
        with pytest.raises(BranchError, match=r"layer=\['\w', '\w'\]"):
            method(model)


def test_cam_of_branches_is_the_sum_of_their_cams(image, x):
    model = branches(image)
    first, second = np.split(model.get_weights()[-2], 2)
    expected = raw(model, x, "a") @ first + raw(model, x, "b") @ second
    maps = CAM(model, ["a", "b"]).maps(x, "all")
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5)
    single = CAM(model, "a").maps(x, "all")
    np.testing.assert_allclose(single, raw(model, x, "a") @ first, atol=1e-5)


@pytest.mark.parametrize("method", ["gradcam", "xgradcam", "hirescam"])
def test_maps_of_gradients_of_branches_are_their_cam(image, x, method):
    """As of single layers behind a mean: the CAM over the number of positions."""
    model = branches(image)
    expected = CAM(model, ["a", "b"]).maps(x, "all") / (10 * 8)
    maps = METHODS[method](model, ["a", "b"]).maps(x, "all")
    np.testing.assert_allclose(maps, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", ADDITIVE)
def test_exchanged_branches_have_the_same_map(image, x, explain, method):
    maps = explain(branches(image), x, method, ["a", "b"], classes="all")
    assert maps.shape == (4, 12, 10, 3)
    second = keras.Input(SHAPE)
    layer = np.array(["b", "a"])
    exchanged = explain(branches(second, "ba"), x, method, layer, classes="all")
    np.testing.assert_allclose(exchanged, maps, atol=1e-4)


def test_an_explainer_of_several_layers_pickles(image, x):
    explainer = GradCAM(branches(image), ["a", "b"])
    again = pickle.loads(pickle.dumps(explainer))
    assert repr(again) == repr(explainer)
    np.testing.assert_allclose(again.maps(x, 1), explainer.maps(x, 1), atol=1e-6)


@pytest.mark.parametrize("method", sorted(set(METHODS) - set(ADDITIVE)))
def test_methods_without_shares_of_the_logit_take_one_layer(image, x, method):
    model = branches(image)
    with pytest.raises(ValueError, match=r"one layer.*\['a', 'b'\].*hirescam"):
        kerasloc.cam(model, x, method, ["a", "b"])
    assert METHODS[method](model, ["b"]).maps(x).shape == (4, 5, 4)


JOINS = {
    "Add": layers.Add,
    "Average": layers.Average,
    "Subtract": layers.Subtract,
    "operator": lambda: lambda pair: pair[0] + pair[1],
    "concatenate": lambda: lambda pair: ops.concatenate(pair, axis=1),
}


@pytest.mark.parametrize("join", JOINS)
def test_maps_of_linear_joins_sum_up_to_the_logit(image, x, join):
    model = branches(image, join=JOINS[join])
    logits = np.asarray(model(x)) - np.asarray(model.get_weights()[-1])
    maps = HiResCAM(model, ["a", "b"]).maps(x, "all")
    assert maps.shape == (4, 10, 8, 3)
    # resizing 5 x 4 to 10 x 8 keeps means up to the edges
    shares = HiResCAM(model, "a").maps(x, "all").sum(axis=(1, 2))
    shares += HiResCAM(model, "b").maps(x, "all").sum(axis=(1, 2))
    np.testing.assert_allclose(shares, logits, rtol=1e-3, atol=1e-4)
    cam = CAM(model, ["a", "b"]).maps(x, "all")
    np.testing.assert_allclose(maps * 80, cam, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("join", [layers.Multiply, layers.Maximum])
def test_a_join_that_is_not_linear_has_no_cam_but_gradients(image, x, join):
    model = branches(image, join=join)
    with pytest.raises(BranchError):
        kerasloc.cam(model, x)
    assert GradCAM(model, ["a", "b"]).maps(x).shape == (4, 10, 8)
    with pytest.raises(ValueError, match=f"linear head.*{join.__name__.lower()}"):
        CAM(model, ["a", "b"])


@pytest.mark.parametrize("pool", [layers.GlobalMaxPooling2D, layers.Flatten])
def test_branches_are_recognized_behind_any_pooling(image, x, pool):
    model = branches(image, join=lambda: layers.Concatenate(axis=-1), pool=pool)
    with pytest.raises(BranchError, match=r"a \(10, 8, 4\)"):
        kerasloc.cam(model, x)
    assert GradCAM(model, ["a", "b"]).maps(x).shape == (4, 10, 8)


def test_branches_in_nested_models_have_paths(image, x):
    inside = keras.Input(SHAPE)
    outputs = [pooled()(conv(name)(inside)) for name in "ab"]
    base = keras.Model(inside, layers.Concatenate()(outputs), name="base")
    third = pooled()(conv("c")(image))
    joined = layers.Concatenate()([base(layers.Rescaling(2.0)(image)), third])
    model = keras.Model(image, layers.Dense(3, "softmax")(joined))
    with pytest.raises(BranchError, match=r"base/a \(10, 8, 4\)") as caught:
        kerasloc.cam(model, x)
    assert set(caught.value.layers) == {"base/a", "base/b", "c"}
    maps = GradCAM(model, ["a", "base/b", "c"]).maps(x, "all")
    sums = sum(GradCAM(model, name).maps(x, "all") for name in ("a", "b", "c"))
    np.testing.assert_allclose(maps, sums, atol=1e-5)


def test_a_layer_that_two_branches_share_has_both_calls(image, x):
    shared = conv("shared")
    small = layers.AveragePooling2D(2)(image)
    joined = layers.Concatenate()([pooled()(shared(image)), pooled()(shared(small))])
    model = keras.Model(image, layers.Dense(3)(joined))
    with pytest.raises(BranchError) as caught:
        GradCAM(model)
    names = list(caught.value.layers)
    assert set(names) == {"shared", "shared:1"}
    assert GradCAM(model, names).maps(x).shape == (4, 10, 8)


def test_layers_hold_each_other_as_logits_add(image, x):
    """A pyramid: `fine` is made of `coarse`, and both are pooled."""
    coarse = conv("coarse")(layers.MaxPooling2D(2)(conv("stem")(image)))
    up = layers.UpSampling2D(2)(layers.ZeroPadding2D(1)(coarse))
    fine = layers.Add(name="fine")([conv("lateral")(image), up])
    joined = layers.Concatenate()([pooled()(fine), pooled()(coarse)])
    model = keras.Model(image, layers.Dense(3)(joined))
    with pytest.raises(BranchError) as caught:
        kerasloc.cam(model, x)
    assert set(caught.value.layers) == {"fine", "coarse"}
    fine, coarse = (halves for halves in HiResCAM(model, ["fine", "coarse"])._cuts)
    logits = np.asarray(model(x))
    total = 0
    for halves in (fine, coarse):
        features = halves.encode(x)
        gradients = halves.gradient(features, [1] * 4)[1]
        total = total + (features[0] * gradients).sum(axis=(1, 2, 3))
    bias = np.asarray(model.get_weights()[-1])[1]
    np.testing.assert_allclose(total, logits[:, 1] - bias, rtol=1e-3, atol=1e-5)


def test_layers_one_after_another_have_the_sum_of_their_maps(model, x):
    maps = AblationCAM(model, ["early", "last"]).maps(x, 1)
    early = AblationCAM(model, "early").maps(x, 1)
    last = resize_maps(AblationCAM(model, "last").maps(x, 1), early.shape[1:])
    np.testing.assert_allclose(maps, early + last, rtol=1e-4, atol=1e-4)


def test_a_stem_is_no_default_for_branches_of_coarser_grids(image):
    stem = conv("stem", padding="same")(image)
    deep = conv("deep")(layers.MaxPooling2D(2)(stem))
    joined = layers.Concatenate()([pooled()(stem), pooled()(deep)])
    with pytest.raises(BranchError) as caught:
        GradCAM(keras.Model(image, layers.Dense(3)(joined)))
    assert set(caught.value.layers) == {"stem", "deep"}


def squeeze_excite(y, name):
    gate = layers.Dense(4, activation="sigmoid")(pooled()(y))
    return layers.Multiply(name=name)([y, layers.Reshape((1, 1, 4))(gate)])


def test_gates_skips_pyramids_and_statistics_keep_the_default(image):
    y = conv("stem", padding="same")(image)
    cases = {"gated": squeeze_excite(y, "gated")}
    cases["sum"] = layers.Add(name="sum")([y, conv("skip", padding="same")(y)])
    low = layers.UpSampling2D(2)(conv("low", padding="same", strides=2)(y))
    cases["pyramid"] = layers.Concatenate(name="pyramid")([y, low])
    for name, features in cases.items():
        joined = [pooled()(features), layers.GlobalMaxPooling2D()(features)]
        joined += [layers.Flatten()(pooled()(image))]  # of the plain image
        model = keras.Model(image, layers.Dense(3)(layers.Concatenate()(joined)))
        assert repr(GradCAM(model)).startswith(f"GradCAM(layer {name!r}")


WRONG = [
    ([], ValueError, r"layer=\[\]"),
    (["a", None], TypeError, r"\['a', None\]"),
    (["a", 3], TypeError, r"\['a', 3\]"),
    (["a", "a"], ValueError, r"once.*\['a', 'a'\]"),
    (["a", "z"], ValueError, "'z'.*Use one of.*: a, b|: b, a"),
]


@pytest.mark.parametrize(("layer", "error", "message"), WRONG)
def test_wrong_lists_of_layers_are_refused(image, layer, error, message):
    with pytest.raises(error, match=message):
        GradCAM(branches(image), layer)
