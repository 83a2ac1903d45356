import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from kerasloc.data import samples
from kerasloc.data.synthetic import SyntheticConfig, write

TINY = SyntheticConfig(classes=2, size=24, train=2, test=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "x", TINY)


def test_an_image_is_read_by_its_number(folder):
    for index, path in enumerate(samples.test_images(folder)):
        image, label = samples.read_image(index, folder)
        np.testing.assert_allclose(image, np.asarray(Image.open(path)) / 255, atol=1e-6)
        assert image.dtype == np.float32
        assert type(label) is int
        assert path.split("/")[-2] == TINY.class_names[label]


def test_the_seed_decides_a_random_image(folder):
    images = [samples.read_image(data_dir=folder, seed=seed)[0] for seed in range(8)]
    zero = [samples.read_image(0, folder, seed=seed)[0] for seed in range(5)]
    assert all((image == zero[0]).all() for image in zero)  # 0 is an index
    again = samples.read_image(data_dir=folder, seed=7)[0]
    np.testing.assert_array_equal(images[7], again)
    assert any((image != images[0]).any() for image in images)


def test_size_and_channels_are_those_of_the_caller(folder):
    assert samples.num_images(folder) == len(samples.test_images(folder)) == 4
    assert samples.num_classes(folder) == 2
    image, _ = samples.read_image(1, folder, im_size=(8, 12), channels=1)
    assert image.shape == (8, 12, 1)
    assert 0 <= image.min() < image.max() <= 1
    assert samples.read_image(1, folder, im_size=32)[0].shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("index", "size", "error", "message"),
    [
        (4, None, ValueError, r"0\.\.3\. Received: 4"),
        (-1, None, ValueError, r"0\.\.3\. Received: -1"),
        (0.5, None, TypeError, "float"),
        *((0, size, ValueError, "size") for size in (0, (3,), 2.5)),
    ],
)
def test_wrong_indices_and_sizes_are_errors(folder, index, size, error, message):
    with pytest.raises(error, match=message):
        samples.read_image(index, folder, im_size=size)


def test_without_a_test_folder_there_is_no_image(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / "1.png").touch()
    with pytest.raises(ValueError, match=r"test\. Received: "):
        samples.num_images(tmp_path)


def test_without_a_folder_the_embedded_data_is_read(folder, monkeypatch):
    monkeypatch.setattr(samples, "default_folder", lambda: folder)
    assert samples.test_images() == samples.test_images(folder)


def test_a_file_is_loaded_upright(tmp_path):
    image = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6))
    exif = image.getexif()
    exif[274] = 6
    image.save(tmp_path / "x.png", exif=exif)
    loaded = samples.load_image(tmp_path / "x.png", channels=1)
    expected = np.rot90(np.asarray(image), -1) / 255
    np.testing.assert_allclose(loaded[..., 0], expected, atol=1e-6)
    assert samples.load_image(str(tmp_path / "x.png"), 5).shape == (5, 5, 3)


def test_a_file_that_is_no_image_is_an_error(tmp_path):
    (tmp_path / "x.jpg").write_text("hello")
    with pytest.raises(ValueError, match=r"image with 3 channels in .*x\.jpg"):
        samples.load_image(tmp_path / "x.jpg")
    with pytest.raises(FileNotFoundError, match=r"none\.jpg"):
        samples.load_image(tmp_path / "none.jpg")


def test_the_error_of_a_damaged_file_is_one_line_without_names_of_operations(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "x.png")
    content = (tmp_path / "x.png").read_bytes()
    start = content.index(b"IDAT")
    (length,) = struct.unpack(">I", content[start - 4 : start])
    part = b"IDAT" + bytes(length)  # the checksum is right
    damaged = content[:start] + part + struct.pack(">I", zlib.crc32(part))
    (tmp_path / "x.png").write_bytes(damaged + content[start + length + 8 :])
    with pytest.raises(ValueError, match=r"x\.png.* Received: \w") as error:
        samples.load_image(tmp_path / "x.png")
    assert not any(text in str(error.value) for text in ("{{", "[Op", "\n"))


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
@pytest.mark.parametrize("size", [None, 2])
def test_bits_scale_16_bit_files_and_no_others(tmp_path, name, size):
    path = tmp_path / name
    Image.fromarray(np.full((4, 4), 4095, np.uint16)).save(path)
    for bits, level in ((None, 4095 / 65535), (16, 4095 / 65535), (12, 1)):
        image = samples.load_image(path, size, bits=bits)
        np.testing.assert_allclose(image, np.full(image.shape, level), atol=1e-6)
    with pytest.raises(ValueError, match=rf"{name}.*4095.*10 bits.*1023"):
        samples.load_image(path, size, 1, bits=10)
    with pytest.raises(ValueError, match=r"bits.*Received: 0"):
        samples.load_image(path, bits=0)
    Image.fromarray(np.full((4, 4), 255, np.uint8)).save(path)
    image = samples.load_image(path, size, bits=12)
    np.testing.assert_allclose(image, np.ones(image.shape), atol=1e-6)
