import logging

import numpy as np
import pytest
from PIL import Image

from kerasloc.data.check import check
from kerasloc.data.datasets.folders import read_folders
from kerasloc.data.table import Table


@pytest.fixture
def tree(tmp_path):
    """Two classes of noise, 8 x 6 pixels: three training images, one test image."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        for place in (f"train/{name}/1", f"train/{name}/2", f"test/{name}/1"):
            path = tmp_path / f"{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            values = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(values).save(path)
    return tmp_path


def with_columns(table, **columns):
    names = ("paths", "class_names", "labels", "boxes", "masks", "splits", "groups")
    return Table(**{name: getattr(table, name) for name in names} | columns)


def test_good_files_pass_without_a_word(tree):
    table, report = check(read_folders(tree))
    assert len(table) == report.images == 6
    assert report.skipped == report.warnings == ()
    assert str(report) == "6 images are fine, 0 are left out."


def test_orientations_are_filled_in(tree):
    image = Image.open(tree / "train/dog/2.png")
    exif = image.getexif()
    exif[274] = 6
    image.save(tree / "train/dog/2.png", exif=exif)
    table, _ = check(read_folders(tree))
    assert table.orientations.tolist() == [1, 1, 1, 6, 1, 1]


def corrupt_jpeg(path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)).save(
        path, "JPEG"
    )
    path.write_bytes(path.read_bytes()[:400] + b"\0" * 50)


def truncated_png(path):
    path.write_bytes(path.read_bytes()[:-20])


def folder(path):
    path.unlink()
    path.mkdir()


WRONG = {
    "corrupt jpeg": (corrupt_jpeg, "cannot be decoded: .*JPEG"),
    "truncated png": (truncated_png, "cannot be decoded: .*PNG"),
    "text": (lambda path: path.write_text("hello"), "cannot be decoded: Unknown image"),
    "no bytes": (lambda path: path.write_bytes(b""), "an empty file"),
    "missing": (lambda path: path.unlink(), "no such file"),
    "folder": (folder, "a folder, not a file"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_file_is_named_with_its_row(tree, what):
    spoil, reason = WRONG[what]
    table = read_folders(tree)
    spoil(tree / "train/dog/1.png")
    with pytest.raises(
        ValueError, match=rf"1 of 6.*\n.*train/dog/1\.png \(row 2\): {reason}"
    ):
        check(table)


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_file_is_left_out_and_counted(tree, what, caplog):
    spoil, _ = WRONG[what]
    table = read_folders(tree)
    spoil(tree / "train/dog/1.png")
    with caplog.at_level(logging.WARNING):
        left, report = check(table, on_error="skip")
    assert len(left) == report.images == 5
    assert [path for path, _ in report.skipped] == [str(tree / "train/dog/1.png")]
    assert str(tree / "train/dog/1.png") not in left.paths
    assert "1 are left out" in caplog.text


def test_a_text_called_jpg_is_named(tree):
    (tree / "train/cat/3.jpg").write_text("hello")
    with pytest.raises(
        ValueError, match=r"train/cat/3\.jpg \(row 2\): cannot be decoded"
    ):
        check(read_folders(tree))


def test_at_most_ten_wrong_files_are_shown(tree):
    for i in range(12):
        (tree / f"train/cat/x{i}.png").write_text("hello")
    with pytest.raises(ValueError, match="12 of 18") as error:
        check(read_folders(tree))
    assert str(error.value).count("(row") == 10
    assert "and 2 more" in str(error.value)


def test_boxes_follow_when_files_are_left_out(tree):
    boxes = [[0, 0, 0, 2, 2, 0], [5, 1, 1, 2, 2, 1]]
    table = with_columns(read_folders(tree), boxes=boxes)
    (tree / "train/cat/1.png").unlink()
    left, _ = check(table, on_error="skip")
    assert left.boxes.tolist() == [[4, 1, 1, 2, 2, 1]]


def test_a_box_that_sticks_out_is_a_warning(tree):
    boxes = [[1, 0, 0, 8, 6, 0], [1, 5, 2, 4, 3, 0], [2, -1, 0, 3, 3, 1]]
    _, report = check(with_columns(read_folders(tree), boxes=boxes))
    assert len(report.warnings) == 2
    assert "train/cat/2.png (row 1): the box (5 2 4 3) sticks out" in report.warnings[0]
    assert "(-1 0 3 3) sticks out" in report.warnings[1]


@pytest.mark.parametrize("box", [[8, 0, 2, 2], [0, 6, 2, 2], [-3, 0, 2, 2]])
def test_a_box_outside_its_image_is_wrong(tree, box):
    table = with_columns(read_folders(tree), boxes=[[1, *box, 0]])
    with pytest.raises(ValueError, match=r"\(row 1\): the box .*outside the 8 x 6"):
        check(table)


def test_masks_are_of_the_size_of_their_image(tree):
    Image.new("L", (8, 6)).save(tree / "good.png")
    Image.new("L", (6, 8)).save(tree / "bad.png")
    masks = [str(tree / "good.png"), "", str(tree / "bad.png"), "", "", ""]
    table = with_columns(read_folders(tree), masks=masks)
    with pytest.raises(
        ValueError, match=r"1 of 6(?s:.*)bad\.png is \(8, 6\), the image \(6, 8\)"
    ):
        check(table)


def test_a_missing_mask_is_wrong(tree):
    masks = ["", str(tree / "none.png"), "", "", "", ""]
    table = with_columns(read_folders(tree), masks=masks)
    _, report = check(table, on_error="skip")
    assert report.skipped[0][1].endswith("none.png: no such file")


def test_equal_files_are_a_warning(tree):
    content = (tree / "train/cat/1.png").read_bytes()
    (tree / "test/cat/1.png").write_bytes(content)
    _, report = check(read_folders(tree))
    assert len(report.warnings) == 1
    assert "train/cat/1.png (train)" in report.warnings[0]
    assert "test/cat/1.png (test)" in report.warnings[0]


def test_a_class_without_images_in_a_split_is_a_warning(tree):
    table = read_folders(tree)
    _, report = check(table.subset([0, 1, 2, 5]))
    assert report.warnings == ("no image of cat in test",)


def test_a_class_that_vanishes_is_an_error(tree):
    table = read_folders(tree).subset([0, 1, 2])
    (tree / "train/dog/1.png").unlink()
    with pytest.raises(ValueError, match="no file of dog can be read"):
        check(table, on_error="skip")


def test_nothing_left_is_an_error(tree):
    table = read_folders(tree)
    for path in tree.rglob("*.png"):
        path.write_text("hello")
    with pytest.raises(ValueError, match="6 images, none of which"):
        check(table, on_error="skip")


def test_a_group_on_two_sides_is_an_error(tree):
    table = with_columns(read_folders(tree), groups=["p", "", "", "", "p", ""])
    with pytest.raises(ValueError, match="p: test, train"):
        check(table)


def test_channels_that_a_file_lacks_are_wrong(tree):
    with pytest.raises(ValueError, match=r"6 of 6(?s:.*)as many as their file"):
        check(read_folders(tree), channels=4)


def test_another_on_error_is_an_error(tree):
    with pytest.raises(ValueError, match="'ignore'"):
        check(read_folders(tree), on_error="ignore")


def test_many_files_have_a_progress_bar(tree, capsys):
    table = read_folders(tree).split("train").subset(np.arange(200) % 4)
    check(table)
    assert "200/200" in capsys.readouterr().err
    check(table, progress=False)
    assert capsys.readouterr().err == ""
