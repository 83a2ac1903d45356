"""TIoU and TIoR, streaming."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasloc.metrics import tior, tiou
from kerasloc.training.attention_scores import AttentionAccuracy

PLAIN = {"iou": tiou, "ior": tior}


@pytest.fixture
def refined():
    """Soft masks and box masks of 12 images and 4 classes, the last without a box."""
    rng = np.random.default_rng(0)
    maps = rng.choice([0.0, 0.5, 0.9985, 0.999, 1.0], (12, 6, 5, 4)).astype("float32")
    masks = rng.random(maps.shape) < 0.5
    maps[3] = 0.5
    masks[5:9, ..., 1] = False
    masks[..., 3] = False
    return maps, masks


def make_model():
    """A network that answers with its input as refined maps."""
    image = keras.Input((6, 5, 4))
    maps = keras.layers.Rescaling(1.0, dtype="float32", name="refined_maps")(image)
    pooled = keras.layers.GlobalMaxPooling2D()(maps)
    logits = keras.layers.Dense(4, name="logits")(pooled)
    return keras.Model(image, {"logits": logits, "refined_maps": maps})


def streamed(metric, masks, maps):
    """The result after batches of five."""
    for start in range(0, len(maps), 5):
        metric.update_state(masks[start : start + 5], maps[start : start + 5])
    return float(metric.result())


def expected(ratio, masks, maps, **options):
    # as wide as float32 is: 0.999 there is less than 0.999 here
    return PLAIN[ratio](maps >= np.float32(0.999), masks, **options)["mean"]


@pytest.mark.parametrize("ratio", ["iou", "ior"])
@pytest.mark.parametrize("dtype", [bool, "uint8", "float32"])
def test_streamed_is_that_of_all_images(refined, ratio, dtype):
    maps, masks = refined
    value = expected(ratio, masks, maps)
    assert 0.1 < value < 0.9
    score = AttentionAccuracy(ratio)
    assert streamed(score, masks.astype(dtype), maps) == pytest.approx(value)
    score.reset_state()
    assert np.isnan(float(score.result()))
    assert streamed(score, masks.astype(dtype), maps) == pytest.approx(value)


def test_own_thresholds_count(refined):
    maps, masks = refined
    value = expected("iou", masks, maps, thresholds=[0.3, 0.45])
    score = AttentionAccuracy(thresholds=[0.3, 0.45])
    assert streamed(score, masks, maps) == pytest.approx(value)
    assert value != expected("iou", masks, maps)


def test_a_value_equal_to_the_threshold_reaches_it():
    masks = np.ones((1, 10, 1, 1), bool)
    for tenth in range(1, 10):
        maps = (np.arange(10) < tenth).astype("float32").reshape(masks.shape)
        score = AttentionAccuracy(thresholds=[tenth / 10, tenth / 10 + 1e-6])
        assert float(score(masks, maps)) == 0.5


def test_without_a_pair_there_is_no_number(refined):
    score = AttentionAccuracy("ior")
    assert np.isnan(float(score.result()))
    assert np.isnan(float(score(np.zeros((2, 3, 3, 2)), np.ones((2, 3, 3, 2)))))


def test_counts_may_be_made_before_the_first_batch(refined):
    maps, masks = refined
    score = AttentionAccuracy()
    score.build(4)
    assert len(score.variables) == 2
    assert np.isnan(float(score.result()))
    before = score.variables
    assert streamed(score, masks, maps) == streamed(AttentionAccuracy(), masks, maps)
    assert all(a is b for a, b in zip(before, score.variables, strict=True))


def test_a_class_without_a_box_enters_no_mean():
    maps, masks = np.ones((1, 3, 3, 2)), np.zeros((1, 3, 3, 2))
    masks[..., 0] = 1
    assert float(AttentionAccuracy()(masks, maps)) == 1


def test_attention_nowhere_has_0():
    masks = np.ones((1, 3, 3, 2))
    for ratio in PLAIN:
        assert float(AttentionAccuracy(ratio)(masks, 0.9 * masks)) == 0


def test_sample_weights_change_nothing(refined):
    maps, masks = refined
    weighted = AttentionAccuracy()
    weighted.update_state(masks, maps, sample_weight=np.arange(12.0))
    assert float(weighted.result()) == float(AttentionAccuracy()(masks, maps))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_works_in_fit_and_evaluate(refined, policy):
    maps, masks = refined
    keras.config.set_dtype_policy(policy)
    try:
        model = make_model()
        scores = [AttentionAccuracy("iou"), AttentionAccuracy("ior")]
    finally:
        keras.config.set_dtype_policy("float32")
    loss = {"logits": "mse", "refined_maps": None}
    model.compile("sgd", loss, metrics={"refined_maps": scores})
    truth = {"logits": np.zeros((12, 4), "float32"), "refined_maps": masks}
    history = model.fit(maps, truth, batch_size=5, verbose=0).history
    found = model.evaluate(maps, truth, batch_size=5, verbose=0, return_dict=True)
    for ratio in PLAIN:
        name = f"refined_maps_t{ratio}"
        assert found[name] == pytest.approx(expected(ratio, masks, maps))
        assert history[name] == [pytest.approx(found[name])]


def test_unknown_sizes_in_a_graph_are_fine(refined):
    maps, masks = refined
    score = AttentionAccuracy()
    spec = [
        tf.TensorSpec((None, None, None, 4), kind) for kind in (tf.bool, tf.float32)
    ]
    tf.function(score.update_state, input_signature=spec)(masks, maps)
    assert float(score.result()) == pytest.approx(expected("iou", masks, maps))


def test_is_made_again_from_its_description(refined):
    score = AttentionAccuracy("ior", [0.2, 0.4], name="other")
    again = keras.saving.deserialize_keras_object(
        json.loads(json.dumps(keras.saving.serialize_keras_object(score)))
    )
    assert (again.ratio, again.thresholds) == ("ior", (0.2, 0.4))
    assert again.name == "other"
    maps, masks = refined
    assert streamed(again, masks, maps) == streamed(score, masks, maps)


def test_names_tell_the_ratio():
    assert [AttentionAccuracy(ratio).name for ratio in PLAIN] == ["tiou", "tior"]


def test_options_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r'"iou" or "ior". Received: \'iobb\''):
        AttentionAccuracy("iobb")
    for thresholds in (0.5, [], [float("nan")]):
        with pytest.raises(ValueError, match=r"at least one number.*Received"):
            AttentionAccuracy(thresholds=thresholds)


@pytest.mark.parametrize("shape", [(12, 1, 1, 4), (12, 6, 5, 1), (12, 6, 5)])
def test_masks_of_another_shape_are_refused(refined, shape):
    with pytest.raises(ValueError, match=r"one shape.*\(12, 6, 5, 4\)"):
        AttentionAccuracy().update_state(np.ones(shape), refined[0])
