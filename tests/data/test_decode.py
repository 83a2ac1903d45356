import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from kerasloc.data.decode import (
    decode,
    decode_mask,
    decode_resized,
    measure,
    resize,
)
from kerasloc.data.headers import read_header

LUMA = np.array([0.299, 0.587, 0.114])
INTERPOLATIONS = ("bilinear", "bicubic")


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.fixture
def saved(tmp_path):
    """Function that saves a Pillow image and returns its path."""

    def save(image, name="x.png", **options):
        image.save(tmp_path / name, **options)
        return str(tmp_path / name)

    return save


def in_dataset(path, orientation, channels):
    data = tf.data.Dataset.from_tensors((path, orientation))
    data = data.map(lambda path, turn: decode(path, turn, channels))
    assert data.element_spec.shape.as_list() == [None, None, channels]
    return next(iter(data)).numpy()


KINDS = {
    "rgb": lambda rgb: rgb,
    "gray": lambda rgb: rgb.convert("L"),
    "bits": lambda rgb: rgb.convert("1"),
    "palette": lambda rgb: rgb.quantize(16),
    "alpha": lambda rgb: Image.merge("RGBA", (*rgb.split(), rgb.getchannel(1))),
    "gray_alpha": lambda rgb: Image.merge("LA", rgb.split()[:2]),
}
FILES = [f"{kind}.png" for kind in KINDS] + [f"{kind}.bmp" for kind in [*KINDS][:5]]
FILES += ["palette.gif", "rgb.tif", "gray.tif"]
LOSSLESS = {"lossless": True, "exact": True}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("read", [decode, in_dataset])
def test_every_kind_of_file_has_its_colors(name, read, pixels, saved):
    image = KINDS[name.split(".")[0]](Image.fromarray(pixels))
    path = saved(image, name)
    color = np.asarray(image.convert("RGB")) / 255
    decoded = np.asarray(read(path, 1, 3))
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, color, atol=1e-6)
    gray = np.asarray(read(path, 1, 1))
    np.testing.assert_allclose(gray[..., 0], color @ LUMA, atol=1e-6)
    assert 0 <= decoded.min() <= decoded.max() <= 1


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_has_its_colors(mode, pixels, saved):
    smooth = Image.fromarray(pixels[:2, :2]).resize((64, 48)).convert(mode)
    path = saved(smooth, "x.jpg", quality=95)
    color = np.asarray(Image.open(path).convert("RGB")) / 255
    for channels, expected in ((3, color), (1, (color @ LUMA)[..., None])):
        np.testing.assert_allclose(decode(path, 1, channels), expected, atol=0.03)


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_all_levels_of_16_bits_survive(name, channels, saved, tmp_path):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    image = decode(saved(Image.fromarray(values), name), 1, channels).numpy()
    assert image.shape == (256, 256, channels)
    assert image[-1, -1, 0] == 1
    assert len(np.unique(image[1, :, 0])) == 256  # levels between two 8-bit ones
    np.testing.assert_allclose(image[..., -1], values / 65535, rtol=0, atol=1e-7)
    colors = np.array([[[65535, 1, 300], [257, 256, 255]]], np.uint16)
    (tmp_path / "rgb.png").write_bytes(tf.io.encode_png(colors).numpy())
    decoded = decode(str(tmp_path / "rgb.png"), 1, 3)
    np.testing.assert_allclose(decoded, colors / 65535, atol=1e-7)


def test_an_animated_gif_is_its_first_frame_and_white_is_1(saved):
    frames = [Image.new("RGB", (4, 3), color) for color in ("white", "blue")]
    path = saved(frames[0], "x.gif", save_all=True, append_images=frames[1:])
    for channels in (1, 3):
        np.testing.assert_array_equal(decode(path, 1, channels), 1)
        white = saved(Image.new("RGB", (2, 2), "white"))
        np.testing.assert_array_equal(decode(white, 1, channels), 1)


@pytest.mark.parametrize("options", [{}, LOSSLESS, LOSSLESS | {"save_all": True}])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("read", [decode, in_dataset])
def test_webp_files_have_their_colors_also_animated_or_with_alpha(
    options, alpha, read, saved
):
    rows, cols = np.mgrid[:32, :48]
    pixels = np.stack([rows * 7, cols * 5, rows + cols], axis=-1).astype(np.uint8)
    image = Image.fromarray(pixels)
    if alpha:
        image.putalpha(Image.fromarray((100 + cols).astype(np.uint8)))
    if "save_all" in options:
        options = options | {"append_images": [image.rotate(180)]}
    path = saved(image, "x.webp", **options)
    levels = 1 if options and "save_all" not in options else 30
    for channels in (1, 3):
        decoded = np.asarray(read(path, 1, channels))
        expected = pixels / 255 if channels == 3 else (pixels / 255 @ LUMA)[..., None]
        np.testing.assert_allclose(decoded, expected, atol=levels / 255)
    assert measure(path, 3) == ((32, 48), -1)


def with_orientation(pixels, orientation):
    """Pillow image and its options to save it with an EXIF orientation."""
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[274] = orientation
    return image, exif


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("read", [decode, in_dataset])
def test_an_image_is_turned_upright(orientation, read, pixels, saved):
    image, exif = with_orientation(pixels, orientation)
    path = saved(image, exif=exif)
    assert read_header(path).orientation == orientation
    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    decoded = read(path, orientation, 3)
    assert decoded.shape == upright.shape
    np.testing.assert_allclose(decoded, upright / 255, atol=1e-6)
    mask = decode_mask(path, orientation).numpy()
    np.testing.assert_array_equal(mask, (upright > 0).any(axis=-1))


