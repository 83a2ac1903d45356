import numpy as np
import pytest
from skimage.draw import polygon2mask

from kerasloc.data.synthetic.stars import (
    CIRCLE,
    area,
    parse_star,
    polar,
    signed_distance,
    star_name,
)
from kerasloc.data.synthetic.textured import SHAPES

STARS = [shape.star for shape in SHAPES if shape.star != CIRCLE]


def outline(star, radius, center):
    """Corners (row, column) of a star polygon, outer and inner ones in turn."""
    p, q = star
    angles = np.arange(2 * p) * np.pi / p
    edge, sector = np.pi * q / p, np.pi / p
    inner = radius * np.cos(edge) / np.cos(edge - sector)
    radii = np.where(np.arange(2 * p) % 2, inner, radius)
    return center + np.stack([radii * np.sin(angles), radii * np.cos(angles)], axis=1)


@pytest.mark.parametrize("star", STARS, ids=star_name)
def test_a_star_is_the_polygon_of_its_corners(star):
    size, radius = 101, 45.3
    _, distance, angle = polar(np.array([50.5, 50.5]), size)
    inside = signed_distance(star, distance, angle, radius) > 0
    polygon = polygon2mask((size, size), outline(star, radius, 50))
    assert (inside != polygon).mean() < 0.001
    assert inside.sum() == pytest.approx(area(star) * radius**2, rel=0.02)


def test_a_circle_contains_what_is_within_its_radius():
    inside = signed_distance(CIRCLE, np.array([0.0, 4.0, 5.0]), np.zeros(3), 4.5)
    np.testing.assert_allclose(inside, [4.5, 0.5, -0.5])
    assert area(CIRCLE) == pytest.approx(np.pi)


@pytest.mark.parametrize("value", [(5, 2), "5/2", [5, 2], np.array([5, 2])])
def test_a_star_is_a_pair_or_a_text(value):
    assert parse_star(value) == (5, 2)
    assert star_name(parse_star(value)) == "5/2"
    assert {parse_star(c) for c in (-1, "-1", "circle", (-1, 1))} == {CIRCLE}
    assert parse_star(6) == parse_star("6") == (6, 1)


@pytest.mark.parametrize("value", ["4/2", "2/1", "5/0", "a/b", "1/2/3", None, 3.5, 0])
def test_an_invalid_star_is_an_error(value):
    with pytest.raises(ValueError, match=rf"q < p / 2.*Received: {value!r}"):
        parse_star(value)
