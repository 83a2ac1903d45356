"""The explainer-classifier; published weights: weights/test_explainer_checkpoints."""

import keras
import numpy as np
import pytest
from keras import layers

from kerasloc.backbones.configs import ARCHITECTURES
from kerasloc.backbones.resnet import resnet
from kerasloc.backbones.vgg import vgg
from kerasloc.models.explainer import (
    SameTaps,
    deepest,
    explainer,
    explainer_classifier,
    multiplied_by,
)
from kerasloc.models.options import CLASSIFIERS

BLOCKS = [f"layer{stage}_{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]
EXPLAINED = {
    "resnet18": ["stem", *BLOCKS],
    "vgg": ["conv_mod0", "conv_mod1", "conv_mod2", "conv_mod3"],
}


def blank(model, bias):
    """Makes every explanation max(0, tanh(bias))."""
    norm = model.get_layer("explainer_bn")
    norm.gamma.assign([0.0])
    norm.beta.assign([bias])


def arrays(outputs):
    return {name: np.asarray(value) for name, value in outputs.items()}


@pytest.fixture(scope="module", params=["vgg", "resnet18"])
def classifier(request):
    return request.param


@pytest.fixture(scope="module")
def model(classifier, fill_by_rule):
    """A small network; tests leave all but the explanation's last bias as it is."""
    answer = explainer_classifier((32, 32, 3), 4, classifier)
    fill_by_rule(answer)
    return answer


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).random((2, 32, 32, 3), dtype="float32")


