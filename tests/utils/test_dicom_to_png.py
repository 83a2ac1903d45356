"""X-rays from DICOM files: sizes in the table, broken files."""

import csv
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("pydicom")


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("dicom_to_png")


def ramp(dtype=np.uint16, top=4000):
    return np.linspace(0, top, 64).reshape(8, 8).astype(dtype)


@pytest.fixture
def folder(tmp_path, dataset):
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
    line = ["--input", str(source), "--output", str(out), "--size", "16"]
    return [*line, "--workers", "1", *more]


def test_the_longest_side_shrinks_and_never_grows(tool):
    image = np.zeros((40, 20), np.uint8)
    assert tool.shrink(image, 20).shape == (20, 10)
    assert tool.shrink(image, 100).shape == (40, 20)


def test_the_table_has_ratios_and_sizes(tool, folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert tool.main(words(folder, out)) == 0
    assert "3 of 3 images" in capsys.readouterr().out
    expected = {"image_id": "a", "ratio": "0.25", "rows": "32", "cols": "64"}
    assert rows(out)["a"] == expected
    assert rows(out)["b"]["ratio"] == "1"
    with Image.open(out / "a.png") as image:
        assert (image.mode, image.size) == ("L", (16, 8))
    names = sorted(path.name for path in out.iterdir())
    assert names == ["a.png", "b.png", "c.png", "resize.csv"]


def test_a_stopped_run_is_resumed(tool, folder, tmp_path):
    out = tmp_path / "out"
    tool.main(words(folder, out))
    complete = rows(out)
    (out / "b.png").unlink()  # has a row
    lines = (out / "resize.csv").read_text().splitlines()
    kept = [line for line in lines if not line.startswith("c,")]  # has a file
    (out / "resize.csv").write_text("\n".join(kept))
    for name in ("a.png", "c.png"):
        (out / name).write_bytes(b"old")
    assert tool.main(words(folder, out)) == 0
    old = [path.stem for path in out.glob("*.png") if path.read_bytes() == b"old"]
    assert old == ["a"]
    assert rows(out) == complete


def test_names_are_no_formulas_of_a_spreadsheet_and_are_read_back(
    tool, dataset, tmp_path
):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name in ("=1+1.dcm", "-b.dcm"):
        dataset(ramp()).save_as(source / name, enforce_file_format=True)
    for _ in range(2):  # the second has nothing to do
        assert tool.main(words(source, out)) == 0
        assert set(rows(out)) == {"'=1+1", "'-b"}
        assert {row[0] for row in tool.finished(out)} == {"=1+1", "-b"}
        for path in out.glob("*.png"):
            path.touch()


def test_broken_files_are_listed_or_counted(tool, folder, dataset, tmp_path, capsys):
    (folder / "text.dcm").write_text("this is no DICOM")
    empty, short = dataset(ramp()), dataset(ramp())
    del empty.PixelData
    short.PixelData = short.PixelData[:50]
    for name, data in (("empty.dcm", empty), ("short.dcm", short)):
        data.save_as(folder / name, enforce_file_format=True)
    assert tool.main(words(folder, tmp_path / "out")) == 1
    text = capsys.readouterr().out
    assert "3 of 6 images" in text
    assert "text.dcm: is not a DICOM file" in text
    assert "empty.dcm: Expected an image" in text
    assert "short.dcm: " in text
    skip = words(folder, tmp_path / "out", "--on-error", "skip")
    assert tool.main(skip) == 0
    assert "left out: 3 broken files" in capsys.readouterr().out


def test_wrong_folders_and_numbers_are_an_error(
    tool, folder, dataset, tmp_path, usage_error
):
    (tmp_path / "none").mkdir()
    dataset(ramp()).save_as(folder / "sub" / "a.dcm", enforce_file_format=True)
    out = tmp_path / "out"
    for text, line in {
        "none without such files": words(tmp_path / "none", out),
        "absent": words(tmp_path / "absent", out),
        "2 files named a": words(folder, out),
        "16 and 0": words(folder, out, "--workers", "0"),
    }.items():
        assert text in usage_error(tool, line)


def test_a_table_with_different_columns_is_not_overwritten(
    tool, folder, tmp_path, usage_error
):
    out = tmp_path / "out"
    out.mkdir()
    (out / "resize.csv").write_text("name,size\n")
    assert "Received: name, size" in usage_error(tool, words(folder, out))
    assert (out / "resize.csv").read_text() == "name,size\n"


def test_without_pydicom_the_package_to_install_is_named(run_tool, folder, tmp_path):
    line = words(folder, tmp_path / "out")
    done = run_tool("dicom_to_png", line, without=["pydicom"])
    assert done.returncode == 2
    assert "kerasloc[dicom]" in done.stderr


def test_several_processes_write_the_same(tool, folder, tmp_path):
    tool.main(words(folder, tmp_path / "1"))
    line = words(folder, tmp_path / "2", "--workers", "2")
    command = [sys.executable, tool.__file__, *line]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path / "1") == rows(tmp_path / "2")
    for name in ("a.png", "b.png", "c.png"):
        first, second = ((tmp_path / n / name).read_bytes() for n in "12")
        assert first == second
