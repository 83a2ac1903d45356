"""Curves, read back from their figures."""

import io
import re

import numpy as np
import pytest

from kerasloc import metrics, plotting
from kerasloc.metrics import aopc_by_steps, curve_interval, roc_curve
from kerasloc.plotting.style import FAINT

LABELS = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0]])
SCORES = np.array([[4, 4, 1], [3, 3, 1], [2, 2, 1], [1, 1, 1]])
NAMES = ["cat", "dog", "owl"]
PHASES = {
    "classifier": [
        {"epoch": 1, "loss": 2.0, "accuracy": 0.5, "val_loss": 2.5},
        {"epoch": 2, "loss": 1.0, "accuracy": 0.6, "val_loss": np.nan},
    ],
    "explainer": [{"epoch": 1, "loss": 0.9, "explanation_loss": 0.8, "seconds": 3}],
    "both": [{"loss": 0.7, "explanation_loss": 0.4}, {"loss": 0.6, "lr": 0.1}],
}


def lines_of(ax):
    return {line.get_label(): line for line in ax.lines}


def panels_of(figure):
    return {ax.get_title(loc="left"): ax for ax in figure.axes if ax.axison}


def points(ax):
    """The points of all lines, x to y, by line style (validation is dashed)."""
    styles = {}
    for line in ax.lines:
        if line.get_color() != FAINT:
            pairs = map(tuple, line.get_xydata())
            styles.setdefault(line.get_linestyle(), {}).update(pairs)
    return styles


@pytest.mark.parametrize(
    ("kind", "areas", "drawstyle"),
    [
        ("roc", ["0.750", "0.250", "0.500"], "default"),
        ("precision_recall", ["0.833", "0.500", "0.667"], "steps-pre"),
    ],
)
def test_classes_and_averages_are_named_with_their_areas(kind, areas, drawstyle):
    draw = getattr(plotting, f"{kind}_figure")
    output = getattr(metrics, f"{kind}_curve")(LABELS, SCORES, NAMES)
    ax = draw(output).axes[0]
    assert {line.get_drawstyle() for line in ax.lines} == {drawstyle}
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    shown = [*output["per_class"][:2], output["macro"], output["micro"]]
    names = ("cat", "dog", "macro", "micro")  # no image has an owl
    labels = [f"{n}  {c.area:.3f}" for n, c in zip(names, shown, strict=True)]
    assert texts == labels
    assert [text.split()[1] for text in texts[:3]] == areas
    line = lines_of(ax)[texts[0]]
    np.testing.assert_array_equal(line.get_xdata(), shown[0].x)
    np.testing.assert_array_equal(line.get_ydata(), shown[0].y)
    renamed = draw(output, ["a", "b", "c"]).axes[0].get_legend().get_texts()
    assert renamed[0].get_text().startswith("a ")


def test_one_class_has_no_averages_and_many_have_no_names():
    single = plotting.roc_figure(roc_curve([1, 0], [1, 0])).axes[0]
    assert [t.get_text() for t in single.get_legend().get_texts()] == ["0  1.000"]
    truth = np.arange(40) % 20
    scores = np.random.default_rng(0).random((40, 20))
    many = plotting.roc_figure(roc_curve(truth, scores)).axes[0]
    texts = [t.get_text().split()[0] for t in many.get_legend().get_texts()]
    assert texts == ["macro", "micro"]
    assert len(many.lines) == 1 + 20 + 2


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        (np.zeros((4, 3)), None, "3 class_names, 3 classes, 0 with a curve"),
        (LABELS, ["cat"], "1 class_names, 3 classes"),
    ],
)
def test_without_a_curve_or_a_name_for_it_there_is_no_figure(labels, names, message):
    with pytest.raises(ValueError, match=message):
        plotting.roc_figure(roc_curve(labels, SCORES), names)


