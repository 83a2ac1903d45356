import numpy as np
import pytest

from kerasloc.data.table import (
    Table,
    check_disjoint,
    only_classes,
    report_classes,
    select_classes,
)


def single_label(classes, **columns):
    """A table with one class index per image."""
    classes = np.asarray(classes)
    return Table(
        paths=[f"{i}.png" for i in range(len(classes))],
        class_names=("a", "b", "c"),
        labels=np.eye(3)[classes],
        **columns,
    )


def test_absent_columns_are_neutral():
    table = single_label([0, 1])
    assert len(table) == 2
    assert table.boxes.shape == (0, 6)
    assert table.masks.tolist() == table.groups.tolist() == ["", ""]
    assert table.splits.tolist() == ["", ""]
    assert table.orientations.tolist() == [1, 1]
    assert table.labels.dtype == np.float32


def test_the_text_of_a_table_counts_its_content():
    table = single_label(
        [0, 1, 2, 0],
        boxes=[[2, 1, 1, 5, 5, 0]],
        masks=["m.png", "", "", "n.png"],
        splits=["train", "test", "train", ""],
    )
    images, rest = "4 images: 2 train, 1 test", "3 classes: a, b, c"
    assert repr(table) == f"Table({images}; {rest}; 1 boxes; 2 masks)"
    assert repr(table.subset([])) == f"Table(0 images; {rest}; 0 boxes; 0 masks)"


def test_a_subset_renumbers_its_boxes():
    boxes = [[2, 1, 1, 5, 5, 0], [0, 2, 2, 5, 5, 1], [2, 3, 3, 5, 5, 2]]
    part = single_label([0, 1, 2], boxes=boxes).subset([2, 0, 2])
    assert part.paths.tolist() == ["2.png", "0.png", "2.png"]
    assert part.boxes[:, [0, 1]].tolist() == [[0, 1], [0, 3], [1, 2], [2, 1], [2, 3]]


def test_a_boolean_mask_chooses_like_indices():
    table = single_label([0, 1, 2], boxes=[[1, 0, 0, 1, 1, 1]])
    part = table.subset([False, True, True])
    assert part.paths.tolist() == table.subset([1, 2]).paths.tolist()
    assert part.boxes[:, 0].tolist() == [0]
    assert len(table.subset([])) == len(table.subset([False] * 3)) == 0


def test_a_split_holds_its_images_only():
    table = single_label([0, 1, 2], splits=["train", "test", "train"])
    assert table.split("train").paths.tolist() == ["0.png", "2.png"]
    assert len(table.split("val")) == 0
    with pytest.raises(ValueError, match="'dev'"):
        table.split("dev")


@pytest.mark.parametrize("labels", [[1, 1, 0], [0, 0, 0], [1, np.nan, 0]])
def test_no_several_or_unknown_labels_have_no_class_index(labels):
    assert not single_label([2, 0, 1]).multi_label
    assert single_label([2, 0, 1]).class_index.tolist() == [2, 0, 1]
    table = Table(["x.png"], ("a", "b", "c"), [labels])
    assert table.multi_label
    with pytest.raises(ValueError, match=r"(?s)one label per image.*x\.png"):
        _ = table.class_index


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"labels": np.eye(2)}, r"\(images, classes\).*\(2, 2\)"),
        ({"labels": [[0.5, 0, 0], [1, 0, 0]]}, r"0\.5 for a in row 0 \(0\.png\)"),
        ({"class_names": ("a", "a", "b")}, "class_names.*'a', 'a'"),
        ({"splits": ["train"]}, r"splits with one entry per image.*\(1,\)"),
        ({"splits": ["train", "dev"]}, r"splits\[1\].*'dev'"),
        ({"orientations": [1, 9]}, "orientation from 1 to 8.*9"),
        ({"boxes": [[2, 0, 0, 1, 1, 0]]}, "image of a box.*2"),
        ({"boxes": [[0, 0, 0, 1, 1, 3]]}, "class of a box.*3"),
        ({"boxes": [[1, 0, 0, 0, 1, 0]]}, r"positive width.*1\.png \(row 1\)"),
    ],
)
def test_columns_that_do_not_fit_are_errors(columns, message):
    fit = {
        "paths": ["0.png", "1.png"],
        "class_names": ("a", "b", "c"),
        "labels": np.eye(3)[:2],
    }
    with pytest.raises(ValueError, match=f"(?s){message}"):
        Table(**fit | columns)


