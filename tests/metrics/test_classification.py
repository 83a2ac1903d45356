import numpy as np
import pytest
from sklearn.metrics import f1_score

from kerasloc.metrics import (
    auroc,
    average_precision,
    best_thresholds,
    classification_report,
    multi_label_report,
)

NAMES = list("abcdefg")
AVERAGES = ("precision", "recall", "f1")


def one_hot(answers, classes):
    return np.eye(classes)[answers]


@pytest.fixture
def single():
    """Truth and probabilities of 60 images; no image of the last class."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 6, 60)
    return truth, rng.dirichlet(np.ones(7), 60) + 0.3 * one_hot(truth, 7)


@pytest.fixture
def many():
    """Labels and probabilities of 50 images; the last class is never positive."""
    rng = np.random.default_rng(1)
    labels = (rng.random((50, 4)) < [0.5, 0.3, 0.2, 0]).astype(float)
    return labels, np.clip(0.4 * labels + 0.7 * rng.random((50, 4)), 0, 1)


def averages(report, how):
    return [report[f"{score}_{how}"] for score in AVERAGES]


def by_hand(truth, answers):
    """Precision, recall, F1 of yes or no, counted one by one; NaN is unknown."""
    known = [(t == 1, a) for t, a in zip(truth, answers, strict=True) if t in (0, 1)]
    right = sum(1 for t, a in known if t and a)
    false_alarms = sum(1 for t, a in known if a and not t)
    missed = sum(1 for t, a in known if t and not a)
    return [
        right / (right + false_alarms) if right + false_alarms else 0,
        right / (right + missed),
        2 * right / (2 * right + false_alarms + missed),
    ]


def each_by_hand(truth, answers, classes):
    return [by_hand(truth[:, c], answers[:, c]) for c in range(classes)]


def scores_per_class(report, names):
    return [[report["per_class"][name][s] for s in AVERAGES] for name in names]


def test_numbers_that_an_eye_can_check():
    # class a: 2 images, 1 right; b: 1 image, right, and one of a taken for it
    report = classification_report([0, 0, 1], one_hot([0, 1, 1], 3), ["a", "b", "c"])
    assert report["count"] == 3
    assert report["accuracy"] == pytest.approx(2 / 3)
    assert report["per_class"]["a"] == {
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
        "support": 2,
    }
    assert report["per_class"]["b"]["precision"] == 0.5
    assert report["precision_macro"] == 0.75
    assert report["precision_micro"] == pytest.approx(2 / 3)
    np.testing.assert_array_equal(
        report["confusion"], [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    )


def test_a_class_without_images_has_nan_and_enters_no_mean():
    report = classification_report([0, 0, 1], one_hot([0, 2, 1], 3), ["a", "b", "c"])
    assert report["classes_counted"] == 2
    assert np.isnan(report["per_class"]["c"]["recall"])
    assert report["per_class"]["c"]["support"] == 0
    assert report["recall_macro"] == 0.75


def test_agrees_with_counts_by_hand(single):
    truth, probabilities = single
    report = classification_report(truth, probabilities, NAMES)
    order = [sorted(range(7), key=lambda c, row=row: -row[c]) for row in probabilities]
    answers = np.array([first for first, *_ in order])
    each = each_by_hand(one_hot(truth, 7), one_hot(answers, 7), 6)
    hits = [t in five for t, five in zip(truth, np.array(order)[:, :5], strict=True)]
    confusion = np.zeros((7, 7), int)
    for pair in zip(truth, answers, strict=True):
        confusion[pair] += 1
    np.testing.assert_allclose(scores_per_class(report, NAMES[:6]), each)
    # macro over the six classes that have images
    np.testing.assert_allclose(averages(report, "macro"), np.mean(each, axis=0))
    right = sum(truth == answers) / 60
    np.testing.assert_allclose(averages(report, "micro"), [right] * 3)
    assert report["accuracy"] == pytest.approx(right)
    assert report["top_5"] == pytest.approx(sum(hits) / 60)
    np.testing.assert_array_equal(report["confusion"], confusion)


def test_the_interval_surrounds_the_accuracy(single):
    report = classification_report(*single, NAMES)
    low, high = report["accuracy_interval"]
    assert 0 < low < report["accuracy"] < high < 1


def test_logits_give_the_same_report(single):
    truth, probabilities = single
    logits = classification_report(truth, np.log(probabilities), NAMES)
    np.testing.assert_equal(logits, classification_report(truth, probabilities, NAMES))


def test_top_5_of_few_classes_is_1():
    report = classification_report([0, 1], one_hot([1, 0], 2), ["a", "b"])
    assert (report["accuracy"], report["top_5"]) == (0, 1)


def test_undecided_answers_go_to_the_first_class():
    report = classification_report(range(6), np.full((6, 6), 1 / 6), NAMES[:6])
    assert report["confusion"][:, 0].tolist() == [1] * 6
    assert report["accuracy"] == pytest.approx(1 / 6)
    assert report["top_5"] == pytest.approx(5 / 6)


def test_of_equal_probabilities_the_first_five_are_the_top():
    for truth, share in ((0, 1), (4, 1), (5, 0)):
        report = classification_report([truth], np.ones((1, 6)), NAMES[:6])
        assert report["top_5"] == share


def test_a_class_never_answered_has_precision_0():
    report = classification_report([0, 1], one_hot([0, 0], 2), ["a", "b"])
    assert scores_per_class(report, ["b"]) == [[0, 0, 0]]
    assert report["precision_macro"] == 0.25


def test_almost_as_many_classes_as_images_are_a_report():
    truth, names = [0, *range(29)], [str(c) for c in range(40)]
    report = classification_report(truth, one_hot(truth, 40), names)
    assert (report["accuracy"], report["classes_counted"]) == (1, 29)


def test_one_image_of_one_class_is_a_report():
    report = classification_report([0], [[1.0]], ["only"])
    assert report["accuracy_interval"] == (1, 1)
    assert averages(report, "macro") == [1, 1, 1]


def test_many_labels_agree_with_counts_by_hand(many):
    labels, probabilities = many
    report = multi_label_report(labels, probabilities, NAMES[:4])
    answers = probabilities > 0.5
    each = each_by_hand(labels, answers, 3)
    assert report["classes_counted"] == 3
    np.testing.assert_allclose(scores_per_class(report, NAMES[:3]), each)
    np.testing.assert_allclose(averages(report, "macro"), np.mean(each, axis=0))
    pooled = by_hand(labels.ravel(), answers.ravel())
    np.testing.assert_allclose(averages(report, "micro"), pooled)
    assert report["accuracy"] == pytest.approx(np.mean(answers == labels))
    assert np.isnan(scores_per_class(report, "d")).all()


@pytest.mark.parametrize("score", [auroc, average_precision])
def test_many_labels_are_ranked_too(score, many):
    labels, probabilities = many
    labels[3, 1] = np.nan
    report = multi_label_report(labels, probabilities, NAMES[:4], seed=2)
    name, alone = score.__name__, score(labels, probabilities, seed=2)
    for key in ("macro", "micro", "weighted"):
        assert report[f"{name}_{key}"] == alone[key]
        around = report[f"{name}_intervals"][key]
        np.testing.assert_array_equal(around, alone["intervals"][key])
    each = [report["per_class"][one][name] for one in NAMES[:4]]
    np.testing.assert_array_equal(each, alone["per_class"])
    assert np.isnan(each[3])  # never positive: undefined, and in no mean
    assert report[f"{name}_macro"] == pytest.approx(np.mean(each[:3]))
    assert report[f"{name}_classes_counted"] == 3


def test_unknown_labels_are_left_out(many):
    labels, probabilities = many
    labels[np.random.default_rng(2).random(labels.shape) < 0.3] = np.nan
    report = multi_label_report(labels, probabilities, NAMES[:4])
    answers = probabilities > 0.5
    each = each_by_hand(labels, answers, 3)
    np.testing.assert_allclose(scores_per_class(report, NAMES[:3]), each)
    pooled = by_hand(labels.ravel(), answers.ravel())
    np.testing.assert_allclose(averages(report, "micro"), pooled)
    for column, name in enumerate(NAMES[:4]):
        assert report["per_class"][name]["support"] == np.nansum(labels[:, column])


def test_accuracy_of_many_labels_is_the_mean_over_images():
    labels = [[1, 0], [1, np.nan], [np.nan, np.nan]]
    report = multi_label_report(labels, np.full((3, 2), 0.9), ["a", "b"])
    assert report["accuracy"] == 0.75  # 1 of 2, 1 of 1, nothing known


def test_every_class_can_have_its_threshold():
    report = multi_label_report(
        [[1, 0], [0, 1]], [[0.3, 0.6], [0.2, 0.8]], ["a", "b"], [0.25, 0.7]
    )
    assert report["accuracy"] == 1


def test_a_probability_equal_to_the_threshold_is_a_no():
    probabilities = np.full((1, 1), 0.3, np.float32)
    assert multi_label_report([[0]], probabilities, ["a"], 0.3)["accuracy"] == 1


def test_labels_all_unknown_give_nan():
    report = multi_label_report(np.full((2, 2), np.nan), np.ones((2, 2)), ["a", "b"])
    assert report["classes_counted"] == 0
    assert np.isnan([report["accuracy"], report["f1_macro"], report["f1_micro"]]).all()


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ([0, 3], r"0\.\.2\. Received: 0\.\.3"),
        ([-1, 0], r"Received: -1..0"),
        ([0], r"one integer class index per image, here \(2,\)"),
        ([0.0, 1.0], "Received: float64"),
        (np.eye(3)[:2], "argmax"),
    ],
)
def test_a_truth_that_does_not_fit_is_refused(truth, message):
    with pytest.raises(ValueError, match=message):
        classification_report(truth, np.ones((2, 3)), ["a", "b", "c"])


@pytest.mark.parametrize(
    ("probabilities", "names", "message"),
    [
        (np.ones((2, 3)), ["a", "b"], "as many class names. Received"),
        (np.ones(2), ["a", "b"], r"Received: shape \(2,\)"),
        (np.ones((2, 2)), ["crane", "crane"], r"\['crane'\] more than once"),
        (np.zeros((0, 2)), ["a", "b"], "Received: 0 images"),
        ([[np.nan, 1], [0, 1]], ["a", "b"], "1 NaN or infinite"),
    ],
)
def test_probabilities_that_do_not_fit_are_refused(probabilities, names, message):
    with pytest.raises(ValueError, match=message):
        classification_report([0, 1], probabilities, names)


@pytest.mark.parametrize(
    ("labels", "thresholds", "message"),
    [
        ([[1, 0, 1]], 0.5, r"labels.*shape, \(1, 2\)"),
        ([[1, -1]], 0.5, r"labels.*Received: \[-1.0\]"),
        ([[1, 0]], [0.5, 0.5, 0.5], r"thresholds.*\(2,\)"),
        ([[1, 0]], np.nan, "without NaN"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, thresholds, message):
    with pytest.raises(ValueError, match=message):
        multi_label_report(labels, np.ones((1, 2)), ["a", "b"], thresholds)


def test_the_threshold_lies_between_what_it_separates():
    labels = [[0, 1], [0, 0], [1, 0], [1, 0]]
    probabilities = [[0.1, 0.9], [0.2, 0.7], [0.4, 0.1], [0.8, 0.3]]
    np.testing.assert_allclose(best_thresholds(labels, probabilities), [0.3, 0.8])


def test_the_threshold_has_the_highest_f1():
    rng = np.random.default_rng(0)
    labels = (rng.random((80, 3)) < 0.3).astype(float)
    probabilities = np.round((rng.random((80, 3)) + 0.4 * labels) / 1.4, 2)
    thresholds = best_thresholds(labels, probabilities)
    for column, threshold in enumerate(thresholds):
        truth, scores = labels[:, column], probabilities[:, column]
        best = max(f1_score(truth, scores > t) for t in np.arange(0, 100) / 100 + 0.005)
        assert f1_score(truth, scores > threshold) == pytest.approx(best)
        assert np.abs(scores - threshold).min() > 0.004


def test_thresholds_leave_out_missing_labels():
    labels, probabilities = [[0], [1], [np.nan], [np.nan]], [[0.2], [0.6], [0.5], [0.9]]
    np.testing.assert_allclose(best_thresholds(labels, probabilities), [0.4])


def test_a_class_without_a_positive_has_a_half():
    labels = [[0, np.nan, 1], [0, np.nan, 0]]
    probabilities = [[0.1, 0.1, 0.2], [0.2, 0.2, 0.1]]
    thresholds = best_thresholds(labels, probabilities)
    np.testing.assert_allclose(thresholds, [0.5, 0.5, 0.15])


def test_all_positive_is_a_threshold_below_all():
    assert 0 <= best_thresholds([[1], [1]], [[0.4], [0.6]])[0] < 0.4
    assert best_thresholds([[1], [1]], [[0.0], [0.6]])[0] == pytest.approx(0.3)
    assert best_thresholds([[1]], [[0.0]])[0] == 0.5  # nothing is above


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
