import pathlib

import numpy as np
import pytest
from sklearn import metrics

from kerasloc.metrics import auroc, average_precision

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
NAN = np.nan
PAIRS = [
    (auroc, metrics.roc_auc_score),
    (average_precision, metrics.average_precision_score),
]


@pytest.fixture
def golden():
    return np.load(GOLDENS / "metrics_pylon.npz")


@pytest.fixture
def tied():
    """Labels with unknown ones, and scores of which many are equal."""
    rng = np.random.default_rng(0)
    labels = (rng.random((90, 3)) < [0.5, 0.2, 0.1]).astype(float)
    scores = np.round(2 * (labels + rng.normal(size=labels.shape)))
    labels[rng.random(labels.shape) < 0.2] = NAN
    return labels, scores


def known(labels, scores):
    at = ~np.isnan(labels)
    return labels[at], scores[at]


def test_agrees_with_the_published_numbers(golden):
    labels, scores = golden["labels"], golden["scores"]
    near = {"rtol": 0, "atol": 1e-12}
    report = auroc(labels, scores)
    np.testing.assert_allclose(report["per_class"], golden["auroc"], **near)
    assert report["macro"] == pytest.approx(np.nanmean(golden["auroc"]))
    four = auroc(labels[:, :4], scores[:, :4])
    assert four["micro"] == pytest.approx(float(golden["auroc_micro"]), abs=1e-12)
    unknown = auroc(golden["labels_with_unknown"], scores)["per_class"]
    np.testing.assert_allclose(unknown, golden["auroc_with_unknown"], **near)
    precision = average_precision(labels, scores)["per_class"]
    np.testing.assert_allclose(precision, golden["average_precision"], **near)


def test_numbers_that_an_eye_can_check():
    # of 2 x 2 pairs the positives win two, and half of the equal one
    report = auroc([[1], [0], [1], [0]], [[0.9], [0.5], [0.5], [0.6]])
    assert report["per_class"] == [2.5 / 4]
    # precision 1 at the first, 2 of 4 at the second
    report = average_precision([[1], [0], [1], [0]], [[0.9], [0.5], [0.5], [0.6]])
    assert report["per_class"] == [(1 + 2 / 4) / 2]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_agrees_with_scikit_learn_on_equal_scores_and_unknown_labels(
    ours, theirs, tied
):
    labels, scores = tied
    report = ours(labels, scores)
    each = [theirs(*known(labels[:, c], scores[:, c])) for c in range(3)]
    np.testing.assert_allclose(report["per_class"], each)
    assert report["macro"] == pytest.approx(np.mean(each))
    assert report["micro"] == pytest.approx(theirs(*known(*tied)))
    support = np.nansum(labels, axis=0)
    assert report["weighted"] == pytest.approx(np.average(each, weights=support))
    np.testing.assert_array_equal(report["positives"], support)
    np.testing.assert_array_equal(report["count"], (~np.isnan(labels)).sum(axis=0))


@pytest.mark.parametrize("ours", [auroc, average_precision])
def test_a_draw_is_the_score_of_its_images(ours, tied, monkeypatch):
    from kerasloc.metrics import ranking

    labels, scores = tied
    images = np.array([3, 3, 3, 7, 8, 8, 11, 30, 41, 50, 50, 77, 80, 81, 89])
    counts = np.bincount(images, minlength=90).astype(float)[None]
    alone = ours(labels[images], scores[images])
    monkeypatch.setattr(ranking, "sample_counts", lambda *_, **__: iter([counts]))
    around = ours(labels, scores)["intervals"]
    for key in ("per_class", "macro", "micro", "weighted"):
        expected = np.stack([alone[key]] * 2, axis=-1)  # both ends are the one draw
        np.testing.assert_allclose(around[key], expected)


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


def test_no_known_label_is_an_answer_without_numbers():
    report = auroc(np.full((3, 2), NAN), np.zeros((3, 2)))
    assert report["classes_counted"] == 0
    assert np.isnan([report["macro"], report["micro"], report["weighted"]]).all()


def test_what_grows_with_the_scores_ranks_alike(tied):
    labels, scores = tied
    np.testing.assert_equal(auroc(labels, np.exp(scores)), auroc(labels, scores))


def test_the_seed_decides_and_chunks_do_not(tied, monkeypatch):
    once = auroc(*tied, seed=3, resamples=50)
    assert auroc(*tied, seed=4, resamples=50)["intervals"]["micro"][0] != pytest.approx(
        once["intervals"]["micro"][0], abs=1e-9
    )
    np.testing.assert_equal(auroc(*tied, seed=3, resamples=50), once)


@pytest.mark.parametrize("ours", [auroc, average_precision])
def test_intervals_lie_around_the_numbers(ours, tied):
    report = ours(*tied)
    for key in ("per_class", "macro", "micro", "weighted"):
        low, high = np.moveaxis(report["intervals"][key], -1, 0)
        assert (low < report[key]).all()
        assert (report[key] < high).all()


def test_draws_in_which_a_class_is_undefined_are_left_out():
    labels = np.zeros((20, 2))
    labels[0, 0], labels[::2, 1] = 1, 1  # one positive, which every third draw lacks
    scores = np.random.default_rng(0).random((20, 2))
    around = auroc(labels, scores)["intervals"]
    assert np.isfinite(around["per_class"]).all()


def test_names_come_back():
    report = auroc([[1, 0], [0, 1]], np.eye(2), ["a", "b"])
    assert report["class_names"] == ["a", "b"]


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([[1, 0]], [[0.1, NAN]], "1 NaN or infinite"),
        ([[1, 2]], [[0.1, 0.2]], r"labels 0, 1.*\[2.0\]"),
        ([[1]], [[0.1, 0.2]], r"labels.*\(1, 2\).*\(1, 1\)"),
        ([1], [0.1], r"\(n, classes\)"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "at least one image"),
    ],
)
@pytest.mark.parametrize("ours", [auroc, average_precision])
def test_what_does_not_fit_is_refused(ours, labels, scores, message):
    with pytest.raises(ValueError, match=message):
        ours(labels, scores)


def test_another_number_of_names_is_refused():
    with pytest.raises(ValueError, match=r"here \(n, 3\)"):
        auroc([[1, 0]], [[0.1, 0.2]], ["a", "b", "c"])


def test_no_resample_is_refused():
    with pytest.raises(ValueError, match="at least one resample"):
        auroc([[1, 0]], [[0.1, 0.2]], resamples=0)
