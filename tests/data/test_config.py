"""Data of a run: configuration, tables for training and evaluation, lists of images."""

import csv
import dataclasses
import functools
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from kerasloc.data import config as data_config
from kerasloc.data import load_image, read_folders
from kerasloc.data.config import (
    DataConfig,
    check_class_count,
    check_same_classes,
    data_of_run,
    evaluation_table,
    has_validation,
    read_table,
    training_tables,
)
from kerasloc.data.pipeline import PipelineConfig, batches
from kerasloc.data.splits import write_lists

NAMES = ("circle", "star_3_1", "star_5_2")


@pytest.fixture
def folder(shapes, tmp_path):
    """Copy of the tiny data, to be modified."""
    return shutil.copytree(shapes, tmp_path / "copy")


@pytest.fixture
def data(multi_label_data):
    """Function from fields to a configuration of the multi-label data."""
    return functools.partial(DataConfig, str(multi_label_data), dataset="csv")


def write_csv(path, lines):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(lines)
    return DataConfig(str(path))


def csv_of(shapes, path, columns=3):
    """Configuration of a csv file about the tiny data."""
    table = read_folders(shapes)
    names = np.array(table.class_names)[table.class_index]
    rows = np.stack([table.paths, names, table.splits], axis=1).tolist()
    return write_csv(path, [r[:columns] for r in [["image", "label", "split"], *rows]])


def spoil(path):
    path.write_bytes(b"\xff\xd8\xff no picture")
    return path


def first(folder, split):
    return min(folder.glob(f"{split}/*/*.png"))


def boxed(table):
    return np.isin(np.arange(len(table)), table.boxes[:, 0])


# The configuration


def test_paths_become_absolute_and_give_the_name():
    config = DataConfig("data", image_dir="images")
    paths = os.path.abspath("data"), os.path.abspath("images")
    assert (config.data_dir, config.image_dir) == paths
    assert DataConfig("~").data_dir == os.path.expanduser("~")
    assert DataConfig("data").image_dir is None
    names = [DataConfig(path).name for path in ("/a/animals", "/a/animals.csv")]
    assert names == ["animals", "animals"]


def test_embedded_data_is_written_and_recognized(tmp_path, monkeypatch):
    monkeypatch.setattr(
        data_config, "default_folder", lambda config: tmp_path / config.name
    )
    single, multi = (data_config.embedded_data(multi) for multi in (False, True))
    assert (single["dataset"], multi["dataset"]) == ("folders", "csv")
    assert single["data_dir"] == str(tmp_path / "synthetic-96px-4classes-seed0")
    assert multi["data_dir"].endswith("/synthetic-96px-4classes-multilabel-seed0")
    assert data_config.is_embedded(single["data_dir"])
    assert not data_config.is_embedded(multi["data_dir"])


# The data of a run

RUN = DataConfig(
    *("/a", "/images", 0.1, "skip", 3, "nih14", "/lists"),
    uncertain="ones",
    classes=["u", "v"],
)
RECORDED = dataclasses.asdict(RUN) | {"classes": ["u", "v"]}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"batch_size": 4}, RUN),
        ({"on_error": "raise"}, dataclasses.replace(RUN, on_error="raise")),
        ({"seed": 9}, RUN),  # the same images are held out
        ({"classes": ["w"]}, RUN),
        ({"data_dir": "/b"}, DataConfig("/b", None, 0.1, "skip", 3)),
        (
            {"data_dir": "/b", "image_dir": "/c", "dataset": "vindr", "classes": ["w"]},
            DataConfig("/b", "/c", 0.1, "skip", 3, "vindr", classes=("w",)),
        ),
    ],
)
def test_overrides_win_but_those_of_another_data_dir_are_dropped(overrides, expected):
    assert data_of_run(RECORDED, overrides) == expected


def test_the_protocol_belongs_to_the_data_dir_and_one_is_needed():
    recorded = {"data_dir": "/a", "protocol": "localization", "fold": 2}
    assert data_of_run(recorded, {}).protocol == "localization"
    assert data_of_run(recorded, {"data_dir": "/b"}).protocol is None
    with pytest.raises(ValueError, match="Give --data-dir"):
        data_of_run({}, {"batch_size": 4})
    with pytest.raises(ValueError, match=r"image_sets=/lists.*protocol=localization"):
        data_of_run(recorded, {"image_sets": "/lists"})
    assert data_of_run({}, {"data_dir": "/b"}) == DataConfig("/b")


# Reading


