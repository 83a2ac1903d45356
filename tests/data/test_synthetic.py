import json
import os

import numpy as np
import pytest
from PIL import Image

from kerasloc.data.folders import read_folders
from kerasloc.data.synthetic import SyntheticConfig, default_folder, render, write

TINY = SyntheticConfig(classes=3, size=24, train=7, test=3)


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
    ],
)
def test_settings_out_of_their_range_are_errors(settings, message):
    with pytest.raises(ValueError, match=f"{message}.*Received: SyntheticConfig"):
        SyntheticConfig(**settings)
