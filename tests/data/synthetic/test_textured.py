import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from kerasloc.data.synthetic import SyntheticConfig
from kerasloc.data.synthetic.textured import SHAPES, draw


def test_textures_differ_and_have_dark_and_bright_regions():
    u, v = np.meshgrid(np.linspace(-3, 3, 61), np.linspace(-3, 3, 61))
    values = [np.tanh(shape.texture(u, v)).ravel() for shape in SHAPES]
    assert np.max(values, axis=1).min() > 0.5
    assert np.min(values, axis=1).max() < -0.5
    assert len({shape.name for shape in SHAPES}) == len(np.unique(values, axis=0)) == 12


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_the_object_covers_the_share_of_the_config(shape):
    config = SyntheticConfig(size=64, object_share=(0.1, 0.1))
    for seed in range(5):
        picture, mask = draw(np.random.default_rng(seed), shape, config)
        assert picture.shape == (64, 64, 3)
        assert picture.dtype == np.uint8
        assert mask.mean() == pytest.approx(0.1, abs=0.005)


def test_the_surroundings_do_not_depend_on_the_class():
    config = SyntheticConfig(size=48)
    for seed in range(5):
        pictures, masks = zip(
            *(draw(np.random.default_rng(seed), shape, config) for shape in (0, 1)),
            strict=True,
        )
        soft_outline = 5
        free = ~binary_dilation(masks[0] | masks[1], iterations=soft_outline)
        assert free.mean() > 0.5
        np.testing.assert_array_equal(pictures[0][free], pictures[1][free])