def test_morf_shows_means_bands_and_dashed_controls():
    rng = np.random.default_rng(0)
    names = ("high", "b: low", "b: random", "c: random")
    morf = {name: rng.random((20, 5)) for name in names}
    figure = plotting.morf_figure(morf)
    figure.savefig(io.BytesIO(), format="png")
    for ax, change in zip(figure.axes, (np.asarray, aopc_by_steps), strict=True):
        assert list(lines_of(ax)) == list(morf)
        for band, (name, curves) in zip(ax.collections, morf.items(), strict=True):
            mean, low, high = curve_interval(change(curves))
            np.testing.assert_allclose(lines_of(ax)[name].get_ydata(), mean)
            box = band.get_datalim(ax.transData)
            assert (box.y0, box.y1) == pytest.approx((low.min(), high.max()))
        assert [line.get_linestyle() for line in ax.lines] == ["-", "-", "--", ":"]
        assert len({line.get_color() for line in ax.lines}) == 3


def test_morf_of_no_method_is_an_error():
    with pytest.raises(ValueError, match=r"methods=\{\}"):
        plotting.morf_figure({})


def test_epochs_continue_over_the_phases_which_are_named_where_they_begin():
    figure = plotting.phases_figure(PHASES)
    figure.savefig(io.BytesIO(), format="png")
    panels = panels_of(figure)
    assert list(panels) == ["Explanation loss", "Loss", "Accuracy"]
    ax = panels["Loss"]
    assert points(ax)["-"] == {1: 2.0, 2: 1.0, 3: 0.9, 4: 0.7, 5: 0.6}
    assert points(ax)["--"] == {1: 2.5}
    assert points(panels["Explanation loss"])["-"] == {3: 0.8, 4: 0.4}
    assert points(panels["Accuracy"])["-"] == {1: 0.5, 2: 0.6}
    names = {text.get_text(): text.xy[0] for text in ax.texts}
    assert names == dict(zip(PHASES, (0.5, 2.5, 3.5), strict=True))
    borders = [line for line in ax.lines if line.get_color() == FAINT]
    assert [line.get_xdata()[0] for line in borders] == [2.5, 3.5]
    assert ax.get_legend_handles_labels()[1] == ["training", "validation"]


def test_four_columns_have_four_panels_and_one_has_one():
    row = {"classification_loss": 1, "explanation_loss": 2, "loss": 3, "accuracy": 1}
    assert len(panels_of(plotting.phases_figure({"a": [row]}))) == 4
    assert len(plotting.phases_figure({"a": [{"val_accuracy": 1}], "b": []}).axes) == 1


@pytest.mark.parametrize("rows", [[], [{"epoch": 1}], [{"loss": "high"}]])
def test_a_training_without_a_curve_is_an_error(rows):
    with pytest.raises(ValueError, match=f"rows={re.escape(repr(rows))}"):
        plotting.history(rows)
    for histories in ({}, {"a": rows}):
        with pytest.raises(ValueError, match=re.escape(f"histories={histories}")):
            plotting.phases_figure(histories)


# A training


HISTORY = [
    {"epoch": 1, "loss": 2.0, "val_loss": 2.5, "accuracy": 0.4, "learning_rate": 0.1},
    {"epoch": 2, "loss": 1.0, "val_loss": np.nan, "accuracy": 0.6, "phase": "full"},
]


def test_finite_values_are_drawn_by_epoch_in_the_panel_of_their_kind():
    panels = panels_of(plotting.history(HISTORY))
    assert {title: set(lines_of(ax)) for title, ax in panels.items()} == {
        "Loss": {"loss", "val_loss"},
        "Scores": {"accuracy"},
        "Learning rate": {"learning_rate"},
    }
    lines = lines_of(panels["Loss"])
    loss, validation = lines["loss"], lines["val_loss"]
    np.testing.assert_array_equal(loss.get_xydata(), [[1, 2], [2, 1]])
    np.testing.assert_array_equal(validation.get_xydata(), [[1, 2.5]])
    assert loss.get_color() == validation.get_color()
    assert (loss.get_linestyle(), validation.get_linestyle()) == ("-", "--")


def test_epochs_without_a_number_are_counted():
    line = plotting.history([{"auc": 0.5}, {"auc": 0.75}]).axes[0].lines[0]
    np.testing.assert_array_equal(line.get_xydata(), [[1, 0.5], [2, 0.75]])
