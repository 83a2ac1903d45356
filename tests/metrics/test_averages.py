import numpy as np
import pytest

from kerasloc.metrics.averages import macro_mean, ratio, weighted_mean

NAN = np.nan


def test_undefined_classes_enter_no_mean():
    assert macro_mean([1, NAN, 3]) == 2
    assert weighted_mean([1, NAN, 3], [3, 100, 1]) == 1.5


def test_without_a_defined_class_there_is_no_mean():
    assert np.isnan(macro_mean([NAN, NAN]))
    assert np.isnan(weighted_mean([NAN, 2], [1, 0]))


def test_means_are_over_the_last_axis():
    np.testing.assert_array_equal(
        macro_mean([[1, 3], [NAN, 5], [NAN, NAN]]), [2, 5, NAN]
    )
    np.testing.assert_array_equal(weighted_mean([[1, 3], [5, NAN]], [1, 3]), [2.5, 5])


@pytest.mark.parametrize(("part", "whole", "answer"), [(1, 2, 0.5), (0, 0, NAN)])
def test_nothing_of_nothing_is_undefined(part, whole, answer):
    np.testing.assert_array_equal(ratio(part, whole), answer)
