import json
import logging

import pytest

from kerasloc.data.datasets.folders import read_folders


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def tree(tmp_path):
    touch(
        tmp_path,
        "train/dog/2.JPEG",
        "train/dog/1.png",
        "train/cat/a.Gif",
        "train/cat/b.bmp",
        "train/cat/c.JPG",
        "test/dog/1.png",
        "test/cat/1.jpeg",
    )
    return tmp_path


def test_the_tree_becomes_a_sorted_table(tree):
    table = read_folders(tree)
    names = [path.removeprefix(f"{tree}/") for path in table.paths]
    assert names == [
        "train/cat/a.Gif",
        "train/cat/b.bmp",
        "train/cat/c.JPG",
        "train/dog/1.png",
        "train/dog/2.JPEG",
        "test/cat/1.jpeg",
        "test/dog/1.png",
    ]
    assert table.class_names == ("cat", "dog")
    assert table.class_index.tolist() == [0, 0, 0, 1, 1, 0, 1]
    assert table.splits.tolist() == ["train"] * 5 + ["test"] * 2


def test_a_validation_folder_is_read(tree):
    touch(tree, "val/cat/1.png", "val/dog/1.png")
    assert len(read_folders(tree).split("val")) == 2


def test_hidden_and_other_files_are_passed_over(tree):
    touch(tree, "train/cat/.a.png", "train/cat/notes.txt", "train/.tmp/a.png")
    assert len(read_folders(tree)) == 7


def test_a_root_with_test_images_only_is_fine(tmp_path):
    touch(tmp_path, "test/a/1.png", "test/b/1.png")
    assert read_folders(tmp_path).splits.tolist() == ["test", "test"]


def test_the_order_of_the_classes_can_be_given(tree):
    table = read_folders(tree, class_names=("dog", "cat"))
    assert table.class_names == ("dog", "cat")
    assert table.paths[0].endswith("train/dog/1.png")
    assert table.class_index[0] == 0


def test_other_classes_than_given_are_an_error(tree):
    with pytest.raises(ValueError, match=r"test lacks cow\n.*class_names lacks cat"):
        read_folders(tree, class_names=("dog", "cow"))


@pytest.mark.parametrize(
    ("image", "root", "message"),
    [
        ("cat/1.png", "nowhere", r"(?s)nowhere, which does not exist.*train/CLASS_A"),
        ("cat/1.png", ".", r"(?s)with cat.*ROOT/"),
        ("train/1.png", ".", "one folder per class"),
    ],
)
def test_another_layout_is_an_error(tmp_path, image, root, message):
    touch(tmp_path, image)
    with pytest.raises(ValueError, match=message):
        read_folders(tmp_path / root)


def test_a_class_folder_without_images_is_named(tree):
    touch(tree, "train/cow/readme.txt")
    with pytest.raises(ValueError, match=r"none in\n.*train/cow"):
        read_folders(tree)


def test_one_class_only_is_an_error(tmp_path):
    touch(tmp_path, "train/cat/1.png", "test/cat/1.png")
    with pytest.raises(ValueError, match="one class, 'cat'"):
        read_folders(tmp_path)


def test_different_classes_in_train_and_test_are_listed(tree):
    touch(tree, "train/cow/1.png", "test/hen/1.png")
    with pytest.raises(ValueError, match=r"train lacks hen\n.*test lacks cow"):
        read_folders(tree)


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


@pytest.mark.parametrize("box", [[1, 2, 3, 4], [1, 2, 3, 4, "cow"]])
def test_a_wrong_box_names_its_image(tree, box):
    content = {"boxes": {"train/dog/1.png": [box]}}
    (tree / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"Received: \[1, 2.*train/dog/1\.png"):
        read_folders(tree)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_broken_annotations_are_an_error(tree, text):
    (tree / "annotations.json").write_text(text)
    with pytest.raises(ValueError, match=r"json object .*annotations\.json"):
        read_folders(tree)
