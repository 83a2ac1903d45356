"""Confusion matrices and curves, read back from their figures."""

import io

import numpy as np
import pytest
from matplotlib import pyplot

from kerasloc import plotting

COUNTS = np.array([[8, 2, 0], [1, 3, 0], [0, 0, 0]])
ROWS = [
    {"epoch": 1, "loss": 2.0, "val_loss": 2.5, "accuracy": 0.4, "learning_rate": 0.1},
    {"epoch": 2, "loss": 1.0, "val_loss": np.nan, "accuracy": 0.6, "phase": "full"},
]


def test_matrix_is_colored_by_row_shares_and_shows_the_counts():
    ax = plotting.confusion_matrix(COUNTS, ["cat", "dog", "owl"]).axes[0]
    shares = np.array([[0.8, 0.2, 0], [0.25, 0.75, 0], [0, 0, 0]])
    colored = np.reshape(ax.collections[0].get_array(), (3, 3))
    np.testing.assert_allclose(colored, shares)
    assert [text.get_text() for text in ax.texts] == list("820130000")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cat", "dog", "owl"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")


def test_many_classes_have_no_counts_and_fewer_names():
    ax = plotting.confusion_matrix(np.eye(100, dtype=int)).axes[0]
    assert len(ax.texts) == 0
    assert 10 < len(ax.get_yticklabels()) < 100


def test_an_empty_matrix_of_counts_is_drawn():
    figure = plotting.confusion_matrix(np.zeros((2, 2), int))
    figure.savefig(io.BytesIO(), format="png")
    assert len(figure.axes[0].texts) == 4


@pytest.mark.parametrize(
    ("counts", "names"),
    [(np.ones((2, 3)), None), (COUNTS, ["cat", "dog"]), (np.ones(3), None), ([], None)],
)
def test_a_matrix_that_is_not_square_or_not_named_is_an_error(counts, names):
    with pytest.raises(ValueError, match=r"one name a class\. Received: shape"):
        plotting.confusion_matrix(counts, names)


def test_curves_are_sorted_into_panels():
    figure = plotting.history(ROWS)
    panels = {
        ax.get_title(loc="left"): {line.get_label() for line in ax.lines}
        for ax in figure.axes
    }
    assert panels == {
        "Loss": {"loss", "val_loss"},
        "Scores": {"accuracy"},
        "Learning rate": {"learning_rate"},
    }


def test_points_are_the_finite_values_by_epoch():
    lines = {line.get_label(): line for line in plotting.history(ROWS).axes[0].lines}
    np.testing.assert_array_equal(lines["loss"].get_xydata(), [[1, 2], [2, 1]])
    np.testing.assert_array_equal(lines["val_loss"].get_xydata(), [[1, 2.5]])
    assert lines["loss"].get_color() == lines["val_loss"].get_color()
    assert (lines["loss"].get_linestyle(), lines["val_loss"].get_linestyle()) == (
        "-",
        "--",
    )


def test_epochs_are_counted_where_they_are_not_named():
    line = plotting.history([{"auc": 0.5}, {"auc": 0.75}]).axes[0].lines[0]
    np.testing.assert_array_equal(line.get_xydata(), [[1, 0.5], [2, 0.75]])


@pytest.mark.parametrize("rows", [[], [{"epoch": 1}], [{"loss": "high"}]])
def test_a_history_without_a_curve_is_an_error(rows):
    with pytest.raises(ValueError, match="Train at least one epoch"):
        plotting.history(rows)


def test_pyplot_keeps_no_figure():
    before = pyplot.get_fignums()
    plotting.history(ROWS)
    plotting.confusion_matrix(COUNTS)
    assert pyplot.get_fignums() == before
