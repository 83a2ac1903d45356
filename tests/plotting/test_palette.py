"""Colors of classes, and heat maps painted in them."""

import colorsys

import numpy as np
import pytest

from kerasloc import plotting

GRAY = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)


def lightness_and_distance(count):
    """CIELAB lightness of every color, and the smallest distance of two."""
    from skimage.color import rgb2lab

    places = rgb2lab(plotting.class_colors(count))
    between = np.linalg.norm(places[:, None] - places, axis=-1)
    return places[:, 0], (between + 1e9 * np.eye(count)).min()


@pytest.mark.parametrize("count", [1, 2, 14, 100, 398])
def test_colors_are_of_that_many_classes_and_in_range(count):
    colors = plotting.class_colors(count)
    assert colors.shape == (count, 3)
    assert colors.min() >= 0
    assert colors.max() <= 1
    assert len(np.unique(colors, axis=0)) == count


def test_the_first_colors_are_those_of_fewer_classes():
    many = plotting.class_colors(120)
    for count in (1, 5, 14):
        np.testing.assert_array_equal(plotting.class_colors(count), many[:count])


@pytest.mark.parametrize(("count", "apart"), [(14, 35), (30, 22), (100, 11)])
def test_colors_are_told_apart(count, apart):
    # of CIELAB: 2 is just seen
    assert lightness_and_distance(count)[1] > apart


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
def test_another_count_is_refused(count):
    with pytest.raises(ValueError, match=r"one class or more\. Received"):
        plotting.class_colors(count)


# Painting


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1), (3, 4, 3), (1, 3, 4, 1)])
def test_where_nothing_is_hot_the_image_stays(shape):
    image = np.random.default_rng(0).random(shape, np.float32)
    painted = plotting.paint_classes(image, np.zeros((3, 4, 5)))
    plain = np.broadcast_to(image.reshape(3, 4, -1), (3, 4, 3))
    assert painted.dtype == np.float32
    np.testing.assert_array_equal(painted, plain)


def test_heat_takes_the_color_of_its_class():
    heat = np.zeros((3, 4, 2))
    heat[1, 2, 1] = 0.5
    painted = plotting.paint_classes(GRAY, heat, alpha=0.6)
    color = plotting.class_colors(2)[1]
    np.testing.assert_allclose(painted[1, 2], 0.7 * GRAY[1, 2] + 0.3 * color, atol=1e-6)
    others = np.ones((3, 4), bool)
    others[1, 2] = False
    np.testing.assert_array_equal(painted[others], GRAY[others][:, None].repeat(3, 1))


def test_classes_at_one_place_are_mixed_by_their_heat():
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


def test_without_weight_heat_is_not_seen():
    painted = plotting.paint_classes(GRAY, np.ones((3, 4, 2)), alpha=0)
    np.testing.assert_array_equal(painted[..., 0], GRAY)


@pytest.mark.parametrize(
    ("heat", "alpha", "message"),
    [
        (np.zeros((3, 4)), 0.5, r"\(rows, cols, classes\). Received: shape \(3, 4\)"),
        (np.zeros((1, 3, 4, 2)), 0.5, r"shape \(1, 3, 4, 2\). Take those of one"),
        (np.zeros((3, 4, 0)), 0.5, r"shape \(3, 4, 0\)"),
        (np.full((3, 4, 2), 1.5), 0.5, "values from 1.5 to 1.5"),
        (np.full((3, 4, 2), -0.1), 0.5, "values from -0.1"),
        (np.full((3, 4, 2), np.nan), 0.5, "values from nan"),
        (np.zeros((3, 4, 2)), 1.2, "alpha lies in"),
    ],
)
def test_what_does_not_fit_is_refused(heat, alpha, message):
    with pytest.raises(ValueError, match=message):
        plotting.paint_classes(GRAY, heat, alpha)
