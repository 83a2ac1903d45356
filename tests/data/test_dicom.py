"""X-rays in DICOM files: gray levels, padding, windows, what cannot be read."""

import io
import subprocess
import sys
import zlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kerasloc.data import check, dicom, load_image
from kerasloc.data.datasets.files import image_sizes
from kerasloc.data.datasets.reading import box_frame, build_table
from kerasloc.data.pipeline import PipelineConfig, batches
from kerasloc.data.table import Table

pydicom = pytest.importorskip("pydicom")

PLAIN = {"equalize": False}


def ramp(dtype=np.uint16, top=4000):
    return np.linspace(0, top, 64).reshape(8, 8).astype(dtype)


def as_bytes(data):
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture
def saved(tmp_path, dataset):
    """Function that saves a file of an array and elements; returns its path."""

    def save(pixels, *kind, name="x.dcm", **elements):
        path = tmp_path / name
        path.write_bytes(as_bytes(dataset(pixels, *kind, **elements)))
        return str(path)

    return save


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 200), (np.uint16, 60000)])
def test_the_minimum_becomes_black_and_the_maximum_white(dataset, dtype, top):
    pixels = ramp(dtype, top)
    gray = dicom.to_gray8(dataset(pixels), equalize=False)
    assert gray.dtype == np.uint8
    np.testing.assert_array_equal(gray, np.round(pixels / pixels.max() * 255))


def test_monochrome1_is_inverted(dataset):
    gray = dicom.to_gray8(dataset(ramp(), "MONOCHROME1"), equalize=False)
    normal = dicom.to_gray8(dataset(ramp()), equalize=False)
    np.testing.assert_allclose(gray.astype(int), 255 - normal.astype(int), atol=1)
    assert gray[0, 0] == 255


@pytest.mark.parametrize(
    ("center", "width", "rescaling"),
    [(2000, 1000, {}), (3000, 2000, {"RescaleSlope": 2, "RescaleIntercept": -1000})],
)
def test_the_window_is_that_of_rescaled_values(dataset, center, width, rescaling):
    elements = {"WindowCenter": center, "WindowWidth": width, **rescaling}
    gray = dicom.to_gray8(dataset(ramp(), **elements), equalize=False)
    pixels = ramp()
    assert (gray[pixels < 1499] == 0).all()
    assert (gray[pixels > 2501] == 255).all()
    inside = (pixels > 1510) & (pixels < 2490)
    expected = (pixels[inside] - 1500) / 1000 * 255
    np.testing.assert_allclose(gray[inside], expected, atol=2)


def test_equalizing_spreads_gray_levels_evenly(dataset):
    pixels = (ramp(np.float64, 1) ** 4 * 4000).astype(np.uint16)
    plain = dicom.to_gray8(dataset(pixels), equalize=False)
    even = dicom.to_gray8(dataset(pixels))
    assert np.median(plain) < 30
    assert 110 < np.median(even) < 180
    assert (np.diff(even.ravel().astype(int)) >= 0).all()
    assert even.max() == 255


def test_a_flat_image_is_black(dataset):
    assert not dicom.to_gray8(dataset(np.full((4, 4), 7, np.uint16))).any()


def test_a_file_of_signed_pixels_is_read():
    path = pydicom.data.get_testdata_file("CT_small.dcm", download=False)
    gray = dicom.to_gray8(pydicom.dcmread(path))
    assert gray.shape == (128, 128)
    assert gray.max() == 255


def test_compression_without_a_decoder_is_an_error_with_packages_to_install():
    path = pydicom.data.get_testdata_file("JPEG2000.dcm", download=False)
    data = pydicom.dcmread(path)
    with pytest.raises(ValueError, match=r"JPEG 2000.*Install pylibjpeg"):
        dicom.to_gray8(data, decodes=lambda syntax: False)
    assert not dicom.has_decoder(pydicom.uid.UID("1.2.3"))


