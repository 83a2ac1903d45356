"""Tables of quantities, one row each, and the figures of the explainer-classifier."""

import dataclasses
import logging
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import softmax

from kerasloc.data.table import Table
from kerasloc.evaluation.figures import DPI, draw_confusion
from kerasloc.evaluation.results import ResultTable, columns_of
from kerasloc.io import write_csv, write_json
from kerasloc.metrics import (
    Estimate,
    aopc,
    auroc,
    average_precision,
    classification_report,
    curve_interval,
    precision_recall_curve,
    roc_curve,
)

logger = logging.getLogger(__name__)

TITLES = {
    "images": "images",
    "value": "value",
    "accuracy": "accuracy",
    "f1_macro": "F1, macro",
    "auroc_macro": "AUROC, macro",
    "auroc_micro": "AUROC, micro",
    "average_precision_macro": "average precision, macro",
    "average_precision_micro": "average precision, micro",
    "classification_loss": "cross-entropy",
    "explanation_loss": "explanation loss",
    "explanation": "mean explanation",
    "explanation_target": "  on the target",
    "explanation_outside": "  outside the target",
    "explanation_others": "  on other objects",
    "explanation_background": "  on the background",
    "target_over_outside": "  target - outside",
    "target_over_others": "  target - other objects",
    "pompom": "POMPOM (lower is better)",
    "point": "point accuracy",
    "center_point": "  of a Gaussian at the center",
    "aopc": "AOPC",
    "aopc_gradcam": "  of Grad-CAM",
    "aopc_random": "  of a random order",
    "aopc_over_gradcam": "  over Grad-CAM",
    "aopc_over_random": "  over a random order",
}
EXPLANATION, GRADCAM, RANDOM = "explanation", "Grad-CAM", "random"  # MoRF curves
DIFFERENCES = {
    "target_over_outside": ("explanation_target", "explanation_outside"),
    "target_over_others": ("explanation_target", "explanation_others"),
}
FIGURES = ("roc", "precision-recall", "morf", "confusion")


@dataclasses.dataclass(frozen=True, eq=False)
class Explanations:
    """Predictions for the images of a table, and measurements of their explanations.

    Attributes:
        logits: Logits (n, classes).
        values: One number per image, (n,), by name, NaN where it is undefined:
            ``explanation`` (its mean), ``explanation_target``, ``_outside``,
            ``_others``, ``_background`` (its mean there), ``explanation_loss``,
            ``classification_loss``, ``pompom``, ``point``, ``center_point``.
        curves: MoRF curves (k, L + 1) of drawn images by method; empty without any.
    """

    logits: np.ndarray
    values: dict[str, np.ndarray]
    curves: dict[str, np.ndarray]


def write_explanations(
    folder: pathlib.Path, explanations: Explanations, table: Table, split: str
) -> ResultTable:
    """Write metrics.csv, per_class.csv, evaluation.json and figures.

    Args:
        folder: Folder, made when absent.
        explanations: Measurements of the table.
        table: Images of one class each.
        split: Name of the split.
    """
    truth, names = table.class_index, table.class_names
    probabilities = softmax(explanations.logits.astype(float), axis=-1)
    reports = {
        "classification": classification_report(truth, probabilities, names),
        "auroc": auroc(table.labels, probabilities, names),
        "average_precision": average_precision(table.labels, probabilities, names),
    }
    results = tabulate(reports, explanations)
    results.write_csv(folder / "metrics.csv")
    write_csv(folder / "per_class.csv", class_rows(reports))
    bounds = ("mean", "low", "high")
    content = {
        "split": split,
        "images": len(table),
        "rows": results.rows,
        **reports,
        "morf": {
            name: dict(zip(bounds, curve_interval(lines), strict=True))
            for name, lines in explanations.curves.items()
        },
    }
    write_json(folder / "evaluation.json", content)
    ranked = {
        "roc": roc_curve(truth, probabilities, names),
        "precision-recall": precision_recall_curve(truth, probabilities, names),
    }
    _draw(folder, reports["classification"], ranked, explanations.curves)
    logger.info("%s: %d %s images\n%s", folder.parent, len(table), split, results)
    return results


