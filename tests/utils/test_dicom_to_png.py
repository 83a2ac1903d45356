"""X-rays from DICOM files: gray as looked at, size noted, broken files named."""

import csv
import importlib.util
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

pydicom = pytest.importorskip("pydicom")

SCRIPT = pathlib.Path(__file__).parents[2] / "utils" / "dicom_to_png.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("dicom_to_png", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def dataset(pixels, kind="MONOCHROME2", **elements):
    """A data set of an array, 8 or 16 bits."""
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    found = pydicom.Dataset()
    found.file_meta = pydicom.dataset.FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    found.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    found.SOPClassUID, found.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    bits = pixels.dtype.itemsize * 8
    found.set_pixel_data(pixels, kind, bits)
    for name, value in elements.items():
        setattr(found, name, value)
    return found


def ramp(dtype=np.uint16, top=4000):
    return np.linspace(0, top, 64).reshape(8, 8).astype(dtype)


@pytest.fixture
def folder(tmp_path):
    """Three X-rays: wide, small and inverted, one in a subfolder."""
    (tmp_path / "in" / "sub").mkdir(parents=True)
    wide = np.tile(ramp(), (4, 8))
    for name, data in {
        "a.dicom": dataset(wide),
        "sub/b.dcm": dataset(ramp(np.uint8, 200)),
        "c.dicom": dataset(ramp(), "MONOCHROME1"),
    }.items():
        data.save_as(tmp_path / "in" / name, enforce_file_format=True)
    return tmp_path / "in"


def rows(folder):
    with (folder / "resize.csv").open(newline="") as file:
        return {row["image_id"]: row for row in csv.DictReader(file)}


def words(source, out, *more):
    return [
        *("--input", str(source), "--output", str(out), "--size", "16"),
        *("--workers", "1"),
        *more,
    ]


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 200), (np.uint16, 60000)])
def test_the_smallest_value_becomes_black_and_the_largest_white(tool, dtype, top):
    pixels = ramp(dtype, top)
    gray = tool.to_gray8(dataset(pixels), equalize=False)
    assert gray.dtype == np.uint8
    np.testing.assert_array_equal(gray, np.round(pixels / pixels.max() * 255))


def test_monochrome1_is_inverted(tool):
    gray = tool.to_gray8(dataset(ramp(), "MONOCHROME1"), equalize=False)
    normal = tool.to_gray8(dataset(ramp()), equalize=False)
    np.testing.assert_allclose(gray.astype(int), 255 - normal.astype(int), atol=1)
    assert gray[0, 0] == 255


def test_the_window_cuts_what_is_outside_it(tool):
    data = dataset(ramp(), WindowCenter=2000, WindowWidth=1000)
    gray = tool.to_gray8(data, equalize=False)
    pixels = ramp()
    assert (gray[pixels < 1499] == 0).all()
    assert (gray[pixels > 2501] == 255).all()
    inside = (pixels > 1510) & (pixels < 2490)
    expected = (pixels[inside] - 1500) / 1000 * 255
    np.testing.assert_allclose(gray[inside], expected, atol=2)


def test_the_window_is_that_of_rescaled_values(tool):
    scaled = dataset(
        ramp(),
        RescaleSlope=2,
        RescaleIntercept=-1000,
        WindowCenter=3000,
        WindowWidth=2000,
    )
    plain = dataset(ramp(), WindowCenter=2000, WindowWidth=1000)
    np.testing.assert_allclose(
        tool.to_gray8(scaled, equalize=False).astype(int),
        tool.to_gray8(plain, equalize=False).astype(int),
        atol=1,
    )


def test_equalizing_spreads_gray_levels_evenly(tool):
    pixels = (ramp(np.float64, 1) ** 4 * 4000).astype(np.uint16)
    plain = tool.to_gray8(dataset(pixels), equalize=False)
    even = tool.to_gray8(dataset(pixels))
    assert np.median(plain) < 30
    assert 110 < np.median(even) < 180
    assert (np.diff(even.ravel().astype(int)) >= 0).all()
    assert even.max() == 255


def test_an_image_of_one_value_is_black(tool):
    gray = tool.to_gray8(dataset(np.full((4, 4), 7, np.uint16)))
    assert not gray.any()


def test_a_shipped_file_of_signed_pixels_is_read(tool):
    path = pydicom.data.get_testdata_file("CT_small.dcm", download=False)
    gray = tool.to_gray8(pydicom.dcmread(path))
    assert gray.shape == (128, 128)
    assert gray.max() == 255


def test_the_longest_side_is_made_smaller_never_larger(tool):
    image = np.zeros((40, 20), np.uint8)
    assert tool.shrink(image, 20).shape == (20, 10)
    assert tool.shrink(image, 100).shape == (40, 20)