def test_a_tiff_is_turned_once_and_an_invalid_orientation_is_1(pixels, saved):
    image, exif = with_orientation(pixels, 6)
    path = saved(image, "x.tif", exif=exif)
    decoded = decode(path, read_header(path).orientation, 3)
    np.testing.assert_allclose(decoded, np.rot90(pixels, -1) / 255, atol=1e-6)
    image, exif = with_orientation(pixels, 9)
    assert read_header(saved(image, exif=exif)).orientation == 1
    assert read_header(saved(image)).orientation == 1


def test_other_channel_counts_are_those_of_the_file(pixels, saved):
    alpha = Image.fromarray(pixels)
    alpha.putalpha(Image.fromarray(pixels[..., 0]))
    decoded = decode(saved(alpha), 1, 4)
    np.testing.assert_allclose(decoded[..., 3], pixels[..., 0] / 255, atol=1e-6)


def resized(path, orientation, channels):
    return decode_resized(path, orientation, channels, (4, 4))


@pytest.mark.parametrize("read", [decode, in_dataset, resized])
def test_channels_that_the_file_lacks_are_an_error(read, pixels, saved):
    path = saved(Image.fromarray(pixels))
    with pytest.raises(tf.errors.InvalidArgumentError, match="as many as their file"):
        read(path, 1, 4)


def test_a_32_bit_file_is_an_error(saved):
    path = saved(Image.fromarray(np.ones((3, 3), np.float32)), "x.tif")
    with pytest.raises(tf.errors.InvalidArgumentError, match="32-bit pixels"):
        decode(path, 1, 1)


def broken_file(name):
    """First half of an image of this kind, or other bytes."""
    other = {"text": b"this is no image", "empty": b"", "bmp": b"BM", "tiff": b"II*\0"}
    if name in other:
        return other[name]
    pixels = np.random.default_rng(0).integers(0, 256, (45, 63, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).quantize(16)
    buffer = io.BytesIO()
    image.convert("P" if name == "BMP" else "RGB").save(buffer, name)
    return buffer.getvalue()[: buffer.tell() // 2]


@pytest.mark.parametrize(
    "name", ["JPEG", "PNG", "BMP", "TIFF", "text", "empty", "bmp", "tiff"]
)
def test_a_broken_file_is_an_error(name, tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(broken_file(name))
    for channels in (1, 3):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(str(path), 1, channels)
    if name in ("PNG", "TIFF"):
        with pytest.raises(tf.errors.OpError, match=r"Invalid PNG|damaged.*TIFF"):
            in_dataset(str(path), 1, 3)


def test_a_mask_is_true_where_its_file_is_not_zero(saved):
    values = np.array([[0, 1, 255], [0, 0, 7]], np.uint8)
    for image in (
        Image.fromarray(values),
        Image.fromarray(values.astype(np.uint16)),
        Image.merge("RGB", [Image.fromarray(v) for v in (values * 0, values, values)]),
        Image.merge("LA", [Image.fromarray(v) for v in (values, values * 0 + 255)]),
    ):
        mask = decode_mask(saved(image), 1)
        assert mask.dtype == tf.bool
        np.testing.assert_array_equal(mask, values > 0)


def test_a_jpeg_mask_has_no_blur(saved):
    values = np.zeros((32, 32), np.uint8)
    values[5:21, 9:30] = 255
    path = saved(Image.fromarray(values), "x.jpg", quality=80)
    assert (np.asarray(Image.open(path)) > 0).sum() > (values > 0).sum()
    np.testing.assert_array_equal(decode_mask(path, 1), values > 0)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_resizing_averages_when_it_shrinks_and_stays_within_0_and_1(
    interpolation, pixels
):
    stripes = tf.constant(np.tile([[[0.0], [1.0]]], (16, 8, 1)), tf.float32)
    small = resize(stripes, (4, 4), interpolation).numpy()
    assert small.shape == (4, 4, 1)
    np.testing.assert_allclose(small, 0.5, atol=0.06)
    image = resize(tf.constant(pixels / 255, tf.float32), (31, 3), interpolation)
    assert image.shape == (31, 3, 3)
    assert 0 <= image.numpy().min() < image.numpy().max() <= 1
    white = resize(tf.ones((7, 5, 3)), (3, 11), interpolation).numpy()
    np.testing.assert_allclose(white, 1, atol=1e-6)
    assert white.max() <= 1


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("channels", [1, 3])
def test_resizing_while_reading_equals_resizing_afterwards(
    name, channels, pixels, saved
):
    path = saved(KINDS[name.split(".")[0]](Image.fromarray(pixels)), name)
    image, file_size = decode_resized(path, 6, channels, (4, 3))
    expected = resize(decode(path, 6, channels), (4, 3))
    np.testing.assert_allclose(image, expected, atol=1e-5)
    assert file_size.numpy().tolist() == [7, 5]


def test_16_bits_survive_resizing_while_reading(saved):
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)  # below 16 of 255
    path = saved(Image.fromarray(values))
    for interpolation in INTERPOLATIONS:
        image, _ = decode_resized(path, 1, 1, (32, 32), interpolation)
        expected = resize(decode(path, 1, 1), (32, 32), interpolation)
        np.testing.assert_allclose(image, expected, atol=1e-6)
        assert len(np.unique(image)) > 500


def test_bicubic_resizing_is_sharper():
    edge = tf.tile(tf.constant([[[0.0]] * 8 + [[1.0]] * 8]), (16, 1, 1))
    linear, cubic = (resize(edge, (4, 8), kind)[0, :, 0] for kind in INTERPOLATIONS)
    assert np.diff(cubic).max() > np.diff(linear).max()
    assert 0 <= np.min(cubic) <= np.max(cubic) <= 1
