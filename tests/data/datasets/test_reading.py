import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kerasloc.data.datasets.files import image_files, image_sizes
from kerasloc.data.datasets.reading import box_frame, build_table, read_json, read_table
from kerasloc.data.problems import report_problems

OF_FILE = (np.nan, np.nan)


@pytest.fixture
def files(tmp_path, put):
    """Paths of two images, the second one broken."""
    put(tmp_path / "a.png", size=(20, 10))
    put(tmp_path / "b.png", "no image")
    return {name: str(tmp_path / f"{name}.png") for name in "ab"}


def build(files, on_error, names="a", boxes=(), size=OF_FILE):
    """Table of two classes; rows of boxes are their image, x, y, w, h."""
    frame = box_frame((image, "line 9", *box, 0) for image, *box in boxes)
    frame.loc[frame.index[-1:], ["rows", "cols"]] = size
    rows = {"name": list(names), "split": "train"}
    index = [f"line {i + 2}" for i in range(len(names))]
    return build_table(
        pd.DataFrame(rows, index),
        ("u", "v"),
        np.zeros((len(names), 2)),
        files,
        frame,
        source="x.csv",
        on_error=on_error,
    )


def test_sizes_are_rows_and_columns(files):
    np.testing.assert_array_equal(
        image_sizes([*files.values(), "nowhere.png"]), [[10, 20], OF_FILE, OF_FILE]
    )
    assert image_sizes([]).shape == (0, 2)


@pytest.mark.parametrize(("orientation", "size"), [(3, [10, 20]), (6, [20, 10])])
def test_sizes_are_those_of_the_upright_image(tmp_path, orientation, size):
    exif = Image.Exif()
    exif[274] = orientation
    path = str(tmp_path / "a.jpg")
    Image.new("L", (20, 10)).save(path, exif=exif)
    assert image_sizes([path]).tolist() == [size]
    boxes = [("a", 2, 4, 6, 8)]
    table = build({"a": path}, "raise", "a", boxes, [2 * side for side in size])
    assert table.boxes[0, 1:5].tolist() == [1, 2, 3, 4]


def test_boxes_scale_in_each_direction_by_the_size_they_were_measured_in(files):
    table = build(files, "raise", "a", [("a", 18, 8, 9, 9)])
    assert table.boxes[0, 1:5].tolist() == [18, 8, 9, 9]  # a box that sticks out
    boxes = [("a", 1, 2, 3, 4), ("a", 10, 10, 10, 10)]
    table = build(files, "raise", "a", boxes, (100, 40))
    assert table.boxes.tolist() == [[0, 1, 2, 3, 4, 0], [0, 5, 1, 5, 1, 0]]


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((0, 0, 0, 8), "has no size"),
        ((0, 0, 8, -1), "has no size"),
        ((0, 0, 8, np.nan), "has no size"),
        ((20, 0, 8, 8), "lies outside the image"),
        ((0, -9, 8, 8), "lies outside the image"),
    ],
)
def test_boxes_that_cover_nothing_are_listed_or_left_out(files, caplog, box, message):
    boxes = [("a", 1, 1, 5, 5), ("a", *box)]
    with pytest.raises(ValueError, match=rf"a \(line 9\): .*{message}"):
        build(files, "raise", "ab", boxes)
    table = build(files, "skip", "ab", boxes)
    assert table.boxes[:, 1].tolist() == [1]
    assert len(table) == 2
    assert "left out 1" in caplog.text


def test_a_broken_image_matters_only_with_boxes(files, caplog):
    assert len(build(files, "raise", "ab")) == 2
    boxes = [("b", 1, 1, 5, 5)]
    with pytest.raises(ValueError, match=r"(?s)readable images with boxes.*b\.png"):
        build(files, "raise", "ab", boxes)
    assert len(build(files, "skip", "ab", boxes)) == 1
    assert "left out 1" in caplog.text


