import json
import logging

import pytest

from kerasloc.data.datasets.folders import read_folders


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


IMAGES = [
    *("train/cat/a.Gif", "train/cat/b.bmp", "train/cat/c.JPG"),
    *("train/dog/1.png", "train/dog/2.JPEG", "test/cat/1.jpeg", "test/dog/1.png"),
]


@pytest.fixture
def tree(tmp_path):
    touch(tmp_path, *reversed(IMAGES))
    return tmp_path


def test_the_tree_becomes_a_sorted_table(tree):
    table = read_folders(tree)
    assert [path.removeprefix(f"{tree}/") for path in table.paths] == IMAGES
    assert table.class_names == ("cat", "dog")
    assert table.class_index.tolist() == [0, 0, 0, 1, 1, 0, 1]
    assert table.splits.tolist() == ["train"] * 5 + ["test"] * 2


def test_validation_images_are_read_and_hidden_files_skipped(tree):
    touch(tree, "train/cat/.a.png", "train/cat/notes.txt", "train/.tmp/a.png")
    touch(tree, "val/cat/1.png", "val/dog/1.png")
    splits = ["train"] * 5 + ["val"] * 2 + ["test"] * 2
    assert read_folders(tree).splits.tolist() == splits


def test_test_images_only_are_fine(tmp_path):
    touch(tmp_path, "test/a/1.png", "test/b/1.png")
    assert read_folders(tmp_path).splits.tolist() == ["test", "test"]


def test_the_order_of_the_classes_is_that_of_the_caller(tree):
    table = read_folders(tree, class_names=("dog", "cat"))
    assert table.class_names == ("dog", "cat")
    assert table.paths[0].endswith("train/dog/1.png")
    assert table.class_index[0] == 0


@pytest.mark.parametrize(
    ("images", "root", "message"),
    [
        (["cat/1.png"], "nowhere", "(?s)nowhere, which does not exist.*train/CLASS_A"),
        (["cat/1.png"], ".", r"(?s)with cat.*ROOT/"),
        (["train/1.png"], ".", "one folder per class"),
        (["train/cat/1.png", "test/cat/1.png"], ".", "one class, 'cat'"),
    ],
)
def test_another_layout_is_an_error(tmp_path, images, root, message):
    touch(tmp_path, *images)
    with pytest.raises(ValueError, match=message):
        read_folders(tmp_path / root)


DIFFERENT = ["train/cow/1.png", "test/hen/1.png"]


@pytest.mark.parametrize(
    ("extra", "class_names", "message"),
    [
        ([], ("dog", "cow"), r"test lacks cow\n.*class_names lacks cat"),
        (["train/cow/readme.txt"], None, r"every class folder.*\n.*train/cow"),
        (DIFFERENT, None, r"n lacks hen\n.*test lacks cow"),
    ],
)
def test_different_classes_are_listed(tree, extra, class_names, message):
    touch(tree, *extra)
    with pytest.raises(ValueError, match=message):
        read_folders(tree, class_names)


def test_boxes_and_masks_are_read(tree):
    content = {
        "boxes": {"train/dog/1.png": [[1, 2, 3, 4, "dog"], [5, 6, 7, 8, "cat"]]},
        "masks": {"test/dog/1.png": "masks/x.png"},
    }
    (tree / "annotations.json").write_text(json.dumps(content))
    table = read_folders(tree)
    assert table.boxes.tolist() == [[3, 1, 2, 3, 4, 1], [3, 5, 6, 7, 8, 0]]
    assert table.masks.tolist() == [""] * 6 + [str(tree / "masks/x.png")]


def test_annotations_of_absent_images_are_reported(tree, caplog):
    content = {"masks": {"train/dog/9.png": "m.png"}}
    (tree / "annotations.json").write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING):
        assert (read_folders(tree).masks == "").all()
    assert "1 images without a file:\n  train/dog/9.png" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"json object .*annotations\.json"),
        ("[]", r"json object .*annotations\.json"),
        *(
            (f'{{"boxes": {{"train/dog/1.png": [{box}]}}}}', r"dog/1\.png: \[1, 2")
            for box in ("[1, 2, 3, 4]", '[1, 2, 3, 4, "cow"]')
        ),
    ],
)
def test_wrong_annotations_are_an_error(tree, text, message):
    (tree / "annotations.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_folders(tree)
