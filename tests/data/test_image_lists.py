import logging

import numpy as np
import pytest

from kerasloc.data import image_lists, splits
from kerasloc.data.image_lists import (
    apply_lists,
    has_boxes,
    image_names,
    keep_boxes,
    read_lists,
    write_lists,
)
from kerasloc.data.table import Table


def table_of(paths, boxed=(), **columns):
    """One class; a box on each of some rows."""
    return Table(
        paths=paths,
        class_names=("a",),
        labels=np.ones((len(paths), 1)),
        boxes=[[row, 1, 2, 3, 4, 0] for row in boxed],
        **columns,
    )


def put(folder, **texts):
    """Files by name: ``Main__train`` is Main/train.txt."""
    for name, text in texts.items():
        path = folder / f"{name.replace('__', '/')}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def boxed_paths(table):
    return sorted(table.paths[has_boxes(table)])


LETTERS = [f"data/{letter}.png" for letter in "abcdef"]


@pytest.mark.parametrize(
    ("texts", "lists"),
    [
        (
            {"train": "\ufeffb b.png \n\na.png\r\nb b.png\n", "val": "\n"},
            {"train": ["b b.png", "a.png"], "val": []},
        ),
        (
            {"Main__train": "a\nb", "Main__val": "c", "Main__test": "d"},
            {"train": ["a", "b"], "val": ["c"], "test": ["d"]},
        ),
        (
            {"train": "a", "bbox__1": "a\nd\n", "bbox__2": "d\nb", "bbox__none": ""},
            {"train": ["a"], "annotated": ["a", "d", "b"]},
        ),
        ({"train": "a", "valid": "b"}, {"train": ["a"], "val": ["b"]}),
    ],
)
def test_names_are_read_without_blanks_and_repetitions(tmp_path, texts, lists):
    put(tmp_path, **texts)
    assert read_lists(str(tmp_path)) == lists


def test_lists_have_synonyms_and_other_texts_are_named(tmp_path, caplog):
    put(tmp_path, Training="a", Validation="b", Main__TEST="c", bbox__x="a", notes="d")
    lists = {"train": ["a"], "val": ["b"], "test": ["c"], "annotated": ["a"]}
    assert read_lists(tmp_path) == lists
    assert (
        f"1 text files are no list of images and not used:\n  {tmp_path}/notes.txt"
        in (caplog.text)
    )


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({}, "/x, without any. Use utils/make_splits"),
        ({"other": "a"}, "without any"),
        ({"fold0__train": "a", "fold1__train": "a"}, "Name one of fold0, fold1 in it"),
        (
            {"train": "a", "val": "b", "valid": "b"},
            r"for the list val.*\n.*val.txt\n.*valid.txt\nRemove",
        ),
        ({"train": "a", "Val": "b", "validation": "b"}, "for the list val"),
        ({"train": "a", "Main__train": "a"}, "for the list train"),
        ({"train": " \n"}, '"train" with images. Received: an empty one'),
        ({"test": "a"}, '"train" with images. Received: only test'),
        ({"train": "a", "annotated": "\n"}, "an empty one.*Remove it.*--box-share 0"),
        ({"train": "a", "bbox__x": ""}, "annotated.*an empty one"),
        ({"train": "a\nb\nc", "test": "c\nb"}, r"2 .*\n  b: train, test\n  c:"),
        ({"train": "a", "val": "b", "test": "b"}, "b: val, test"),
    ],
)
def test_lists_that_do_not_fit_are_an_error(tmp_path, texts, message):
    put(tmp_path / "x", **texts)
    with pytest.raises(ValueError, match=message):
        read_lists(tmp_path / "x")


def test_lists_are_written_sorted_and_read_again(tmp_path):
    lists = {"train": ["b.png", "a.png", "ü 1.png"], "test": [], "annotated": ["b.png"]}
    write_lists(tmp_path / "new" / "fold0", lists)
    files = {p.name: p.read_bytes() for p in (tmp_path / "new" / "fold0").iterdir()}
    assert files == {
        "train.txt": "a.png\nb.png\nü 1.png\n".encode(),
        "test.txt": b"",
        "annotated.txt": b"b.png\n",
    }
    again = read_lists(tmp_path / "new" / "fold0")
    assert again == lists | {"train": sorted(lists["train"])}
    path = tmp_path / "new/fold0/train.txt"
    before = path.stat().st_mtime_ns
    write_lists(path.parent, lists | {"train": ["a.png", *lists["train"]]})
    assert path.stat().st_mtime_ns == before  # the same lists may be written again


