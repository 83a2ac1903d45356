"""Reports of datasets."""

import logging

import pytest

from kerasloc.data import NIH_CLASSES
from kerasloc.data.synthetic import SyntheticConfig, write


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("check_data")


@pytest.fixture
def nih(tmp_path):
    """One-hot files of NIH's style with three images."""
    from PIL import Image

    header = ",".join(("Image Index", *NIH_CLASSES))
    rows = {"train.csv": ["00000001_000.png,1,", "00000001_001.png,0,1"]}
    rows["test.csv"] = ["00000002_000.png,1,0"]
    for number, (name, lines) in enumerate(rows.items()):
        text = "".join(f"{line}{',0' * 12}\n" for line in lines)
        (tmp_path / name).write_text(f"{header}\n{text}")
        for line in lines:
            image = Image.new("L", (8, 8), 100 * number + int(line[11]))
            image.save(tmp_path / line.split(",")[0])
    boxes = "00000001_000.png,Atelectasis,0,0,512,512,,,\n"
    (tmp_path / "BBox_List_2017.csv").write_text(f"a,b,c,,,\n{boxes}{boxes}")
    return tmp_path


def words(folder, *more):
    return ["--dataset", "nih14", "--data-dir", str(folder), "--channels", "1", *more]


def test_images_patients_labels_and_boxes_are_counted(tool, nih, capsys):
    tool.main(words(nih))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    train = lines.index("train: 2 images, patients: 1, 2 boxes")
    assert lines[train + 2 : train + 4] == ["Atelectasis 1 2 0", "Cardiomegaly 1 0 1"]
    assert lines[train + 16] == "none of them 0"
    test = lines.index("test: 1 images, patients: 1, 0 boxes")
    assert lines[test + 2] == "Atelectasis 1 0 0"


def test_warnings_are_only_in_the_report(tool, nih, capsys, caplog):
    (nih / "00000001_000.png").rename(nih / "00000009_000.png")
    tool.main(words(nih, "--on-error", "skip"))
    out = capsys.readouterr().out
    assert "Warnings of the reader:" in out
    assert "no row has 1 of the images" in out
    assert "\n  00000001_000.png (line 2 of train.csv)" in out
    assert "no image of Atelectasis in train" in out
    assert caplog.text == ""
    assert logging.getLogger("kerasloc.data").propagate


def test_a_patient_on_two_sides_is_an_error(tool, nih):
    text = (nih / "test.csv").read_text()
    (nih / "test.csv").write_text(text.replace("00000002_000", "00000001_009"))
    (nih / "00000002_000.png").rename(nih / "00000001_009.png")
    with pytest.raises(ValueError, match="00000001: test, train"):
        tool.main(words(nih))


def test_a_csv_of_several_labels_without_patients(tool, tmp_path, capsys):
    config = SyntheticConfig(classes=2, size=16, train=4, test=2, most_objects=2)
    folder = write(tmp_path / "x", config)
    tool.main(["--dataset", "csv", "--data_dir", str(folder)])
    out = capsys.readouterr().out
    assert "train: 4 images, patients: unknown" in out
    assert "6 images are fine" in out
    assert "Warnings of the reader" not in out


def test_errors_end_with_status_1_and_a_line(run_tool, nih):
    (nih / "00000001_000.png").unlink()
    done = run_tool("check_data", words(nih))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "00000001_000.png (line 2 of train.csv)" in done.stderr