def test_the_dataset_decides_how_a_path_is_read(data, multi_label_data):
    table = read_table(data())
    assert (len(table), table.class_names) == (36, NAMES)
    assert len(table.boxes)
    assert table.multi_label
    file = read_table(DataConfig(str(multi_label_data / "data.csv")))
    assert file.paths.tolist() == table.paths.tolist()
    turned = read_table(data(), NAMES[::-1])
    np.testing.assert_array_equal(turned.labels, table.labels[:, ::-1])


def test_only_images_with_one_of_the_classes_are_used(data):
    config = data(classes=list(NAMES[:2]))
    assert config.classes == NAMES[:2]
    table = read_table(config)
    assert table.class_names == NAMES[:2]
    assert not table.multi_label
    labels = read_table(data()).labels
    assert len(table) == (labels[:, :2].sum(axis=1) == 1).sum() > 2
    assert {t.class_names for t in training_tables(config).values()} == {NAMES[:2]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "mimic"}, r"'nih14', 'ham', .*Received: 'mimic'"),
        ({"dataset": "nih14"}, "labels of ChestX-ray14"),
        ({"uncertain": "ones"}, "csv.*Received: uncertain"),
        ({"val_share": 1.5}, r"Received: 1\.5"),
        ({"box_share": 1.5}, r"Received: 1\.5"),
    ],
)
def test_an_option_that_does_not_fit_is_an_error(data, options, message):
    with pytest.raises(ValueError, match=message):
        training_tables(dataclasses.replace(data(), **options))


# Training


def test_validation_images_are_the_same_for_a_seed_and_others_for_another(shapes):
    config = DataConfig(str(shapes), val_share=0.25, seed=4)
    tables, again = training_tables(config), training_tables(config)
    assert (len(tables["train"]), len(tables["val"])) == (18, 6)
    for name, table in tables.items():
        assert table.paths.tolist() == again[name].paths.tolist()
    assert not set(tables["train"].paths) & set(tables["val"].paths)
    other = training_tables(dataclasses.replace(config, seed=5))
    assert set(other["val"].paths) != set(tables["val"].paths)
    val, test = (evaluation_table(config, split, NAMES) for split in ("val", "test"))
    assert val.paths.tolist() == tables["val"].paths.tolist()
    assert all("/train/" in path for path in val.paths)
    assert all("/test/" in path for path in test.paths)


@pytest.mark.parametrize("kind", ["folders", "csv"])
def test_test_images_are_not_opened_in_training(folder, tmp_path, kind):
    config = DataConfig(str(folder))
    if kind == "csv":
        config = csv_of(folder, tmp_path / "images.csv")
    broken = spoil(first(folder, "test"))
    assert sum(map(len, training_tables(config).values())) == 24
    with pytest.raises(ValueError, match=broken.name):
        evaluation_table(config, "test", NAMES)


def test_a_broken_image_is_named_or_skipped_and_counted(folder, caplog):
    broken = spoil(first(folder, "train"))
    with pytest.raises(ValueError, match=rf"1 of 24 that cannot.*\n.*{broken.name}"):
        training_tables(DataConfig(str(folder)))
    tables = training_tables(DataConfig(str(folder), on_error="skip"))
    assert sum(map(len, tables.values())) == 23
    assert "1 are left out" in caplog.text


def test_a_csv_without_splits_is_for_training(shapes, tmp_path):
    config = csv_of(shapes, tmp_path / "a.csv", columns=2)
    tables = training_tables(config)
    assert sum(map(len, tables.values())) == 36
    assert tables["val"].class_names == NAMES
    with pytest.raises(ValueError, match=rf"Received: {config.data_dir}.*write test"):
        evaluation_table(config, "test", NAMES)


def test_the_classes_are_compared_with_those_expected(shapes):
    table = read_folders(shapes)
    check_class_count(table, None)
    check_class_count(table, 3)
    with pytest.raises(ValueError, match=r"3 here \(circle.*Received: 398"):
        check_class_count(table, 398)
    check_same_classes(table, list(NAMES))
    with pytest.raises(ValueError, match=r"classes, star_5_2.*Received: circle"):
        check_same_classes(table, NAMES[::-1])


# Evaluation


@pytest.mark.parametrize("kind", ["folders", "csv", "classes"])
def test_classes_have_the_order_of_the_run(shapes, tmp_path, kind):
    config = DataConfig(str(shapes), classes=NAMES[1:] if kind == "classes" else None)
    config = csv_of(shapes, tmp_path / "a.csv") if kind == "csv" else config
    names = config.classes or NAMES
    for split, order in (("val", names), ("test", names), ("test", names[::-1])):
        table = evaluation_table(config, split, order)
        assert table.class_names == order
        folders = [path.split("/")[-2] for path in table.paths]
        assert [table.class_names[i] for i in table.class_index] == folders


