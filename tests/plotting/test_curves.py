"""Curves, read back from their figures."""

import io

import numpy as np
import pytest
from matplotlib import pyplot

from kerasloc import plotting
from kerasloc.metrics import (
    aopc_by_steps,
    curve_interval,
    precision_recall_curve,
    roc_curve,
)

LABELS = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0]])
SCORES = np.array([[4, 4, 1], [3, 3, 1], [2, 2, 1], [1, 1, 1]])
BORDER = "#c9c9d1"  # between phases
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
    """The points of all lines, x to y, training and validation apart."""
    found = {}
    for line in ax.lines:
        if line.get_color() != BORDER:
            pairs = map(tuple, line.get_xydata())
            found.setdefault(line.get_linestyle(), {}).update(pairs)
    return found


@pytest.mark.parametrize(
    ("draw", "curves", "areas"),
    [
        (plotting.roc_figure, roc_curve, ("0.750", "0.250", "0.500")),
        (
            plotting.precision_recall_figure,
            precision_recall_curve,
            ("0.833", "0.500", "0.667"),
        ),
    ],
)
def test_classes_and_averages_are_named_with_their_areas(draw, curves, areas):
    found = curves(LABELS, SCORES, NAMES)
    ax = draw(found).axes[0]
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    names = ("cat", "dog", "macro", "micro")  # no image has an owl
    assert [text.split()[0] for text in texts] == list(names)
    expected = [found["per_class"][0], found["per_class"][1]]
    expected += [found["macro"], found["micro"]]
    assert [text.split()[1] for text in texts] == [f"{c.area:.3f}" for c in expected]
    assert [text.split()[1] for text in texts][:3] == list(areas)
    line = lines_of(ax)[texts[0]]
    np.testing.assert_array_equal(line.get_xdata(), found["per_class"][0].x)
    np.testing.assert_array_equal(line.get_ydata(), found["per_class"][0].y)
    other = draw(found, ["a", "b", "c"]).axes[0].get_legend().get_texts()
    assert other[0].get_text().startswith("a ")


def test_precision_is_drawn_in_steps():
    ax = plotting.precision_recall_figure(precision_recall_curve(LABELS, SCORES))
    assert {line.get_drawstyle() for line in ax.axes[0].lines} == {"steps-pre"}


def test_one_class_has_no_averages_and_many_have_no_names():
    one = plotting.roc_figure(roc_curve([1, 0], [1, 0])).axes[0]
    assert [t.get_text() for t in one.get_legend().get_texts()] == ["0  1.000"]
    truth = np.arange(40) % 20
    scores = np.random.default_rng(0).random((40, 20))
    many = plotting.roc_figure(roc_curve(truth, scores)).axes[0]
    texts = [t.get_text().split()[0] for t in many.get_legend().get_texts()]
    assert texts == ["macro", "micro"]
    assert len(many.lines) == 1 + 20 + 2


@pytest.mark.parametrize("names", [None, ["cat"]])
def test_without_a_curve_or_a_name_for_it_there_is_no_figure(names):
    labels = np.zeros((4, 3)) if names is None else LABELS
    with pytest.raises(ValueError, match="one name a class, and a curve at least"):
        plotting.roc_figure(roc_curve(labels, SCORES), names)


@pytest.fixture
def morf():
    rng = np.random.default_rng(0)
    return {name: rng.random((20, 5)) for name in ("high", "b: low", "b: random")}


def test_morf_shows_means_bands_and_a_dashed_control(morf):
    figure = plotting.morf_figure(morf)
    figure.savefig(io.BytesIO(), format="png")
    left, right = figure.axes
    for ax, change in ((left, np.asarray), (right, aopc_by_steps)):
        assert list(lines_of(ax)) == list(morf)
        bands = zip(ax.collections, morf.items(), strict=True)
        for band, (name, curves) in bands:
            mean, low, high = curve_interval(change(curves))
            np.testing.assert_allclose(lines_of(ax)[name].get_ydata(), mean)
            box = band.get_datalim(ax.transData)
            assert box.y0 == pytest.approx(low.min())
            assert box.y1 == pytest.approx(high.max())
        styles = [line.get_linestyle() for line in ax.lines]
        assert styles == ["-", "-", "--"]
    assert len({line.get_color() for line in left.lines}) == 3


def test_morf_tells_the_controls_of_several_models_apart(morf):
    figure = plotting.morf_figure(morf | {"c: random": morf["high"]})
    assert [line.get_linestyle() for line in figure.axes[0].lines][2:] == ["--", ":"]


def test_morf_of_no_method_is_an_error():
    with pytest.raises(ValueError, match="for a method or more"):
        plotting.morf_figure({})


def test_epochs_go_on_over_the_phases():
    figure = plotting.phases_figure(PHASES)
    figure.savefig(io.BytesIO(), format="png")
    panels = panels_of(figure)
    assert list(panels) == ["Explanation loss", "Loss", "Accuracy"]
    loss = points(panels["Loss"])
    assert loss["-"] == {1: 2.0, 2: 1.0, 3: 0.9, 4: 0.7, 5: 0.6}
    assert loss["--"] == {1: 2.5}
    assert points(panels["Explanation loss"])["-"] == {3: 0.8, 4: 0.4}
    assert points(panels["Accuracy"])["-"] == {1: 0.5, 2: 0.6}


def test_phases_are_named_where_they_begin():
    ax = panels_of(plotting.phases_figure(PHASES))["Loss"]
    assert [text.get_text() for text in ax.texts] == list(PHASES)
    assert [text.xy[0] for text in ax.texts] == [0.5, 2.5, 3.5]
    borders = [line for line in ax.lines if line.get_color() == BORDER]
    assert [line.get_xdata()[0] for line in borders] == [2.5, 3.5]
    labels = ax.get_legend_handles_labels()[1]
    assert labels == ["training", "validation"]


def test_four_columns_have_four_panels_and_one_has_one():
    row = {"classification_loss": 1, "explanation_loss": 2, "loss": 3, "accuracy": 1}
    assert len(panels_of(plotting.phases_figure({"a": [row]}))) == 4
    assert len(plotting.phases_figure({"a": [{"val_accuracy": 1}], "b": []}).axes) == 1


@pytest.mark.parametrize("histories", [{}, {"a": []}, {"a": [{"loss": "high"}]}])
def test_phases_without_a_curve_are_an_error(histories):
    with pytest.raises(ValueError, match="Train at least one epoch"):
        plotting.phases_figure(histories)


def test_pyplot_keeps_no_figure(morf):
    before = pyplot.get_fignums()
    plotting.morf_figure(morf)
    plotting.phases_figure(PHASES)
    plotting.roc_figure(roc_curve(LABELS, SCORES))
    assert pyplot.get_fignums() == before
