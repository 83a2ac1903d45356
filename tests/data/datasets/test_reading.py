import numpy as np
import pytest
from PIL import Image

from kerasloc.data.datasets.reading import (
    Box,
    Draft,
    finish,
    image_files,
    image_sizes,
    read_rows,
)
from kerasloc.data.problems import check_on_error, complain


@pytest.fixture
def files(tmp_path):
    """Paths of two images, the second one broken."""
    Image.new("L", (20, 10)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    return {name: str(tmp_path / f"{name}.png") for name in "ab"}


def draft(names="a", boxes=(), labels=None):
    labels = np.zeros((len(names), 2)) if labels is None else labels
    wheres = [f"line {i + 2}" for i in range(len(names))]
    splits = ["train"] * len(names)
    return Draft(
        "x.csv", ("u", "v"), list(names), wheres, labels, splits, boxes=list(boxes)
    )


def test_sizes_are_rows_and_columns(files):
    np.testing.assert_array_equal(
        image_sizes([*files.values(), "nowhere.png"]),
        [[10, 20], [np.nan] * 2, [np.nan] * 2],
    )
    assert image_sizes([]).shape == (0, 2)


def test_boxes_scale_in_each_direction_by_what_they_were_measured_in(files):
    own = Box("a", "line 2", 1, 2, 3, 4, 1)
    scaled = Box("a", "line 3", 10, 10, 10, 10, 0, (100, 40))
    table = finish(draft(boxes=[own, scaled]), files, "raise")
    assert table.boxes.tolist() == [[0, 1, 2, 3, 4, 1], [0, 5, 1, 5, 1, 0]]


def test_a_broken_image_without_boxes_is_left_to_the_check(files):
    assert len(finish(draft("ab"), files, "raise")) == 2


def test_boxes_go_by_image_whatever_their_order(files):
    boxes = [Box("c", "", 1, 1, 1, 1, 0), Box("a", "", 2, 2, 2, 2, 1)]
    table = finish(draft("ac", boxes), {**files, "c": files["a"]}, "raise")
    assert table.boxes[:, 0].tolist() == [0, 1]


def test_two_rows_of_an_image_cannot_be_skipped(files):
    with pytest.raises(ValueError, match="a: line 2 and line 3"):
        finish(draft("aa"), files, "skip")


def test_no_image_at_all_is_an_error(files):
    with pytest.raises(ValueError, match="2 rows, all without"):
        finish(draft("xy"), files, "skip")


def test_problems_are_raised_or_logged(caplog):
    with pytest.raises(ValueError, match=r'(?s)Rule\. Received: 2 .*  a\n  b.*"skip"'):
        complain(["a", "b"], "Rule")
    with pytest.raises(ValueError, match=r"Mend\."):
        complain(["a"], "Rule", way_out="Mend.")
    complain([], "Rule")
    assert caplog.text == ""
    complain(["a", "b"], "Rule", "skip")
    assert "left out 2: Rule" in caplog.text


def test_rows_are_trimmed_and_numbered(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("\ufeff a , b\n 1 ,2,,\n\n3\n")
    assert read_rows(path, ("a",)) == [
        (2, {"a": "1", "b": "2"}),
        (4, {"a": "3", "b": ""}),
    ]
    with pytest.raises(ValueError, match=r"columns a, c\. Received: 2 rows with a, b"):
        read_rows(path, ("a", "c"))


def test_images_of_the_root_are_the_last_resort(tmp_path):
    for name in ("a.png", "images/b.PNG", "images/.c.png", "images/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list(image_files(tmp_path, None, ("images",))) == ["b.PNG"]
    assert list(image_files(tmp_path, None, ("others",))) == ["a.png"]
    assert list(image_files("nowhere", tmp_path, ("images",))) == ["a.png"]
    with pytest.raises(ValueError, match=r"nowhere.*image_dir"):
        image_files("nowhere", None, ("images",))


def test_a_wrong_on_error_is_an_error():
    check_on_error("skip")
    with pytest.raises(ValueError, match="'hide'"):
        check_on_error("hide")