def test_the_table_says_how_files_shrank(tool, folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert tool.main(words(folder, out)) == 0
    assert "3 of 3 images" in capsys.readouterr().out
    found = rows(out)
    assert found["a"] == {
        "image_id": "a",
        "ratio": "0.25",
        "rows": "32",
        "cols": "64",
    }
    assert found["b"]["ratio"] == "1"
    with Image.open(out / "a.png") as image:
        assert (image.mode, image.size) == ("L", (16, 8))
    assert sorted(path.name for path in out.iterdir()) == [
        *("a.png", "b.png", "c.png"),
        "resize.csv",
    ]


def test_a_stopped_run_goes_on(tool, folder, tmp_path, monkeypatch):
    out = tmp_path / "out"
    tool.main(words(folder, out))
    whole = rows(out)
    (out / "b.png").unlink()  # has a row
    lines = (out / "resize.csv").read_text().splitlines()
    kept = [line for line in lines if not line.startswith("c,")]  # has a file
    (out / "resize.csv").write_text("\n".join(kept))
    convert, worked = tool.convert, []

    def noted(path, **how):
        worked.append(path.stem)
        return convert(path, **how)

    monkeypatch.setattr(tool, "convert", noted)
    assert tool.main(words(folder, out)) == 0
    assert sorted(worked) == ["b", "c"]
    assert rows(out) == whole


def test_broken_files_are_listed_or_counted(tool, folder, tmp_path, capsys):
    (folder / "text.dcm").write_text("this is no DICOM")
    empty = dataset(ramp())
    del empty.PixelData
    empty.save_as(folder / "empty.dcm", enforce_file_format=True)
    short = dataset(ramp())
    short.PixelData = short.PixelData[:50]
    short.save_as(folder / "short.dcm", enforce_file_format=True)
    assert tool.main(words(folder, tmp_path / "out")) == 1
    said = capsys.readouterr().out
    assert "3 of 6 images" in said
    assert "text.dcm: is not a DICOM file" in said
    assert "empty.dcm: A DICOM file needs an image" in said
    assert "short.dcm: " in said
    skip = words(folder, tmp_path / "out", "--on-error", "skip")
    assert tool.main(skip) == 0
    assert "left out: 3 broken files" in capsys.readouterr().out


def test_compression_without_a_decoder_says_what_to_install(tool, monkeypatch):
    path = pydicom.data.get_testdata_file("JPEG2000.dcm", download=False)
    data = pydicom.dcmread(path)

    class Lacking:
        is_available = False

    monkeypatch.setattr("pydicom.pixels.get_decoder", lambda uid: Lacking)
    with pytest.raises(ValueError, match=r"JPEG 2000.*Install pylibjpeg"):
        tool.to_gray8(data)


@pytest.mark.parametrize(
    "data",
    [
        dataset(np.zeros((4, 4, 3), np.uint8), "RGB"),
        dataset(np.zeros((2, 4, 4), np.uint8)),
    ],
    ids=["color", "frames"],
)
def test_what_is_no_gray_frame_is_an_error(tool, data):
    with pytest.raises(ValueError, match="An X-ray is one frame"):
        tool.to_gray8(data)


def test_folders_without_or_with_doubled_files_are_refused(
    tool, folder, tmp_path, capsys
):
    (tmp_path / "none").mkdir()
    cases = {"which has none": tmp_path / "none", "is a folder": tmp_path / "absent"}
    dataset(ramp()).save_as(folder / "sub" / "a.dcm", enforce_file_format=True)
    cases["2 files named a"] = folder
    for text, source in cases.items():
        with pytest.raises(SystemExit):
            tool.main(words(source, tmp_path / "out"))
        assert text in capsys.readouterr().err


def test_a_table_of_something_else_is_not_overwritten(tool, folder, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "resize.csv").write_text("name,size\n")
    with pytest.raises(SystemExit):
        tool.main(words(folder, out))
    assert "Received: name, size" in capsys.readouterr().err
    assert (out / "resize.csv").read_text() == "name,size\n"


def test_missing_pydicom_says_what_to_install(
    tool, folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(SystemExit):
        tool.main(words(folder, tmp_path / "out"))
    assert "kerasloc[dicom]" in capsys.readouterr().err


def test_numbers_below_one_are_refused(tool, folder, tmp_path, capsys):
    with pytest.raises(SystemExit):
        tool.main(words(folder, tmp_path / "out", "--workers", "0"))
    assert "1 or more" in capsys.readouterr().err


def test_processes_do_the_same(tool, folder, tmp_path):
    tool.main(words(folder, tmp_path / "one"))
    parallel = [*words(folder, tmp_path / "two")[:-1], "2"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *parallel],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path / "one") == rows(tmp_path / "two")
    for name in ("a.png", "b.png", "c.png"):
        both = [(tmp_path / way / name).read_bytes() for way in ("one", "two")]
        assert both[0] == both[1]
