import json
import os
import re

import numpy as np
import pytest
from PIL import Image

from kerasloc.data import read_csv, read_folders
from kerasloc.data.synthetic import (
    SyntheticConfig,
    default_folder,
    render,
    render_several,
    write,
)
from kerasloc.data.synthetic.folder import box_around

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
    for box, path in zip(table.boxes, table.masks, strict=True):
        mask = np.asarray(Image.open(path)) > 0
        assert mask.shape == (24, 24)
        assert box[1:5].tolist() == box_around(mask)


def test_an_image_depends_on_seed_split_and_number_only(tmp_path):
    picture = render(TINY, "train", 4)[0]
    more = SyntheticConfig(classes=3, size=24, train=50, test=40)
    np.testing.assert_array_equal(picture, render(more, "train", 4)[0])
    seeded = SyntheticConfig(classes=3, size=24, seed=1)
    for image in ((TINY, "test", 4), (TINY, "train", 7), (seeded, "train", 4)):
        assert (picture != render(*image)[0]).any()
    path = write(tmp_path / "x", TINY) / "train" / "circle" / "0004.png"
    np.testing.assert_array_equal(picture, np.asarray(Image.open(path)))


def test_only_unusual_settings_lengthen_the_name():
    assert SyntheticConfig().name == "synthetic-96px-4classes-seed0"
    assert SyntheticConfig(size=64, seed=3).name == "synthetic-64px-4classes-seed3"
    usual = SyntheticConfig(most_objects=3).name
    assert usual == "synthetic-96px-4classes-multilabel-seed0"
    assert len({SyntheticConfig(train=n).name for n in (640, 641, 642)}) == 3
    assert len({SyntheticConfig(most_objects=n).name for n in (1, 2, 3, 4)}) == 4


@pytest.mark.parametrize(
    ("config", "name", "file"),
    [
        (TINY, "synthetic-24px-3classes-seed0-", "annotations.json"),
        (SEVERAL, "synthetic-48px-4classes-multilabel-seed0-", "data.csv"),
    ],
)
def test_the_default_folder_has_the_name_and_is_reused(tmp_path, config, name, file):
    folder = default_folder(tmp_path, config)
    assert folder.parent == tmp_path
    assert folder.name.startswith(name)
    settings = json.loads((folder / "annotations.json").read_text())["settings"]
    assert settings["train"] == config.train
    before = os.stat(folder / file).st_mtime_ns
    assert default_folder(tmp_path, config) == folder
    assert os.stat(folder / file).st_mtime_ns == before


@pytest.mark.parametrize(
    "settings",
    [
        {"classes": 1},
        {"classes": 99},
        {"size": 8},
        {"train": 3},
        {"test": 0},
        {"seed": -1},
        {"distractors": -1},
        {"object_share": (0.1, 0.5)},
        {"noise": 2},
        {"most_objects": 0},
        {"most_objects": 5},
    ],
)
def test_a_setting_out_of_its_range_is_an_error(settings):
    ((name, value),) = settings.items()
    received = re.escape(f"{name}={value}")
    with pytest.raises(ValueError, match=rf"Expected {name} .*Received: .*{received}"):
        SyntheticConfig(**settings)


def test_data_of_one_object_is_that_of_before_the_option(tmp_path):
    config = SyntheticConfig(classes=2, size=16, train=2, test=2)
    folder = write(tmp_path / "x", config)
    content = json.loads((folder / "annotations.json").read_text())
    assert "most_objects" not in content["settings"]
    assert content["boxes"] == BOXES_BEFORE
    means = [render(config, "train", number)[0].mean() for number in (0, 1)]
    np.testing.assert_allclose(means, MEANS_BEFORE, atol=0.05)


def test_images_of_several_objects_read_as_a_csv_with_their_boxes(tmp_path):
    folder = write(tmp_path / "several", SEVERAL)
    table = read_csv(folder / "data.csv")
    assert table.class_names == SEVERAL.class_names
    assert table.splits.tolist() == ["train"] * 24 + ["test"] * 4
    assert set(table.labels.sum(axis=1)) == {0, 1, 2, 3}
    boxed = np.zeros_like(table.labels)
    np.add.at(boxed, tuple(table.boxes[:, [0, 5]].astype(int).T), 1)
    np.testing.assert_array_equal(boxed, table.labels)
    assert table.multi_label
    assert not (folder / "masks").exists()
    for row in range(6):
        picture, masks, _ = render_several(SEVERAL, "train", row)
        np.testing.assert_array_equal(picture, np.asarray(Image.open(table.paths[row])))
        boxes = table.boxes[table.boxes[:, 0] == row, 1:5].tolist()
        assert boxes == [box_around(mask) for mask in masks]


TWELVE = SyntheticConfig(12, 16, most_objects=12, object_share=(0.02, 0.02))


@pytest.mark.parametrize("config", [SEVERAL, TWELVE])
def test_objects_of_one_image_are_of_different_classes_visible_and_apart(config):
    for number in range(40):
        _, masks, shapes = render_several(config, "train", number)
        assert len(set(shapes)) == len(shapes) == len(masks) <= config.most_objects
        assert masks.sum(axis=0).max(initial=0) <= 1
        assert masks.any(axis=(1, 2)).all()