@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [((4, 4, 3), "RGB", "of RGB"), ((2, 4, 4), "MONOCHROME2", "2 frame")],
)
def test_color_and_several_frames_are_an_error(dataset, shape, kind, message):
    with pytest.raises(ValueError, match=message):
        dicom.to_gray8(dataset(np.zeros(shape, np.uint8), kind))


# Padding


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    ("padding", "elements"),
    [
        ([63000], {"PixelPaddingValue": 63000}),
        ([0], {"PixelPaddingValue": 0}),
        ([60000, 60500, 61000], {"PixelPaddingRangeLimit": 61000}),
        ([60000, 59000], {"PixelPaddingRangeLimit": 59000}),
        ([63000], {"PixelPaddingValue": 63000, "WindowCenter": 1, "WindowWidth": 0}),
        ([63000], {"PixelPaddingValue": 63000, "RescaleSlope": 2}),
    ],
)
@pytest.mark.parametrize("equalize", [False, True])
def test_padding_is_black_and_no_minimum_or_maximum(
    dataset, kind, padding, elements, equalize
):
    pixels = ramp(top=3000) + 1000
    padded = np.vstack([pixels, np.resize(padding, (3, 8)).astype(np.uint16)])
    elements = {"PixelPaddingValue": 60000, "RescaleIntercept": -9, **elements}
    gray = dicom.to_gray8(dataset(padded, kind, **elements), equalize=equalize)
    expected = dicom.to_gray8(dataset(pixels, kind), equalize=equalize)
    np.testing.assert_array_equal(gray[8:], 0)
    np.testing.assert_array_equal(gray[:8], expected)
    assert gray.max() == 255


def test_padding_of_signed_pixels_may_be_written_unsigned(dataset):
    pixels = np.vstack([ramp(np.int16), np.full((2, 8), -2000, np.int16)])
    for value, kind in ((-2000, "SS"), (63536, "US")):
        data = dataset(pixels)
        data.add_new("PixelPaddingValue", kind, value)
        gray = dicom.to_gray8(data, **PLAIN)
        assert not gray[8:].any()
        np.testing.assert_array_equal(
            gray[:8], dicom.to_gray8(dataset(ramp()), **PLAIN)
        )


def test_an_image_of_padding_alone_is_black(dataset):
    data = dataset(np.full((4, 4), 7, np.uint16), PixelPaddingValue=7)
    assert not dicom.to_gray8(data).any()


# Windows

NO_WINDOWS = [
    {"WindowCenter": 2000, "WindowWidth": 0},
    {"WindowCenter": 2000, "WindowWidth": -100},
    {"WindowCenter": "", "WindowWidth": ""},
    {"WindowCenter": None, "WindowWidth": 100},
    {"WindowCenter": 2000},
    {"WindowWidth": 100},
    {"WindowCenter": [1, 2], "WindowWidth": [0, 0]},
    {"WindowCenter": 90000, "WindowWidth": 10},  # no pixel is in it
    {"WindowCenter": 2000, "WindowWidth": 100, "VOILUTFunction": "CUBIC"},
    {"RescaleSlope": 0, "RescaleIntercept": 5},
    {"RescaleSlope": None, "RescaleIntercept": None},
]


@pytest.mark.parametrize("elements", NO_WINDOWS)
def test_an_invalid_window_or_rescaling_is_none(saved, dataset, elements):
    gray = dicom.read_gray8(saved(ramp(), **elements), **PLAIN)
    np.testing.assert_array_equal(gray, dicom.to_gray8(dataset(ramp()), **PLAIN))


def test_of_several_windows_the_first_valid_one_counts(dataset):
    several = {"WindowCenter": [2000, 3000, 1000], "WindowWidth": [0, 500, 500]}
    one = {"WindowCenter": 3000, "WindowWidth": 500}
    images = [dicom.to_gray8(dataset(ramp(), **e), **PLAIN) for e in (several, one)]
    np.testing.assert_array_equal(*images)


# Reading without conversion