def test_a_csv_about_some_of_the_classes_with_images_elsewhere(shapes, tmp_path):
    paths = sorted(path.relative_to(shapes) for path in shapes.glob("*/star_*/*.png"))
    lines = [(path, path.parts[1], path.parts[0]) for path in paths]
    config = write_csv(tmp_path / "a.csv", [("image", "label", "split"), *lines])
    config = dataclasses.replace(config, image_dir=str(shapes))
    for split in ("test", "val"):
        table = evaluation_table(config, split, NAMES)
        assert table.class_names == NAMES
        assert set(table.class_index) == {1, 2}


def test_other_classes_than_the_runs_are_an_error(shapes, tmp_path):
    with pytest.raises(ValueError, match="cat"):
        evaluation_table(DataConfig(str(shapes)), "test", (*NAMES, "cat"))
    with pytest.raises(ValueError, match="star_5_2"):
        evaluation_table(csv_of(shapes, tmp_path / "a.csv"), "test", NAMES[:2])
    config = DataConfig(str(shapes), classes=NAMES[1:])
    with pytest.raises(ValueError, match=r"the network, circle.*Received: star_3_1,"):
        evaluation_table(config, "test", NAMES)


def test_validation_images_come_from_val_or_else_from_train(folder):
    config = DataConfig(str(folder))
    (folder / "annotations.json").unlink()
    assert has_validation(config)
    (folder / "test").rename(folder / "val")
    tables = training_tables(config)
    assert (len(tables["train"]), len(tables["val"])) == (24, 12)
    shutil.rmtree(folder / "train")
    assert has_validation(config)
    assert len(evaluation_table(config, "val", NAMES)) == 12
    (folder / "val").rename(folder / "test")
    assert not has_validation(config)
    assert len(evaluation_table(config, "test", NAMES)) == 12
    with pytest.raises(ValueError, match=rf"Received: {folder}.*train/CLASS/"):
        training_tables(config)


def test_a_validation_share_of_the_training_images_is_logged(folder, caplog):
    config = DataConfig(str(folder), val_share=0.25, seed=4)
    tables = training_tables(config)
    text = f"{len(tables['val'])} of 24 training images are kept for validation"
    assert f"{folder} has no validation images: {text}" in caplog.text
    assert "--val-share 0.25, --seed 4" in caplog.text
    caplog.clear()
    (folder / "test").rename(folder / "Validation")
    assert len(training_tables(config)["val"]) == 12
    assert "no validation images" not in caplog.text


def test_gray_images_are_read_with_1_or_3_channels(folder):
    path, config = first(folder, "test"), DataConfig(str(folder))
    Image.fromarray(np.zeros((32, 32, 2), np.uint8), "LA").save(path)
    tables = [evaluation_table(config, "test", NAMES, channels) for channels in (1, 3)]
    assert [len(table) for table in tables] == [12, 12]


# Lists, protocols and shares of boxes


def test_lists_of_a_folder_decide_the_splits(data, tmp_path):
    table = read_table(data())
    rows = np.flatnonzero(boxed(table))
    paths = ["/".join(path.split("/")[-2:]) for path in table.paths]
    lists = {
        "train": paths[4:20],
        "val": paths[:4],
        "test": paths[20:30],
        "annotated": [paths[row] for row in rows[(rows >= 4) & (rows < 8)]],
    }
    write_lists(tmp_path / "lists", lists)
    config = data(image_sets=str(tmp_path / "lists"))
    tables = training_tables(config)
    tables["test"] = evaluation_table(config, "test", table.class_names)
    sizes = {name: len(table) for name, table in tables.items()}
    assert sizes == {"train": 16, "val": 4, "test": 10}
    assert tables["val"].paths.tolist() == table.paths[:4].tolist()
    learned = boxed(tables["train"])
    assert learned.sum() == len(lists["annotated"]) > 0
    assert not learned[4:].any()
    for name, rows in (("val", slice(4)), ("test", slice(20, 30))):
        np.testing.assert_array_equal(boxed(tables[name]), boxed(table)[rows])


def test_missing_images_of_a_list_are_named_or_skipped(data, tmp_path):
    paths = ["/".join(path.split("/")[-2:]) for path in read_table(data()).paths]
    write_lists(tmp_path / "lists", {"train": [*paths[:9], "gone.png"]})
    config = data(image_sets=str(tmp_path / "lists"))
    with pytest.raises(ValueError, match=r"gone\.png"):
        training_tables(config)
    tables = training_tables(dataclasses.replace(config, on_error="skip"))
    assert sum(map(len, tables.values())) == 9


