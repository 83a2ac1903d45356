"""Records of tables: what is noticed when data changes, and what is no change."""

import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

from kerasloc.configs import record_changes
from kerasloc.data import read_folders
from kerasloc.data.config import DataConfig, read_table, record_table
from kerasloc.data.digest import digest
from kerasloc.data.table import Table

NAMES = ("cat", "dog")


@pytest.fixture
def table(tmp_path):
    """Six images: four to train on, one to validate and one to test."""
    for number in range(6):
        Image.new("RGB", (8, 4 + number)).save(tmp_path / f"{number}.png")
    return Table(
        [str(tmp_path / f"{number}.png") for number in range(6)],
        NAMES,
        np.eye(2)[[0, 1, 0, 1, 0, 1]],
        boxes=[(0, 1, 1, 2, 2, 0), (0, 3, 1, 2, 2, 0), (3, 1, 1, 2, 2, 1)],
        splits=["train"] * 4 + ["val", "test"],
        groups=["a", "a", "b", "c", "d", ""],
        masks=["", str(tmp_path / "1.png"), "", "", "", ""],
    )


def changes(before, after, **options):
    return record_changes(digest(before, **options), digest(after, **options))


def test_the_same_table_has_no_changes(table):
    assert changes(table, table) == []
    assert digest(table)["train"]["files"][0] == 4
    assert set(digest(table)) == {"train", "val", "test"}


def swapped(table):
    return dataclasses.replace(table, labels=table.labels[[1, 0, 2, 3, 4, 5]])


def relabeled(table):
    labels = table.labels.copy()
    labels[4, 1] = np.nan
    return dataclasses.replace(table, labels=labels)


def moved_box(table):
    boxes = table.boxes.copy()
    boxes[2, 1] += 1
    return dataclasses.replace(table, boxes=boxes)


def without_mask(table):
    return dataclasses.replace(table, masks=np.full(6, ""))


def other_group(table):
    return dataclasses.replace(table, groups=["a", "a", "b", "b", "d", ""])


def other_split(table):
    splits = ["train", "train", "train", "test", "val", "test"]
    return dataclasses.replace(table, splits=splits)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (swapped, ["train labels: 4, but others"]),
        (relabeled, ["val labels: 1, but others"]),
        (lambda t: t.subset(range(1, 6)), ["train files: 4 before, 3 now"]),
        (lambda t: t.subset(range(5)), ["test files: 1 before, 0 now"]),
        (moved_box, ["train boxes: 3, but others"]),
        (without_mask, ["train masks: 1 before, 0 now"]),
        (other_group, ["train groups: 3 before, 2 now"]),
        (other_split, ["test files: 1 before, 2 now", "train files: 4 before, 3 now"]),
    ],
)
def test_a_change_is_named(table, change, words):
    texts = changes(table, change(table))
    assert set(words) <= set(texts)
    assert changes(table, change(table), ordered=True) != []


def test_a_file_of_another_size_is_another_image(table):
    before = digest(table)
    Image.new("RGB", (80, 80), "red").save(table.paths[2])
    assert record_changes(before, digest(table)) == ["train files: 4, but others"]


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_swapped_folders_of_files_of_one_size_are_a_change(tmp_path, suffix):
    for name, color in zip(NAMES, ("red", "lime"), strict=True):
        (tmp_path / "train" / name).mkdir(parents=True)
        for number in range(2):
            path = tmp_path / "train" / name / f"{number}.{suffix}"
            Image.new("RGB", (8, 8), color).save(path)
    before = digest(read_folders(tmp_path))
    cat, dog = (tmp_path / "train" / name for name in NAMES)
    cat.rename(tmp_path / "other")
    dog.rename(cat)
    (tmp_path / "other").rename(dog)
    after = digest(read_folders(tmp_path))
    assert record_changes(before, after) == ["train files: 4, but others"]


def test_order_and_folder_are_no_changes(table, tmp_path):
    before, order = digest(table), [3, 5, 0, 4, 2, 1]
    assert record_changes(before, digest(table.subset(order))) == []
    copy = shutil.copytree(tmp_path, tmp_path.parent / f"{tmp_path.name}-moved")

    def there(paths):
        return [path.replace(str(tmp_path), str(copy)) for path in paths]

    paths, masks = there(table.paths), there(table.masks)
    copied = dataclasses.replace(table, paths=paths, masks=masks)
    assert record_changes(before, digest(copied)) == []


def test_the_order_counts_where_validation_is_cut_by_it(table):
    turned = table.subset([1, 0, 2, 3, 4, 5])
    assert changes(table, turned, ordered=True) != []
    for splits, differ in (("train", True), (None, False)):
        tables = [table, turned]
        if splits:
            tables = [dataclasses.replace(t, splits=[splits] * 6) for t in tables]
        records = [record_table(DataConfig("a.csv"), t) for t in tables]
        assert bool(record_changes(*records)) == differ


def test_names_of_classes_in_another_order_are_the_same(shapes):
    config = DataConfig(str(shapes))
    before = read_table(config)
    after = read_table(config, before.class_names[::-1])
    assert before.class_names != after.class_names
    assert changes(before, after) == []


def test_a_table_without_splits_is_one_to_train_on(shapes):
    table = read_folders(shapes)
    table = dataclasses.replace(table, splits=np.full(len(table), ""))
    assert list(digest(table)) == ["train"]
