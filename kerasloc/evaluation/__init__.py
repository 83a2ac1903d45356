"""Evaluation of trained models: classes, maps, explanations, galleries."""

from kerasloc.evaluation.figures import draw_history, draw_phase
from kerasloc.evaluation.results import ResultTable, collect_runs, evaluate_run
from kerasloc.evaluation.samples import (
    EvaluationConfig,
    SampleConfig,
    first_of_each_class,
    table_of_run,
)

__all__ = [
    "EvaluationConfig",
    "ResultTable",
    "SampleConfig",
    "collect_runs",
    "draw_history",
    "draw_phase",
    "evaluate_run",
    "first_of_each_class",
    "table_of_run",
]
