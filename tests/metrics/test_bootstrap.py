import numpy as np
import pytest
from scipy import stats

from kerasloc.metrics import interval, paired_difference, stacks
from kerasloc.metrics.bootstrap import image_counts, middle


def test_the_interval_agrees_with_scipy():
    values = np.random.default_rng(0).exponential(size=200)
    mean, low, high = interval(values)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=1
    ).confidence_interval
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx(tuple(expected), abs=0.02)


def test_wider_levels_contain_narrower_ones():
    values = np.arange(50.0)
    _, low, high = interval(values, level=0.5)
    _, lower, higher = interval(values, level=0.99)
    assert lower < low < 24.5 < high < higher


def test_the_seed_decides_and_chunks_do_not(monkeypatch):
    values = np.random.default_rng(0).random(37)
    once = interval(values, seed=3)
    assert interval(values, seed=3) == once
    assert interval(values, seed=4) != once
    monkeypatch.setattr(stacks, "VALUES_AT_ONCE", 100)
    assert interval(values, seed=3) == once


def test_nan_is_left_out():
    assert interval([1, np.nan, 3, 4]) == interval([1, 3, 4])


@pytest.mark.parametrize("values", [[], [np.nan, np.nan]])
def test_no_values_give_nan(values):
    assert np.isnan(interval(values)).all()


def test_equal_values_have_no_width():
    assert interval([True, True, True]) == (1.0, 1.0, 1.0)


def test_a_difference_that_every_image_shows_has_no_width():
    noise = np.random.default_rng(0).integers(0, 100, 30)
    assert paired_difference(noise + 2.0, noise) == (2.0, 2.0, 2.0)


def test_a_difference_leaves_out_images_without_either():
    first, second = [1, np.nan, 3, 8], [0, 1, np.nan, 4]
    assert paired_difference(first, second) == interval([1, 4])


def test_differences_of_different_images_are_refused():
    with pytest.raises(ValueError, match="Received: 2 and 3 values"):
        paired_difference([1, 2], [1, 2, 3])


def test_values_of_several_axes_are_refused():
    with pytest.raises(ValueError, match=r"one per image. Received: shape \(2, 2\)"):
        interval(np.zeros((2, 2)))


@pytest.mark.parametrize("options", [{"resamples": 0}, {"level": 1}, {"level": 95}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="at least one resample and a level"):
        interval([1, 2], **options)


def test_counts_are_of_draws_with_replacement():
    counts = np.concatenate(list(image_counts(20, resamples=4000)))
    assert counts.shape == (4000, 20)
    assert (counts.sum(axis=1) == 20).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.1)
    # every count is binomial
    np.testing.assert_allclose(counts.var(axis=0), 1 - 1 / 20, atol=0.15)


def test_the_seed_decides_the_counts_and_chunks_do_not(monkeypatch):
    (once,) = image_counts(7, resamples=30, seed=3)
    assert not np.array_equal(once, next(image_counts(7, resamples=30, seed=4)))
    monkeypatch.setattr(stacks, "VALUES_AT_ONCE", 50)
    parts = list(image_counts(7, resamples=30, seed=3, each=2))
    assert max(map(len, parts)) == 3
    np.testing.assert_array_equal(np.concatenate(parts), once)


def test_no_images_are_counted_as_none():
    assert next(image_counts(0, resamples=3)).shape == (3, 0)


def test_the_middle_leaves_out_what_is_undefined():
    draws = np.stack([np.arange(101.0), np.full(101, np.nan)], axis=1)
    draws[::2, 0] = np.nan  # 1, 3, ... 99 stay
    np.testing.assert_allclose(middle(draws, 0.5), [[25.5, 74.5], [np.nan, np.nan]])


def test_counts_without_a_resample_are_refused():
    with pytest.raises(ValueError, match="Received: resamples=0"):
        next(image_counts(3, resamples=0))