@pytest.fixture
def policy():
    """Function that sets the precision for the length of a test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


# The network


def plain(classifier):
    """The classifier alone, and no hook."""
    image = keras.Input((32, 32, 3))
    if classifier == "vgg":
        features = layers.GlobalMaxPooling2D()(vgg(image))
        for number in (0, 1):
            dense = layers.Dense(128, activation="sigmoid", name=f"dense{number}")
            features = dense(features)
        return keras.Model(image, layers.Dense(4, name="last_dense")(features))
    features = layers.GlobalAveragePooling2D()(resnet(image, classifier)["stage5"])
    return keras.Model(image, layers.Dense(4, name="fc")(features))


def test_white_explanations_make_it_the_plain_classifier(classifier, model, x):
    alone = plain(classifier)
    for layer in alone.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    expected = np.asarray(alone(x, training=False))
    blank(model, 20.0)
    outputs = arrays(model(x, training=False))
    assert (outputs["explanation"] == 1).all()
    np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-5, atol=1e-6)
    assert expected.std() > 0.01
    blank(model, 0.3)
    gray = arrays(model(x, training=False))["logits"]
    assert np.abs(gray - expected).max() > 1e-4


def test_black_explanations_leave_nothing_of_the_image(model, x):
    blank(model, -20.0)
    outputs = arrays(model(x, training=False))
    assert (outputs["explanation"] == 0).all()
    np.testing.assert_allclose(outputs["logits"][0], outputs["logits"][1], rtol=1e-5)
    blank(model, 20.0)
    logits = arrays(model(x, training=False))["logits"]
    assert np.abs(logits[0] - logits[1]).max() > 1e-4


def test_the_stem_and_every_block_are_multiplied(classifier, model):
    names = [n.name for n in model.layers if n.name.endswith("_explained")]
    assert sorted(names) == sorted(f"{n}_explained" for n in EXPLAINED[classifier])
    assert deepest(model) == f"{EXPLAINED[classifier][-1]}_explained"
    pools = [n for n in model.layers if n.name.startswith("explanation_")]
    assert {type(pool) for pool in pools} == {layers.AveragePooling2D}
    for name in names:
        features, explanation = model.get_layer(name).input
        assert explanation.shape == (*features.shape[:3], 1)


def test_logits_and_an_explanation_come_out(model, x):
    outputs = arrays(model(x, training=False))
    assert {key: value.shape for key, value in outputs.items()} == {
        "explanation": (2, 32, 32, 1),
        "logits": (2, 4),
    }
    own = [
        n.name for n in model.layers if n.name.startswith("explainer_") and n.weights
    ]
    assert len(own) == 12 + 3 + 2  # convolutions, transposed, 1 x 1 and its norm


def test_every_resnet_of_the_paper_can_be_the_classifier():
    assert set(CLASSIFIERS) - set(ARCHITECTURES) == {"vgg"}


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_outputs_are_float32_in_half_precision(precision, policy):
    policy(precision)
    model = explainer_classifier((32, 32, 3), 2, "vgg")
    assert {value.dtype for value in model.output.values()} == {"float32"}
    computed = model.get_layer("conv_mod0_explained").output.dtype
    assert computed == precision.removeprefix("mixed_")
    outputs = arrays(model(np.ones((1, 32, 32, 3), "float32")))
    assert {value.dtype for value in outputs.values()} == {np.dtype("float32")}
    assert all(np.isfinite(value).all() for value in outputs.values())


# The explanation


def explaining(shape=(16, 24, 3), **options):
    image = keras.Input(shape)
    return keras.Model(image, explainer(image, **options))


def test_a_large_bias_makes_the_first_explanations_white(x):
    keras.utils.set_random_seed(0)
    for bias, lowest, highest in ((None, 0.9, 1), (6.0, 0.99, 1), (-6.0, 0, 0.01)):
        model = explaining(**({} if bias is None else {"init_bias": bias}))
        answer = np.asarray(model(x[:, :16, :24], training=True))
        assert answer.shape == (2, 16, 24, 1)
        assert 0 <= answer.min() <= answer.max() <= 1
        assert lowest <= answer.mean() <= highest


def test_explanations_are_never_below_zero(x, fill_by_rule):
    model = explaining(init_bias=0.0)
    fill_by_rule(model)
    model.get_layer("explainer_bn").beta.assign([0.0])
    answer = np.asarray(model(x[:, :16, :24], training=True))
    assert answer.min() == 0
    assert 0.1 < (answer > 0).mean() < 0.9


def test_one_channel_and_one_row_of_cells_do():
    assert explaining((8, 40, 1)).output.shape == (None, 8, 40, 1)


@pytest.mark.parametrize("shape", [(12, 16, 3), (16, 20, 3)])
def test_the_explainer_takes_multiples_of_8(shape):
    with pytest.raises(ValueError, match="multiples of 8"):
        explaining(shape)


# The hook


def multiplied(explanation, features):
    """What the hook makes of arrays."""
    e, f = (keras.Input(array.shape[1:]) for array in (explanation, features))
    model = keras.Model([e, f], multiplied_by(e)(f, "some"))
    assert model.layers[-1].name == "some_explained"
    return np.asarray(model([explanation, features]))


def test_explanations_are_average_pooled_never_max_pooled():
    board = (np.indices((8, 12)).sum(axis=0) % 2).astype("float32")[None, ..., None]
    features = np.random.default_rng(0).random((1, 4, 6, 3), dtype="float32")
    np.testing.assert_allclose(multiplied(board, features), 0.5 * features)


def test_each_cell_is_multiplied_by_the_mean_of_its_pixels():
    rng = np.random.default_rng(0)
    explanation = rng.random((2, 8, 12, 1), dtype="float32")
    features = rng.random((2, 2, 6, 3), dtype="float32")
    means = explanation.reshape(2, 2, 4, 6, 2, 1).mean(axis=(2, 4))
    expected = means * features
    np.testing.assert_allclose(multiplied(explanation, features), expected, rtol=1e-5)
    same = rng.random((2, 8, 12, 3), dtype="float32")
    np.testing.assert_array_equal(multiplied(explanation, same), explanation * same)


@pytest.mark.parametrize("size", [(3, 4), (8, 5), (16, 24)])
def test_features_of_a_size_that_does_not_divide_are_refused(size):
    hook = multiplied_by(keras.Input((8, 12, 1)))
    with pytest.raises(ValueError, match=r"divides that.*\(8, 12\) and"):
        hook(keras.Input((*size, 3)), "some")


def test_any_network_can_be_connected(x):
    image = keras.Input((16, 24, 3))
    explanation = explainer(image)
    hook = multiplied_by(explanation)
    features = hook(layers.Conv2D(5, 3, strides=2, padding="same")(image), "first")
    features = hook(layers.Conv2D(5, 2, strides=2)(features), "second")
    logits = layers.Dense(2)(layers.GlobalAveragePooling2D()(features))
    model = keras.Model(image, {"explanation": explanation, "logits": logits})
    assert deepest(model) == "second_explained"
    blank(model, -20.0)
    outputs = arrays(model(x[:, :16, :24]))
    np.testing.assert_array_equal(outputs["logits"], np.zeros((2, 2)))


# Refusals


@pytest.mark.parametrize(
    ("shape", "classes", "classifier", "text"),
    [
        ((24, 32, 3), 2, "vgg", r"multiples of 16\. Received: 24 x 32"),
        ((32, 40, 3), 2, "vgg", "multiples of 16"),
        ((48, 32, 3), 2, "resnet18", r"multiples of 32\. Received: 48 x 32"),
        ((32, 80, 3), 2, "resnet50", "multiples of 32"),
        ((32, 32, 3), 0, "vgg", "at least one class and one channel"),
        ((32, 32, 3), 2, "vgg16", r"classifier of.*, vgg.*'vgg16'"),
        ((32, 32, 3), 2, "resnext50_32x4d", "classifier.*resnext50_32x4d"),
    ],
)
def test_what_cannot_be_built_is_refused(shape, classes, classifier, text):
    with pytest.raises(ValueError, match=text):
        explainer_classifier(shape, classes, classifier)


def test_the_vgg_takes_one_channel_and_other_sides():
    model = explainer_classifier((16, 48, 1), 1, "vgg")
    assert model.output["explanation"].shape == (None, 16, 48, 1)
    assert model.output["logits"].shape == (None, 1)


def test_transposed_convolutions_at_first_only_enlarge():
    kernel = np.asarray(SameTaps()((2, 2, 64, 128)))
    assert np.array_equal(kernel, np.broadcast_to(kernel[:1, :1], kernel.shape))
    assert kernel[0, 0].std() == pytest.approx(np.sqrt(2 / 128), rel=0.05)
    config = keras.initializers.serialize(SameTaps())
    assert isinstance(keras.initializers.deserialize(config), SameTaps)
