"""Figures that a notebook shows although pyplot does not know them."""

import io
import pickle

import numpy as np
import pytest
from matplotlib import pyplot

from kerasloc import plotting
from kerasloc.plotting.canvas import new_figure

HEAT = np.eye(4)
FIGURES = {
    "overlay": lambda: plotting.overlay(HEAT, HEAT),
    "confusion_matrix": lambda: plotting.confusion_matrix([[3, 1], [0, 2]]),
    "show": lambda: plotting.show(HEAT, HEAT),
}


def picture(figure):
    """What a notebook would show: pixels (rows, cols, 4)."""
    return pyplot.imread(io.BytesIO(figure._repr_png_()), format="png")


def test_a_new_figure_is_shown_as_it_is_when_it_is_asked():
    figure = new_figure(figsize=(2, 1), facecolor="white")
    assert picture(figure).shape == (100, 200, 4)
    assert (picture(figure) == 1).all()
    figure.set_facecolor("red")
    assert (picture(figure) == [1, 0, 0, 1]).all()


def test_a_figure_read_again_shows_itself():
    figure = new_figure(figsize=(1, 1), facecolor="white")
    again = pickle.loads(pickle.dumps(figure))
    again.set_facecolor("red")
    assert (picture(again) == [1, 0, 0, 1]).all()


@pytest.mark.parametrize("name", FIGURES)
def test_figures_have_a_picture_although_pyplot_has_none(name):
    before = pyplot.get_fignums()
    shown = picture(FIGURES[name]())
    assert np.ptp(shown[..., :3]) > 0.5
    assert pyplot.get_fignums() == before
