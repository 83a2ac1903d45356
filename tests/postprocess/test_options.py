"""Options are checked when they are made."""

import dataclasses

import numpy as np
import pytest

from kerasloc.postprocess import PipelineOptions, pipeline


def test_defaults_are_the_published_ones():
    assert dataclasses.asdict(PipelineOptions()) == {
        "roi_percentile": 85,
        "focal_scope": "global",
        "maxima_areas": "small",
        "merge_type": "blend",
        "merge_alpha": 0.5,
        "filter_type": "percentage",
        "filter_percentage": 15,
        "filter_threshold": 0.6,
        "hole_size": 256,
        "confine_to_roi": False,
    }


def test_options_do_not_change_once_made():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PipelineOptions().merge_alpha = 1


@pytest.mark.parametrize("number", [np.float32(0.25), np.int64(1), 0, 1])
def test_numbers_of_any_kind_are_taken(number):
    assert PipelineOptions(merge_alpha=number).merge_alpha == number


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("roi_percentile", 101, ValueError, r"roi_percentile lies in \[0, 100\]"),
        ("roi_percentile", -1, ValueError, "roi_percentile"),
        ("roi_percentile", 100, ValueError, "below 100"),
        ("merge_alpha", 1.1, ValueError, r"merge_alpha lies in \[0, 1\].*1.1"),
        ("merge_alpha", float("nan"), ValueError, "merge_alpha"),
        ("filter_percentage", 120, ValueError, "filter_percentage"),
        ("filter_threshold", -0.1, ValueError, "filter_threshold"),
        ("hole_size", -1, ValueError, "hole_size"),
        ("focal_scope", "all", ValueError, "'global', 'local'.*'all'"),
        ("maxima_areas", "medium", ValueError, "'small', 'large'"),
        ("merge_type", "add", ValueError, "'blend', 'multiply'"),
        ("filter_type", None, ValueError, "'percentage', 'threshold'"),
        ("merge_alpha", "half", TypeError, "is a number.*'half', a str"),
        ("hole_size", None, TypeError, "hole_size is a number"),
        ("filter_threshold", True, TypeError, "bool"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_it(name, value, error, message):
    with pytest.raises(error, match=message):
        PipelineOptions(**{name: value})


def test_an_unknown_option_is_an_error_that_lists_the_known_ones():
    with pytest.raises(
        TypeError, match=r"options are roi_percentile.*Received: roi\.$"
    ):
        pipeline(None, None, None, roi=3)