def test_the_folds_of_a_protocol_test_all_images_once(data):
    tests = []
    for fold in range(5):
        config = data(protocol="localization", fold=fold, seed=3)
        test = evaluation_table(config, "test", NAMES)
        assert boxed(test).all()
        tables = (*training_tables(config).values(), test)
        paths = [set(table.paths) for table in tables]
        assert len(set.union(*paths)) == sum(map(len, paths))
        tests += test.paths.tolist()
    table, first = read_table(data()), read_table(data(protocol="localization", seed=3))
    assert sorted(tests) == sorted(table.paths[boxed(table)])
    count = (first.splits == "test").sum()  # without a fold it is the first
    assert first.split("test").paths.tolist() == tests[:count]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_boxes_is_learned_from(data, share):
    full, tables = training_tables(data()), training_tables(data(box_share=share))
    count = boxed(full["train"]).sum()
    assert boxed(tables["train"]).sum() == round(share * count)
    assert count > 1
    np.testing.assert_array_equal(tables["val"].boxes, full["val"].boxes)
    for name, table in tables.items():
        assert table.paths.tolist() == full[name].paths.tolist()
        np.testing.assert_array_equal(table.labels, full[name].labels)


def test_options_reach_the_reader_and_ham_reads_its_lists_itself(data, monkeypatch):
    table, calls = read_table(data()), []

    def read(name, path, class_names=None, **options):
        calls.append({"name": name, **options})
        return table

    monkeypatch.setattr(data_config, "read_dataset", read)
    read_table(DataConfig("/x", dataset="chexpert", uncertain="ones"))
    assert (calls[0]["name"], calls[0]["uncertain"]) == ("chexpert", "ones")
    # there are no such lists, and none are read
    assert len(read_table(DataConfig("/x", dataset="ham", image_sets="/lists")))
    assert calls[1]["image_sets"] == "/lists"


# Bits and pixels


@pytest.fixture
def deep(shapes, tmp_path):
    """Copy of the tiny data, its levels in 12 of 16 bits."""
    folder = shutil.copytree(shapes, tmp_path / "deep")
    for path in folder.rglob("*.png"):
        if "masks" not in path.parts:
            levels = np.asarray(Image.open(path).convert("L")).astype(np.uint16)
            Image.fromarray(levels * 16 + levels // 16).save(path)
    return folder


@pytest.mark.parametrize("read", ["train", "val", "test"])
def test_bits_scale_the_images_of_training_and_evaluation(deep, read):
    recorded = dataclasses.asdict(DataConfig(str(deep), bits=12))
    config = data_of_run(recorded, {})
    assert config.bits == 12
    if read == "test":
        table = evaluation_table(config, "test", NAMES, channels=1)
    else:
        table = training_tables(config, channels=1)[read]
    images = next(iter(batches(table, PipelineConfig((32, 32), 1, 64))))["image"]
    expected = [np.asarray(Image.open(p)) / np.float32(4095) for p in table.paths]
    np.testing.assert_allclose(images[..., 0], expected, atol=1e-5)
    image = load_image(table.paths[0], channels=1, bits=table.bits)
    np.testing.assert_allclose(image[..., 0], expected[0], atol=1e-6)


def test_dark_data_names_the_option_and_another_data_dir_has_its_bits(deep, caplog):
    training_tables(DataConfig(str(deep)))
    assert "--bits 12" in caplog.text
    recorded = dataclasses.asdict(DataConfig(str(deep), bits=12))
    assert data_of_run(recorded, {"data_dir": "/data/x"}).bits is None
    assert data_of_run(recorded, {"bits": 10}).bits == 10
    with pytest.raises(ValueError, match=r"above|1023"):
        training_tables(DataConfig(str(deep), bits=10))
    for wrong in ({"bits": 0}, {"bits": 17}, {"max_megapixels": 0}):
        (name,) = wrong
        with pytest.raises(ValueError, match=f"(?s){name}.*Received"):
            DataConfig(str(deep), **wrong)


def test_a_limit_of_megapixels_is_that_of_all_images(folder):
    limit = {"max_megapixels": 32 * 32 / 1e6}
    training_tables(DataConfig(str(folder), **limit))
    Image.new("L", (32, 33)).save(next(folder.glob("train/*/*.png")))
    with pytest.raises(ValueError, match="--max-megapixels"):
        training_tables(DataConfig(str(folder), **limit))
    Image.new("L", (32, 33)).save(next(folder.glob("test/*/*.png")))
    with pytest.raises(ValueError, match="--max-megapixels"):
        evaluation_table(DataConfig(str(folder), **limit), "test", NAMES)
