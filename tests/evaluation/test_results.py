"""The table of results: text, csv, mean and deviation over runs."""

import numpy as np
import pandas as pd
import pytest

from kerasloc.evaluation import ResultTable, collect_runs
from kerasloc.evaluation.results import collect
from kerasloc.io import read_csv as read

TITLES = {"count": "images", "iou": "IoU", "point": "point accuracy", "none": "none"}


def table_of(iou, point=0.5, **details):
    rows = [
        {"map": name, "count": 4, "tuned": True, "iou": iou + more, "point": point}
        | {"iou_low": 0.1, "iou_high": 0.9}
        for name, more in (("low", 0.0), ("high, blurred", 0.5))
    ]
    return ResultTable.from_rows(rows, TITLES, details=details)


def test_text_has_titles_intervals_and_columns_that_line_up():
    head, low, high = str(table_of(0.2)).splitlines()
    assert head.split() == ["images", "IoU", "point", "accuracy"]
    assert low.split() == ["low", "4", "0.200", "[0.100,", "0.900]", "0.5000"]
    assert high.startswith("high, blurred")
    assert len(head) == len(low) == len(high)


def test_columns_that_are_nan_everywhere_are_not_shown():
    assert "IoU" not in str(table_of(np.nan))
    table = ResultTable.from_rows(
        [{"class": name, "iou": value} for name, value in (("a", np.nan), ("b", 1.0))],
        TITLES,
    )
    assert str(table).splitlines()[1].split() == ["a", "nan"]


def test_rows_are_python_values_in_the_order_of_the_csv(tmp_path):
    table = table_of(np.nan)
    types = {type(value) for row in table.rows for value in row.values()}
    assert types == {str, int, bool, float}
    table.write_csv(tmp_path / "new" / "metrics.csv")
    first, _ = read(tmp_path / "new" / "metrics.csv")
    assert list(first) == list(table.rows[0])
    assert (first["count"], first["tuned"], first["iou"]) == ("4", "True", "nan")
    assert pd.read_csv(tmp_path / "new" / "metrics.csv")["point"].tolist() == [0.5, 0.5]


def test_names_are_no_formulas_of_a_spreadsheet_and_numbers_stay(tmp_path):
    rows = [{"class": "=1+1", "iou": -0.5, "@x": 1}, {"class": "a", "iou": np.nan}]
    ResultTable.from_rows(rows).write_csv(tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines == ["class,iou,'@x", "'=1+1,-0.5,1.0", "a,nan,nan"]
    assert read(tmp_path / "a.csv")[0]["class"] == "=1+1"
    ResultTable.from_rows([]).write_csv(tmp_path / "empty.csv")
    assert not (tmp_path / "empty.csv").read_text().strip()


def test_numbers_of_several_runs_have_mean_and_deviation():
    low, high = collect([table_of(0.2, 0.0), table_of(0.4, 1.0)]).rows
    assert low == {
        "map": "low",
        "runs": 2,
        "iou_mean": pytest.approx(0.3),
        "iou_std": pytest.approx(np.sqrt(0.02)),  # ((0.1)^2 + (0.1)^2) / (2 - 1)
        "point_mean": 0.5,
        "point_std": pytest.approx(np.sqrt(0.5)),
    }
    assert high["iou_mean"] == pytest.approx(0.8)


def test_a_single_run_has_no_deviation_and_an_undefined_one_no_mean():
    assert collect([table_of(0.2)]).rows[0]["iou_std"] == 0
    assert np.isnan(collect([table_of(0.2), table_of(np.nan)]).rows[0]["iou_mean"])


def test_a_row_that_a_run_lacks_is_averaged_over_the_others():
    short = table_of(0.4)
    short = ResultTable(short.frame.iloc[:1], TITLES)
    low, high = collect([table_of(0.2), short]).rows
    assert (low["runs"], high["runs"]) == (2, 1)


def test_named_columns_are_the_only_ones_that_are_averaged():
    rows = [{"map": "low", "threshold": 0.5, "iou": 0.3}]
    table = ResultTable.from_rows(rows, averaged=("iou",))
    assert list(collect([table]).rows[0]) == ["map", "runs", "iou_mean", "iou_std"]


def test_runs_are_collected_in_files_and_logged(tmp_path, caplog):
    tables = [table_of(iou, localization=table_of(iou, 1.0)) for iou in (0.2, 0.4)]
    folder = tmp_path / "new" / "collected"
    with caplog.at_level("INFO"):
        collected = collect_runs(tables, folder, ["s0", "s1"])
    assert [float(row["iou_mean"]) for row in read(folder / "collected.csv")] == (
        pytest.approx([0.3, 0.8])
    )
    rows = read(folder / "runs.csv")
    assert list(rows[0]) == ["run", *tables[0].rows[0]]
    assert [row["run"] for row in rows] == ["s0", "s0", "s1", "s1"]
    assert [float(row["iou"]) for row in rows] == pytest.approx([0.2, 0.7, 0.4, 0.9])
    maps = read(folder / "localization_collected.csv")
    assert [float(row["point_mean"]) for row in maps] == [1, 1]
    assert collected.details["localization"].rows[0]["runs"] == 2
    assert "over 2 runs" in caplog.text
    assert "0.3000 +- 0.1414" in caplog.text


def test_a_detail_that_a_run_lacks_is_not_collected(tmp_path):
    tables = [table_of(0.2, localization=table_of(0.2)), table_of(0.4)]
    assert collect_runs(tables, tmp_path, ["a", "b"]).details == {}
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["collected.csv", "runs.csv"]
