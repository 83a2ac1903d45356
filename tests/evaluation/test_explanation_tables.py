"""Pictures of a phase of the explainer-classifier, and tables of its evaluation."""

import numpy as np

from kerasloc.data import Table
from kerasloc.evaluation import explanation_tables as explainer_report
from kerasloc.evaluation.explanation_tables import TITLES, text


def quantity(name, value, low=np.nan, high=np.nan, images=5):
    return {
        "quantity": name,
        "images": images,
        "value": value,
        "low": low,
        "high": high,
    }


def test_the_table_shows_intervals_where_there_are_some():
    lines = text([quantity("accuracy", 0.5, 0.25, 0.75), quantity("f1_macro", 0.4)])
    head, accuracy, score = (line.split() for line in lines.splitlines())
    assert head == ["images", "value", "95", "%", "interval"]
    assert accuracy == ["accuracy", "5", "0.500", "[0.250,", "0.750]"]
    assert score == ["F1,", "macro", "5", "0.400"]


def test_images_of_one_class_have_no_roc_curve_and_still_a_table(tmp_path):
    found = explainer_report.Explained(
        np.array([[1.0, 0], [0, 1]]), {"explanation": np.array([0.1, 0.2])}, {}
    )
    table = Table(["a.png", "b.png"], ("cat", "dog"), [[1, 0], [1, 0]])
    (tmp_path / "morf.png").write_text("of an earlier evaluation")
    rows = explainer_report.write(tmp_path, found, table, "test")
    names = [row["quantity"] for row in rows]
    assert {"accuracy", "explanation"} <= set(names) <= set(TITLES)
    assert "auroc_macro" not in names
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "precision-recall.png",
        "confusion.png",
    }
