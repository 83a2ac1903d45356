"""Pictures of a run and of a phase of the explainer-classifier."""

import numpy as np
import pytest
from PIL import Image

from kerasloc import FullModel
from kerasloc.configs import NetworkConfig
from kerasloc.data import Table, read_folders
from kerasloc.evaluation import draw_history, draw_phase
from kerasloc.evaluation.classification import draw_confusion, draw_pipelines
from kerasloc.metrics import classification_report, multi_label_report
from kerasloc.runs import Run

NETWORK = NetworkConfig("explainer", ("cat", "dog"), (16, 16), mean=0.1, std=0.5)


class StandIn:
    """The explanation is the image's red; the first class is likely."""

    def predict_on_batch(self, images):
        self.seen = images
        return {
            "explanation": np.clip(images[..., :1], 0, 1),
            "logits": np.tile(np.float32([2, 0]), (len(images), 1)),
        }


@pytest.fixture
def val(tmp_path):
    """Fifteen images, ten of the first class and then five of the other."""
    paths = [tmp_path / f"{i}.png" for i in range(15)]
    for number, path in enumerate(paths):
        Image.new("RGB", (16, 16), (10 * number, 0, 0)).save(path)
    labels = [[1, 0]] * 10 + [[0, 1]] * 5
    return Table([str(path) for path in paths], ("cat", "dog"), labels)


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


def test_a_phase_has_its_curves_and_its_explanations(val, pages, tmp_path):
    run = Run(tmp_path / "run", {})
    history(run.folder / "phase1-classifier", 2)
    history(run.folder / "phase2-explainer", 3)
    model = StandIn()
    draw_phase(run, "phase2-explainer", model, NETWORK, val)
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


def test_before_the_first_epoch_there_are_no_curves(val, pages, tmp_path):
    run = Run(tmp_path / "run", {})
    draw_phase(run, "phase1-classifier", StandIn(), NETWORK, val)
    assert list(pages) == ["explanation_page"]


def test_history_is_drawn_after_the_first_epoch(tmp_path):
    with Run(tmp_path, {}) as run:
        draw_history(run)
        assert not (tmp_path / "figures").exists()
        run.write_history([{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}])
        draw_history(run)
    assert (tmp_path / "figures" / "history.png").read_bytes().startswith(b"\x89PNG")


def test_a_confusion_matrix_is_drawn_of_one_class_per_image(tmp_path):
    report = multi_label_report([[1, 0], [0, 1]], np.eye(2), ["a", "b"])
    draw_confusion(tmp_path, report, ["a", "b"])
    assert not list(tmp_path.iterdir())
    report = classification_report([0, 1], np.eye(2), ["a", "b/c"])
    draw_confusion(tmp_path, report, ["a", "b/c"])
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("count", "names"), [(4, ["a", "b-c", "d", "a"]), (0, [])])
def test_pipelines_are_drawn_class_by_class(trained, shapes, tmp_path, count, names):
    table = read_folders(shapes).split("test")
    full = FullModel(trained / "full" / "shapes", class_names=["a", "b/c", "d"])
    draw_pipelines(tmp_path, full, table, count, {})
    drawn = [path.name.split("-") for path in tmp_path.iterdir()]
    assert sorted("-".join(parts[1:-1]) for parts in drawn) == sorted(names)
