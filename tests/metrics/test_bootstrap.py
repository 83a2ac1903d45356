import numpy as np
import pytest
from scipy import stats

from kerasloc.metrics import (
    Estimate,
    auroc,
    interval,
    iobb_accuracy,
    overlap_accuracy,
    paired_difference,
)
from kerasloc.metrics._bootstrap import (
    percentile_interval,
    sample_counts,
    weighted_mean,
)

NAN = np.nan


def test_the_interval_agrees_with_scipy():
    values = np.random.default_rng(0).exponential(size=200)
    mean, low, high = interval(values)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=1
    ).confidence_interval
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx(tuple(expected), abs=0.02)


def test_wider_levels_contain_narrower_intervals():
    values = np.arange(50.0)
    _, low, high = interval(values, level=0.5)
    _, lower, higher = interval(values, level=0.99)
    assert lower < low < 24.5 < high < higher


def test_the_seed_decides_and_chunks_do_not():
    values = np.random.default_rng(0).random(300)  # 1000 resamples in three chunks
    first = interval(values, seed=3)
    assert interval(values, seed=3) == first
    assert interval(values, seed=4) != first
    drawn = np.random.default_rng(3).integers(300, size=(1000, 300))
    expected = np.quantile(values[drawn].mean(axis=1), (0.025, 0.975))
    assert first[1:] == tuple(expected)


def test_nan_is_left_out_and_equal_values_have_no_width():
    assert interval([1, NAN, 3, 4]) == interval([1, 3, 4])
    assert Estimate.of_mean([1, NAN, 3, 4]).count == 3
    assert interval([True, True, True]) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("values", [[], [NAN, NAN]])
def test_no_values_give_nan(values):
    assert np.isnan(interval(values)).all()
    assert Estimate.of_mean(values).count == 0


def test_an_estimate_is_the_interval_with_its_count():
    values = [0.5, 0.25, 1.0]
    estimate = Estimate.of_mean(values, seed=2)
    assert (estimate.value, estimate.low, estimate.high) == interval(values, seed=2)
    assert estimate.count == 3
    assert str(Estimate(0.8123, 0.79, 0.8329, 7)) == "0.812 [0.790, 0.833]"
    assert str(Estimate(NAN, NAN, NAN, 0)) == "nan [nan, nan]"


def test_estimates_come_from_the_report_of_a_metric():
    report = auroc([[1, 0], [0, 1], [NAN, 1]], [[3, 1], [2, 2], [4, 1]])
    estimate = Estimate.from_report(report, "per_class", 1)
    bounds = report["intervals"]["per_class"][1]
    assert (estimate.low, estimate.high, estimate.count) == (*bounds, 3)
    assert estimate.value == report["per_class"][1]
    assert Estimate.from_report(report, "macro").value == report["macro"]
    assert Estimate.from_report(report, "micro").count == 5


def test_estimates_of_thresholds_come_from_the_report_of_a_metric():
    boxes = [[0, 0, 0, 4, 2, 0], [1, 0, 0, 4, 2, 0], [1, 0, 0, 1, 1, 1]]
    report = iobb_accuracy(np.zeros((2, 4, 4, 2)), boxes, 4)
    estimate = Estimate.from_report(report, "per_class", (0, 1))
    assert (estimate.value, estimate.count) == (report["per_class"][0, 1], 1)
    estimate = Estimate.from_report(report, "weighted", 1)
    assert (estimate.value, estimate.count) == (report["weighted"][1], 3)
    report = overlap_accuracy([[0.2, 0.4], [0.6, NAN]], [0.3, 0.5])
    estimate = Estimate.from_report(report, "mean_per_class", 0)
    assert (estimate.value, estimate.count) == (0.5, 2)
    assert Estimate.from_report(report, "mean").count == 3


def test_a_difference_leaves_out_images_without_a_value():
    first, second = [1, NAN, 3, 8], [0, 1, NAN, 4]
    assert paired_difference(first, second) == interval([1, 4])
    noise = np.random.default_rng(0).integers(0, 100, 30)
    assert paired_difference(noise + 2.0, noise) == (2.0, 2.0, 2.0)


def test_wrong_values_are_refused():
    with pytest.raises(ValueError, match="Received: 2 and 3 values"):
        paired_difference([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match=r"Received: shape \(2, 2\)"):
        interval(np.zeros((2, 2)))


@pytest.mark.parametrize("options", [{"resamples": 0}, {"level": 1}, {"level": 95}])
def test_options_out_of_range_are_refused(options):
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f"{name}={value}"):
        interval([1, 2], **options)


def test_counts_are_of_draws_with_replacement():
    counts = np.concatenate(list(sample_counts(20, resamples=4000)))
    assert counts.shape == (4000, 20)
    assert (counts.sum(axis=1) == 20).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.1)
    # every count is binomial
    np.testing.assert_allclose(counts.var(axis=0), 1 - 1 / 20, atol=0.15)


def test_the_seed_decides_the_counts_and_chunks_do_not():
    (whole_pass,) = sample_counts(7, resamples=30, seed=3)
    assert not np.array_equal(whole_pass, next(sample_counts(7, resamples=30, seed=4)))
    chunks = list(sample_counts(7, resamples=30, seed=3, width=6000))
    assert max(map(len, chunks)) == 3
    np.testing.assert_array_equal(np.concatenate(chunks), whole_pass)


def test_counts_without_a_sample_are_empty_and_without_a_resample_refused():
    assert next(sample_counts(0, resamples=3)).shape == (3, 0)
    with pytest.raises(ValueError, match="resamples=0"):
        next(sample_counts(3, resamples=0))


def test_percentiles_leave_out_undefined_draws():
    draws = np.stack([np.arange(101.0), np.full(101, NAN)], axis=1)
    draws[::2, 0] = NAN  # 1, 3, ... 99 stay
    bounds = percentile_interval(draws, 0.5)
    np.testing.assert_allclose(bounds, [[25.5, 74.5], [NAN, NAN]])


def test_means_are_over_the_last_axis_without_undefined_classes():
    values = [[1, 3], [NAN, 5], [NAN, NAN]]
    np.testing.assert_array_equal(weighted_mean(values), [2, 5, NAN])
    values = [[1, 3], [5, NAN], [NAN, 2]]
    np.testing.assert_array_equal(weighted_mean(values, [1, 0]), [1, 5, NAN])
