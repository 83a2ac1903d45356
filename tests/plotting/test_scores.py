"""Confusion matrices and bars, read back from their figures."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from kerasloc import plotting
from kerasloc.plotting.scores import BASELINE_COLOR
from kerasloc.plotting.style import BLUE

COUNTS = np.array([[8, 2, 0], [1, 3, 0], [0, 0, 0]])


def test_a_matrix_is_colored_by_row_shares_and_shows_the_counts():
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


def test_a_matrix_of_zeros_is_drawn():
    figure = plotting.confusion_matrix(np.zeros((2, 2), int))
    figure.savefig(io.BytesIO(), format="png")
    assert len(figure.axes[0].texts) == 4


@pytest.mark.parametrize(
    ("counts", "names", "message"),
    [
        (np.ones((2, 3)), None, r"shape \(2, 3\)"),
        (COUNTS, ["cat", "dog"], r"shape \(3, 3\) and 2 class_names"),
        (np.ones(3), None, r"shape \(3,\)"),
        ([], None, r"shape \(0,\)"),
    ],
)
def test_a_matrix_that_is_not_square_or_not_named_is_an_error(counts, names, message):
    with pytest.raises(ValueError, match=message):
        plotting.confusion_matrix(counts, names)


def row(method, value):
    ends = {"point_low": value - 0.1, "point_high": value + 0.1}
    nothing = {f"aopc{end}": np.nan for end in ("", "_low", "_high")}
    return {"method": method, "point": value, **ends, **nothing}


def test_bars_have_intervals_and_metrics_without_values_have_no_panel():
    titles = {"point": "point accuracy", "aopc": "AOPC"}
    figure = plotting.method_bars([row("a: own", 0.7), row("a: center", 0.2)], titles)
    (ax,) = (ax for ax in figure.axes if ax.axison)
    assert ax.get_title(loc="left") == "point accuracy"
    assert [bar.get_width() for bar in ax.patches] == [0.7, 0.2]
    colors = [bar.get_facecolor() for bar in ax.patches]
    assert colors == [to_rgba(BLUE), to_rgba(BASELINE_COLOR)]
    np.testing.assert_allclose(
        [line[:, 0] for line in ax.collections[0].get_segments()],
        [[0.6, 0.8], [0.1, 0.3]],
    )
