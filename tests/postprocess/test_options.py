"""Options are checked when they are made."""

import dataclasses
import inspect

import numpy as np
import pytest

from kerasloc.postprocess import PipelineOptions, pipeline


def test_defaults_are_the_published_ones_and_do_not_change():
    assert dataclasses.astuple(PipelineOptions()) == (
        85,
        "global",
        "small",
        "blend",
        0.5,
        "percentage",
        15,
        0.6,
        256,
        False,
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        PipelineOptions().merge_alpha = 1


@pytest.mark.parametrize("number", [np.float32(0.25), np.int64(1), 0, 1])
def test_numbers_of_any_kind_are_taken(number):
    assert PipelineOptions(merge_alpha=number).merge_alpha == number


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("roi_percentile", 101, ValueError, r"\[0, 100\]"),
        ("roi_percentile", -1, ValueError, r"\[0, 100\]"),
        ("roi_percentile", 100, ValueError, "below 100"),
        ("merge_alpha", 1.1, ValueError, r"\[0, 1\]"),
        ("merge_alpha", float("nan"), ValueError, r"\[0, 1\]"),
        ("filter_percentage", 120, ValueError, r"\[0, 100\]"),
        ("filter_threshold", -0.1, ValueError, r"\[0, 1\]"),
        ("hole_size", -1, ValueError, r"\[0, inf\]"),
        ("focal_scope", "all", ValueError, "'global', 'local'"),
        ("maxima_areas", "medium", ValueError, "'small', 'large'"),
        ("merge_type", "add", ValueError, "'blend', 'multiply'"),
        ("filter_type", None, ValueError, "'percentage', 'threshold'"),
        ("merge_alpha", "half", TypeError, "number"),
        ("hole_size", None, TypeError, "number"),
        ("filter_threshold", True, TypeError, "number"),
    ],
)
def test_wrong_values_are_refused_with_name_and_value(name, value, error, message):
    with pytest.raises(error, match=f"{message}.*{name}={value!r}"):
        PipelineOptions(**{name: value})


def test_the_options_of_the_pipeline_are_these():
    parameters = list(inspect.signature(pipeline).parameters.values())[3:]
    defaults = {parameter.name: parameter.default for parameter in parameters}
    assert defaults == dataclasses.asdict(PipelineOptions())
    assert {parameter.kind for parameter in parameters} == {parameters[0].KEYWORD_ONLY}
    with pytest.raises(TypeError, match="roi"):
        pipeline(None, None, None, roi=3)
