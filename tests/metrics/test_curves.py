import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics

from kerasloc.metrics import auroc, average_precision, precision_recall_curve, roc_curve

NAN = np.nan
PAIRS = [(roc_curve, auroc), (precision_recall_curve, average_precision)]


def test_equal_scores_are_one_point():
    labels, scores = [1, 0, 1, 0], [0.9, 0.5, 0.5, 0.1]
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
        at = ~np.isnan(labels[:, column])
        pair = labels[at, column], scores[at, column]
        x, y, levels = metrics.roc_curve(*pair, drop_intermediate=False)
        np.testing.assert_allclose(rocs[column].x, x)
        np.testing.assert_allclose(rocs[column].y, y)
        np.testing.assert_array_equal(rocs[column].thresholds, levels)
        precision, recall, levels = metrics.precision_recall_curve(*pair)
        points = zip(levels, precision, recall, strict=False)
        expected = {level: (p, r) for level, p, r in points}
        curve = curves[column]
        points = zip(curve.thresholds[1:], curve.y[1:], curve.x[1:], strict=True)
        for level, *point in points:
            assert expected[level] == pytest.approx(tuple(point))


@pytest.mark.parametrize(("curves", "areas"), PAIRS)
def test_areas_are_those_of_the_ranking(curves, areas, tied):
    report, expected = curves(*tied), areas(*tied, resamples=1)
    per_class = [curve.area for curve in report["per_class"]]
    np.testing.assert_allclose(per_class, expected["per_class"])
    assert report["macro"].area == pytest.approx(expected["macro"])
    assert report["micro"].area == pytest.approx(expected["micro"])
    assert report["classes_counted"] == 3


def test_means_are_those_of_heights_of_rocs_and_of_steps_of_precisions():
    # one class rises at once, the other at the end
    labels, scores = np.array([[1, 0], [0, 1]]), np.array([[1, 1], [0, 0]])
    macro = roc_curve(labels, scores)["macro"]
    np.testing.assert_array_equal([macro.x, macro.y], [[0, 0, 1, 1], [0, 0.5, 0.5, 1]])
    assert (macro.thresholds, macro.area) == (None, 0.5)
    labels, scores = [[1, 1], [1, 0], [0, 1]], [[3, 3], [2, 2], [1, 1]]
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
    curves = precision_recall_curve(labels, scores)["per_class"]
    assert [curve is None for curve in curves] == [False, True, False, True]
    assert curves[2].area == 1
    for metric in (roc_curve, precision_recall_curve):
        undefined = metric([[0], [NAN]], [[1], [2]])
        assert undefined["per_class"] == [None]
        assert (undefined["macro"], undefined["micro"]) == (None, None)


def test_indices_of_classes_are_labels():
    rng = np.random.default_rng(0)
    truth, scores = rng.integers(3, size=40), rng.random((40, 3))
    by_index, one_hot = roc_curve(truth, scores), roc_curve(np.eye(3)[truth], scores)
    for pair in zip(by_index["per_class"], one_hot["per_class"], strict=True):
        np.testing.assert_array_equal(*(curve.y for curve in pair))
    chances = softmax(scores, axis=1)
    area = metrics.roc_auc_score(truth, chances, multi_class="ovr")
    assert roc_curve(truth, chances)["macro"].area == pytest.approx(area)


@pytest.mark.parametrize("curves", [roc_curve, precision_recall_curve])
def test_wrong_indices_are_refused(curves):
    with pytest.raises(ValueError, match=r"0\.\.1. Received: 0\.\.2"):
        curves([0, 2], np.ones((2, 2)))
    with pytest.raises(ValueError, match="Received: float64"):
        curves([0.0, 1.0], np.ones((2, 2)))
