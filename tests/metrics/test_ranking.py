import numpy as np
import pytest
from sklearn import metrics

from kerasloc.metrics import (
    auroc,
    average_precision,
    precision_recall_curve,
    ranking,
    roc_curve,
)
from kerasloc.metrics._bootstrap import percentile_interval, sample_counts

NAN = np.nan
KEYS = ("per_class", "macro", "micro", "weighted")
BOTH = [auroc, average_precision]
AREAS = {auroc: ranking._auroc, average_precision: ranking._average_precision}
EXPECTED = {
    auroc: metrics.roc_auc_score,
    average_precision: metrics.average_precision_score,
}


def labeled(labels, scores):
    at = ~np.isnan(labels)
    return labels[at], scores[at]


def test_agrees_with_the_published_numbers(goldens):
    golden = goldens["pylon"]
    labels, scores = golden["labels"], golden["scores"]
    near = {"rtol": 0, "atol": 1e-12}
    report = auroc(labels, scores)
    np.testing.assert_allclose(report["per_class"], golden["auroc"], **near)
    assert report["macro"] == pytest.approx(np.nanmean(golden["auroc"]))
    four = auroc(labels[:, :4], scores[:, :4])
    assert four["micro"] == pytest.approx(float(golden["auroc_micro"]), abs=1e-12)
    missing = auroc(golden["labels_with_unknown"], scores)["per_class"]
    np.testing.assert_allclose(missing, golden["auroc_with_unknown"], **near)
    precision = average_precision(labels, scores)["per_class"]
    np.testing.assert_allclose(precision, golden["average_precision"], **near)


@pytest.mark.parametrize("metric", BOTH)
def test_agrees_with_scikit_learn_on_equal_scores_and_missing_labels(metric, tied):
    labels, scores = tied
    report, expected = metric(labels, scores), EXPECTED[metric]
    per_class = [expected(*labeled(labels[:, c], scores[:, c])) for c in range(3)]
    np.testing.assert_allclose(report["per_class"], per_class)
    assert report["macro"] == pytest.approx(np.mean(per_class))
    assert report["micro"] == pytest.approx(expected(*labeled(*tied)))
    support = np.nansum(labels, axis=0)
    assert report["weighted"] == pytest.approx(np.average(per_class, weights=support))
    np.testing.assert_array_equal(report["positives"], support)
    np.testing.assert_array_equal(report["count"], (~np.isnan(labels)).sum(axis=0))
    np.testing.assert_equal(metric(labels, np.exp(scores)), report)  # monotone
    for key in KEYS:
        low, high = np.moveaxis(report["intervals"][key], -1, 0)
        assert ((low < report[key]) & (report[key] < high)).all()


@pytest.mark.parametrize("metric", BOTH)
def test_a_draw_is_the_score_of_its_images(metric, tied):
    labels, scores = tied
    images = np.array([3, 3, 3, 7, 8, 8, 11, 30, 41, 50, 50, 77, 80, 81, 89])
    counts = np.bincount(images, minlength=90).astype(float)[None]
    (drawn,) = ranking.averages(AREAS[metric], labels, scores)(counts)
    alone = metric(labels[images], scores[images])
    expected = np.concatenate([np.atleast_1d(alone[key]) for key in KEYS])
    np.testing.assert_allclose(drawn, expected)


def test_the_seed_decides_the_intervals_and_chunks_do_not(tied):
    report = auroc(*tied, seed=3)  # 1000 resamples in three chunks
    chunks = list(sample_counts(90, seed=3, width=3))
    assert len(chunks) == 3
    draws = ranking.averages(ranking._auroc, *tied)(np.concatenate(chunks))
    bounds = np.vstack([np.atleast_2d(report["intervals"][key]) for key in KEYS])
    np.testing.assert_array_equal(bounds, percentile_interval(draws))
    changed = auroc(*tied, seed=4)["intervals"]["micro"]
    assert (changed != report["intervals"]["micro"]).any()


def test_a_class_without_a_positive_or_a_negative_has_nan_and_enters_no_mean():
    labels = [[1, 0, 1, NAN], [0, 0, 1, NAN], [1, 0, NAN, NAN]]
    scores = [[0.9, 0.2, 0.3, 0.1], [0.5, 0.1, 0.2, 0.4], [0.6, 0.3, 0.3, 0.6]]
    report = auroc(labels, scores)
    np.testing.assert_array_equal(report["per_class"], [1, NAN, NAN, NAN])
    np.testing.assert_array_equal(report["count"], [3, 3, 2, 0])
    assert (report["macro"], report["weighted"], report["classes_counted"]) == (1, 1, 1)
    assert np.isnan(report["intervals"]["per_class"][1:]).all()
    precision = average_precision(labels, scores)
    np.testing.assert_array_equal(precision["per_class"], [1, NAN, 1, NAN])


def test_without_labels_the_report_has_no_numbers():
    report = auroc(np.full((3, 2), NAN), np.zeros((3, 2)), ["a", "b"])
    assert (report["classes_counted"], report["class_names"]) == (0, ["a", "b"])
    assert np.isnan([report["macro"], report["micro"], report["weighted"]]).all()


def test_draws_in_which_a_class_is_undefined_are_left_out():
    labels = np.zeros((20, 2))
    labels[0, 0], labels[::2, 1] = 1, 1  # a single positive, absent in a third of draws
    scores = np.random.default_rng(0).random((20, 2))
    bounds = auroc(labels, scores)["intervals"]
    assert np.isfinite(bounds["per_class"]).all()


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([[1, 0]], [[0.1, NAN]], "1 NaN or infinite"),
        ([[1, 2]], [[0.1, 0.2]], r"labels.*\[2.0\]"),
        ([[1]], [[0.1, 0.2]], r"labels.*\(1, 2\).*\(1, 1\)"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "0 images"),
    ],
)
@pytest.mark.parametrize("metric", [*BOTH, roc_curve, precision_recall_curve])
def test_wrong_labels_and_scores_are_refused(metric, labels, scores, message):
    with pytest.raises(ValueError, match=message):
        metric(labels, scores)
    with pytest.raises(ValueError, match=r"\(n, 3\).*shape \(1, 2\)"):
        metric([[1, 0]], [[0.1, 0.2]], ["a", "b", "c"])


@pytest.mark.parametrize("metric", BOTH)
def test_scores_without_classes_and_no_resamples_are_refused(metric):
    with pytest.raises(ValueError, match=r"scores \(n, classes\).*\(1,\)"):
        metric([1], [0.1])
    with pytest.raises(ValueError, match="resamples=0"):
        metric([[1, 0]], [[0.1, 0.2]], resamples=0)
