"""Figures that pyplot does not hold, and the colors of classes."""

import colorsys
import io
import pickle

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.text import Text

from kerasloc import plotting
from kerasloc.metrics import roc_curve
from kerasloc.plotting.style import new_figure

HEAT = np.eye(40)
FIGURES = {
    "overlay": lambda: plotting.overlay(HEAT, HEAT),
    "confusion_matrix": lambda: plotting.confusion_matrix([[3, 1], [0, 2]]),
    "show": lambda: plotting.show(HEAT, HEAT, [[1, 2, 5, 4]]),
    "history": lambda: plotting.history([{"loss": 1}, {"loss": 2}]),
    "phases": lambda: plotting.phases_figure({"a": [{"loss": 1}, {"loss": 2}]}),
    "morf": lambda: plotting.morf_figure({"a": HEAT}),
    "roc": lambda: plotting.roc_figure(roc_curve([1, 0], [1, 0])),
    "pipeline": lambda: plotting.pipeline(HEAT, HEAT[:5, :5], HEAT),
    "heatmap_page": lambda: plotting.heatmap_page(
        [plotting.HeatmapRow(HEAT, HEAT, (), "cat", 0.5)]
    ),
    "explanation_page": lambda: plotting.explanation_page(
        [plotting.ExplanationRow(HEAT, HEAT, {"cat": 0.5})]
    ),
    "method_page": lambda: plotting.method_page([HEAT], [()], {"cam": [HEAT]}),
}


def picture(figure):
    """Pixels (rows, cols, 4) as a notebook displays them."""
    return pyplot.imread(io.BytesIO(figure._repr_png_()), format="png")


def test_a_new_figure_is_white_and_displayed_in_its_current_state():
    figure = new_figure(2, 1)
    assert picture(figure).shape == (100, 200, 4)
    assert (picture(figure) == 1).all()
    figure.set_facecolor("red")
    assert (picture(figure) == [1, 0, 0, 1]).all()


def test_an_unpickled_figure_displays_itself():
    again = pickle.loads(pickle.dumps(new_figure(1, 1)))
    again.set_facecolor("red")
    assert (picture(again) == [1, 0, 0, 1]).all()


@pytest.mark.parametrize("name", FIGURES)
def test_figures_have_a_picture_although_pyplot_has_none(name):
    before = pyplot.get_fignums()
    assert np.ptp(picture(FIGURES[name]())[..., :3]) > 0.5
    assert pyplot.get_fignums() == before


# Colors of classes


def lightness_and_distance(count):
    """CIELAB lightness of every color, and the smallest distance of two."""
    from skimage.color import rgb2lab

    lab = rgb2lab(plotting.class_colors(count))
    distances = np.linalg.norm(lab[:, None] - lab, axis=-1)
    return lab[:, 0], (distances + 1e9 * np.eye(count)).min()


@pytest.mark.parametrize("count", [1, 14, 398])
def test_colors_are_distinct_and_in_range(count):
    colors = plotting.class_colors(count)
    assert colors.shape == (count, 3)
    assert colors.min() >= 0
    assert colors.max() <= 1
    assert len(np.unique(colors, axis=0)) == count


def test_the_first_colors_are_those_of_fewer_classes():
    many = plotting.class_colors(120)
    for count in (1, 5, 14):
        np.testing.assert_array_equal(plotting.class_colors(count), many[:count])


@pytest.mark.parametrize(("count", "least"), [(14, 35), (30, 22), (100, 11)])
def test_colors_are_distinguishable(count, least):
    assert lightness_and_distance(count)[1] > least  # a CIELAB distance of 2 is visible


def test_colors_stand_out_from_gray_from_black_and_from_white():
    colors = plotting.class_colors(60)
    lightness, _ = lightness_and_distance(60)
    assert 50 < lightness.min() < lightness.max() < 92
    assert min(colorsys.rgb_to_hsv(*color)[1] for color in colors) > 0.25


def test_more_classes_than_colors_begin_again():
    colors = plotting.class_colors(5000)
    again = np.flatnonzero((colors == colors[0]).all(axis=1))
    assert again[1] > 1000
    np.testing.assert_array_equal(colors[again[1] :][:50], colors[:50])


@pytest.mark.parametrize("count", [0, -1, 2.5, "3", None])
def test_a_wrong_number_of_classes_is_an_error(count):
    with pytest.raises(ValueError, match=f"count={count!r}"):
        plotting.class_colors(count)


NAME = "a\u202eb $\\frac$"  # turned around, and no formula
ROW = plotting.HeatmapRow(HEAT, HEAT, [], NAME, 0.5, note=NAME)
EXPLANATION = plotting.ExplanationRow(HEAT, HEAT, {NAME: 0.5, "b": 0.5}, NAME)
BAR = {"method": NAME, "iou": 0.5, "iou_low": 0.4, "iou_high": 0.6}
CURVE = roc_curve([1, 0], [1, 0])
NAMED = {
    "confusion_matrix": lambda: plotting.confusion_matrix(
        [[1, 0], [0, 1]], [NAME, "b"]
    ),
    "show": lambda: plotting.show(HEAT, HEAT, [[1, 2, 5, 4, 0]], classes=[NAME]),
    "morf": lambda: plotting.morf_figure({NAME: HEAT}),
    "roc": lambda: plotting.roc_figure(CURVE, [NAME]),
    "heatmap_page": lambda: plotting.heatmap_page([ROW], NAME),
    "explanation_page": lambda: plotting.explanation_page([EXPLANATION], NAME),
    "method_page": lambda: plotting.method_page([HEAT], [[]], {NAME: [HEAT]}, [NAME]),
    "method_bars": lambda: plotting.method_bars([BAR], {"iou": "IoU"}),
}


@pytest.mark.parametrize("figure", NAMED.values(), ids=NAMED)
def test_names_in_figures_are_plain_text_with_escapes(figure):
    figure = figure()
    figure.canvas.draw()
    texts = [text.get_text() for text in figure.findobj(Text)]
    assert any(r"a\u202eb" in text for text in texts)
    assert not any("\u202e" in text for text in texts)
