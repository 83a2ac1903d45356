"""Small pictures for a browser to stack."""

import numpy as np
import pytest
from PIL import Image

from kerasloc.plotting.html import write_input, write_maps, write_mask

ORANGE = "#ff8000"


def read(path):
    """Red, green, blue and alpha of a picture."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGBA")).astype(int)


@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 1), (6, 9, 3)])
def test_a_gray_image_is_a_gray_picture(tmp_path, shape):
    assert write_input(tmp_path / "1.jpg", np.full(shape, 0.5)) == [6, 9]
    with Image.open(tmp_path / "1.jpg") as image:
        assert (image.mode, image.size) == ("L", (9, 6))
        assert abs(np.asarray(image).astype(int) - 128).max() <= 2


def test_a_colored_image_keeps_its_colors(tmp_path):
    write_input(tmp_path / "1.jpg", np.full((6, 9, 3), [0.9, 0.2, 0.1]))
    assert abs(read(tmp_path / "1.jpg")[..., :3] - [230, 51, 26]).max() <= 3


def test_a_map_is_its_color_and_clear_at_its_minimum(tmp_path):
    heat = np.linspace(0.25, 0.75, 24)[None].repeat(16, 0)
    ranges = write_maps(tmp_path / "1", {"a": (heat, ORANGE), "b": (0 * heat, ORANGE)})
    assert ranges == {"a": (0.25, 0.75), "b": (0, 0)}
    pixels = read(tmp_path / "1-a.png")
    assert (pixels[..., :3] == [255, 128, 0]).all()
    expected = 255 * (heat - 0.25) / 0.5
    np.testing.assert_allclose(pixels[..., 3], expected, atol=255 / 31 / 2 + 1)
    assert read(tmp_path / "1-b.png")[..., 3].max() == 0


def test_fewer_maps_are_finer(tmp_path):
    heat = np.random.default_rng(0).random((300, 400))
    write_maps(tmp_path / "1", dict.fromkeys(range(14), (heat, ORANGE)))
    write_maps(tmp_path / "2", {0: (heat, ORANGE)})
    assert read(tmp_path / "1-0.png").shape[:2] == (72, 96)
    assert read(tmp_path / "2-0.png").shape[:2] == (192, 256)


def test_a_map_that_shrinks_keeps_its_mean(tmp_path):
    heat = np.zeros((512, 512))
    heat[::2] = 1
    write_maps(tmp_path / "1", {"a": (heat, ORANGE)})
    inner = read(tmp_path / "1-a.png")[2:-2, :, 3]
    assert inner.shape == (252, 256)
    assert abs(inner - 127.5).max() < 9


def test_a_mask_is_white_where_it_is_true(tmp_path):
    mask = np.zeros((6, 9), bool)
    mask[2:5, 3:] = True
    write_mask(tmp_path / "1.png", mask)
    pixels = read(tmp_path / "1.png")
    assert (pixels[..., :3] == 255).all()
    np.testing.assert_array_equal(pixels[..., 3], 255 * mask)


@pytest.mark.parametrize(
    ("heat", "message"),
    [
        (np.full((4, 4), 1.5), "from 1.5 to 1.5"),
        (np.full((4, 4), np.nan), "from nan"),
        (np.zeros((4, 4, 2)), r"'a' with shape \(4, 4, 2\)"),
        (np.zeros((0, 4)), r"'a' with shape \(0, 4\)"),
    ],
)
def test_a_map_of_another_range_or_shape_is_an_error(tmp_path, heat, message):
    with pytest.raises(ValueError, match=message):
        write_maps(tmp_path / "1", {"a": (heat, ORANGE)})
