"""Evaluation of trained models: classes, maps, explanations, galleries, comparisons.

The names below are imported when first used, so that command lines are read without
loading Keras.
"""

import importlib
from typing import Any

_HOME = {
    "EvaluationConfig": "configs",
    "ResultTable": "results",
    "SampleConfig": "configs",
    "collect_runs": "results",
    "draw_history": "results",
    "draw_phase": "results",
    "evaluate_run": "results",
    "first_of_each_class": "samples",
    "table_of_run": "samples",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