def tabulate(reports: Mapping[str, dict], explanations: Explanations) -> ResultTable:
    """Tabulate every quantity that is defined.

    Args:
        reports: ``classification``, ``auroc`` and ``average_precision``.
        explanations: Measurements of the explanations.

    Returns:
        Columns ``quantity`` (a key of :data:`TITLES`), ``images`` (the number of images
        behind it), ``value``, and ``low`` and ``high``, its 95 % bootstrap interval
        over images, NaN where it has none.
    """
    report = reports["classification"]
    count, (low, high) = report["count"], report["accuracy_interval"]
    estimates = {
        "accuracy": Estimate(report["accuracy"], low, high, count),
        "f1_macro": Estimate(report["f1_macro"], np.nan, np.nan, count),
    }
    for name in ("auroc", "average_precision"):
        for average in ("macro", "micro"):
            estimate = Estimate.from_report(reports[name], average)
            estimates[f"{name}_{average}"] = dataclasses.replace(estimate, count=count)
    values = dict(explanations.values)
    for name, (first, second) in DIFFERENCES.items():
        if second in values:
            values[name] = values[first] - values[second]
    areas = {name: aopc(lines) for name, lines in explanations.curves.items()}
    if areas:
        values["aopc"] = areas[EXPLANATION]
        for name, key in ((GRADCAM, "gradcam"), (RANDOM, "random")):
            values[f"aopc_{key}"] = areas[name]
            values[f"aopc_over_{key}"] = areas[EXPLANATION] - areas[name]
    estimates |= {name: Estimate.of_mean(column) for name, column in values.items()}
    return quantity_table(
        {name: estimates[name] for name in TITLES if name in estimates}
    )


def quantity_table(
    estimates: Mapping[str, Estimate], details: Mapping[str, ResultTable] | None = None
) -> ResultTable:
    """Tabulate estimates, one row each.

    Args:
        estimates: Estimates by quantity, in the order of the rows; those that are NaN
            are left out.
        details: Further tables of the same run.

    Examples:
        >>> print(quantity_table({"accuracy": Estimate(0.5, 0.25, 0.75, 8)}))
                 images                value
        accuracy      8 0.500 [0.250, 0.750]
    """
    rows = [
        {
            "quantity": name,
            "images": int(estimate.count),
            "value": float(estimate.value),
            "low": float(estimate.low),
            "high": float(estimate.high),
        }
        for name, estimate in estimates.items()
        if np.isfinite(estimate.value)
    ]
    return ResultTable.from_rows(rows, TITLES, ("value",), details)


def class_rows(reports: Mapping[str, dict]) -> list[dict[str, Any]]:
    """List the scores of every class.

    Args:
        reports: ``classification``, ``auroc`` and ``average_precision``.
    """
    rows = []
    for index, (name, scores) in enumerate(
        reports["classification"]["per_class"].items()
    ):
        row = {"class": name, "images": scores["support"]}
        row |= {key: scores[key] for key in ("precision", "recall", "f1")}
        for key in ("auroc", "average_precision"):
            estimate = Estimate.from_report(reports[key], "per_class", index)
            row |= columns_of(key, estimate)
        rows.append(row)
    return rows


def _draw(
    folder: pathlib.Path,
    report: Mapping[str, Any],
    ranked: Mapping[str, dict],
    curves: Mapping[str, np.ndarray],
) -> None:
    """Draw the figures; those of an earlier evaluation are removed."""
    from kerasloc.plotting import morf_figure, precision_recall_figure, roc_figure

    for name in FIGURES:
        (folder / f"{name}.png").unlink(missing_ok=True)
    figures = {}
    functions = {"roc": roc_figure, "precision-recall": precision_recall_figure}
    for name, draw in functions.items():
        if any(ranked[name]["per_class"]):  # none for images of a single class
            figures[name] = draw(ranked[name])
    if curves:
        figures["morf"] = morf_figure(curves)
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=DPI)
    draw_confusion(folder, report, list(report["per_class"]))
