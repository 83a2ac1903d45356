import numpy as np
import pytest

from kerasloc.data.problems import listing
from kerasloc.data.splits import cut_validation
from kerasloc.data.table import Table, check_disjoint, only_classes


def single_label(classes, **columns):
    """A table with one class index per image."""
    classes = np.asarray(classes)
    return Table(
        paths=[f"{i}.png" for i in range(len(classes))],
        class_names=("a", "b", "c"),
        labels=np.eye(3)[classes],
        **columns,
    )


def test_what_is_left_out_is_neutral():
    table = single_label([0, 1])
    assert len(table) == 2
    assert table.boxes.shape == (0, 6)
    assert table.masks.tolist() == table.groups.tolist() == ["", ""]
    assert table.splits.tolist() == ["", ""]
    assert table.orientations.tolist() == [1, 1]
    assert table.labels.dtype == np.float32


def test_a_table_says_what_it_holds():
    table = single_label(
        [0, 1, 2, 0],
        boxes=[[2, 1, 1, 5, 5, 0]],
        masks=["m.png", "", "", "n.png"],
        splits=["train", "test", "train", ""],
    )
    images, rest = "4 images: 2 train, 1 test", "3 classes: a, b, c"
    assert repr(table) == f"Table({images}; {rest}; 1 boxes; 2 masks)"
    assert repr(table.subset([])) == f"Table(0 images; {rest}; 0 boxes; 0 masks)"


def test_a_subset_numbers_its_boxes_anew():
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


def test_class_indices_are_those_of_the_ones():
    table = single_label([2, 0, 1])
    assert not table.multi_label
    assert table.class_index.tolist() == [2, 0, 1]


@pytest.mark.parametrize("labels", [[1, 1, 0], [0, 0, 0], [1, np.nan, 0]])
def test_other_than_one_known_label_has_no_class_index(labels):
    table = Table(["x.png"], ("a", "b", "c"), [labels])
    assert table.multi_label
    with pytest.raises(ValueError, match=r"one known label.*x\.png"):
        _ = table.class_index


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"labels": np.eye(2)}, r"\(images, classes\)"),
        ({"labels": [[0.5, 0, 0], [1, 0, 0]]}, r"0\.5 for a in row 0 \(0\.png\)"),
        ({"class_names": ("a", "a", "b")}, "different, nonempty"),
        ({"splits": ["train"]}, "splits holds one entry per image"),
        ({"splits": ["train", "dev"]}, "'dev' in row 1"),
        ({"orientations": [1, 9]}, "1 to 8"),
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


def test_an_unknown_split_is_an_error():
    with pytest.raises(ValueError, match="'dev'"):
        single_label([0]).split("dev")


def test_validation_images_are_cut_class_by_class():
    table = single_label([0] * 10 + [1] * 20 + [2] * 5, splits=["train"] * 35)
    cut = cut_validation(table, 0.2, seed=1)
    val = cut.split("val")
    assert np.bincount(val.class_index).tolist() == [2, 4, 1]
    assert len(cut.split("train")) == 28
    assert (table.splits == "train").all()


def test_the_seed_decides_which_images_are_cut():
    table = single_label([0, 1] * 30, splits=["train"] * 60)
    first = cut_validation(table, 0.3, seed=4).splits
    assert (cut_validation(table, 0.3, seed=4).splits == first).all()
    assert (cut_validation(table, 0.3, seed=5).splits != first).any()


def test_groups_are_cut_as_a_whole():
    rng = np.random.default_rng(0)
    groups = [f"p{i}" for i in rng.integers(0, 30, 120)]
    table = single_label(rng.integers(0, 3, 120), splits=["train"] * 120, groups=groups)
    cut = cut_validation(table, 0.25, seed=0)
    val, train = cut.split("val"), cut.split("train")
    assert not set(val.groups) & set(train.groups)
    assert 24 <= len(val) <= 36
    for part in (val, train):
        assert (part.labels.sum(axis=0) > 0).all()
    check_disjoint(cut)


