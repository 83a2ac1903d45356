"""Pictures of a phase of the explainer-classifier, and tables of its evaluation."""

import csv
import types

import numpy as np
import pytest
from PIL import Image

from kerasloc.data import Table
from kerasloc.data.pipeline import PipelineConfig
from kerasloc.runs import Run
from kerasloc.training import explainer_report
from kerasloc.training.explainer_report import TITLES, collect, draw_phase, text


class StandIn:
    """The explanation is the image's red; the first class is likely."""

    def predict_on_batch(self, images):
        self.seen = images
        return {
            "explanation": np.clip(images[..., :1], 0, 1),
            "logits": np.tile(np.float32([2, 0]), (len(images), 1)),
        }


@pytest.fixture
def fed(tmp_path):
    """Fifteen images, ten of the first class and then five of the other."""
    paths = [tmp_path / f"{i}.png" for i in range(15)]
    for number, path in enumerate(paths):
        Image.new("RGB", (16, 16), (10 * number, 0, 0)).save(path)
    labels = [[1, 0]] * 10 + [[0, 1]] * 5
    table = Table([str(path) for path in paths], ("cat", "dog"), labels)
    config = PipelineConfig((16, 16), mean=(0.1,) * 3, std=(0.5,) * 3)
    return {"val": table, "val_config": config}


@pytest.fixture
def pages(monkeypatch):
    """What was to be drawn, instead of pictures."""
    drawn = {}

    class Figure:
        def savefig(self, path, **options):
            path.write_text(path.name)

    def put(name):
        def figure(*values):
            drawn[name] = values
            return Figure()

        return figure

    for name in ("explanation_page", "phases_figure"):
        monkeypatch.setattr(f"kerasloc.plotting.{name}", put(name))
    return drawn


def history(folder, epochs):
    folder.mkdir(parents=True)
    lines = [f"{epoch},{1 / epoch}" for epoch in range(1, epochs + 1)]
    (folder / "history.csv").write_text("\n".join(["epoch,loss", *lines]))


def test_a_phase_has_its_curves_and_its_explanations(fed, pages, tmp_path):
    run = Run(tmp_path / "run", {})
    history(run.folder / "phase1-classifier", 2)
    history(run.folder / "phase2-explainer", 3)
    network = types.SimpleNamespace(class_names=("cat", "dog"))
    model = StandIn()
    draw_phase(run, model, fed, network, "phase2-explainer")
    names = sorted(path.name for path in (run.folder / "figures").iterdir())
    assert names == ["explanations-phase2-explainer.png", "phases.png"]
    (histories,) = pages["phases_figure"]
    found = {name: len(rows) for name, rows in histories.items()}
    assert found == {"phase1: classifier": 2, "phase2: explainer": 3}
    rows, title = pages["explanation_page"]
    assert "phase2-explainer" in title
    assert [row.label for row in rows] == ["cat", "dog"] * 5 + ["cat"] * 2
    for row, number in zip(rows[:4], (0, 10, 1, 11), strict=True):
        # drawn as it was read, seen as it is normalized
        np.testing.assert_allclose(row.image[..., 0], number * 10 / 255, atol=1e-6)
        expected = max(0, (number * 10 / 255 - 0.1) / 0.5)
        np.testing.assert_allclose(row.explanation, expected, atol=1e-6)
        assert row.probabilities == pytest.approx({"cat": 0.8808, "dog": 0.1192}, 1e-3)
    assert model.seen.shape == (12, 16, 16, 3)


def test_before_the_first_epoch_there_are_no_curves(fed, pages, tmp_path):
    run = Run(tmp_path / "run", {})
    network = types.SimpleNamespace(class_names=("cat", "dog"))
    draw_phase(run, StandIn(), fed, network, "phase1-classifier")
    assert list(pages) == ["explanation_page"]


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


def test_runs_are_collected_by_quantity(tmp_path):
    runs = [
        [quantity("accuracy", value), quantity("aopc", 2 * value)] for value in (0.2, 1)
    ]
    collect(runs, tmp_path / "collected", ["a", "b"])
    with open(tmp_path / "collected" / "collected.csv", newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["quantity"], first["runs"]) == ("accuracy", "2")
    assert float(first["value_mean"]) == pytest.approx(0.6)
    assert float(first["value_std"]) == pytest.approx(0.8 / np.sqrt(2))
    assert float(second["value_mean"]) == pytest.approx(1.2)
    with open(tmp_path / "collected" / "runs.csv", newline="") as file:
        assert [row["run"] for row in csv.DictReader(file)] == ["a", "a", "b", "b"]


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
