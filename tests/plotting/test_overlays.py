"""Heat maps over images."""

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from kerasloc import plotting

IMAGE = np.random.default_rng(0).random((20, 30, 3), np.float32)
CAM = np.random.default_rng(1).standard_normal((4, 6))


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (20, 30, 3), (1, 20, 30, 3)])
def test_without_weight_the_heat_map_is_not_seen(shape):
    image = np.random.default_rng(0).random(shape, np.float32)
    drawn = plotting.overlay_image(image, np.eye(5), alpha=0)
    plain = image.reshape(20, 30, -1)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn, np.broadcast_to(plain, (20, 30, 3)), atol=1e-6)


def test_alpha_weighs_image_and_colors():
    heat = np.eye(5)
    ends = [plotting.overlay_image(IMAGE, heat, alpha) for alpha in (0, 1)]
    between = plotting.overlay_image(IMAGE, heat, 0.3)
    np.testing.assert_allclose(between, 0.7 * ends[0] + 0.3 * ends[1], atol=1e-6)


def test_hot_is_brighter_than_cold_where_the_map_says_so():
    heat = np.zeros((2, 2))
    heat[0, 1] = 1  # upper right
    light = plotting.overlay_image(np.zeros((20, 30)), heat, 1).sum(axis=-1)
    row, col = np.unravel_index(light.argmax(), light.shape)
    assert row < 10
    assert col >= 15


def test_integer_images_look_as_float_ones():
    floats = plotting.overlay_image(np.full((8, 8), 1.0), np.eye(3))
    integers = plotting.overlay_image(np.full((8, 8), 255, np.uint8), np.eye(3))
    np.testing.assert_array_equal(floats, integers)


def test_figure_shows_the_overlay_of_the_normalized_map():
    figure = plotting.overlay(IMAGE, CAM, alpha=0.4)
    heat = (CAM - CAM.min()) / np.ptp(CAM)
    expected = plotting.overlay_image(IMAGE, heat, 0.4)
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), expected)


def test_boxes_frame_the_pixels_they_cover():
    figure = plotting.overlay(IMAGE, CAM, boxes=[[2, 3, 10, 5, 0.9], [0, 0, 1, 1, 0.1]])
    frames = [patch.get_bbox().bounds for patch in figure.axes[0].patches]
    assert frames == [(1.5, 2.5, 10, 5), (-0.5, -0.5, 1, 1)]


@pytest.mark.parametrize("boxes", [None, [], np.zeros((0, 4))])
def test_no_boxes_draw_no_frame(boxes):
    assert len(plotting.overlay(IMAGE, CAM, boxes=boxes).axes[0].patches) == 0


def test_axes_that_are_given_are_drawn_in():
    figure = Figure()
    axes = figure.subplots(1, 2)
    assert plotting.overlay(IMAGE, CAM, ax=axes[1]) is figure
    assert [len(ax.images) for ax in axes] == [0, 1]


def test_pyplot_keeps_no_figure():
    before = pyplot.get_fignums()
    plotting.overlay(IMAGE, CAM)
    assert pyplot.get_fignums() == before


@pytest.mark.parametrize(
    ("image", "heat", "alpha", "message"),
    [
        (IMAGE, CAM, 0.5, r"lies in \[0, 1\].*use overlay"),
        (IMAGE, np.eye(3), 1.5, r"alpha lies in \[0, 1\]. Received: 1.5"),
        (IMAGE[..., :2], np.eye(3), 0.5, r"Received: shape \(20, 30, 2\)"),
        (np.stack([IMAGE, IMAGE]), np.eye(3), 0.5, "one image of a batch"),
        (IMAGE * 255, np.eye(3), 0.5, "Divide by 255"),
        (IMAGE, np.full((2, 2), np.nan), 0.5, "heat map holds finite"),
    ],
)
def test_a_wrong_input_is_an_error_that_says_so(image, heat, alpha, message):
    with pytest.raises(ValueError, match=message):
        plotting.overlay_image(image, heat, alpha)
