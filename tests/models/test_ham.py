"""HAM's network; parity: weights/test_ham_checkpoints, files: test_registry."""

import json
import pathlib

import keras
import numpy as np
import pytest

from kerasloc.layers import BatchNormalization, SoftMask
from kerasloc.models.ham import WEIGHTS, describe, ham, objective_terms

PARAMETERS = pathlib.Path(__file__).parents[1] / "goldens" / "ham.json"
OUTPUTS = {
    f"{prefix}{name}"
    for prefix in ("", "abnormality_")
    for name in ("logits", "maps", "refined_maps")
}
# Pooling, downsampling; sides of the four stages at 64 pixels, their dilations.
TABLE = [
    (True, 32, (16, 8, 4, 2), (1, 1, 1, 2)),
    (True, 16, (16, 8, 4, 4), (1, 1, 1, 2)),
    (True, 8, (16, 8, 8, 8), (1, 1, 2, 4)),
    (False, 32, (16, 8, 4, 2), (1, 1, 1, 2)),
    (False, 16, (32, 16, 8, 4), (1, 1, 2, 4)),
    (False, 8, (32, 16, 8, 8), (1, 2, 4, 6)),
]


def build(size=32, classes=3, backbone="resnet18", **options):
    return ham((size, size, 3), classes, backbone, **options)


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def arrays(outputs):
    return {name: np.asarray(value) for name, value in outputs.items()}


def tensorflow():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the tape is TensorFlow's")
    return pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def model():
    """A small network; to be left as it is."""
    keras.utils.set_random_seed(0)
    return build()


@pytest.fixture(scope="module")
def default():
    """The network that one gets without options; to be left as it is."""
    return ham((64, 32, 3), 14)


@pytest.fixture(scope="module")
def x():
    return noise(2, 32, 32, 3)


@pytest.fixture
def policy():
    """Function that sets the precision for the length of a test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


# Strides, dilations, sizes


def dilation(model, block):
    """That of a block's first convolution, which may follow a subsampling."""
    names = {layer.name for layer in model.layers}
    stride = 2 if f"layer{block}_conv1_stride" in names else 1
    return stride * model.get_layer(f"layer{block}_conv1").dilation_rate[0]


@pytest.mark.parametrize(("pooling", "downsampling", "sides", "dilations"), TABLE)
def test_stages_have_the_published_sides_and_dilations(
    pooling, downsampling, sides, dilations
):
    model = build(64, downsampling=downsampling, using_pooling=pooling)
    assert ("maxpool" in {layer.name for layer in model.layers}) == pooling
    assert model.output["maps"].shape == (None, *2 * (64 // downsampling,), 3)
    assert model.output["refined_maps"].shape == (None, 64, 64, 3)
    for stage, side, expected in zip((1, 2, 3, 4), sides, dilations, strict=True):
        tap = model.get_layer(f"stage{stage + 1}").output
        assert tap.shape[1:3] == (side, side)
        assert dilation(model, f"{stage}_0") == expected
        assert dilation(model, f"{stage}_1") == expected
        for block in (0, 1):
            second = model.get_layer(f"layer{stage}_{block}_conv2")
            assert second.dilation_rate == (1, 1)


def test_dilation_can_be_switched_off():
    model = build(64, using_dilation=False)
    blocks = [f"{stage}_{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]
    assert {dilation(model, block) for block in blocks} == {1}
    assert model.output["maps"].shape == (None, 8, 8, 3)


def test_published_options_are_the_defaults(default):
    assert default.get_layer("layer3_5_conv3").filters == 1024  # ResNet-50
    assert default.get_layer("layer4_2_conv2").dilation_rate == (4, 4)
    assert default.output["maps"].shape == (None, 8, 4, 14)
    assert default.get_layer("fa_layer_conva_0").kernel.shape == (3, 3, 2048, 512)
    assert default.get_layer("fa_layer_fa_channel_fc_0").kernel.shape == (512, 64)
    assert default.get_layer("cls_head_0").kernel.shape == (3, 3, 2560, 512)


def test_other_architectures_can_be_built():  # all of them: test_resnet.py
    model = build(32, backbone="resnext50_32x4d")
    backbones = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
        and layer.name.startswith(("conv1", "layer"))
    ]
    assert len(backbones) == 53
    assert model.get_layer("layer1_0_conv2").groups == 32
    assert model.output["maps"].shape == (None, 4, 4, 3)


@pytest.mark.parametrize("shape", [(8, 8, 3), (16, 40, 1)])
def test_the_smallest_and_oblong_images_have_finite_answers(shape):
    model = ham(shape, 1, "resnet18")
    outputs = arrays(model(noise(1, *shape), training=False))
    rows, cols = shape[0] // 8, shape[1] // 8
    assert outputs["maps"].shape == outputs["abnormality_maps"].shape
    assert outputs["maps"].shape == (1, rows, cols, 1)
    assert outputs["refined_maps"].shape == (1, *shape[:2], 1)
    assert outputs["logits"].shape == outputs["abnormality_logits"].shape == (1, 1)
    assert all(np.isfinite(value).all() for value in outputs.values())


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (40, {"downsampling": 32}, "multiples of 32. Received: 40 x 40"),
        (40, {"downsampling": 16}, "multiples of 16. Received: 40 x 40"),
        (36, {}, "multiples of 8. Received: 36 x 36"),
        (32, {"downsampling": 4}, "downsampling of 8, 16, 32"),
        (32, {"downsampling": "8"}, "downsampling of 8, 16, 32"),
    ],
)
def test_sizes_and_options_that_do_not_fit_are_refused(size, options, message):
    with pytest.raises(ValueError, match=message):
        build(size, **options)


