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


REFUSED = [
    *((family, {"backbone": "vgg16"}, "backbone.*vgg16") for family in FAMILIES),
    ("pylon", {"n_up": 4}, "n_up of 0, 1, 2, 3"),
    ("pylon", {"n_up": -1}, "n_up of 0, 1, 2, 3"),
    ("pylon", {"up_type": "3layer"}, "up_type"),
    ("pylon", {"up_kernel_size": 2}, "odd kernel sizes"),
    ("pylon", {"head_kernel_size": 4}, "odd kernel sizes"),
    ("pylon", {"up_kernel_size": -1}, r"up_kernel_size.*-1"),
    ("pylon", {"decoder_channels": 0}, "decoder_channels"),
    ("baseline", {"pooling": "lse"}, r"pooling.*lse"),
    ("li2018", {"decoder_channels": 0}, "decoder_channels"),
    ("li2018", {"out_size": 0}, "out_size of"),
    ("li2018", {"out_size": 4.5}, "out_size of"),
    ("li2018", {"min_val": 1.0}, "min_val.*1.0"),
    ("fpn", {"norm": "layernorm"}, "norm.*layernorm"),
    ("fpn", {"norm": "groupnorm", "groups": 7}, "groups that divide decoder_channels"),
    ("fpn", {"norm": "groupnorm", "groups": 0}, r"groups of.*groups=0"),
    ("fpn", {"pyramid_channels": 0}, r"channels of at least 1.*channels=0"),
    ("fpn", {"decoder_channels": 0}, r"channels of at least 1.*channels=0"),
    ("unet", {"decoder_channels": ()}, "five widths from 1"),
    ("unet", {"decoder_channels": (8, 8, 8, 8)}, "five widths from 1"),
    ("unet", {"decoder_channels": (8, 8, 8, 8, 0)}, "five widths from 1"),
    ("deeplabv3plus", {"output_stride": 32}, "output_stride"),
    ("deeplabv3plus", {"atrous_rates": ()}, "atrous_rates"),
    ("deeplabv3plus", {"atrous_rates": (12, 0)}, "atrous_rates"),
    ("deeplabv3plus", {"atrous_rates": (1.5,)}, "atrous_rates"),
    ("deeplabv3plus", {"aspp": "gap"}, "aspp"),
    ("deeplabv3plus", {"decoder_channels": 0}, "decoder_channels"),
    ("pan", {"decoder_channels": 0}, "decoder_channels"),
]


@pytest.mark.parametrize(("family", "options", "message"), REFUSED)
def test_options_that_do_not_fit_are_refused(family, options, message):
    build = families.get(family).load("build")
    with pytest.raises(ValueError, match=message):
        build((32, 32, 1), 2, **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_unknown_option_is_refused(family):
    with pytest.raises(TypeError, match="colour"):
        build(family, colour="red")