def test_a_rare_class_is_on_both_sides_where_it_can_be():
    classes = [0] * 40 + [1] * 2 + [2]
    cut = cut_validation(single_label(classes, splits=["train"] * 43), 0.1, seed=0)
    assert cut.split("val").labels.sum(axis=0).tolist() == [4, 1, 0]


def test_a_rare_class_in_crowded_groups_is_on_both_sides():
    groups = ["p"] * 11 + ["q"] * 11 + [""] * 40
    classes = ([0] * 10 + [1]) * 2 + [0] * 20 + [2] * 20
    table = single_label(classes, splits=["train"] * 62, groups=groups)
    val = cut_validation(table, 0.05, seed=0).split("val")
    assert val.labels.sum(axis=0)[1] == 1


def test_every_label_of_multi_label_images_is_cut():
    labels = np.random.default_rng(0).random((200, 3)) < [0.5, 0.1, 0.02]
    paths = [str(i) for i in range(200)]
    table = Table(paths, ("a", "b", "c"), labels, splits=["train"] * 200)
    positives = cut_validation(table, 0.2, seed=0).split("val").labels.sum(axis=0)
    assert np.abs(positives - 0.2 * labels.sum(axis=0)).max() <= 3
    assert positives.min() >= 1


def test_only_training_images_are_cut():
    table = single_label([0, 1] * 10, splits=["train", "test"] * 10)
    cut = cut_validation(table, 0.4, seed=0)
    assert (cut.splits == "test").sum() == 10
    assert (cut.splits == "val").sum() == 4


def test_validation_images_that_are_there_stay():
    table = single_label([0, 1, 2], splits=["train", "val", "train"])
    assert cut_validation(table, 0.5) is table


@pytest.mark.parametrize("share", [0, 1, -0.1])
def test_a_share_outside_its_range_is_an_error(share):
    with pytest.raises(ValueError, match="between 0 and 1"):
        cut_validation(single_label([0]), share)


def test_nothing_to_cut_is_an_error():
    table = single_label([0, 1], splits=["train", "train"])
    with pytest.raises(ValueError, match="2 training images in 2 groups"):
        cut_validation(table, 0.5)
    with pytest.raises(ValueError, match="0 training images"):
        cut_validation(single_label([0]), 0.5)


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
    ],
)
def test_classes_that_cannot_be_chosen_are_errors(names, message):
    with pytest.raises(ValueError, match=message):
        only_classes(Table(**CHOICE), names)


def test_a_chosen_class_without_images_of_its_own_is_an_error():
    table = Table(["x", "y"], ("a", "b", "c"), [[1, 1, 0], [1, 0, 0]])
    with pytest.raises(ValueError, match=r"1 of a, 0 of b\. .* among a, b, c"):
        only_classes(table, ["a", "b"])


def test_a_group_on_two_sides_is_named():
    table = single_label(
        [0, 1, 2, 0],
        splits=["train", "test", "train", ""],
        groups=["anna", "anna", "bert", "bert"],
    )
    with pytest.raises(ValueError, match="1 in several:\n  anna: test, train\n"):
        check_disjoint(table)


def test_a_file_on_two_sides_is_named(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").symlink_to("a.png")
    paths = [str(tmp_path / name) for name in ("a.png", "b.png")]
    table = Table(paths, ("a", "b"), np.eye(2), splits=["train", "val"])
    with pytest.raises(ValueError, match=r"file.*a\.png: train, val"):
        check_disjoint(table)


def test_groups_and_splits_that_are_blank_do_not_collide():
    blank = single_label([0, 1, 2], splits=["train", "test", ""])
    assert check_disjoint(blank) is None  # it raises where two collide


def test_a_listing_says_how_many_more():
    assert listing(["x"] * 12, limit=10).splitlines()[-1] == "  ... and 2 more"
    assert listing("ab") == "  a\n  b"
