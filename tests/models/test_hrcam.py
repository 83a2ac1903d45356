"""The half and the full network: parity, sizes, options."""

import keras
import numpy as np
import pytest

from kerasloc import weights
from kerasloc.models.hrcam import add_alignment, full_densenet, half_densenet

BUILDERS = {"half": half_densenet, "full": full_densenet}


def softmax(x):
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("kind", ["half", "full"])
def test_outputs_equal_the_published_ones(kind, hrcam_golden):
    model = BUILDERS[kind]((64, 64, 3), 5)
    weights.assign(model, hrcam_golden.arrays(kind))
    outputs = {
        k: np.asarray(v) for k, v in model.predict_on_batch(hrcam_golden.images).items()
    }
    answers = hrcam_golden.answers
    probabilities = softmax(outputs["logits"])
    np.testing.assert_allclose(probabilities, answers[f"probs_{kind}"], atol=1e-6)
    kernel = model.get_layer("aux_output").get_weights()[0]
    for image in range(2):
        for suffix, index in (("", 4), ("_first", 0), ("_pred", 4)):
            low = outputs["low_features"][image] @ kernel[:, index]
            golden = answers[f"low{suffix}_{image}"]
            np.testing.assert_allclose(low, golden, atol=1e-5)
            if kind == "full":
                high = outputs["high_features"][image] @ kernel[:, index]
                golden = answers[f"high{suffix}_{image}"]
                np.testing.assert_allclose(high, golden, atol=1e-5)
    if kind == "full":
        np.testing.assert_allclose(
            outputs["reconstruction"], answers["reconstruction"], atol=1e-5
        )


@pytest.mark.parametrize(("kind", "count"), [("half", 1_062_949), ("full", 1_677_221)])
def test_parameter_counts_are_the_published_ones(kind, count):
    assert BUILDERS[kind]((224, 224, 3), 5).count_params() == count


@pytest.mark.parametrize("kind", ["half", "full"])
def test_layer_and_variable_names_are_the_published_ones(kind, hrcam_golden):
    model = BUILDERS[kind]((64, 64, 3), 5)
    names = {f"{layer.name}/{v.name}" for layer in model.layers for v in layer.weights}
    assert names == set(hrcam_golden.facts[kind])


@pytest.mark.parametrize("shape", [(32, 64, 1), (96, 32, 4), (64, 64, 2)])
def test_any_multiple_of_32_and_any_channel_count_fit(shape, tiny):
    model = full_densenet(shape, 3, **tiny)
    assert model.output["reconstruction"].shape[1:] == shape
    assert model.output["low_features"].shape[1:3] == (shape[0] // 16, shape[1] // 16)
    assert model.output["high_features"].shape[1:3] == shape[:2]


def test_fewer_blocks_need_smaller_multiples(tiny):
    model = full_densenet((16, 24, 3), 2, **tiny | {"blocks": 2})
    assert model.output["low_features"].shape[1:3] == (4, 6)
    assert model.output["high_features"].shape[1:] == (16, 24, 4)


@pytest.mark.parametrize("count", [1, 3])
def test_transposed_convolutions_have_growth_times_layers_filters(count, tiny):
    model = full_densenet((32, 32, 3), 2, **tiny | {"layers_per_block": count})
    assert model.get_layer("tr_up_1_conv2DT").filters == 4 * count
    assert model.get_layer("tr_up_early_conv2DT").filters == 4


def test_penalty_is_where_the_published_one_is(tiny):
    model = full_densenet((32, 32, 3), 2, **tiny)
    penalised = {
        layer.name
        for layer in model.layers
        if getattr(layer, "kernel_regularizer", None) is not None
    }
    expected = {"initial_conv2D", "aux_output", "tr_early_conv2D"}
    expected |= {f"tr_{i}_conv2D" for i in range(4)}
    expected |= {f"tr_up_{i}_conv2DT" for i in (0, 1, 2, 3, "early")}
    assert penalised == expected
    assert float(model.get_layer("tr_0_conv2D").kernel_regularizer.l2) == (
        pytest.approx(1e-4)
    )


def test_reconstruction_starts_small_where_he_normal_starts_far_off():
    keras.utils.set_random_seed(1)
    model = full_densenet((32, 32, 3), 2)
    x = np.random.default_rng(0).random((4, 32, 32, 3), dtype="float32")
    kernel = model.get_layer("main_output").kernel
    ours = np.mean((model.predict_on_batch(x)["reconstruction"] - x) ** 2)
    kernel.assign(kernel * 20)
    published = np.mean((model.predict_on_batch(x)["reconstruction"] - x) ** 2)
    assert ours < 0.6 < published


def test_heads_are_float32_in_mixed_precision(tiny):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = full_densenet((32, 32, 3), 2, **tiny)
    finally:
        keras.config.set_dtype_policy(before)
    dtypes = {name: str(v.dtype) for name, v in model.output.items()}
    assert set(dtypes) == {"logits", "low_features", "high_features", "reconstruction"}
    assert set(dtypes.values()) == {"float32"}


def test_alignment_is_zero_for_high_features_that_repeat_the_low_ones(tiny):
    model = add_alignment(full_densenet((32, 32, 3), 2, **tiny))
    x = np.random.default_rng(0).random((2, 32, 32, 3), dtype="float32")
    out = {k: np.asarray(v) for k, v in model.predict_on_batch(x).items()}
    pooled = out["high_features"].reshape(2, 2, 16, 2, 16, 4).mean(axis=(2, 4))
    expected = pooled - out["low_features"]
    np.testing.assert_allclose(out["alignment"], expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["half", "full"])
@pytest.mark.parametrize(
    ("shape", "classes", "options", "message"),
    [
        ((100, 96, 3), 2, {}, "multiples of 32. Received: 100 x 96"),
        ((96, 96, 3), 0, {}, "at least one class"),
        ((96, 96, 3), 2, {"growth": 0}, "growth.*growth=0"),
        ((96, 96, 3), 2, {"momentum": 1.0}, "momentum in.*momentum=1.0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(kind, shape, classes, options, message):
    with pytest.raises(ValueError, match=message):
        BUILDERS[kind](shape, classes, **options)


def test_unknown_option_is_refused():
    with pytest.raises(TypeError, match="growht"):
        half_densenet((32, 32, 3), 2, growht=8)


@pytest.mark.slow
def test_exported_saved_model_answers_like_the_network(tiny, tmp_path):
    tf = pytest.importorskip("tensorflow")
    model = full_densenet((16, 16, 3), 2, **tiny | {"blocks": 2})
    x = np.random.default_rng(0).random((2, 16, 16, 3), dtype="float32")
    model.export(tmp_path / "saved", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "saved")
    answers = loaded.serve(x)
    for name, expected in model.predict_on_batch(x).items():
        np.testing.assert_allclose(answers[name], expected, atol=1e-5)
