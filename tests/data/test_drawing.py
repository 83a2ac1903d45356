import numpy as np
import pytest
from scipy.ndimage import binary_dilation
from skimage.draw import polygon2mask

from kerasloc.data.drawing import SHAPES, TEXTURES, draw
from kerasloc.data.synthetic import SyntheticConfig

STARS = [shape for shape in SHAPES if shape.p]


def outline(shape, radius, center):
    """Corners (row, column) of a star polygon, outer and inner ones in turn."""
    angles = np.arange(2 * shape.p) * np.pi / shape.p
    edge, sector = np.pi * shape.q / shape.p, np.pi / shape.p
    inner = radius * np.cos(edge) / np.cos(edge - sector)
    radii = np.where(np.arange(2 * shape.p) % 2, inner, radius)
    return center + np.stack([radii * np.sin(angles), radii * np.cos(angles)], axis=1)


@pytest.mark.parametrize("shape", STARS, ids=lambda shape: shape.name)
def test_a_star_is_the_polygon_of_its_corners(shape):
    size, radius = 101, 45.3
    rows, cols = np.mgrid[:size, :size] - 50.0
    inside = shape.inside(np.hypot(rows, cols), np.arctan2(rows, cols), radius) > 0
    polygon = polygon2mask((size, size), outline(shape, radius, 50))
    assert (inside != polygon).mean() < 0.001
    assert inside.sum() == pytest.approx(shape.area * radius**2, rel=0.02)


def test_a_circle_is_what_is_near_enough():
    inside = SHAPES[1].inside(np.array([0.0, 4.0, 5.0]), np.zeros(3), 4.5)
    np.testing.assert_allclose(inside, [4.5, 0.5, -0.5])
    assert SHAPES[1].area == pytest.approx(np.pi)


def test_names_and_textures_are_all_different():
    assert len({shape.name for shape in SHAPES}) == len(SHAPES) >= 10
    assert {shape.texture for shape in SHAPES} == set(TEXTURES)
    for shape in STARS:
        assert shape.name == f"star_{shape.p}_{shape.q}"


@pytest.mark.parametrize("texture", TEXTURES)
def test_a_texture_has_dark_and_bright_parts(texture):
    u, v = np.meshgrid(np.linspace(-3, 3, 61), np.linspace(-3, 3, 61))
    values = np.tanh(TEXTURES[texture](u, v))
    assert values.min() < -0.5
    assert values.max() > 0.5


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_the_object_has_the_asked_share_of_the_image(shape):
    config = SyntheticConfig(object_share=(0.1, 0.1))
    for seed in range(5):
        picture, mask = draw(np.random.default_rng(seed), 64, shape, config)
        assert picture.shape == (64, 64, 3)
        assert picture.dtype == np.uint8
        assert mask.mean() == pytest.approx(0.1, abs=0.005)


def test_what_surrounds_the_object_knows_nothing_of_its_class():
    config = SyntheticConfig()
    for seed in range(5):
        pictures, masks = zip(
            *(draw(np.random.default_rng(seed), 48, shape, config) for shape in (0, 1)),
            strict=True,
        )
        soft_outline = 5
        free = ~binary_dilation(masks[0] | masks[1], iterations=soft_outline)
        assert free.mean() > 0.5
        np.testing.assert_array_equal(pictures[0][free], pictures[1][free])
