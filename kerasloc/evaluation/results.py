"""Tables of results: csv, json and terminal, mean and deviation over runs."""

import dataclasses
import logging
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kerasloc import io
from kerasloc.evaluation.configs import EvaluationConfig
from kerasloc.metrics import Estimate
from kerasloc.models import families
from kerasloc.runs import read_network

logger = logging.getLogger(__name__)

BOUNDS = ("low", "high")


@dataclasses.dataclass(frozen=True, eq=False)
class ResultTable:
    """Measurements of a run or of compared models, one row each.

    The first column names the rows: classes, quantities, maps or methods. The columns
    ``NAME_low`` and ``NAME_high`` (``low`` and ``high`` of ``value``) bound the 95 %
    bootstrap interval of ``NAME``.

    Attributes:
        frame: Rows and columns in the order of the csv file.
        titles: Titles of the columns that a terminal shows, in their order. Names of
            rows may have titles, too.
        averaged: Columns that are averaged over runs. Default: all floats but bounds.
        details: Further tables of the same run, by name.

    Examples:
        >>> table = ResultTable.from_rows(
        ...     [{"map": "low", "iou": 0.5, "iou_low": 0.4, "iou_high": 0.6}],
        ...     {"iou": "IoU"},
        ... )
        >>> print(table)
                           IoU
        low 0.500 [0.400, 0.600]
        >>> table.rows[0]["iou"]
        0.5
    """

    frame: pd.DataFrame
    titles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    averaged: tuple[str, ...] = ()
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
        """Make a table of rows with the same columns; see the attributes.

        Examples:
            >>> ResultTable.from_rows([{"class": "cat", "auroc": 0.9}]).averaged
            ('auroc',)
        """
        return cls(pd.DataFrame(rows), titles or {}, tuple(averaged), details or {})

    @property
    def key(self) -> str:
        """Column that names the rows.

        Examples:
            >>> ResultTable.from_rows([{"class": "cat", "auroc": 0.9}]).key
            'class'
        """
        return self.frame.columns[0]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Rows as dicts of Python numbers and text.

        Examples:
            >>> ResultTable.from_rows([{"class": "cat", "positives": 3}]).rows
            [{'class': 'cat', 'positives': 3}]
        """
        records = self.frame.to_dict("records")
        return [{str(name): row[name] for name in row} for row in records]

    def __str__(self) -> str:
        names = [name for name in self.titles if self._has(name)]
        labels = [self.titles.get(name, str(name)) for name in self.frame[self.key]]
        width = max(map(len, labels))
        cells = [[_cell(row, name) for name in names] for row in self.rows]
        index = [label.ljust(width) for label in labels]
        text = pd.DataFrame(cells, index, [self.titles[name] for name in names])
        return text.to_string()

    def _has(self, name: str) -> bool:
        """Whether any row has a value of a column, or its mean over runs."""
        column = f"{name}_mean" if f"{name}_mean" in self.frame else name
        return column in self.frame and not self.frame[column].isna().all()

    def write_csv(self, path: str | os.PathLike) -> None:
        """Replace a csv file in one step; NaN is ``nan``."""
        with io.atomic_write(path) as partial:
            self.frame.to_csv(partial, index=False, na_rep="nan", lineterminator="\n")


def evaluate_run(
    folder: str | os.PathLike, config: EvaluationConfig | None = None
) -> ResultTable:
    """Measure a run on the test images of its data, and write its tables and figures.

    Args:
        folder: Run folder.
        config: Options; other data, another split or checkpoint.

    Returns:
        The table of the family's evaluator, such as
        :func:`kerasloc.evaluation.localization.evaluate_maps`.

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
    return {
        name: float(estimate.value),
        f"{name}_low": float(estimate.low),
        f"{name}_high": float(estimate.high),
    }


def _cell(row: Mapping[str, Any], name: str) -> str:
    """Text of a value with its interval or its deviation over runs."""
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
    """Compute mean and standard deviation over runs of every row.

    Args:
        tables: Tables of the runs, all of the same kind. The rows are those of the
            first; a row that a run lacks is averaged over the others.

    Returns:
        Columns: that which names the rows, ``runs``, and ``NAME_mean`` and ``NAME_std``
        (n - 1; 0 for a single run) of the averaged columns.

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
        tables: Tables of the runs, as from :func:`kerasloc.evaluation.evaluate_run`.
        folder: Folder of collected.csv, mean and deviation, runs.csv, the rows of all
            runs, and DETAIL_collected.csv of further tables; made when absent.
        names: Names of the runs.

    Returns:
        The table of collected.csv; its details are those of the other files.
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