# Layers and their start


def published(name):
    """Shapes of the published parameters by path, without what holds the network."""
    facts = json.loads(PARAMETERS.read_text())[name]
    shapes = {
        key.removeprefix("model."): shape for key, shape in facts["parameters"].items()
    }
    return facts, shapes


@pytest.mark.parametrize("name", ["ham", "ham_resnet50"])
def test_layers_are_called_as_the_published_parameters(name, model, default):
    _, shapes = published(name)
    paths = {key.rpartition(".")[0].replace(".", "_") for key in shapes}
    ours = {"ham": model, "ham_resnet50": default}[name]
    assert {layer.name for layer in ours.layers if layer.weights} == paths


@pytest.mark.parametrize("name", ["ham", "ham_ds32", "ham_resnet50", "ham_resnext50"])
def test_shapes_tell_the_backbone_but_no_strides(name):
    facts, shapes = published(name)
    arrays = {}
    for key, shape in shapes.items():
        path, _, kind = key.rpartition(".")
        order = [2, 3, 1, 0] if len(shape) == 4 else range(len(shape))[::-1]
        array = np.broadcast_to(np.float32(0), [shape[axis] for axis in order])
        arrays.setdefault(path.replace(".", "_"), {})[kind] = array
    known = describe(arrays)
    assert known["options"] == {"backbone": facts["backbone"]}
    assert (len(known["class_names"]), known["channels"]) == (4, 3)


def test_weights_start_as_published(model):
    for name in ("cls_fc", "anomaly_fc"):
        kernel = np.asarray(model.get_layer(name).kernel)
        assert np.abs(kernel).max() <= 512**-0.5
        assert kernel.std() == pytest.approx((3 * 512) ** -0.5, rel=0.1)
        assert kernel.mean() == pytest.approx(0, abs=0.005)
    kernel = np.asarray(model.get_layer("cls_head_0").kernel)
    assert kernel.std() == pytest.approx((2 / (9 * 512)) ** 0.5, rel=0.01)  # fan out
    assert np.asarray(model.get_layer("fa_layer_fa").gamma) == [0]
    for layer in model.layers:
        if isinstance(layer, BatchNormalization):
            assert (layer.epsilon, layer.momentum) == (1e-5, 0.9)
        assert getattr(layer, "use_bias", False) is False


def test_the_attention_block_takes_part_only_as_gamma_grows(x):
    model = build()
    before = arrays(model(x, training=False))
    for layer in model.layers:
        if layer.name.startswith("fa_layer_fa_"):
            for weight in layer.weights:
                weight.assign(np.abs(noise(*weight.shape)) + 0.1)
    after = arrays(model(x, training=False))
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)
    model.get_layer("fa_layer_fa").gamma.assign([0.5])
    changed = arrays(model(x, training=False))
    assert np.abs(changed["logits"] - before["logits"]).max() > 1e-6


