"""What a run leaves behind."""

import csv
import json

import numpy as np
import pytest

from kerasloc import FullModel
from kerasloc.data import read_folders
from kerasloc.evaluation import figures, first_of_each_class
from kerasloc.evaluation import results_old as report
from kerasloc.metrics import classification_report, multi_label_report
from kerasloc.runs import Run

ROW = {
    "map": "low",
    "threshold": 0.25,
    "tuned": True,
    "count": 4,
    **{f"point{end}": 0.5 for end in ("", "_low", "_high")},
    **{f"iou{end}": 0.3 for end in ("", "_low", "_high")},
    **{f"gain{end}": 0.0 for end in ("", "_low", "_high")},
}


@pytest.fixture
def answers():
    probabilities = np.eye(3)[[0, 1, 1, 2]]
    return classification_report([0, 1, 2, 2], probabilities, ["a", "b/c", "d"])


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# Tables


def test_tables_parse_back(tmp_path, answers):
    report.write_evaluation(tmp_path, answers, [ROW, {**ROW, "map": "high, blurred"}])
    (scores,) = read(tmp_path / "metrics.csv")
    assert (scores["images"], float(scores["accuracy"])) == ("4", 0.75)
    per_class = {row["class"]: row for row in read(tmp_path / "per_class.csv")}
    assert float(per_class["d"]["recall"]) == 0.5
    assert per_class["b/c"]["support"] == "1"
    rows = read(tmp_path / "localization.csv")
    assert [row["map"] for row in rows] == ["low", "high, blurred"]
    assert float(rows[0]["iou"]) == 0.3
    everything = json.loads((tmp_path / "evaluation.json").read_text())
    assert everything["classification"]["confusion"] == [
        [1, 0, 0],
        [0, 1, 0],
        [0, 1, 1],
    ]
    assert everything["localization"][0] == ROW


def test_without_localization_there_is_no_table_of_it(tmp_path, answers):
    report.write_evaluation(tmp_path, answers, [ROW])
    report.write_evaluation(tmp_path, answers, [])
    assert not (tmp_path / "localization.csv").exists()
    assert json.loads((tmp_path / "evaluation.json").read_text())["localization"] == []


def test_a_multi_label_report_is_written_and_told(tmp_path):
    labels = [[1, np.nan], [0, 1], [1, 0]]
    answers = multi_label_report(labels, np.full((3, 2), 0.9), ["a", "b"])
    report.write_evaluation(tmp_path, answers, [])
    figures.draw_confusion(tmp_path, answers, ["a", "b"])
    assert not (tmp_path / "confusion.png").exists()
    assert "top_5" not in read(tmp_path / "metrics.csv")[0]
    text = report.classification_text(answers)
    assert text.startswith("3 images\n  accuracy ")
    assert "top 5" not in text


def test_the_text_has_every_score_with_the_interval_of_accuracy(answers):
    lines = report.classification_text(answers).splitlines()
    assert lines[0] == "4 images"
    assert lines[1].split()[:2] == ["accuracy", "0.7500"]
    assert "95 % bootstrap" in lines[1]
    assert len(lines) == 1 + sum(name in answers for name in report.SCORES)
    assert len(lines) == 9


@pytest.mark.parametrize(
    ("tuned", "said"), [(True, "best of validation"), (False, "0.5, as the valid")]
)
def test_the_text_says_where_the_threshold_comes_from(tuned, said):
    row = {**ROW, "tuned": tuned}
    text = report.localization_text([row, {**row, "map": "high, of another class"}])
    assert said in text
    lines = text.splitlines()
    assert lines[-1].startswith("high, of another class  0.500 [0.500, 0.500]  0.300")
    assert lines[-1].endswith("0.25")
    assert len({len(line) for line in lines[-2:]}) == 1  # columns line up


# Several runs


def test_collected_rows_have_mean_and_deviation():
    runs = [
        [
            {"map": "low", "iou": 0.2, "point": 1},
            {"map": "high", "iou": 0.5, "point": 0},
        ],
        [
            {"map": "low", "iou": 0.4, "point": 1},
            {"map": "high", "iou": 0.5, "point": 1},
        ],
    ]
    low, high = report.collect(runs, "map", ("iou", "point"))
    assert low == {
        "map": "low",
        "runs": 2,
        "iou_mean": pytest.approx(0.3),
        "iou_std": pytest.approx(np.sqrt(0.02)),  # ((0.1)^2 + (0.1)^2) / (2 - 1)
        "point_mean": 1.0,
        "point_std": 0.0,
    }
    assert high["iou_std"] == 0
    assert high["point_std"] == pytest.approx(np.sqrt(0.5))


def test_one_run_has_no_deviation():
    (row,) = report.collect([[{"map": "low", "iou": 0.2}]], "map", ("iou",))
    assert row == {"map": "low", "runs": 1, "iou_mean": 0.2, "iou_std": 0.0}


def test_collected_text_shows_mean_and_deviation():
    runs = [[{"map": "low", "iou": value}] for value in (0.2, 0.4)]
    text = report.collected_text(report.collect(runs, "map", ("iou",)))
    assert text.startswith("mean and standard deviation over 2 runs\n")
    assert "0.3000 +- 0.1414" in text


# Figures


def test_classes_take_turns():
    labels = np.eye(3)[[0, 0, 0, 2, 1, 2]]
    assert first_of_each_class(labels).tolist() == [0, 3, 4, 1, 5, 2]


def test_of_several_labels_the_first_counts():
    labels = np.array([[1, 1], [0, 1], [0, 0]])
    assert first_of_each_class(labels).tolist() == [0, 1, 2]


def test_history_is_drawn_once_there_is_one(tmp_path):
    with Run(tmp_path, {}) as run:
        figures.draw_history(run)
        assert not (tmp_path / "figures").exists()
        run.write_history([{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}])
        figures.draw_history(run)
    assert (tmp_path / "figures" / "history.png").read_bytes().startswith(b"\x89PNG")


def test_the_confusion_matrix_is_a_picture(tmp_path, answers):
    figures.draw_confusion(tmp_path, answers, ["a", "b/c", "d"])
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_pipelines_are_drawn_class_by_class(trained, shapes, tmp_path, monkeypatch):
    drawn = []

    class Figure:
        def savefig(self, path, dpi):
            drawn.append(path.name)

    monkeypatch.setattr("kerasloc.plotting.pipeline", lambda *_: Figure())
    table = read_folders(shapes).split("test")
    full = FullModel(trained / "full" / "shapes", class_names=["a", "b/c", "d"])
    figures.draw_pipelines(tmp_path, full, table, 4)
    starts = [name.rsplit("-", 1)[0] for name in drawn]
    assert starts == ["pipeline-a", "pipeline-b-c", "pipeline-d", "pipeline-a"]
    figures.draw_pipelines(tmp_path, full, table, 0)
    assert len(drawn) == 4


def test_what_is_undefined_is_null_in_json(tmp_path, answers):
    report.write_evaluation(tmp_path, answers, [ROW | {"iou": float("nan")}])
    text = (tmp_path / "evaluation.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["localization"][0]["iou"] is None
