"""What every network of logits and maps keeps: sizes, files, precision, refusals."""

import importlib

import keras
import numpy as np
import pytest

from kerasloc.models import families

ROWS, COLS = 64, 96
# Sides of the maps at 64 x 96 and at 32 x 32.
SIDES = {
    "pylon": ((16, 24), (8, 8)),
    "baseline": ((2, 3), (1, 1)),
    "li2018": ((20, 20), (20, 20)),
    "fpn": ((16, 24), (8, 8)),
    "unet": ((64, 96), (32, 32)),
    "deeplabv3plus": ((16, 24), (8, 8)),
    "pan": ((16, 24), (8, 8)),
    "ham": ((8, 12), (4, 4)),
}
POOLED_OTHERWISE = ("li2018", "ham")
FAMILIES = list(SIDES)
SHARED = ["logits", "maps"]


def build(family, shape=(32, 32, 1), classes=2, **options):
    return families.get(family).load("build")(shape, classes, "resnet18", **options)


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def arrays(outputs):
    return {name: np.asarray(value) for name, value in outputs.items()}


def assert_same(answers, expected):
    for name, values in expected.items():
        np.testing.assert_array_equal(answers[name], values)


@pytest.fixture
def policy():
    """Function that sets the precision for the length of a test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def network(family):
    """A network of five classes; to be read only."""
    return build(family, (ROWS, COLS, 3), 5)


def test_maps_have_their_size_and_make_the_logits(family, network):
    outputs = arrays(network(noise(2, ROWS, COLS, 3), training=False))
    assert [name for name in outputs if name in SHARED] == SHARED
    assert outputs["logits"].shape == (2, 5)
    assert outputs["maps"].shape == (2, *SIDES[family][0], 5)
    assert {value.dtype for value in outputs.values()} == {np.dtype("float32")}
    assert np.isfinite(outputs["maps"]).all()
    if family not in POOLED_OTHERWISE:
        highest = outputs["maps"].max(axis=(1, 2))
        np.testing.assert_array_equal(outputs["logits"], highest)
    assert outputs["maps"].std() > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_the_smallest_image_gives_finite_maps_and_comes_back_from_a_file(
    family, tmp_path
):
    model = build(family)
    x = noise(2, 32, 32, 1)
    expected = arrays(model(x, training=False))
    assert expected["maps"].shape == (2, *SIDES[family][1], 2)
    assert np.isfinite(expected["maps"]).all()

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same(arrays(loaded(x, training=False)), expected)


@pytest.mark.parametrize(
    ("family", "precision"),
    [("pylon", "float32"), *((family, "mixed_bfloat16") for family in FAMILIES)],
)
def test_a_training_step_keeps_everything_finite(family, precision, policy, eager):
    policy(precision)
    model = build(family)
    assert {str(value.dtype) for value in model.output.values()} == {"float32"}
    trainer = keras.Model(model.input, model.output["logits"])
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    trainer.compile(keras.optimizers.SGD(1e-3), loss)
    before = model.get_layer("conv1").get_weights()[0]
    value = trainer.train_on_batch(noise(2, 32, 32, 1), np.eye(2, dtype="float32"))
    assert np.isfinite(value)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert np.any(model.get_layer("conv1").get_weights()[0] != before)


def test_shapes_of_weights_tell_a_network_that_takes_them(family, network, tmp_path):
    weights = {
        layer.name: {weight.name: np.asarray(weight) for weight in layer.weights}
        for layer in network.layers
        if layer.weights
    }
    known = importlib.import_module(f"kerasloc.models.{family}").describe(weights)
    assert len(known["class_names"]) == 5
    assert known["channels"] == 3
    again = families.get(family).load("build")((ROWS, COLS, 3), 5, **known["options"])
    shapes = [[w.shape for w in m.weights] for m in (network, again)]
    assert shapes[0] == shapes[1]
    x = noise(1, ROWS, COLS, 3)
    expected, before = (arrays(m(x, training=False)) for m in (network, again))
    assert np.any(before["maps"] != expected["maps"])
    network.save_weights(tmp_path / "model.weights.h5")
    again.load_weights(tmp_path / "model.weights.h5")
    assert_same(arrays(again(x, training=False)), expected)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("shape", "classes", "message"),
    [
        ((100, 96, 3), 2, r"multiples of (8|32)\. Received: 100 x 96"),
        ((96, 96), 2, "rows, cols, channels"),
        ((96, 96, 3), 0, "at least one class"),
        ((96, 96, 0), 2, "at least one class and one channel"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(family, shape, classes, message):
    with pytest.raises(ValueError, match=message):
        build(family, shape, classes)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_unknown_backbone_and_an_unknown_option_are_refused(family):
    with pytest.raises(ValueError, match=r"backbone.*vgg16"):
        families.get(family).load("build")((32, 32, 3), 2, "vgg16")
    with pytest.raises(TypeError, match="colour"):
        build(family, colour="red")