CHOICE = {
    "paths": ["a only", "both", "c only", "none", "a, c unknown"],
    "class_names": ("a", "b", "c"),
    "labels": [[1, 1, 0], [1, 0, 1], [0, 1, 1], [0, 1, 0], [1, np.nan, np.nan]],
    "boxes": [[2, 3, 3, 1, 1, 2], [2, 2, 2, 1, 1, 1], [4, 5, 5, 1, 1, 0]],
    "splits": ["train", "val", "test", "train", ""],
    "groups": ["p", "q", "r", "s", "t"],
    "masks": ["m", "", "n", "", ""],
}


def test_images_with_one_of_the_chosen_classes_get_that_label():
    part = only_classes(Table(**CHOICE), ["c", "a"])
    assert part.class_names == ("c", "a")
    assert part.paths.tolist() == ["a only", "c only", "a, c unknown"]
    assert part.labels.tolist() == [[0, 1], [1, 0], [0, 1]]
    assert part.boxes[:, [0, 1, 5]].tolist() == [[1, 3, 0], [2, 5, 1]]
    assert part.splits.tolist() == ["train", "test", ""]
    assert part.groups.tolist() == ["p", "r", "t"]
    assert part.masks.tolist() == ["m", "n", ""]
    assert not part.multi_label


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "dog"], "two or more classes among a, b, c. Received: a, dog"),
        (["a"], "two or more classes among a, b, c. Received: a"),
        (["a", "a"], "Received: a, a"),
        ([], "Received: none"),
        (["b", "a"], r"0 of b, 2 of a\. .* among a, b, c"),
    ],
)
def test_classes_that_cannot_be_chosen_are_errors(names, message):
    table = Table(**CHOICE).subset([0, 1, 4])  # no image with b alone
    with pytest.raises(ValueError, match=message):
        only_classes(table, names)


def test_groups_on_two_sides_are_named_and_blanks_do_not_collide():
    splits = ["train", "test", "train", ""]
    check_disjoint(single_label([0, 1, 2, 0], splits=splits))
    groups = ["anna", "anna", "bert", "bert"]
    table = single_label([0, 1, 2, 0], splits=splits, groups=groups)
    with pytest.raises(ValueError, match=r"group.*: 1 .*\n  anna: test, train\n"):
        check_disjoint(table)


def test_a_file_on_two_sides_is_named(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").symlink_to("a.png")
    paths = [str(tmp_path / name) for name in ("a.png", "b.png")]
    table = Table(paths, ("a", "b"), np.eye(2), splits=["train", "val"])
    with pytest.raises(ValueError, match=r"file.*a\.png: train, val"):
        check_disjoint(table)


def test_classes_are_chosen_and_ordered():
    table = Table(
        paths=["a", "b"],
        class_names=("u", "v", "w"),
        labels=[[1, 0, np.nan], [0, 1, 1]],
        boxes=[[0, 1, 1, 1, 1, 0], [1, 2, 2, 2, 2, 1], [1, 3, 3, 3, 3, 2]],
    )
    part = select_classes(table, ["w", "u"])
    assert part.class_names == ("w", "u")
    np.testing.assert_array_equal(part.labels, [[np.nan, 1], [1, 0]])
    assert part.boxes[:, [0, 1, 5]].tolist() == [[0, 1, 1], [1, 3, 0]]
    assert table.boxes[:, 5].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match=r"among u, v, w\. Received: x besides"):
        select_classes(table, ["u", "x"])


def test_images_with_without_and_of_unknown_label_are_counted_by_class(caplog):
    tables = {
        "train": Table(list("abc"), ("cat", "dog"), [[1, 1], [1, 0], [np.nan, 0]]),
        "val": Table(["d"], ("cat", "dog"), [[0, 1]]),
    }
    tables["none"] = tables["val"].subset([])
    with caplog.at_level("INFO"):
        report_classes(tables)
    counts, warning = caplog.messages
    assert "3 train, 1 val, 0 none:" in counts
    assert [line.split() for line in counts.splitlines()[-2:]] == [
        ["cat", *"2010100"],  # with, without, unknown, and so on
        ["dog", *"1201000"],
    ]
    assert warning.splitlines()[1:] == [
        "  no image without cat in train",
        "  no image with cat in val",
        "  no image without dog in val",
    ]


def test_a_table_of_many_classes_is_cut_and_one_without_faults_warns_of_nothing(caplog):
    names = [f"class {i}" for i in range(1000)]
    with caplog.at_level("INFO"):
        report_classes({"train": Table(names, names, np.eye(1000))})
    (counts,) = caplog.messages
    assert len(counts.splitlines()) < 50
    assert "class 999" in counts
