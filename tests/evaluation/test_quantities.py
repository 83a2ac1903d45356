"""Tables of quantities of an explainer-classifier, and of HRCAM's scores."""

import json

import numpy as np
import pytest

from kerasloc.data import Table
from kerasloc.evaluation.classification import SCORES, score_table, write_results
from kerasloc.evaluation.explanations import Explanations, write_explanations
from kerasloc.evaluation.results import QUANTITIES, ResultTable, quantity_table
from kerasloc.io import read_csv as read
from kerasloc.metrics import Estimate, classification_report, multi_label_report

LOCALIZATION = ResultTable.from_rows(
    [{"map": "low", "tuned": True, "iou": 0.3}, {"map": "high, blurred", "iou": np.nan}]
)


@pytest.fixture
def report():
    probabilities = np.eye(3)[[0, 1, 1, 2]]
    return classification_report([0, 1, 2, 2], probabilities, ["a", "b/c", "d"])


def test_intervals_are_shown_where_there_are_any_and_undefined_rows_left_out():
    table = quantity_table(
        {
            "accuracy": Estimate(0.5, 0.25, 0.75, 5),
            "f1_macro": Estimate(0.4, np.nan, np.nan, 5),
            "aopc": Estimate(np.nan, np.nan, np.nan, 0),
        }
    )
    head, accuracy, score = (line.split() for line in str(table).splitlines())
    assert head == ["images", "value"]
    assert accuracy == ["accuracy", "5", "0.500", "[0.250,", "0.750]"]
    assert score == ["F1,", "macro", "5", "0.4000"]
    assert table.averaged == ("value",)


def test_images_of_one_class_have_no_roc_curve_but_a_table(tmp_path):
    explanations = Explanations(
        np.array([[1.0, 0], [0, 1]]), {"explanation": np.array([0.1, 0.2])}, {}
    )
    table = Table(["a.png", "b.png"], ("cat", "dog"), [[1, 0], [1, 0]])
    (tmp_path / "morf.png").write_text("of an earlier evaluation")
    rows = write_explanations(tmp_path, explanations, table, "test").rows
    names = [row["quantity"] for row in rows]
    assert {"accuracy", "explanation"} <= set(names) <= set(QUANTITIES)
    assert "auroc_macro" not in names
    figures = {path.name for path in tmp_path.glob("*.png")}
    assert figures == {"precision-recall.png", "confusion.png"}


def test_scores_of_a_report_are_rows_with_the_interval_of_accuracy(report):
    table = score_table(report, LOCALIZATION)
    rows = {row["quantity"]: row for row in table.rows}
    assert list(rows) == [name for name in SCORES if name in report]
    assert (rows["accuracy"]["images"], rows["accuracy"]["value"]) == (4, 0.75)
    assert rows["accuracy"]["low"] <= 0.75 <= rows["accuracy"]["high"]
    assert np.isnan(rows["f1_macro"]["low"])
    assert table.details["localization"] is LOCALIZATION


def test_files_parse_back_and_undefined_numbers_are_null_in_json(tmp_path, report):
    write_results(tmp_path, report, LOCALIZATION)
    (scores,) = read(tmp_path / "metrics.csv")
    assert list(scores) == ["images", *(name for name in SCORES if name in report)]
    assert (scores["images"], float(scores["accuracy"])) == ("4", 0.75)
    per_class = {row["class"]: row for row in read(tmp_path / "per_class.csv")}
    assert float(per_class["d"]["recall"]) == 0.5
    assert per_class["b/c"]["support"] == "1"
    maps = [row["map"] for row in read(tmp_path / "localization.csv")]
    assert maps == ["low", "high, blurred"]
    text = (tmp_path / "evaluation.json").read_text()
    content = json.loads(text, parse_constant=pytest.fail)
    assert content["classification"]["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    assert [row["iou"] for row in content["localization"]] == [0.3, None]


def test_data_without_localization_removes_its_table(tmp_path, report):
    write_results(tmp_path, report, LOCALIZATION)
    write_results(tmp_path, report, None)
    assert not (tmp_path / "localization.csv").exists()
    assert json.loads((tmp_path / "evaluation.json").read_text())["localization"] == []
    assert score_table(report).details == {}


def test_a_multi_label_report_has_no_top_5(tmp_path):
    labels = [[1, np.nan], [0, 1], [1, 0]]
    report = multi_label_report(labels, np.full((3, 2), 0.9), ["a", "b"])
    write_results(tmp_path, report, None)
    assert "top_5" not in read(tmp_path / "metrics.csv")[0]
    names = [row["quantity"] for row in score_table(report).rows]
    assert names[0] == "accuracy"
    assert "top_5" not in names