# Answers


def test_answers_follow_from_the_features(model, x):
    outputs = arrays(model(x, training=False))
    assert set(outputs) == OUTPUTS
    tap = keras.Model(model.input, model.get_layer("cls_head_dropout").output)
    features = np.asarray(tap(x, training=False)).astype(float)
    pooled = np.log(np.exp(6 * features).mean(axis=(1, 2))) / 6
    for prefix, layer in (("", "cls_fc"), ("abnormality_", "anomaly_fc")):
        kernel = np.asarray(model.get_layer(layer).kernel)
        logits, maps = pooled @ kernel, np.maximum(features @ kernel, 0)
        np.testing.assert_allclose(outputs[f"{prefix}logits"], logits, atol=1e-4)
        np.testing.assert_allclose(outputs[f"{prefix}maps"], maps, atol=1e-4)
        refined = outputs[f"{prefix}refined_maps"]
        assert refined.shape == (2, 32, 32, kernel.shape[1])
        assert ((refined >= 0) & (refined <= 1)).all()
        masks = SoftMask((32, 32))(outputs[f"{prefix}maps"])
        np.testing.assert_allclose(refined, masks, atol=1e-3)


def test_whole_channels_are_dropped_in_training_alone(model, x):
    tap = keras.Model(model.input, model.get_layer("cls_head_dropout").output)
    dense = keras.Model(model.input, model.get_layer("cls_head_relu").output)
    np.testing.assert_array_equal(tap(x, training=False), dense(x, training=False))
    layer = model.get_layer("cls_head_dropout")
    dropped = np.asarray(layer(np.ones((4, 5, 5, 512)), training=True))
    gone = (dropped == 0).all(axis=(1, 2))
    assert 0.05 < gone.mean() < 0.15
    assert (dropped[:, 0, 0][~gone] > 1).all()


def test_the_objective_does_not_train_the_heads_through_the_maps(model, x):
    tf = tensorflow()
    kernels = [model.get_layer(name).kernel for name in ("cls_fc", "anomaly_fc")]
    conv = model.get_layer("fa_layer_convb_0").kernel
    with tf.GradientTape(persistent=True) as tape:
        outputs = model(x, training=False)
        maps = tf.add_n([tf.reduce_sum(outputs[n]) for n in outputs if "maps" in n])
        terms = objective_terms(outputs, [[1, 0, 1], [0, 1, 0]])
        attention = terms["bounding"] + terms["union"]
    *slopes, features = tape.gradient(maps, [*kernels, conv])
    assert slopes == [None, None]
    assert np.any(features != 0)
    *slopes, features = tape.gradient(attention, [*kernels, conv])
    assert not any(np.any(slope) for slope in slopes if slope is not None)
    assert np.any(features != 0)
    for name, kernel in zip(("classes", "abnormality"), kernels, strict=True):
        assert np.any(tape.gradient(terms[name], kernel) != 0)


@pytest.mark.parametrize(
    "precision",
    [
        pytest.param("float32", marks=pytest.mark.slow),
        "mixed_bfloat16",
        pytest.param("mixed_float16", marks=pytest.mark.slow),
    ],
)
def test_outputs_and_terms_are_float32_and_a_step_keeps_them_finite(
    precision, policy, x
):
    tf = tensorflow()
    policy(precision)
    model = build()
    labels = np.array([[1, 0, 1], [0, 0, 0]], "float32")
    masks = (noise(2, 32, 32, 3) > 0.5) & (labels[:, None, None] == 1)
    optimizer = keras.optimizers.SGD(1e-4)
    with tf.GradientTape() as tape:
        outputs = model(x, training=True)
        terms = objective_terms(outputs, labels, masks, labels, [1, 1])
        total = tf.add_n([WEIGHTS[name] * terms[name] for name in terms])
    found = {**outputs, **terms}
    assert {value.dtype for value in found.values()} == {tf.float32}
    assert all(np.isfinite(value).all() for value in found.values())
    weights = model.trainable_weights
    optimizer.apply(tape.gradient(total, weights), weights)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert np.asarray(model.get_layer("fa_layer_fa").gamma) != [0]
    kernel = model.get_layer("conv1").kernel
    assert kernel.dtype == "float32"
