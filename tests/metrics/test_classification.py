import numpy as np
import pytest
from sklearn import metrics

from kerasloc.metrics import (
    auroc,
    average_precision,
    best_thresholds,
    classification_report,
    multi_label_report,
)

NAMES = list("abcdefg")
SCORES = ("precision", "recall", "f1")
NAN = np.nan


@pytest.fixture
def single():
    """Truth and probabilities of 60 images; no image of the last class."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 6, 60)
    return truth, rng.dirichlet(np.ones(7), 60) + 0.3 * np.eye(7)[truth]


@pytest.fixture
def multi():
    """Labels and probabilities of 50 images; the last class is never positive."""
    rng = np.random.default_rng(1)
    labels = (rng.random((50, 4)) < [0.5, 0.3, 0.2, 0]).astype(float)
    return labels, np.clip(0.4 * labels + 0.7 * rng.random((50, 4)), 0, 1)


def averages(report, name):
    return [report[f"{score}_{name}"] for score in SCORES]


def scores_per_class(report, names):
    return [[report["per_class"][name][s] for s in SCORES] for name in names]


def binary_scores(labels, predicted):
    """Precision, recall and F1 of labels that are not missing, by scikit-learn."""
    at = ~np.isnan(labels)
    scores = metrics.precision_recall_fscore_support(
        labels[at], predicted[at], average="binary", zero_division=0
    )
    return scores[:3]


def test_numbers_that_an_eye_can_check():
    # class a: 2 images, 1 right; b: 1 image, right, and an image of a taken for it
    predicted = np.eye(3)[[0, 1, 1]]
    report = classification_report([0, 0, 1], predicted, ["a", "b", "c"])
    assert report["count"] == 3
    assert report["accuracy"] == pytest.approx(2 / 3)
    scores = {"precision": 1, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2}
    assert report["per_class"]["a"] == scores
    assert report["per_class"]["b"]["precision"] == 0.5
    assert report["precision_macro"] == 0.75
    assert report["precision_micro"] == pytest.approx(2 / 3)
    assert report["confusion"].tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    # a class without an image has NaN and enters no mean
    assert report["classes_counted"] == 2
    assert np.isnan(report["per_class"]["c"]["recall"])
    assert report["per_class"]["c"]["support"] == 0


def test_agrees_with_scikit_learn(single):
    truth, probabilities = single
    report = classification_report(truth, probabilities, NAMES)
    predicted = probabilities.argmax(axis=1)
    *scores, _ = metrics.precision_recall_fscore_support(
        truth, predicted, labels=range(6), zero_division=0
    )
    np.testing.assert_allclose(
        scores_per_class(report, NAMES[:6]), np.transpose(scores)
    )
    # macro over the six classes that have images
    np.testing.assert_allclose(averages(report, "macro"), np.mean(scores, axis=1))
    accuracy = metrics.accuracy_score(truth, predicted)
    np.testing.assert_allclose(averages(report, "micro"), [accuracy] * 3)
    assert report["accuracy"] == pytest.approx(accuracy)
    low, high = report["accuracy_interval"]
    assert 0 < low < accuracy < high < 1
    top_5 = metrics.top_k_accuracy_score(truth, probabilities, k=5, labels=range(7))
    assert report["top_5"] == pytest.approx(top_5)
    confusion = metrics.confusion_matrix(truth, predicted, labels=range(7))
    np.testing.assert_array_equal(report["confusion"], confusion)
    logits = classification_report(truth, np.log(probabilities), NAMES)
    np.testing.assert_equal(logits, report)


def test_of_equal_probabilities_the_first_is_the_prediction():
    report = classification_report(range(6), np.full((6, 6), 1 / 6), NAMES[:6])
    assert report["confusion"][:, 0].tolist() == [1] * 6
    assert report["accuracy"] == pytest.approx(1 / 6)
    assert report["top_5"] == pytest.approx(5 / 6)
    for truth, share in ((0, 1), (4, 1), (5, 0)):
        report = classification_report([truth], np.ones((1, 6)), NAMES[:6])
        assert report["top_5"] == share


def test_a_class_that_is_never_predicted_has_precision_0():
    report = classification_report([0, 1], np.eye(2)[[0, 0]], ["a", "b"])
    assert scores_per_class(report, ["b"]) == [[0, 0, 0]]
    assert (report["precision_macro"], report["top_5"]) == (0.25, 1)


def test_almost_as_many_classes_as_images_and_a_single_image_have_a_report():
    truth, names = [0, *range(29)], [str(c) for c in range(40)]
    report = classification_report(truth, np.eye(40)[truth], names)
    assert (report["accuracy"], report["classes_counted"]) == (1, 29)
    report = classification_report([0], [[1.0]], ["only"])
    assert report["accuracy_interval"] == (1, 1)
    assert averages(report, "macro") == [1, 1, 1]


@pytest.mark.parametrize("missing", [0, 0.3])
def test_multi_label_scores_agree_with_scikit_learn(multi, missing):
    labels, probabilities = multi
    labels[np.random.default_rng(2).random(labels.shape) < missing] = NAN
    report = multi_label_report(labels, probabilities, NAMES[:4])
    predicted = probabilities > 0.5
    per_class = [binary_scores(labels[:, c], predicted[:, c]) for c in range(3)]
    np.testing.assert_allclose(scores_per_class(report, NAMES[:3]), per_class)
    np.testing.assert_allclose(averages(report, "macro"), np.mean(per_class, axis=0))
    pooled = binary_scores(labels.ravel(), predicted.ravel())
    np.testing.assert_allclose(averages(report, "micro"), pooled)
    right = np.where(np.isnan(labels), NAN, predicted == labels)
    assert report["accuracy"] == pytest.approx(np.nanmean(np.nanmean(right, axis=1)))
    assert report["classes_counted"] == 3
    assert np.isnan(scores_per_class(report, "d")).all()  # never positive
    support = [report["per_class"][name]["support"] for name in NAMES[:4]]
    np.testing.assert_array_equal(support, np.nansum(labels, axis=0))


@pytest.mark.parametrize("metric", [auroc, average_precision])
def test_the_multi_label_report_has_the_ranking(metric, multi):
    labels, probabilities = multi
    labels[3, 1] = NAN
    report = multi_label_report(labels, probabilities, NAMES[:4], seed=2)
    name, alone = metric.__name__, metric(labels, probabilities, seed=2)
    for key in ("macro", "micro", "weighted"):
        assert report[f"{name}_{key}"] == alone[key]
        bounds = report[f"{name}_intervals"][key]
        np.testing.assert_array_equal(bounds, alone["intervals"][key])
    per_class = [report["per_class"][c][name] for c in NAMES[:4]]
    np.testing.assert_array_equal(per_class, alone["per_class"])
    assert np.isnan(per_class[3])  # never positive: undefined, and in no mean
    assert report[f"{name}_macro"] == pytest.approx(np.mean(per_class[:3]))
    assert report[f"{name}_classes_counted"] == 3


def test_the_multi_label_accuracy_is_the_mean_over_images():
    labels = [[1, 0], [1, NAN], [NAN, NAN]]
    report = multi_label_report(labels, np.full((3, 2), 0.9), ["a", "b"])
    assert report["accuracy"] == 0.75  # 1 of 2, 1 of 1, no label
    report = multi_label_report(np.full((2, 2), NAN), np.ones((2, 2)), ["a", "b"])
    assert report["classes_counted"] == 0
    assert np.isnan([report["accuracy"], report["f1_macro"], report["f1_micro"]]).all()


def test_predictions_are_above_the_threshold_of_their_class():
    probabilities = [[0.3, 0.6], [0.2, 0.8]]
    report = multi_label_report([[1, 0], [0, 1]], probabilities, "ab", [0.25, 0.7])
    assert report["accuracy"] == 1
    equal = np.full((1, 1), 0.3, np.float32)
    assert multi_label_report([[0]], equal, ["a"], 0.3)["accuracy"] == 1


@pytest.mark.parametrize(
    ("truth", "probabilities", "names", "message"),
    [
        ([0, 3], np.ones((2, 3)), "abc", r"0\.\.2\. Received: 0\.\.3"),
        ([-1, 0], np.ones((2, 3)), "abc", r"Received: -1\.\.0"),
        ([0], np.ones((2, 3)), "abc", r"\(2,\).*shape \(1,\)"),
        ([0.0, 1.0], np.ones((2, 3)), "abc", "Received: float64"),
        (np.eye(3)[:2], np.ones((2, 3)), "abc", r"shape \(2, 3\).*argmax"),
        ([0, 1], np.ones((2, 3)), "ab", r"\(n, 2\).*Received: shape \(2, 3\)"),
        ([0, 1], np.ones(2), "ab", r"Received: shape \(2,\)"),
        ([0, 1], np.ones((2, 2)), ["crane"] * 2, r"\['crane'\] more than once"),
        ([0, 1], np.zeros((0, 2)), "ab", "Received: 0 images"),
        ([0, 1], [[NAN, 1], [0, 1]], "ab", "1 NaN or infinite"),
    ],
)
def test_wrong_indices_and_probabilities_are_refused(
    truth, probabilities, names, message
):
    with pytest.raises(ValueError, match=message):
        classification_report(truth, probabilities, names)


@pytest.mark.parametrize(
    ("labels", "thresholds", "message"),
    [
        ([[1, 0, 1]], 0.5, r"labels.*\(1, 2\).*\(1, 3\)"),
        ([[1, -1]], 0.5, r"labels.*Received: \[-1.0\]"),
        ([[1, 0]], [0.5, 0.5, 0.5], r"thresholds.*\(2,\).*\(3,\)"),
        ([[1, 0]], NAN, "thresholds.*nan"),
    ],
)
def test_wrong_labels_and_thresholds_are_refused(labels, thresholds, message):
    with pytest.raises(ValueError, match=message):
        multi_label_report(labels, np.ones((1, 2)), ["a", "b"], thresholds)


@pytest.mark.parametrize(
    ("labels", "probabilities", "expected"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.4, 0.8], 0.3),
        ([1, 0, 0, 0], [0.9, 0.7, 0.1, 0.3], 0.8),
        ([0, 1, NAN, NAN], [0.2, 0.6, 0.5, 0.9], 0.4),
        ([0, 0], [0.1, 0.2], 0.5),  # no positive
        ([NAN, NAN], [0.1, 0.2], 0.5),
        ([1, 0], [0.2, 0.1], 0.15),
        ([1, 1], [0.4, 0.6], 0.2),  # all positive: a threshold below all
        ([1, 1], [0.0, 0.6], 0.3),
        ([1], [0.0], 0.5),  # nothing is above
    ],
)
def test_the_threshold_lies_between_positives_and_negatives(
    labels, probabilities, expected
):
    columns = np.transpose([labels, labels]), np.transpose([probabilities] * 2)
    np.testing.assert_allclose(best_thresholds(*columns), [expected] * 2)


def test_the_threshold_has_the_highest_f1():
    rng = np.random.default_rng(0)
    labels = (rng.random((80, 3)) < 0.3).astype(float)
    probabilities = np.round((rng.random((80, 3)) + 0.4 * labels) / 1.4, 2)
    candidates = np.arange(0, 100) / 100 + 0.005
    for column, threshold in enumerate(best_thresholds(labels, probabilities)):
        truth, scores = labels[:, column], probabilities[:, column]
        best = max(metrics.f1_score(truth, scores > t) for t in candidates)
        assert metrics.f1_score(truth, scores > threshold) == pytest.approx(best)
        assert np.abs(scores - threshold).min() > 0.004


def test_between_neighboring_floats_the_positive_is_still_above():
    upper = np.float32(0.3)
    for _ in range(2):  # halves round up for one of two neighbors, down for the other
        lower = np.nextafter(upper, np.float32(0))
        threshold = best_thresholds([[1], [0]], np.array([[upper], [lower]]))[0]
        assert lower <= np.float32(threshold) < upper
        upper = lower


def test_logits_and_labels_of_another_shape_have_no_thresholds():
    with pytest.raises(ValueError, match=r"probabilities.*from -2 to 3"):
        best_thresholds([[1], [0]], [[3.0], [-2.0]])
    with pytest.raises(ValueError, match=r"labels.*\(2, 1\).*\(2,\)"):
        best_thresholds([1, 0], [[0.3], [0.2]])