@pytest.mark.parametrize(
    ("lists", "other"),
    [
        ({"train": ["a"], "test": ["c"]}, "train.txt"),
        ({"train": ["a", "b"]}, "test.txt"),
        ({"train": ["a", "b"], "val": ["d"], "test": []}, "test.txt"),
    ],
)
def test_other_lists_are_not_overwritten(tmp_path, lists, other):
    put(tmp_path, train="a\nb\n", test="c\n")
    with pytest.raises(ValueError, match=rf"1 violation:\n.*{other}\nRemove"):
        write_lists(tmp_path, lists)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test.txt", "train.txt"]
    assert (tmp_path / "train.txt").read_text() == "a\nb\n"


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"train": ["a"], "annotated": []}, "an empty one in the lists"),
        ({"train": ["a"], "test": ["a"]}, "a: train, test"),
        ({"train": []}, "an empty one in the lists"),
        ({}, "Received: none in the lists"),
        ({"train": ["a"], "trian": ["b"]}, "Received: 'trian'"),
        ({"train": ["a\nb"]}, r"line breaks.*\n  'a\\nb'"),
        ({"train": [" a", ""]}, r"2 violations:\n  ''\n  ' a'"),
    ],
)
def test_what_could_not_be_read_again_is_not_written(tmp_path, lists, message):
    with pytest.raises(ValueError, match=message):
        write_lists(tmp_path / "x", lists)
    assert not (tmp_path / "x").exists()
    with pytest.raises(UnicodeEncodeError):  # a write that breaks off leaves no list
        write_lists(tmp_path, {"train": ["a\udc80"]})
    assert list(tmp_path.iterdir()) == []


def test_lists_set_the_splits_and_nothing_else():
    old = ["test"] * 6
    table = table_of(LETTERS, boxed=[0, 2, 5], splits=old, groups=list("uvwxyz"))
    lists = {"train": ["c.png", "a.png"], "val": ["b.png"], "test": ["f.png"]}
    new = apply_lists(table, lists)
    assert new.splits.tolist() == ["train", "val", "train", "", "", "test"]
    np.testing.assert_array_equal(new.boxes, table.boxes)
    assert new.groups.tolist() == list("uvwxyz")
    assert table.splits.tolist() == old


def test_only_training_images_off_the_annotated_list_lose_their_boxes():
    table = table_of(LETTERS, boxed=[0, 1, 1, 2, 3, 4])
    lists = {"train": ["a.png", "b.png", "f.png"], "val": ["c.png"], "test": ["d.png"]}
    assert boxed_paths(apply_lists(table, lists)) == LETTERS[:5]
    new = apply_lists(table, lists | {"annotated": ["b.png"]})
    assert boxed_paths(new) == LETTERS[1:5]
    assert len(new.boxes) == 5


def test_annotated_images_without_boxes_are_logged(caplog):
    lists = {"train": ["a.png", "b.png"], "test": ["c.png"]}
    lists["annotated"] = ["a.png", "b.png", "c.png"]
    with caplog.at_level(logging.WARNING):
        apply_lists(table_of(LETTERS, boxed=[0]), lists)
    message = "1 training images on the list annotated have no boxes:\n  data/b.png"
    assert caplog.messages == [message]


def test_any_end_of_a_path_is_a_name():
    paths = [f"/d/train/p{p}/s1/view{v}.jpg" for p in (1, 2) for v in (1, 2)]
    paths += ["/d/valid/p3/s1/only.jpg"]
    lists = {
        "train": ["train/p1/s1/view1.jpg", "./p2/s1/view2.jpg"],
        "val": ["only.jpg"],
        "test": ["/d/train/p1/s1/view2.jpg"],
    }
    new = apply_lists(table_of(paths), lists)
    assert new.splits.tolist() == ["train", "test", "", "train", "val"]


def test_images_that_the_table_lacks_are_an_error_unless_skipped(caplog):
    lists = {"train": ["a.png", "x.png"], "test": ["y.png"], "annotated": ["a.png"]}
    message = r"2 violations:\n  x.png \(train\)\n  y.png \(test\)\n.*on_error"
    with pytest.raises(ValueError, match=message):
        apply_lists(table_of(LETTERS, boxed=[0]), lists)
    with caplog.at_level(logging.WARNING):
        new = apply_lists(table_of(LETTERS, boxed=[0]), lists, "skip")
    assert new.splits.tolist() == ["train", "", "", "", "", ""]
    assert "left out 2: Expected the images on a list in the table" in caplog.text


