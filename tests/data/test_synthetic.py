import json
import os

import numpy as np
import pytest
from PIL import Image

from kerasloc.data.datasets.csv_table import read_csv
from kerasloc.data.datasets.folders import read_folders
from kerasloc.data.synthetic import (
    SyntheticConfig,
    default_folder,
    render,
    render_several,
    write,
)

TINY = SyntheticConfig(classes=3, size=24, train=7, test=3)
SEVERAL = SyntheticConfig(classes=4, size=48, train=24, test=4, most_objects=3)
BOXES_BEFORE = {
    "train/star_5_2/0000.png": [[3, 5, 9, 9, "star_5_2"]],
    "train/circle/0001.png": [[4, 11, 5, 5, "circle"]],
    "test/star_5_2/0000.png": [[6, 3, 5, 5, "star_5_2"]],
    "test/circle/0001.png": [[9, 7, 7, 7, "circle"]],
}
MEANS_BEFORE = (106.015625, 114.592448)


def test_the_folder_reads_as_a_table_with_boxes_and_masks(tmp_path):
    table = read_folders(write(tmp_path / "shapes", TINY))
    assert table.class_names == TINY.class_names == ("circle", "star_3_1", "star_5_2")
    assert len(table.split("test")) == 3
    assert np.bincount(table.split("train").class_index).tolist() == [2, 2, 3]
    assert table.boxes[:, 0].tolist() == list(range(10))
    np.testing.assert_array_equal(table.boxes[:, 5], table.class_index)
    for (_, x, y, w, h, _), path in zip(
        table.boxes.astype(int), table.masks, strict=True
    ):
        mask = np.asarray(Image.open(path)) > 0
        assert mask.shape == (24, 24)
        inside = mask[y : y + h, x : x + w]
        assert inside.sum() == mask.sum() > 0
        for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
            assert edge.any()


def test_an_image_depends_on_seed_split_and_number_only(tmp_path):
    picture = render(TINY, "train", 4)[0]
    more = SyntheticConfig(classes=3, size=24, train=50, test=40)
    np.testing.assert_array_equal(picture, render(more, "train", 4)[0])
    for other in (
        render(TINY, "test", 4),
        render(TINY, "train", 7),
        render(SyntheticConfig(classes=3, size=24, seed=1), "train", 4),
    ):
        assert (picture != other[0]).any()
    path = write(tmp_path / "x", TINY) / "train" / "circle" / "0004.png"
    np.testing.assert_array_equal(picture, np.asarray(Image.open(path)))


def test_the_same_settings_are_not_made_twice(tmp_path):
    folder = write(tmp_path / "x", TINY)
    image = folder / "train/circle/0001.png"
    before = os.stat(image).st_mtime_ns
    assert write(folder, TINY) == folder
    assert os.stat(image).st_mtime_ns == before
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_other_settings_in_the_folder_are_an_error(tmp_path):
    folder = write(tmp_path / "x", TINY)
    with pytest.raises(ValueError, match=r"'train': 7.*'train': 8.*another folder"):
        write(folder, SyntheticConfig(classes=3, size=24, train=8, test=3))


def test_other_files_in_the_folder_are_an_error(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ValueError, match="other files"):
        write(tmp_path, TINY)


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "x").mkdir()
    assert len(read_folders(write(tmp_path / "x", TINY))) == 10


def test_nothing_is_left_when_writing_fails(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("kerasloc.data.synthetic.json.dumps", fail)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "x", TINY)
    assert not list(tmp_path.iterdir())


def test_the_default_folder_is_named_after_its_settings(tmp_path):
    folder = default_folder(tmp_path, TINY)
    assert folder.parent == tmp_path
    assert folder.name.startswith("synthetic-24px-3classes-seed0-")
    settings = json.loads((folder / "annotations.json").read_text())["settings"]
    assert settings["train"] == 7


