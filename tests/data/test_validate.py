import dataclasses
import logging

import numpy as np
import pytest
from PIL import Image

from kerasloc.data import check, read_folders


@pytest.fixture
def tree(tmp_path):
    """Folder of two classes of noise, 8 x 6 pixels: two training images, one test."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        for stem in (f"train/{name}/1", f"train/{name}/2", f"test/{name}/1"):
            path = tmp_path / f"{stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            values = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(values).save(path)
    return tmp_path


def with_columns(tree, **columns):
    return dataclasses.replace(read_folders(tree), **columns)


def test_valid_files_pass_without_warnings_and_orientations_are_filled_in(tree):
    image = Image.open(tree / "train/dog/2.png")
    exif = image.getexif()
    exif[274] = 6
    image.save(tree / "train/dog/2.png", exif=exif)
    table, report = check(read_folders(tree))
    assert len(table) == report.images == 6
    assert report.skipped == report.warnings == ()
    assert str(report) == "6 images are fine, 0 are left out."
    assert table.orientations.tolist() == [1, 1, 1, 6, 1, 1]


def corrupt_jpeg(path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
    Image.fromarray(pixels).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:400] + b"\0" * 50)


def folder(path):
    path.unlink()
    path.mkdir()


INVALID = {
    "corrupt jpeg": (corrupt_jpeg, "cannot be decoded: .*JPEG"),
    "truncated png": (
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        "cannot be decoded: .*PNG",
    ),
    "text": (lambda path: path.write_text("hello"), "cannot be decoded: Unknown image"),
    "no bytes": (lambda path: path.write_bytes(b""), "an empty file"),
    "missing": (lambda path: path.unlink(), "no such file"),
    "folder": (folder, "a folder, not a file"),
}


@pytest.mark.parametrize("kind", INVALID)
def test_an_invalid_file_is_named_with_its_row_or_left_out(tree, kind, caplog):
    spoil, reason = INVALID[kind]
    table, path = read_folders(tree), str(tree / "train/dog/1.png")
    spoil(tree / "train/dog/1.png")
    with pytest.raises(ValueError, match=rf"1 of 6.*\n.*{path} \(row 2\): {reason}"):
        check(table)
    with caplog.at_level(logging.WARNING):
        remaining, report = check(table, on_error="skip")
    assert len(remaining) == report.images == 5
    assert [skipped for skipped, _ in report.skipped] == [path]
    assert path not in remaining.paths
    assert "1 are left out" in caplog.text


def test_at_most_ten_invalid_files_are_shown(tree):
    for i in range(12):
        (tree / f"train/cat/x{i}.jpg").write_text("hello")
    with pytest.raises(ValueError, match=r"12 of 18(?s:.*)x0\.jpg \(row 2\)") as error:
        check(read_folders(tree))
    assert str(error.value).count("(row") == 10
    assert "and 2 more" in str(error.value)


def test_boxes_follow_when_files_are_left_out(tree):
    table = with_columns(tree, boxes=[[0, 0, 0, 2, 2, 0], [5, 1, 1, 2, 2, 1]])
    (tree / "train/cat/1.png").unlink()
    remaining, _ = check(table, on_error="skip")
    assert remaining.boxes.tolist() == [[4, 1, 1, 2, 2, 1]]


def test_a_box_that_exceeds_its_image_is_a_warning(tree):
    boxes = [[1, 0, 0, 8, 6, 0], [1, 5, 2, 4, 3, 0], [2, -1, 0, 3, 3, 1]]
    _, report = check(with_columns(tree, boxes=boxes))
    assert len(report.warnings) == 2
    assert "train/cat/2.png (row 1): the box (5 2 4 3) sticks out" in report.warnings[0]
    assert "(-1 0 3 3) sticks out" in report.warnings[1]


def test_a_box_outside_its_image_is_an_error(tree):
    for box in ([8, 0, 2, 2], [0, 6, 2, 2], [-3, 0, 2, 2]):
        with pytest.raises(ValueError, match=r"\(row 1\): the box .*outside the 8 x 6"):
            check(with_columns(tree, boxes=[[1, *box, 0]]))


def test_a_mask_exists_and_has_the_size_of_its_image(tree):
    Image.new("L", (8, 6)).save(tree / "good.png")
    Image.new("L", (6, 8)).save(tree / "bad.png")
    names = ["good.png", "none.png", "bad.png", "", "", ""]
    masks = [str(tree / name) if name else "" for name in names]
    _, report = check(with_columns(tree, masks=masks), on_error="skip")
    assert [reason for _, reason in report.skipped] == [
        f"its mask {tree}/none.png: no such file",
        f"its mask {tree}/bad.png is (8, 6), the image (6, 8)",
    ]


def test_equal_files_and_classes_without_images_in_a_split_are_warnings(tree):
    _, report = check(read_folders(tree).subset([0, 1, 2, 5]))
    assert report.warnings == ("no image of cat in test",)
    content = (tree / "train/cat/1.png").read_bytes()
    (tree / "test/cat/1.png").write_bytes(content)
    _, report = check(read_folders(tree))
    assert len(report.warnings) == 1
    for file in ("train/cat/1.png (train)", "test/cat/1.png (test)"):
        assert file in report.warnings[0]


def test_a_class_or_a_table_that_loses_all_images_is_an_error(tree):
    table = read_folders(tree)
    (tree / "train/dog/1.png").unlink()
    with pytest.raises(ValueError, match="no file of dog can be read"):
        check(table.subset([0, 1, 2]), on_error="skip")
    for path in tree.rglob("*.png"):
        path.write_text("hello")
    with pytest.raises(ValueError, match="6 images, none of which"):
        check(table, on_error="skip")


def test_groups_in_two_splits_and_options_that_do_not_fit_are_errors(tree):
    with pytest.raises(ValueError, match="p: test, train"):
        check(with_columns(tree, groups=["p", "", "", "", "p", ""]))
    with pytest.raises(ValueError, match=r"6 of 6(?s:.*)as many as their file"):
        check(read_folders(tree), channels=4)
    with pytest.raises(ValueError, match=r"on_error.*'ignore'"):
        check(read_folders(tree), on_error="ignore")


def test_long_checks_have_a_progress_bar(tree, capsys):
    table = read_folders(tree).split("train").subset(np.arange(200) % 4)
    check(table)
    assert "200/200" in capsys.readouterr().err
    check(table, progress=False)
    assert capsys.readouterr().err == ""


# 16-bit files


def deep_tree(tree, most, kind="png"):
    """Replace the images by 16-bit ones with levels up to ``most``."""
    table = read_folders(tree)
    paths = []
    for number, path in enumerate(table.paths):
        values = np.linspace(0, most - number, 48).astype(np.uint16).reshape(6, 8)
        paths.append(f"{path[:-4]}.{kind}")
        Image.fromarray(values).save(paths[-1])
    return dataclasses.replace(table, paths=np.array(paths))


@pytest.mark.parametrize("kind", ["png", "tif"])
@pytest.mark.parametrize(
    ("most", "bits"), [(4095, 12), (3000, 12), (1023, 10), (16383, 14), (200, 8)]
)
def test_dark_16_bit_files_are_a_warning_with_their_bits(tree, kind, most, bits):
    table = deep_tree(tree, most, kind)
    _, report = check(table)
    (warning,) = report.warnings
    assert f"--bits {bits}" in warning
    assert f"{most} of 65535" in warning
    for read in (bits, 16):
        same, report = check(dataclasses.replace(table, bits=read))
        assert report.warnings == ()
        assert same.bits == read


@pytest.mark.parametrize("most", [65535, 20000])
def test_one_bright_16_bit_file_is_no_warning(tree, most):
    assert check(deep_tree(tree, most))[1].warnings == ()


def test_levels_above_the_bits_are_an_error_that_names_the_file(tree):
    table = dataclasses.replace(deep_tree(tree, 4097), bits=12)
    with pytest.raises(ValueError, match=r"2 of 6.*\n.*1\.png \(row 0\).*4097.*4095"):
        check(table)
    remaining, _ = check(table, on_error="skip")
    assert len(remaining) == 4