@pytest.mark.parametrize(
    ("lists", "on_error", "message"),
    [
        ({"annotated": []}, "raise", "an empty one"),
        ({}, "ignore", "on_error .*'ignore'"),
        ({"train": ["x.png", "y.png"]}, "skip", '"train".*Received: 2 unknown names'),
        ({"annotated": ["x.png"]}, "skip", '"annotated".*Received: 1 unknown names'),
        ({"test": ["data/a.png"]}, "raise", r"\n  data/a.png: train, test"),
        ({"test": ["9.png"]}, "raise", r"\n  9\.png \(test\)"),
        ({"train": ["v.jpg"]}, "raise", "one image.*: data/p1/v.jpg, data/p2/v.jpg"),
        ({"train": ["v.jpg"]}, "skip", "one image.*: data/p1/v.jpg, data/p2/v.jpg"),
    ],
)
def test_wrong_lists_are_not_applied(lists, on_error, message):
    paths = [*LETTERS, "data/19.png", "data/p1/v.jpg", "data/p2/v.jpg"]
    with pytest.raises(ValueError, match=f"(?s){message}"):
        apply_lists(table_of(paths), {"train": ["a.png"]} | lists, on_error)


def test_names_are_as_short_as_they_can_be():
    assert image_names(table_of(LETTERS)).tolist() == [f"{x}.png" for x in "abcdef"]
    paths = ["r/p1/s1/v.jpg", "r/p1/s2/v.jpg", "r/p2/s1/w.jpg"]
    names = ["s1/v.jpg", "s2/v.jpg", "s1/w.jpg"]
    assert image_names(table_of(paths)).tolist() == names
    assert image_names(table_of(["a/x.png", "x.png"])).tolist() == ["a/x.png", "x.png"]
    assert len(image_names(table_of([]))) == 0
    with pytest.raises(ValueError, match=r"different path.*\n  a.png\nRemove"):
        image_names(table_of(["a.png", "a.png", "b.png"]))


def many(count=40):
    names = ("train", "train", "train", "test", "val")
    splits = [names[row % 5] for row in range(count)]
    paths = [f"{row:03}.png" for row in range(count)]
    return table_of(paths, boxed=range(0, count, 2), splits=splits)


@pytest.mark.parametrize(
    ("share", "kept"), [(0, 0), (1e-9, 1), (0.25, 3), (0.5, 6), (1, 12)]
)
def test_a_share_of_the_training_images_keeps_its_boxes(share, kept):
    table = many()
    new = keep_boxes(table, share)
    assert len(new.split("train").boxes) == kept
    for split in ("val", "test"):
        assert boxed_paths(new.split(split)) == boxed_paths(table.split(split))
    assert new.splits.tolist() == table.splits.tolist()


def test_images_keep_all_of_their_boxes_or_none():
    table = table_of(
        LETTERS[:4], boxed=[0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3], splits=["train"] * 4
    )
    for seed in range(4):
        boxes = keep_boxes(table, 0.5, seed).boxes
        assert np.bincount(boxes[:, 0].astype(int)).tolist().count(3) == 2
        assert len(boxes) == 6


def test_the_images_that_keep_them_depend_on_the_seed_not_on_the_order():
    table = many()
    mixed = table.subset(np.random.default_rng(5).permutation(len(table)))
    kept = boxed_paths(keep_boxes(table, 0.5, 3))
    assert boxed_paths(keep_boxes(mixed, 0.5, 3)) == kept
    assert boxed_paths(keep_boxes(table, 0.5, 4)) != kept
    assert set(boxed_paths(keep_boxes(table, 0.25, 3))) < set(kept)


def test_a_share_outside_0_to_1_is_an_error():
    assert len(keep_boxes(table_of(LETTERS, splits=["train"] * 6), 0.5).boxes) == 0
    for share in (-0.1, 1.01, float("nan")):
        with pytest.raises(ValueError, match=rf"in \[0, 1\]\. Received: {share}"):
            keep_boxes(many(), share)


def test_all_of_it_is_reached_through_splits():
    for name in ("read_lists", "write_lists", "apply_lists", "keep_boxes"):
        assert getattr(splits, name) is getattr(image_lists, name)