def test_only_unusual_settings_lengthen_the_name():
    assert SyntheticConfig().name == "synthetic-96px-4classes-seed0"
    assert SyntheticConfig(size=64, seed=3).name == "synthetic-64px-4classes-seed3"
    names = {SyntheticConfig(train=train).name for train in (640, 641, 642)}
    assert len(names) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": 1}, "classes is 2 to"),
        ({"classes": 99}, "classes is 2 to"),
        ({"size": 8}, "16 pixels"),
        ({"train": 3}, "train is one image a class"),
        ({"test": 0}, "test is one image a class"),
        ({"seed": -1}, "seed is 0"),
        ({"distractors": -1}, "distractors is 0"),
        ({"object_share": (0.1, 0.5)}, "object_share lies in"),
        ({"noise": 2}, "noise lies in"),
        ({"most_objects": 0}, "most_objects is 1"),
        ({"most_objects": 5}, "most_objects is 1 to the number of classes"),
    ],
)
def test_settings_out_of_their_range_are_errors(settings, message):
    with pytest.raises(ValueError, match=f"{message}.*Received: SyntheticConfig"):
        SyntheticConfig(**settings)


def test_data_of_one_object_is_that_of_before_the_option(tmp_path):
    config = SyntheticConfig(classes=2, size=16, train=2, test=2)
    content = json.loads(
        (write(tmp_path / "x", config) / "annotations.json").read_text()
    )
    assert "most_objects" not in content["settings"]
    assert content["boxes"] == BOXES_BEFORE
    means = [render(config, "train", number)[0].mean() for number in (0, 1)]
    np.testing.assert_allclose(means, MEANS_BEFORE, atol=0.05)


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "several", SEVERAL)


def test_images_of_several_objects_read_as_a_csv(several):
    table = read_csv(several / "data.csv")
    assert table.class_names == SEVERAL.class_names
    assert table.splits.tolist() == ["train"] * 24 + ["test"] * 4
    assert set(table.labels.sum(axis=1)) == {0, 1, 2, 3}
    boxed = np.zeros_like(table.labels)
    np.add.at(boxed, tuple(table.boxes[:, [0, 5]].astype(int).T), 1)
    np.testing.assert_array_equal(boxed, table.labels)
    assert table.multi_label
    assert not (several / "masks").exists()


def test_boxes_of_several_objects_are_around_their_masks(several):
    table = read_csv(several / "data.csv")
    for row in range(6):
        picture, masks, _ = render_several(SEVERAL, "train", row)
        np.testing.assert_array_equal(picture, np.asarray(Image.open(table.paths[row])))
        boxes = table.boxes[table.boxes[:, 0] == row, 1:5].astype(int)
        assert len(boxes) == len(masks)
        for (x, y, w, h), mask in zip(boxes, masks, strict=True):
            inside = mask[y : y + h, x : x + w]
            assert inside.sum() == mask.sum() > 0
            for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
                assert edge.any()


def test_objects_of_one_image_are_of_different_classes_and_apart():
    for number in range(30):
        _, masks, shapes = render_several(SEVERAL, "train", number)
        assert len(set(shapes)) == len(shapes) == len(masks) <= 3
        assert masks.sum(axis=0).max(initial=0) <= 1


def test_the_name_says_that_there_are_several_labels(tmp_path):
    usual = SyntheticConfig(most_objects=3)
    assert usual.name == "synthetic-96px-4classes-multilabel-seed0"
    names = {SyntheticConfig(most_objects=most).name for most in (1, 2, 3, 4)}
    assert len(names) == 4
    folder = default_folder(tmp_path, SEVERAL)
    assert folder.name.startswith("synthetic-48px-4classes-multilabel-seed0-")
    before = os.stat(folder / "data.csv").st_mtime_ns
    assert default_folder(tmp_path, SEVERAL) == folder
    assert os.stat(folder / "data.csv").st_mtime_ns == before


def test_objects_of_no_pixel_are_not_there():
    config = SyntheticConfig(
        classes=12, size=16, most_objects=12, object_share=(0.02, 0.02)
    )
    counts = []
    for number in range(40):
        _, masks, shapes = render_several(config, "train", number)
        assert masks.any(axis=(1, 2)).all()
        counts.append((len(masks), len(shapes)))
    assert all(many == few for many, few in counts)