@pytest.mark.parametrize("name", ["x.dcm", "x.dicom", "x", "x.png"])
def test_files_are_read_directly_as_they_are_converted(saved, tmp_path, name):
    rows = np.arange(48, dtype=np.uint16).reshape(6, 8) ** 2
    path = saved(rows, "MONOCHROME1", name=name)
    Image.fromarray(dicom.read_gray8(path)).save(tmp_path / "converted.png")
    for channels in (1, 3):
        expected = load_image(tmp_path / "converted.png", None, channels)
        np.testing.assert_array_equal(load_image(path, None, channels), expected)
    assert image_sizes([path]).tolist() == [[6, 8]]
    table = Table([path], ("cat",), [[1]], boxes=[[0, 1, 1, 4, 4, 0]])
    table, report = check(table)
    assert report.images == 1
    batch = next(iter(batches(table, PipelineConfig((6, 8)))))
    np.testing.assert_allclose(batch["image"][0], expected, atol=1e-6)


def test_a_mask_may_be_a_dicom_file(saved, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "image.png")
    table = Table([str(tmp_path / "image.png")], ("cat",), [[1]], masks=[saved(ramp())])
    assert check(table)[1].images == 1


def unreadable(dataset):
    """Bytes of files and what their errors name."""
    plain = as_bytes(dataset(ramp()))
    color = as_bytes(dataset(np.zeros((4, 4, 3), np.uint8), "RGB"))
    frames = as_bytes(dataset(np.zeros((2, 4, 4), np.uint8)))
    huge, empty = dataset(ramp()), dataset(ramp())
    huge.Rows, huge.Columns = 20000, 20000
    del empty.PixelData
    bomb = dataset(ramp())
    bomb.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    head = as_bytes(bomb)
    start = 144 + int.from_bytes(head[140:144], "little")
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    zeros = b"".join(deflate.compress(bytes(2**20)) for _ in range(600))
    return {
        "short": (plain[:-9], "x.dcm"),
        "color": (color, "RGB"),
        "frames": (frames, "2 frame"),
        "pixels": (as_bytes(empty), "without pixels"),
        "huge": (as_bytes(huge), "400 megapixels.*max-megapixels"),
        "header": (plain[:300], "x.dcm"),
        "number": (plain[:141], "x.dcm"),
        "bomb": (head[:start] + zeros + deflate.flush(), "when unpacked"),
    }


KINDS = ("short", "color", "frames", "pixels", "huge", "header", "number", "bomb")


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_read_is_named(dataset, tmp_path, kind):
    content, message = unreadable(dataset)[kind]
    path = tmp_path / "x.dcm"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"(?s)x.dcm.*Received.*{message}|{message}"):
        load_image(path)
    with pytest.raises(ValueError, match=rf"x\.dcm \(row 0\).*{message}|{message}"):
        check(Table([str(path)], ("cat",), [[1]]))


@pytest.mark.slow
def test_without_pydicom_both_ways_are_named(saved):
    code = (
        "import sys; sys.modules['pydicom'] = None\n"
        "from kerasloc.data import check, load_image\n"
        "from kerasloc.data.table import Table\n"
        f"path = {saved(ramp())!r}\n"
        "for read in (load_image, lambda p: check(Table([p], ('cat',), [[1]]))):\n"
        "    try: read(path)\n"
        "    except ValueError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for text in ("x.dcm", "DICOM", '"kerasloc[dicom]"', "utils/dicom_to_png.py"):
        assert done.stdout.count(text) >= 2, text


def test_without_pydicom_images_with_boxes_say_why(saved, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    rows = pd.DataFrame({"name": ["x"]})
    boxes = box_frame([("x", "line 2", 1, 1, 2, 2, 0)])
    options = {"source": "boxes.csv", "on_error": "raise"}
    with pytest.raises(ValueError, match=r"x\.dcm: .*DICOM.*kerasloc\[dicom\]"):
        build_table(rows, ("a",), [[1]], {"x": saved(ramp())}, boxes, **options)
