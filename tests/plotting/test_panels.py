"""Heat maps over images."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from kerasloc import plotting

IMAGE = np.random.default_rng(0).random((20, 30, 3), np.float32)
CAM = np.random.default_rng(1).standard_normal((4, 6))
GRAY = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)


# One map


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (20, 30, 3), (1, 20, 30, 3)])
def test_without_weight_the_image_stays(shape):
    image = np.random.default_rng(0).random(shape, np.float32)
    expected = np.broadcast_to(image.reshape(20, 30, -1), (20, 30, 3))
    for blended in (
        plotting.overlay_image(image, np.eye(5), alpha=0),
        plotting.paint_classes(image, np.ones((3, 4, 2)), alpha=0),
        plotting.paint_classes(image, np.zeros((3, 4, 5))),
    ):
        assert blended.dtype == np.float32
        np.testing.assert_allclose(blended, expected, atol=1e-6)


def test_alpha_weighs_image_and_colors():
    heat = np.eye(5)
    ends = [plotting.overlay_image(IMAGE, heat, alpha) for alpha in (0, 1)]
    between = plotting.overlay_image(IMAGE, heat, 0.3)
    np.testing.assert_allclose(between, 0.7 * ends[0] + 0.3 * ends[1], atol=1e-6)


def test_hot_is_brighter_than_cold():
    heat = np.zeros((2, 2))
    heat[0, 1] = 1  # upper right
    light = plotting.overlay_image(np.zeros((20, 30)), heat, 1).sum(axis=-1)
    row, col = np.unravel_index(light.argmax(), light.shape)
    assert row < 10
    assert col >= 15


def test_integer_images_are_scaled_like_float_ones():
    floats = plotting.overlay_image(np.full((8, 8), 1.0), np.eye(3))
    integers = plotting.overlay_image(np.full((8, 8), 255, np.uint8), np.eye(3))
    np.testing.assert_array_equal(floats, integers)


def test_a_figure_shows_the_overlay_of_the_normalized_map():
    figure = plotting.overlay(IMAGE, CAM, alpha=0.4)
    heat = (CAM - CAM.min()) / np.ptp(CAM)
    expected = plotting.overlay_image(IMAGE, heat, 0.4)
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), expected)


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([[2, 3, 10, 5, 0.9]], [(1.5, 2.5, 10, 5)]),
        ([[0, 0, 1, 1], [9, 9, 2, 2]], [(-0.5, -0.5, 1, 1), (8.5, 8.5, 2, 2)]),
        (None, []),
        ([], []),
        (np.zeros((0, 4)), []),
    ],
)
def test_boxes_frame_the_pixels_they_cover(boxes, expected):
    patches = plotting.overlay(IMAGE, CAM, boxes=boxes).axes[0].patches
    assert [patch.get_bbox().bounds for patch in patches] == expected


def test_axes_of_the_caller_are_drawn_in():
    figure = Figure()
    axes = figure.subplots(1, 2)
    assert plotting.overlay(IMAGE, CAM, ax=axes[1]) is figure
    assert [len(ax.images) for ax in axes] == [0, 1]


@pytest.mark.parametrize(
    ("image", "heat", "alpha", "message"),
    [
        (IMAGE, CAM, 0.5, r"in \[0, 1\].*from -.*use overlay"),
        (IMAGE, np.eye(3), 1.5, "alpha=1.5"),
        (IMAGE[..., :2], np.eye(3), 0.5, r"shape \(20, 30, 2\)"),
        (np.stack([IMAGE, IMAGE]), np.eye(3), 0.5, r"shape \(2, 20, 30, 3\)"),
        (IMAGE * 255, np.eye(3), 0.5, "Divide by 255"),
        (IMAGE, np.full((2, 2), np.nan), 0.5, "heat map.*4 NaN"),
    ],
)
def test_a_wrong_input_is_an_error(image, heat, alpha, message):
    with pytest.raises(ValueError, match=message):
        plotting.overlay_image(image, heat, alpha)


# Maps of classes


def test_heat_takes_the_color_of_its_class():
    heat = np.zeros((3, 4, 2))
    heat[1, 2, 1] = 0.5
    painted = plotting.paint_classes(GRAY, heat, alpha=0.6)
    color = plotting.class_colors(2)[1]
    np.testing.assert_allclose(painted[1, 2], 0.7 * GRAY[1, 2] + 0.3 * color, atol=1e-6)
    cold = np.ones((3, 4), bool)
    cold[1, 2] = False
    np.testing.assert_array_equal(painted[cold], GRAY[cold][:, None].repeat(3, 1))


def test_classes_at_one_pixel_are_mixed_by_their_heat():
    heat = np.full((3, 4, 3), [0.9, 0.0, 0.3])
    painted = plotting.paint_classes(GRAY, heat, alpha=1)
    first, _, third = plotting.class_colors(3)
    mixed = 0.1 * GRAY[..., None] + 0.9 * (0.75 * first + 0.25 * third)
    np.testing.assert_allclose(painted, mixed, atol=1e-6)


def test_small_heat_maps_are_resized_to_the_image():
    heat = np.zeros((1, 2, 1))
    heat[0, 1] = 1
    painted = plotting.paint_classes(np.zeros((4, 8)), heat, alpha=1)
    light = painted.sum(axis=-1)
    assert painted.shape == (4, 8, 3)
    assert light[:, 0].max() == 0
    assert (np.diff(light, axis=1) >= 0).all()
    np.testing.assert_allclose(painted[2, 7], plotting.class_colors(1)[0], atol=1e-6)


@pytest.mark.parametrize(
    ("heat", "alpha", "message"),
    [
        (np.zeros((3, 4)), 0.5, r"\(rows, cols, classes\). Received: shape \(3, 4\)"),
        (np.zeros((1, 3, 4, 2)), 0.5, r"shape \(1, 3, 4, 2\)"),
        (np.zeros((3, 4, 0)), 0.5, r"shape \(3, 4, 0\)"),
        (np.full((3, 4, 2), 1.5), 0.5, "values from 1.5 to 1.5"),
        (np.full((3, 4, 2), -0.1), 0.5, "values from -0.1"),
        (np.full((3, 4, 2), np.nan), 0.5, "values from nan"),
        (np.zeros((3, 4, 2)), 1.2, "alpha=1.2"),
    ],
)
def test_wrong_maps_of_classes_are_an_error(heat, alpha, message):
    with pytest.raises(ValueError, match=message):
        plotting.paint_classes(GRAY, heat, alpha)
