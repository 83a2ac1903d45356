import json
import logging

import numpy as np
import pytest
from PIL import Image

from kerasloc.data import check
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
    ("train", "val", "test"),
    [
        ("Train", "validation", "TEST"),
        ("training", "Valid", "testing"),
        ("training_set", "dev", "test_set"),
        ("Train Images", "Val", "Test-Images"),
    ],
)
def test_split_folders_have_synonyms_in_any_case(tmp_path, train, val, test):
    for folder in (train, val, test):
        touch(tmp_path, f"{folder}/a/1.png", f"{folder}/b/1.png")
    table = read_folders(tmp_path)
    assert table.splits.tolist() == ["train"] * 2 + ["val"] * 2 + ["test"] * 2
    assert [path.split("/")[-3] for path in table.paths[::2]] == [train, val, test]


@pytest.mark.parametrize("second", ["validation", "VAL", "dev"])
def test_two_folders_of_a_split_are_an_error(tree, second):
    touch(tree, "val/cat/1.png", "val/dog/1.png", f"{second}/cat/1.png")
    with pytest.raises(ValueError, match=rf"(?s)for val\..*{second}"):
        read_folders(tree)


def test_a_folder_of_a_csv_names_the_csv(tmp_path):
    (tmp_path / "labels.CSV").touch()
    with pytest.raises(ValueError, match=r"csv of labels.*/labels\.CSV"):
        read_folders(tmp_path)


def test_classes_may_be_called_as_splits_are(tmp_path):
    for split in ("train", "test"):
        touch(tmp_path, *(f"{split}/{name}/1.png" for name in ("test", "Val", "train")))
    table = read_folders(tmp_path)
    assert table.class_names == ("Val", "test", "train")
    assert table.splits.tolist() == ["train"] * 3 + ["test"] * 3


def test_all_that_is_not_read_is_named_with_its_count(tree, caplog):
    touch(tree, "extra/1.png", "extra/x/2.PNG", "README", "train/1.png")
    touch(tree, "train/cat/a.psd", "train/cat/b.PSD", "train/dog/x/c.ppm")
    touch(tree, "train/cat/.DS_Store", "train/cat/Thumbs.db", "__MACOSX/train/._a.png")
    assert len(read_folders(tree)) == len(IMAGES)
    (text,) = [record.getMessage() for record in caplog.records]
    total, *lines = text.split("\n")
    assert total.startswith(f"{tree}: 7 files are not used")
    for count in ("3 .png", "2 .psd", "1 .ppm", "1 without suffix"):
        assert count in total
    expected = ["train/cat: 2 .psd", "train/dog/x: 1 .ppm", "train: 1 .png"]
    expected += ["extra: 1 .png", "extra/x: 1 .png", ".: 1 without suffix"]
    assert sorted(line.strip() for line in lines) == sorted(expected)
    touch(tree, *(f"train/dog/IMG.{n}" for n in range(99)))
    read_folders(tree)
    assert (
        "train/dog: 1 .0, 1 .1, 1 .10, 1 .11, 1 .12, 1 .13, 1 .14, 1 .15, 91 of others"
        in (caplog.text)
    )


def test_nothing_is_logged_of_a_complete_tree(tree, caplog):
    touch(tree, "masks/a.png")
    content = {"masks": {"train/cat/a.Gif": "masks/a.png"}}
    (tree / "annotations.json").write_text(json.dumps(content))
    read_folders(tree)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("a.tif", "TIFF", {}),
        ("a.webp", "WEBP", {"lossless": True}),
        ("a.bmp", "BMP", {}),
        ("a.JFIF", "JPEG", {}),
        ("a.mpo", "MPO", {}),
        ("a.apng", "PNG", {}),
        ("a.Gif", "GIF", {}),
    ],
)
def test_taken_formats_are_those_of_the_decoder(tmp_path, name, kind, options):
    for path in (f"train/cat/{name}", "train/dog/a.png"):
        (tmp_path / path).parent.mkdir(parents=True)
        Image.new("L", (4, 3), 200).save(tmp_path / path, kind, **options)
    table, report = check(read_folders(tmp_path))
    assert (len(table), report.skipped) == (2, ())


def test_dicom_files_are_taken(tmp_path, dataset):
    for path in ("train/cat/a.DCM", "train/dog/x/b.dicom"):
        (tmp_path / path).parent.mkdir(parents=True)
        pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
        dataset(pixels).save_as(tmp_path / path, enforce_file_format=True)
    table, report = check(read_folders(tmp_path))
    assert (table.class_index.tolist(), report.skipped) == ([0, 1], ())


def test_images_in_folders_below_a_class_are_taken_and_masks_are_not(tree, caplog):
    touch(tree, "train/cat/2019/May/a.tif", "train/cat/Masks/a.png")
    touch(tree, "train/cat/seg/b.png")
    content = {"masks": {"train/cat/b.bmp": "train/cat/seg/b.png"}}
    (tree / "annotations.json").write_text(json.dumps(content))
    table = read_folders(tree)
    new = {path.removeprefix(f"{tree}/") for path in table.paths} - set(IMAGES)
    assert new == {"train/cat/2019/May/a.tif"}
    assert table.class_index.tolist() == [0, 0, 0, 0, 1, 1, 0, 1]
    assert table.masks[2] == str(tree / "train/cat/seg/b.png")
    assert "1 images in folders below a class folder" in caplog.text
    assert "train/cat/2019/May: 1 .tif" in caplog.text
    assert "1 files are not used, 1 .png:\n  train/cat/Masks: 1 .png" in caplog.text


def test_images_with_equal_names_are_taken_and_logged(tree, caplog):
    touch(tree, "train/dog/1.tif", "train/cat/b_mask.png")
    assert len(read_folders(tree)) == len(IMAGES) + 2
    assert "train/dog: 1.png, 1.tif" in caplog.text
    assert "train/cat: b.bmp, b_mask.png" in caplog.text


def test_links_to_folders_are_followed_once(tree, tmp_path_factory, caplog):
    other = tmp_path_factory.mktemp("disk")
    touch(other, "more/z.png")
    (tree / "train/cat/more").symlink_to(other / "more")
    (other / "more/again").symlink_to(other / "more")
    (tree / "train/dog/up").symlink_to(tree)
    (tree / "train/dog/loop").symlink_to(tree / "train/dog")
    (tree / "val").symlink_to(tree / "test")
    table = read_folders(tree)
    assert len(table) == len(IMAGES) + 3
    assert table.class_index[:6].tolist() == [0, 0, 0, 0, 1, 1]
    for link in ("more/again", "dog/up", "dog/loop"):
        assert f"{link} is a link to a folder read already" in caplog.text
    assert "files are not used" not in caplog.text


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
        (["train/cow/readme.txt"], None, r"every class folder.*\n.*cow, with 1 \.txt"),
        (DIFFERENT, None, r"n lacks hen\n.*test lacks cow"),
    ],
)
def test_different_classes_are_listed(tree, extra, class_names, message):
    touch(tree, *extra)
    with pytest.raises(ValueError, match=message):
        read_folders(tree, class_names)


def test_a_folder_that_lacks_classes_has_its_name_in_the_error(tree):
    touch(tree, "Validation/cat/1.png")
    with pytest.raises(ValueError, match=r"/Validation lacks dog"):
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
