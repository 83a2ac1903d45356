"""Results of runs: tables, mean and deviation, and pictures of the training."""

import dataclasses
import logging
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from kerasloc import io
from kerasloc.configs import NetworkConfig
from kerasloc.data.pipeline import PipelineConfig, batches
from kerasloc.data.table import Table
from kerasloc.evaluation.configs import DPI, EvaluationConfig
from kerasloc.evaluation.samples import first_of_each_class
from kerasloc.metrics import Estimate, curve_interval
from kerasloc.models import families
from kerasloc.runs import Run, read_history, read_network

logger = logging.getLogger(__name__)

BOUNDS = ("low", "high")
SHOWN = 12  # explanations on a page
QUANTITIES = {
    "images": "images",
    "value": "value",
    "accuracy": "accuracy",
    "precision_macro": "precision, macro",
    "precision_micro": "precision, micro",
    "recall_macro": "recall, macro",
    "recall_micro": "recall, micro",
    "f1_macro": "F1, macro",
    "f1_micro": "F1, micro",
    "top_5": "top-5 accuracy",
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


@dataclasses.dataclass(frozen=True, eq=False)
class ResultTable:
    """Measurements of a run or of compared models, one row each.

    The first column names the rows. ``NAME_low`` and ``NAME_high`` (``low`` and
    ``high`` of ``value``) bound the 95 % bootstrap interval of ``NAME``.

    Examples:
        >>> row = {"map": "low", "iou": 0.5, "iou_low": 0.4, "iou_high": 0.6}
        >>> print(ResultTable.from_rows([row], {"iou": "IoU"}))
                           IoU
        low 0.500 [0.400, 0.600]
    """

    frame: pd.DataFrame  # in the order of the csv file
    # of the columns that a terminal shows, and of rows
    titles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    averaged: tuple[str, ...] = ()  # over runs; by default all floats but bounds
    details: Mapping[str, "ResultTable"] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.averaged:
            floats = self.frame.select_dtypes("float").columns
            names = tuple(name for name in floats if not name.endswith(BOUNDS))
            object.__setattr__(self, "averaged", names)

    @classmethod
    def from_rows(
        cls,
        rows: Sequence[Mapping[str, Any]],
        titles: Mapping[str, str] | None = None,
        averaged: Sequence[str] = (),
        details: Mapping[str, "ResultTable"] | None = None,
    ) -> "ResultTable":
        """Make a table of rows with the same columns."""
        return cls(pd.DataFrame(rows), titles or {}, tuple(averaged), details or {})

    @property
    def key(self) -> str:
        """Column that names the rows."""
        return self.frame.columns[0]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Rows as dicts of Python numbers and text."""
        records = self.frame.to_dict("records")
        return [{str(name): row[name] for name in row} for row in records]

    def __str__(self) -> str:
        filled = self.frame.columns[self.frame.notna().any()]
        names = [n for n in self.titles if n in filled or f"{n}_mean" in filled]
        labels = [self.titles.get(name, str(name)) for name in self.frame[self.key]]
        width = max(map(len, labels))
        cells = [[_cell(row, name) for name in names] for row in self.rows]
        index = [label.ljust(width) for label in labels]
        text = pd.DataFrame(cells, index, [f"  {self.titles[name]}" for name in names])
        return text.to_string()

    def write_csv(self, path: str | os.PathLike) -> None:
        """Replace a csv file in one step; NaN is ``nan``."""
        texts = self.frame.select_dtypes(exclude=["number", "bool"])
        frame = self.frame.copy()
        frame[texts.columns] = texts.map(io.as_cell)
        frame = frame.rename(columns=io.as_cell)
        with io.atomic_write(path) as partial:
            frame.to_csv(partial, index=False, na_rep="nan", lineterminator="\n")


def evaluate_run(
    folder: str | os.PathLike, config: EvaluationConfig | None = None
) -> ResultTable:
    """Measure a run on the test images of its data, and write its tables and figures.

    Raises:
        ValueError: If the folder holds no run, or the data does not fit.
    """
    evaluate = families.get(read_network(folder).family).load("evaluator")
    return evaluate(pathlib.Path(folder), config or EvaluationConfig())


def columns_of(name: str, estimate: Estimate) -> dict[str, float]:
    """Return an estimate as the columns of a row.

    Examples:
        >>> columns_of("iou", Estimate(0.5, 0.4, 0.6, 9))
        {'iou': 0.5, 'iou_low': 0.4, 'iou_high': 0.6}
    """
    values = (estimate.value, estimate.low, estimate.high)
    return dict(
        zip((name, f"{name}_low", f"{name}_high"), map(float, values), strict=True)
    )


def quantity_table(
    estimates: Mapping[str, Estimate], details: Mapping[str, ResultTable] | None = None
) -> ResultTable:
    """Tabulate estimates by quantity, one row each; those that are NaN are left out.

    Examples:
        >>> print(quantity_table({"accuracy": Estimate(0.5, 0.25, 0.75, 8)}))
                 images                value
        accuracy      8 0.500 [0.250, 0.750]
    """
    rows = [
        (name, int(estimate.count), estimate.value, estimate.low, estimate.high)
        for name, estimate in estimates.items()
        if np.isfinite(estimate.value)
    ]
    frame = pd.DataFrame(rows, columns=["quantity", "images", "value", *BOUNDS])
    frame = frame.astype(dict.fromkeys(("value", *BOUNDS), float))
    return ResultTable(frame, QUANTITIES, ("value",), details or {})


def curve_bounds(curves: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Compute ``mean``, ``low`` and ``high`` of MoRF curves by name."""
    names = ("mean", *BOUNDS)
    return {
        name: dict(zip(names, curve_interval(lines), strict=True))
        for name, lines in curves.items()
    }


def _cell(row: Mapping[str, Any], name: str) -> str:
    """Format a value with its interval or its deviation over runs."""
    if f"{name}_mean" in row:
        return f"{row[f'{name}_mean']:.4f} +- {row[f'{name}_std']:.4f}"
    value = row[name]
    if not isinstance(value, float):
        return str(value)
    low, high = (row.get(end if name == "value" else f"{name}_{end}") for end in BOUNDS)
    if low is None or (np.isnan(low) and not np.isnan(value)):
        return f"{value:.4f}"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def collect(tables: Sequence[ResultTable]) -> ResultTable:
    """Compute mean and standard deviation over runs of every row of the first table.

    A row that a run lacks is averaged over the others; columns are ``NAME_mean`` and
    ``NAME_std`` (n - 1; 0 for a single run) of the averaged columns.

    Examples:
        >>> rows = [{"map": "low", "iou": 0.2}], [{"map": "low", "iou": 0.4}]
        >>> collect([ResultTable.from_rows(run) for run in rows]).rows
        [{'map': 'low', 'runs': 2, 'iou_mean': 0.3, 'iou_std': 0.14}]
    """
    first = tables[0]
    combined = pd.concat([table.frame for table in tables])
    rows = []
    for name in first.frame[first.key]:
        same = combined[combined[first.key] == name]
        row = {first.key: name, "runs": len(same)}
        for column in first.averaged:
            values = same[column].to_numpy(float)
            row[f"{column}_mean"] = float(values.mean())
            row[f"{column}_std"] = float(values.std(ddof=1)) if len(same) > 1 else 0.0
        rows.append(row)
    return ResultTable.from_rows(rows, first.titles)


def collect_runs(
    tables: Sequence[ResultTable], folder: str | os.PathLike, names: Sequence[str]
) -> ResultTable:
    """Write the results of several runs and their mean and deviation.

    Args:
        tables: Tables of :func:`evaluate_run`.
        folder: Folder of collected.csv, runs.csv (all rows) and DETAIL_collected.csv.
        names: Names of the runs.
    """
    folder = pathlib.Path(folder)
    details = {
        name: collect([table.details[name] for table in tables])
        for name in tables[0].details
        if all(name in table.details for table in tables)
    }
    collected = dataclasses.replace(collect(tables), details=details)
    frames = [table.frame.copy() for table in tables]
    for name, frame in zip(names, frames, strict=True):
        frame.insert(0, "run", name)
    collected.write_csv(folder / "collected.csv")
    ResultTable(pd.concat(frames)).write_csv(folder / "runs.csv")
    for name, table in details.items():
        table.write_csv(folder / f"{name}_collected.csv")
    for table in (collected, *details.values()):
        logger.info("Mean and standard deviation over %d runs\n%s", len(tables), table)
    return collected


def draw_history(run: Run) -> None:
    """Draw the curves of the training into figures/history.png, if there are any."""
    from kerasloc.plotting import history

    if run.history:
        io.write_figure(run.path("figures/history.png"), history(run.history), DPI)


def draw_phase(
    run: Run, phase: str, model: Any, network: NetworkConfig, val: Table
) -> None:
    """Draw the curves of an explainer-classifier and explanations after a phase.

    Args:
        run: Open run, not that of the phase: figures/{phases,explanations-PHASE}.png.
        phase: Folder name of the phase that has ended, such as ``phase1-classifier``.
        model: Network with the outputs ``explanation`` and ``logits``.
        network: Its configuration.
        val: Validation images, of which up to 12 are shown; the classes take turns.
    """
    from kerasloc.plotting import explanation_page, phases_figure

    folders = [path.parent for path in sorted(run.folder.glob("phase*/history.csv"))]
    rows = {path.name.replace("-", ": ", 1): read_history(path) for path in folders}
    if any(rows.values()):
        io.write_figure(run.path("figures/phases.png"), phases_figure(rows), DPI)
    title = f"Explanations after {phase}, validation images"
    page = explanation_page(_explanation_rows(model, network, val), title)
    io.write_figure(run.path(f"figures/explanations-{phase}.png"), page, DPI)


def _explanation_rows(model, network: NetworkConfig, val: Table) -> list:
    from kerasloc.plotting import ExplanationRow

    shown = val.subset(first_of_each_class(np.nan_to_num(val.labels))[:SHOWN])
    config = PipelineConfig(network.im_size, network.channels, SHOWN, ("image",))
    images = next(iter(batches(shown, config)))["image"].numpy()
    mean, std = (np.asarray(v, np.float32) for v in (network.mean, network.std))
    outputs = model.predict_on_batch((images - mean) / std)
    probabilities = softmax(np.asarray(outputs["logits"], float), axis=-1)
    names, labels = network.class_names, np.nan_to_num(shown.labels)
    return [
        ExplanationRow(
            image,
            explanation[..., 0],
            dict(zip(names, row, strict=True)),
            names[label.argmax()] if label.any() else None,
        )
        for image, explanation, row, label in zip(
            images, outputs["explanation"], probabilities, labels, strict=True
        )
    ]
