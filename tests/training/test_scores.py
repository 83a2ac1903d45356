"""Scores that Keras lacks."""

import keras
import numpy as np
import pytest

from kerasloc.metrics import auroc, point_localization
from kerasloc.training.scores import (
    KnownLabelAccuracy,
    MultiLabelAUROC,
    PointLocalization,
)

NAN = np.nan
SIZE = (13, 10)


@pytest.fixture
def ranked():
    """Labels, some unknown, and logits in the middles of bins; c is never positive."""
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
        own = rows[rows[:, 0] == image, 1:]
        padded[image, : len(own)] = own
    return maps, rows, padded


def streamed(metric, truth, answers):
    """The result after batches of five."""
    for start in range(0, len(truth), 5):
        metric.update_state(truth[start : start + 5], answers[start : start + 5])
    return float(metric.result())


def copied(metric):
    return keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(metric)
    )


def test_known_labels_give_keras_own_accuracy():
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 2, (6, 3)).astype(float), rng.normal(size=(6, 3))
    own = keras.metrics.BinaryAccuracy(threshold=0.0)
    assert float(KnownLabelAccuracy()(labels, logits)) == float(own(labels, logits))


def test_unknown_labels_count_neither_as_right_nor_as_wrong():
    score = KnownLabelAccuracy("accuracy")
    score.update_state([[1.0, NAN, 0.0]], [[2.0, 5.0, 3.0]])
    assert float(score.result()) == 0.5
    score.update_state([[NAN, NAN, 0.0], [NAN, 1.0, NAN]], [[-1.0, 1.0, -2.0]] * 2)
    assert float(score.result()) == pytest.approx(3 / 4)  # every known label alike


def test_without_a_known_label_there_is_nothing_right():
    assert float(KnownLabelAccuracy()([[NAN, NAN]], [[1.0, -1.0]])) == 0


def test_streamed_auroc_is_that_of_all_images(ranked):
    assert streamed(MultiLabelAUROC(), *ranked) == pytest.approx(
        auroc(*ranked)["macro"], abs=1e-6
    )


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


def test_without_a_class_to_count_there_is_no_auroc():
    score = MultiLabelAUROC()
    assert np.isnan(float(score.result()))
    assert np.isnan(float(score([[1.0, NAN]], [[2.0, 1.0]])))


def test_a_reset_auroc_starts_again(ranked):
    score = MultiLabelAUROC()
    once = streamed(score, *ranked)
    score.reset_state()
    assert streamed(score, *ranked) == once


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


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_without_boxes_there_is_no_point_accuracy(average):
    score = PointLocalization(8, average)
    assert np.isnan(float(score.result()))
    assert np.isnan(float(score([[[0, 0, 0, 0, -1]]], np.zeros((1, 4, 4, 2)))))


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
    found = model.evaluate(maps, truth, batch_size=5, verbose=0, return_dict=True)
    answers = {key: np.asarray(value) for key, value in model(maps).items()}
    exact = auroc(labels, answers["logits"])["macro"]
    assert found["logits_auroc"] == pytest.approx(exact, abs=0.01)
    exact = point_localization(answers["maps"], rows, SIZE)["macro"]
    assert found["maps_point"] == pytest.approx(exact)


def test_both_are_made_again_from_their_description(ranked, boxed):
    score = copied(MultiLabelAUROC(300, from_logits=False, name="other"))
    assert (score.num_thresholds, score.from_logits) == (300, False)
    assert score.name == "other"
    score = copied(PointLocalization(SIZE, "weighted"))
    assert (score.image_size, score.average) == (SIZE, "weighted")


def test_options_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"at least 2 thresholds. Received: 1"):
        MultiLabelAUROC(1)
    with pytest.raises(ValueError, match=r"weighted.*Received"):
        PointLocalization(8, "micro")
    with pytest.raises(ValueError, match="image size"):
        PointLocalization((8, 8, 3))


def test_counts_may_be_made_before_the_first_batch():
    labels = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    logits = np.array([[1.0, 0.5], [2.0, -1.0], [0.0, 3.0]])
    score = MultiLabelAUROC()
    score.build(2)
    assert len(score.variables) == 2
    assert np.isnan(float(score.result()))
    before = score.variables
    assert float(score(labels, logits)) == float(MultiLabelAUROC()(labels, logits))
    assert all(a is b for a, b in zip(before, score.variables, strict=True))