def test_boxes_are_sorted_by_image_and_need_a_row(files, caplog):
    boxes = [("c", 1, 1, 1, 1), ("x", 9, 9, 1, 1), ("a", 2, 2, 1, 1)]
    table = build({**files, "c": files["a"]}, "raise", "ac", boxes)
    assert table.boxes[:, :2].tolist() == [[0, 2], [1, 1]]
    assert "1 boxes of images without a row" in caplog.text
    assert "no row has 1 of the images:\n  b" in caplog.text


@pytest.mark.parametrize(
    ("names", "message"),
    [("aa", "a: line 2 and line 3"), ("xy", r"(?s)2 rows, all without.*image_dir")],
)
def test_repeated_rows_and_no_image_at_all_cannot_be_skipped(files, names, message):
    with pytest.raises(ValueError, match=message):
        build(files, "skip", names)


def test_problems_are_raised_or_logged(caplog):
    with pytest.raises(ValueError, match=r'(?s)Rule\. Received: 2 .*  a\n  b.*"skip"'):
        report_problems(["a", "b"], "Rule")
    report_problems([], "Rule")
    assert caplog.text == ""
    report_problems(["a", "b"], "Rule", "skip")
    assert "left out 2: Rule" in caplog.text


def test_rows_are_stripped_and_numbered_and_blank_fields_beyond_the_header_cut(
    tmp_path, put
):
    path = put(tmp_path / "x.csv", "\ufeff a , b\n 1 ,2,,\n\n,\n3,\n")
    table = read_table(path, ("a",))
    assert table.index.tolist() == ["line 2 of x.csv", "line 5 of x.csv"]
    assert table.to_dict("list") == {"a": ["1", "3"], "b": ["2", ""]}
    with pytest.raises(
        ValueError, match=r"columns a, c in.*Received: 2 rows with a, b"
    ):
        read_table(path, ("a", "c"))


def test_a_column_named_twice_is_an_error_that_names_it(tmp_path, put):
    with pytest.raises(ValueError, match=r"(?s)x\.csv.*\n  b\n"):
        read_table(put(tmp_path / "x.csv", "a,b,b\n1,2,3\n"))
    assert list(read_table(put(tmp_path / "x.csv", ",,b\n1,2,3\n"))) == ["", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a.png": [1, 2', r"BBoxes\.json\. Received: broken.*line 1"),
        ("", "broken json"),
        ("[1, 2]", r"BBoxes\.json to hold one json object.*Received: list"),
        ('{"a.png": {}, "a.png": {}}', r"(?s)once\..*'a\.png', 2 times"),
    ],
)
def test_files_without_a_json_object_are_errors(tmp_path, put, text, message):
    with pytest.raises(ValueError, match=message):
        read_json(put(tmp_path / "BBoxes.json", text))
    (tmp_path / "x.json").write_bytes(b"\x89PNG\xff\xfe{")
    with pytest.raises(ValueError, match="broken json"):
        read_json(tmp_path / "x.json")


def test_a_name_in_two_folders_is_logged_unless_it_is_the_same_file(
    tmp_path, put, caplog
):
    for name in ("x/a.png", "x/b.TIFF", "y/a.png"):
        put(tmp_path / name, "")
    (tmp_path / "y/b.TIFF").symlink_to(tmp_path / "x/b.TIFF")
    paths = [str(tmp_path / name) for name in ("x/a.png", "x/b.TIFF")]
    assert list(image_files(tmp_path, None, ("x", "y")).values()) == paths
    assert f"one in an earlier folder, not used:\n  {tmp_path}/y/a.png" in caplog.text
    assert "b.TIFF" not in caplog.text


def test_images_of_the_root_are_the_last_resort(tmp_path, put):
    for name in ("a.png", "images/b.PNG", "images/.c.png", "images/d.txt"):
        put(tmp_path / name, "")
    assert list(image_files(tmp_path, None, ("images",))) == ["b.PNG"]
    assert list(image_files(tmp_path, None, ("others",))) == ["a.png"]
    assert list(image_files("nowhere", tmp_path, ("images",))) == ["a.png"]
    with pytest.raises(ValueError, match=r"nowhere.*image_dir"):
        image_files("nowhere", None, ("images",))
