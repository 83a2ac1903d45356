"""Streaming metrics equal those of all images."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasloc.metrics import auroc, point_localization, tior, tiou
from kerasloc.training.streaming_metrics import (
    AttentionAccuracy,
    KnownLabelAccuracy,
    MultiLabelAUROC,
    PointLocalization,
)

NAN = np.nan
SIZE = (13, 10)


@pytest.fixture
def ranked():
    """Labels, some unknown, and logits in the centers of bins; c is never positive."""
    rng = np.random.default_rng(0)
    labels = (rng.random((60, 3)) < [0.5, 0.2, 0]).astype("float32")
    logits = rng.integers(-8, 8, labels.shape) + labels * 3 + 0.05
    labels[rng.random(labels.shape) < 0.2] = NAN
    return labels, logits.astype("float32")


@pytest.fixture
def boxed():
    """Maps of 12 images and 4 classes, box rows, and the same boxes padded."""
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((12, 5, 4, 4)).astype("float32")
    rows = np.column_stack(
        [
            rng.integers(11, size=30),  # the last image has none
            rng.uniform(0, 8, (30, 2)),
            rng.uniform(1, 6, (30, 2)),
            rng.integers(3, size=30),  # nor has the last class
        ]
    ).astype("float32")
    padded = np.zeros((12, 9, 5), "float32")
    padded[..., 4] = -1
    for image in range(12):
        of_image = rows[rows[:, 0] == image, 1:]
        padded[image, : len(of_image)] = of_image
    return maps, rows, padded


def streamed(metric, truth, predictions):
    """The result after batches of five."""
    for start in range(0, len(truth), 5):
        metric.update_state(truth[start : start + 5], predictions[start : start + 5])
    return float(metric.result())


def test_labels_without_nan_give_the_accuracy_of_keras():
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 2, (6, 3)).astype(float), rng.normal(size=(6, 3))
    binary = keras.metrics.BinaryAccuracy(threshold=0.0)
    assert float(KnownLabelAccuracy()(labels, logits)) == float(binary(labels, logits))


def test_unknown_labels_do_not_count():
    score = KnownLabelAccuracy("accuracy")
    score.update_state([[1.0, NAN, 0.0]], [[2.0, 5.0, 3.0]])
    assert float(score.result()) == 0.5
    score.update_state([[NAN, NAN, 0.0], [NAN, 1.0, NAN]], [[-1.0, 1.0, -2.0]] * 2)
    assert float(score.result()) == pytest.approx(3 / 4)  # all labels count alike
    assert float(KnownLabelAccuracy()([[NAN, NAN]], [[1.0, -1.0]])) == 0


def test_streamed_auroc_is_that_of_all_images(ranked):
    score = MultiLabelAUROC()
    once = streamed(score, *ranked)
    assert once == pytest.approx(auroc(*ranked)["macro"], abs=1e-6)
    score.reset_state()
    assert streamed(score, *ranked) == once


def test_auroc_of_scores_between_the_bins_is_near():
    rng = np.random.default_rng(1)
    labels = (rng.random((400, 3)) < 0.2).astype("float32")
    logits = (rng.normal(size=labels.shape) + labels - 6).astype("float32")
    exact = auroc(labels, logits)["macro"]
    assert streamed(MultiLabelAUROC(), labels, logits) == pytest.approx(exact, abs=2e-3)
    rare = 1 / (1 + np.exp(-logits))
    score = MultiLabelAUROC(from_logits=False)
    assert streamed(score, labels, rare) == pytest.approx(exact, abs=2e-3)


def test_certain_probabilities_and_extreme_logits_are_counted():
    labels = np.array([[0.0], [1.0]])
    assert streamed(MultiLabelAUROC(from_logits=False), labels, labels) == 1
    extreme = np.array([[-1e30], [1e30]])
    assert streamed(MultiLabelAUROC(), labels, extreme) == 1


def test_a_class_without_a_positive_or_a_negative_enters_no_auroc():
    labels, logits = [[1.0, 0, 1], [0, 0, 1]], [[2.0, 1, 1], [-2, 2, 3]]
    assert float(MultiLabelAUROC()(labels, logits)) == 1


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_streamed_points_are_those_of_all_images(boxed, average):
    maps, rows, padded = boxed
    expected = point_localization(maps, rows, SIZE)[average]
    assert 0 < expected < 1
    score = PointLocalization(SIZE, average)
    assert streamed(score, padded, maps) == pytest.approx(expected)
    score.reset_state()
    assert streamed(score, padded, maps) == pytest.approx(expected)


def test_borders_hit_and_several_boxes_are_one_pair():
    maps = np.zeros((1, 8, 8, 1), "float32")
    maps[0, 4, 5] = 1
    far, near = [0, 0, 1, 1, 0], [2, 3, 3, 1, 0]  # to column 5 and row 4
    assert float(PointLocalization(8)([[far, near, far]], maps)) == 1
    assert float(PointLocalization(8)([[far, far]], maps)) == 0


def test_both_work_in_fit_and_evaluate(ranked, boxed):
    labels, (maps, rows, padded) = np.nan_to_num(ranked[0][:12]), boxed
    labels = np.pad(labels, [(0, 0), (0, 1)])
    keras.utils.set_random_seed(0)  # equal logits in one bin would count half
    entry = keras.Input((5, 4, 4))
    heat = keras.layers.Conv2D(4, 1, name="maps")(entry)
    logits = keras.layers.GlobalMaxPooling2D(name="logits")(heat)
    model = keras.Model(entry, {"logits": logits, "maps": heat})
    model.compile(
        "sgd",
        {"logits": keras.losses.BinaryCrossentropy(from_logits=True), "maps": None},
        metrics={"logits": MultiLabelAUROC(2000), "maps": PointLocalization(SIZE)},
    )
    truth = {"logits": labels, "maps": padded}
    history = model.fit(maps, truth, batch_size=5, verbose=0).history
    assert {"logits_auroc", "maps_point"} <= set(history)
    scores_of_model = model.evaluate(
        maps, truth, batch_size=5, verbose=0, return_dict=True
    )
    outputs = {key: np.asarray(value) for key, value in model(maps).items()}
    exact = auroc(labels, outputs["logits"])["macro"]
    assert scores_of_model["logits_auroc"] == pytest.approx(exact, abs=0.01)
    exact = point_localization(outputs["maps"], rows, SIZE)["macro"]
    assert scores_of_model["maps_point"] == pytest.approx(exact)


# TIoU and TIoR

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
    """A network whose refined maps are its input."""
    image = keras.Input((6, 5, 4))
    maps = keras.layers.Rescaling(1.0, dtype="float32", name="refined_maps")(image)
    pooled = keras.layers.GlobalMaxPooling2D()(maps)
    logits = keras.layers.Dense(4, name="logits")(pooled)
    return keras.Model(image, {"logits": logits, "refined_maps": maps})


def expected(ratio, masks, maps, **options):
    # as wide as float32 is: 0.999 there is less than 0.999 here
    return PLAIN[ratio](maps >= np.float32(0.999), masks, **options)["mean"]


@pytest.mark.parametrize("ratio", ["iou", "ior"])
@pytest.mark.parametrize("dtype", [bool, "uint8", "float32"])
def test_streamed_overlaps_are_those_of_all_images(refined, ratio, dtype):
    maps, masks = refined
    value = expected(ratio, masks, maps)
    assert 0.1 < value < 0.9
    score = AttentionAccuracy(ratio)
    assert streamed(score, masks.astype(dtype), maps) == pytest.approx(value)
    score.reset_state()
    assert np.isnan(float(score.result()))
    assert streamed(score, masks.astype(dtype), maps) == pytest.approx(value)


def test_thresholds_may_be_set(refined):
    maps, masks = refined
    value = expected("iou", masks, maps, thresholds=[0.3, 0.45])
    score = AttentionAccuracy(thresholds=[0.3, 0.45])
    assert streamed(score, masks, maps) == pytest.approx(value)
    assert value != expected("iou", masks, maps)


ONES = np.ones((1, 3, 3, 2))


def test_a_class_without_a_box_enters_no_mean_and_attention_nowhere_has_0():
    assert float(AttentionAccuracy()(ONES * [1, 0], ONES)) == 1
    for ratio in PLAIN:
        assert float(AttentionAccuracy(ratio)(ONES, 0.9 * ONES)) == 0


def test_a_value_equal_to_the_threshold_reaches_it():
    masks = np.ones((1, 10, 1, 1), bool)
    for tenth in range(1, 10):
        maps = (np.arange(10) < tenth).astype("float32").reshape(masks.shape)
        score = AttentionAccuracy(thresholds=[tenth / 10, tenth / 10 + 1e-6])
        assert float(score(masks, maps)) == 0.5


def test_sample_weights_change_nothing(refined):
    maps, masks = refined
    weighted = AttentionAccuracy()
    weighted.update_state(masks, maps, sample_weight=np.arange(12.0))
    assert float(weighted.result()) == float(AttentionAccuracy()(masks, maps))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_overlaps_work_in_fit_and_evaluate(refined, policy):
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
    scores_of_model = model.evaluate(
        maps, truth, batch_size=5, verbose=0, return_dict=True
    )
    for ratio in PLAIN:
        name = f"refined_maps_t{ratio}"
        assert scores_of_model[name] == pytest.approx(expected(ratio, masks, maps))
        assert history[name] == [pytest.approx(scores_of_model[name])]


def test_overlaps_of_unknown_sizes_work_in_a_graph(refined):
    maps, masks = refined
    score = AttentionAccuracy()
    spec = [
        tf.TensorSpec((None, None, None, 4), kind) for kind in (tf.bool, tf.float32)
    ]
    tf.function(score.update_state, input_signature=spec)(masks, maps)
    assert float(score.result()) == pytest.approx(expected("iou", masks, maps))


@pytest.mark.parametrize("shape", [(12, 1, 1, 4), (12, 6, 5, 1), (12, 6, 5)])
def test_masks_of_another_shape_are_refused(refined, shape):
    with pytest.raises(ValueError, match=r"Received.*\(12, 6, 5, 4\)"):
        AttentionAccuracy().update_state(np.ones(shape), refined[0])


# All of them


@pytest.mark.parametrize(
    ("score", "truth", "predictions"),
    [
        (MultiLabelAUROC(), [[1.0, NAN]], [[2.0, 1.0]]),
        (PointLocalization(8), [[[0, 0, 0, 0, -1]]], np.zeros((1, 4, 4, 2))),
        (PointLocalization(8, "weighted"), [[[0, 0, 0, 0, -1]]], 0 * ONES),
        (AttentionAccuracy("ior"), 0 * ONES, ONES),
    ],
)
def test_without_anything_to_count_the_value_is_nan(score, truth, predictions):
    assert np.isnan(float(score.result()))
    assert np.isnan(float(score(truth, predictions)))


@pytest.mark.parametrize(
    ("metric", "options"),
    [
        (MultiLabelAUROC, {"num_thresholds": 300, "from_logits": False}),
        (PointLocalization, {"image_size": SIZE, "average": "weighted"}),
        (AttentionAccuracy, {"ratio": "ior", "thresholds": (0.2, 0.4)}),
    ],
)
def test_a_metric_is_made_again_from_its_description(metric, options):
    text = json.dumps(
        keras.saving.serialize_keras_object(metric(**options, name="other"))
    )
    copy = keras.saving.deserialize_keras_object(json.loads(text))
    assert {name: getattr(copy, name) for name in options} == options
    assert (type(copy), copy.name) == (metric, "other")
    assert [AttentionAccuracy(ratio).name for ratio in PLAIN] == ["tiou", "tior"]


@pytest.mark.parametrize(
    ("metric", "options", "message"),
    [
        (MultiLabelAUROC, {"num_thresholds": 1}, "num_thresholds.*Received: 1"),
        (PointLocalization, {"image_size": 8, "average": "micro"}, "average.*'micro'"),
        (PointLocalization, {"image_size": (8, 8, 3)}, "size"),
        (AttentionAccuracy, {"ratio": "iobb"}, "ratio.*Received: 'iobb'"),
        (AttentionAccuracy, {"thresholds": 0.5}, "threshold.*Received: 0.5"),
        (AttentionAccuracy, {"thresholds": []}, r"threshold.*Received: \[\]"),
        (AttentionAccuracy, {"thresholds": [NAN]}, "threshold.*Received: .*nan"),
    ],
)
def test_invalid_options_are_refused(metric, options, message):
    with pytest.raises(ValueError, match=message):
        metric(**options)


def test_counts_may_be_made_before_the_first_batch(refined):
    maps, masks = refined
    labels = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    logits = np.array([[1.0, 0.5], [2.0, -1.0], [0.0, 3.0]])
    for metric, classes, truth, predictions in (
        (MultiLabelAUROC, 2, labels, logits),
        (AttentionAccuracy, 4, masks, maps),
    ):
        score = metric()
        score.build(classes)
        before = score.variables
        assert len(before) == 2
        assert np.isnan(float(score.result()))
        assert streamed(score, truth, predictions) == streamed(
            metric(), truth, predictions
        )
        assert all(a is b for a, b in zip(before, score.variables, strict=True))
