import numpy as np
import pytest
from sklearn.metrics import f1_score

from kerasloc.metrics import best_thresholds

NAN = np.nan


def test_the_threshold_lies_between_what_it_separates():
    labels = [[0, 1], [0, 0], [1, 0], [1, 0]]
    probabilities = [[0.1, 0.9], [0.2, 0.7], [0.4, 0.1], [0.8, 0.3]]
    np.testing.assert_allclose(best_thresholds(labels, probabilities), [0.3, 0.8])


def test_no_other_threshold_has_a_higher_f1():
    rng = np.random.default_rng(0)
    labels = (rng.random((80, 3)) < 0.3).astype(float)
    probabilities = np.round((rng.random((80, 3)) + 0.4 * labels) / 1.4, 2)
    found = best_thresholds(labels, probabilities)
    for column, threshold in enumerate(found):
        truth, own = labels[:, column], probabilities[:, column]
        best = max(f1_score(truth, own > t) for t in np.arange(0, 100) / 100 + 0.005)
        assert f1_score(truth, own > threshold) == pytest.approx(best)
        assert np.abs(own - threshold).min() > 0.004


def test_unknown_labels_are_left_out():
    labels, probabilities = [[0], [1], [NAN], [NAN]], [[0.2], [0.6], [0.5], [0.9]]
    np.testing.assert_allclose(best_thresholds(labels, probabilities), [0.4])


def test_a_class_without_a_positive_has_a_half():
    labels = [[0, NAN, 1], [0, NAN, 0]]
    probabilities = [[0.1, 0.1, 0.2], [0.2, 0.2, 0.1]]
    found = best_thresholds(labels, probabilities)
    np.testing.assert_allclose(found, [0.5, 0.5, 0.15])


def test_yes_to_all_is_a_threshold_below_all():
    assert 0 <= best_thresholds([[1], [1]], [[0.4], [0.6]])[0] < 0.4
    assert best_thresholds([[1], [1]], [[0.0], [0.6]])[0] == pytest.approx(0.3)
    assert best_thresholds([[1]], [[0.0]])[0] == 0.5  # nothing is above


def test_between_neighboring_floats_yes_is_still_above():
    upper = np.float32(0.3)
    for _ in range(2):  # halves round up for one of two neighbors, down for the other
        lower = np.nextafter(upper, np.float32(0))
        threshold = best_thresholds([[1], [0]], np.array([[upper], [lower]]))[0]
        assert lower <= np.float32(threshold) < upper
        upper = lower


def test_logits_are_refused():
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]. Received: values from -2"):
        best_thresholds([[1], [0]], [[3.0], [-2.0]])


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"labels.*Received"):
        best_thresholds([1, 0], [[0.3], [0.2]])
