import numpy as np
import pytest
from sklearn import metrics

from kerasloc.metrics import (
    auroc,
    average_precision,
    precision_recall_curve,
    roc_curve,
)

NAN = np.nan
PAIRS = [(roc_curve, auroc), (precision_recall_curve, average_precision)]


@pytest.fixture
def tied():
    """Labels with unknown ones, and scores of which many are equal."""
    rng = np.random.default_rng(0)
    labels = (rng.random((90, 3)) < [0.5, 0.2, 0.1]).astype(float)
    scores = np.round(2 * (labels + rng.normal(size=labels.shape)))
    labels[rng.random(labels.shape) < 0.2] = NAN
    return labels, scores


def test_curves_that_an_eye_can_check():
    labels, scores = [1, 0, 1, 0], [0.9, 0.5, 0.5, 0.1]
    (roc,) = roc_curve(labels, scores)["per_class"]
    np.testing.assert_array_equal(roc.x, [0, 0, 0.5, 1])
    np.testing.assert_array_equal(roc.y, [0, 0.5, 1, 1])
    np.testing.assert_allclose(roc.thresholds, [np.inf, 0.9, 0.5, 0.1])
    assert roc.area == 0.875
    (curve,) = precision_recall_curve(labels, scores)["per_class"]
    np.testing.assert_array_equal(curve.x, [0, 0.5, 1])
    np.testing.assert_allclose(curve.y, [1, 1, 2 / 3])
    np.testing.assert_allclose(curve.thresholds, [np.inf, 0.9, 0.5])
    assert curve.area == pytest.approx((1 + 2 / 3) / 2)


def test_points_are_those_of_scikit_learn(tied):
    labels, scores = tied
    rocs = roc_curve(labels, scores)["per_class"]
    curves = precision_recall_curve(labels, scores)["per_class"]
    for column in range(3):
        known = ~np.isnan(labels[:, column])
        pair = labels[known, column], scores[known, column]
        x, y, levels = metrics.roc_curve(*pair, drop_intermediate=False)
        np.testing.assert_allclose(rocs[column].x, x)
        np.testing.assert_allclose(rocs[column].y, y)
        np.testing.assert_array_equal(rocs[column].thresholds, levels)
        precision, recall, levels = metrics.precision_recall_curve(*pair)
        theirs = {
            level: (p, r)
            for level, p, r in zip(levels, precision, recall, strict=False)
        }
        own = curves[column]
        for level, p, r in zip(own.thresholds[1:], own.y[1:], own.x[1:], strict=True):
            assert theirs[level] == pytest.approx((p, r))


@pytest.mark.parametrize(("curves", "areas"), PAIRS)
def test_areas_are_those_of_the_ranking(curves, areas, tied):
    found, expected = curves(*tied), areas(*tied, resamples=1)
    each = [curve.area for curve in found["per_class"]]
    np.testing.assert_allclose(each, expected["per_class"])
    assert found["macro"].area == pytest.approx(expected["macro"])
    assert found["micro"].area == pytest.approx(expected["micro"])
    assert found["classes_counted"] == 3


def test_the_mean_of_rocs_is_that_of_their_heights():
    # one class rises at once, the other at the end
    labels, scores = np.array([[1, 0], [0, 1]]), np.array([[1, 1], [0, 0]])
    macro = roc_curve(labels, scores)["macro"]
    np.testing.assert_array_equal(macro.x, [0, 0, 1, 1])
    np.testing.assert_array_equal(macro.y, [0, 0.5, 0.5, 1])
    assert macro.thresholds is None
    assert macro.area == 0.5


def test_the_mean_of_precisions_is_that_of_their_steps():
    labels = np.array([[1, 1], [1, 0], [0, 1]])
    scores = np.array([[3, 3], [2, 2], [1, 1]])
    macro = precision_recall_curve(labels, scores)["macro"]
    np.testing.assert_array_equal(macro.x, [0, 0.5, 1])
    np.testing.assert_allclose(macro.y, [1, 1, (1 + 2 / 3) / 2])


def test_a_class_without_a_positive_or_negative_has_no_curve():
    labels = np.array([[1, 0, 1, NAN], [0, 0, 1, NAN]])
    scores = np.eye(2, 4)
    roc = roc_curve(labels, scores, "abcd")
    assert [curve is None for curve in roc["per_class"]] == [False, True, True, True]
    assert (roc["classes_counted"], roc["class_names"]) == (1, list("abcd"))
    assert roc["macro"].area == 1
    found = precision_recall_curve(labels, scores)
    assert [curve is None for curve in found["per_class"]] == [False, True, False, True]
    assert found["per_class"][2].area == 1
    for curves in (roc_curve, precision_recall_curve):
        none = curves([[0], [NAN]], [[1], [2]])
        assert none["per_class"] == [None]
        assert (none["macro"], none["micro"]) == (None, None)


def test_indices_of_classes_are_labels():
    rng = np.random.default_rng(0)
    truth, scores = rng.integers(3, size=40), rng.random((40, 3))
    found, expected = roc_curve(truth, scores), roc_curve(np.eye(3)[truth], scores)
    for ours, theirs in zip(found["per_class"], expected["per_class"], strict=True):
        np.testing.assert_array_equal(ours.y, theirs.y)
    area = metrics.roc_auc_score(truth, softmax(scores), multi_class="ovr")
    assert roc_curve(truth, softmax(scores))["macro"].area == pytest.approx(area)


def softmax(values):
    powers = np.exp(values)
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("curves", [roc_curve, precision_recall_curve])
@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([[2]], [[1]], r"labels 0, 1.*\[2.0\]"),
        ([[1]], [[NAN]], "finite scores.*1 NaN"),
        (np.ones((2, 1)), np.ones((3, 1)), r"labels.*\(3, 1\).*\(2, 1\)"),
        (np.ones((0, 2)), np.ones((0, 2)), "at least one image"),
        ([0, 2], np.ones((2, 2)), r"0\.\.1. Received: 0\.\.2"),
        ([0.0, 1.0], np.ones((2, 2)), "one integer class index per image"),
    ],
)
def test_what_does_not_fit_is_an_error(curves, labels, scores, message):
    with pytest.raises(ValueError, match=message):
        curves(labels, scores)


def test_names_are_one_a_class():
    with pytest.raises(ValueError, match="for as many class names"):
        roc_curve([[1, 0]], [[1, 0]], ["cat"])
