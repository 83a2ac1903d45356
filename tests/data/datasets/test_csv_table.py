import numpy as np
import pytest

from kerasloc.data.datasets.csv_table import read_csv


@pytest.fixture
def csv_file(tmp_path):
    """Writes the lines to a csv beside a.png, b.png, c.png."""
    for name in "abc":
        (tmp_path / f"{name}.png").touch()

    def write(*lines):
        path = tmp_path / "table.csv"
        path.write_text("\n".join(lines))
        return path

    return write


BOXES = "image,label,x,y,w,h"
ONE_BOX = [[0, 1, 2, 3, 4, 1]]


@pytest.mark.parametrize(
    ("lines", "names", "labels", "boxes"),
    [
        (
            ["image,label", "a.png,cat|dog", "b.png,", "c.png, dog "],
            ("cat", "dog"),
            [[1, 1], [0, 0], [0, 1]],
            [],
        ),
        (["\ufeffimage,label", "a.png,x"], ("x",), [[1]], []),  # a byte order mark
        (
            ["image,dog,cat", "a.png,1,0", "b.png,,1.0"],
            ("dog", "cat"),
            [[1, 0], [np.nan, 1]],
            [],
        ),
        (
            [BOXES, "a.png,cat,1,2,3,4", "b.png,dog,,,,", "a.png,dog,5,6,7,8.5"],
            ("cat", "dog"),
            [[1, 1], [0, 1]],
            [[0, 1, 2, 3, 4, 0], [0, 5, 6, 7, 8.5, 1]],
        ),
        (
            ["image,label,box_label,x,y,w,h", "a.png,cat|dog,dog,1,2,3,4"],
            ("cat", "dog"),
            [[1, 1]],
            ONE_BOX,
        ),
        (
            ["image,cat,dog,x,y,w,h", "a.png,0,1,1,2,3,4"],  # the only 1
            ("cat", "dog"),
            [[0, 1]],
            ONE_BOX,
        ),
    ],
)
def test_labels_are_names_or_columns_and_rows_are_boxes(
    csv_file, lines, names, labels, boxes
):
    path = csv_file(*lines)
    table = read_csv(path)
    assert table.class_names == names
    np.testing.assert_array_equal(table.labels, labels)
    assert table.boxes.tolist() == boxes
    assert table.paths[0] == str(path.parent / "a.png")


def test_split_group_and_mask_are_read(csv_file):
    path = csv_file(
        "image,label,split,group,mask", "a.png,x,train,p1,m.png", "b.png,y,,,"
    )
    table = read_csv(path)
    assert table.splits.tolist() == ["train", ""]
    assert table.groups.tolist() == ["p1", ""]
    assert table.masks.tolist() == [str(path.parent / "m.png"), ""]


def test_splits_have_synonyms_in_any_case(csv_file):
    rows = ["a.png,x,Training", "b.png,y,VALID", "c.png,y, Test "]
    table = read_csv(csv_file("image,label,split", *rows))
    assert table.splits.tolist() == ["train", "val", "test"]


def test_images_may_lie_elsewhere(csv_file, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "d.png").touch()
    path = csv_file("image,label", "d.png,x")
    assert read_csv(path, tmp_path / "sub").paths[0].endswith("sub/d.png")


def test_the_order_of_the_classes_is_that_of_the_caller(csv_file):
    path = csv_file("image,label", "a.png,cat")
    table = read_csv(path, class_names=("dog", "cat"))
    assert table.labels.tolist() == [[0, 1]]
    with pytest.raises(ValueError, match=r"class.*'dog', 'cow'.*'cat'"):
        read_csv(path, class_names=("dog", "cow"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["image,label", "z.png,x"], r"line 2 .*\(z\.png\): there is no such image"),
        (["image,label", ",x"], r"line 2 .*\(\): there is no such image"),
        (["image,label,split", "a.png,x,all"], "line 2.*'all'"),
        (["image,dog", "a.png,2"], r"line 2 .*\(a\.png\): dog is 1, 0 or blank.*'2'"),
        (["image,label", "a.png,x", "a.png,x"], "line 3.*duplicate row"),
        (["image,label", "a.png,x", "a.png,y"], "line 3.*contradictory labels"),
        (
            ["image,label,group", "a.png,x,p", "a.png,x,q"],
            "line 3.*contradictory: an earlier row has another group",
        ),
        (["image,label,x,y,w,h", "a.png,x,1,1,0,5"], "line 2.*no size: w is 0, h is 5"),
        (["image,label,x,y,w,h", "a.png,x,1,1,,5"], "line 2.*four numbers"),
        (["image,label,x,y,w,h", "a.png,x|y,1,1,5,5"], "line 2.*box_label"),
        (
            ["image,label,x,y,w,h", "a.png,x,1,1,5,5", "a.png,x,1,1,5,5"],
            "line 3.*duplicate row",
        ),
        (
            ["image,label,box_label,x,y,w,h", "a.png,u,v,1,1,5,5", "b.png,v,,,,,"],
            "line 2.*a box of v, which is not there",
        ),
        (["image,label", "a.png,"], "no class"),
        (["file,label", "a.png,x"], "Received: 1 rows with file, label"),
        (["image;label", "a.png;x"], "comma-separated"),
        (["image,label"], "0 rows"),
        (["image,label,x,y", "a.png,x,1,1"], "all of x, y, w, h"),
    ],
)
def test_a_wrong_row_is_named(csv_file, lines, message):
    with pytest.raises(ValueError, match=message):
        read_csv(csv_file(*lines))


def test_all_wrong_rows_are_counted_and_ten_shown(csv_file):
    path = csv_file("image,label", *(f"z{i}.png,x" for i in range(12)))
    with pytest.raises(ValueError, match=r"(?s)Received: 12 .*and 2 more") as error:
        read_csv(path)
    assert str(error.value).count("no such image") == 10
