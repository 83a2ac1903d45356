"""Where the images of a run come from."""

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

from kerasloc.data import config as data_config
from kerasloc.data import read_folders
from kerasloc.data.config import DataConfig
from kerasloc.training import arguments

NAMES = ("circle", "star_3_1", "star_5_2")


@pytest.fixture
def folder(shapes, tmp_path):
    """A copy of the tiny data, to be spoiled."""
    return shutil.copytree(shapes, tmp_path / "copy")


def write_csv(path, lines):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(lines)
    return DataConfig(str(path))


def csv_of(shapes, path, split=True):
    """A csv file about the tiny data."""
    table = read_folders(shapes)
    index = table.class_index
    head = ["image", "label", "split"][: 3 if split else 2]
    lines = [
        [p, table.class_names[i], s][: len(head)]
        for p, i, s in zip(table.paths, index, table.splits, strict=True)
    ]
    return write_csv(path, [head, *lines])


def spoil(path):
    path.write_bytes(b"\xff\xd8\xff no picture")
    return path


def first(folder, split):
    return next(iter(sorted(folder.glob(f"{split}/*/*.png"))))


# The configuration


def test_paths_are_kept_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = DataConfig("data", image_dir="images")
    assert config.data_dir == str(tmp_path / "data")
    assert config.image_dir == str(tmp_path / "images")
    assert DataConfig("~").data_dir.startswith("/")
    assert DataConfig("data").image_dir is None


def test_the_name_is_that_of_the_folder_or_file():
    assert DataConfig("/a/animals").name == "animals"
    assert DataConfig("/a/animals.csv").name == "animals"


def test_embedded_data_is_made_and_known_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        data_config, "default_folder", lambda config: f"data/{config.most_objects}"
    )
    assert data_config.embedded_data() == {
        "data_dir": str(tmp_path / "data" / "1"),
        "dataset": "folders",
    }
    several = data_config.embedded_data(multi_label=True)
    assert several == {"data_dir": str(tmp_path / "data" / "3"), "dataset": "csv"}
    assert data_config.is_embedded("/x/synthetic-96px-4classes-seed0")
    assert not data_config.is_embedded("/x/animals")


# The data of a run


def test_a_run_is_evaluated_on_its_own_data():
    known = {"data_dir": "/a", "val_share": 0.1, "on_error": "skip", "seed": 3}
    config = data_config.data_of_run(known, {"batch_size": 4})
    assert config == DataConfig("/a", val_share=0.1, on_error="skip", seed=3)


def test_what_is_given_wins_but_the_held_out_images_stay():
    known = {"data_dir": "/a", "val_share": 0.1, "on_error": "skip", "seed": 3}
    config = data_config.data_of_run(known, {"on_error": "raise", "seed": 9})
    assert config == DataConfig("/a", val_share=0.1, on_error="raise", seed=3)


def test_other_data_has_its_own_image_folder():
    known = {"data_dir": "/a.csv", "image_dir": "/images"}
    assert data_config.data_of_run(known, {}).image_dir == "/images"
    assert data_config.data_of_run(known, {"data_dir": "/b.csv"}).image_dir is None
    both = {"data_dir": "/b.csv", "image_dir": "/others"}
    assert data_config.data_of_run(known, both).image_dir == "/others"


def test_other_data_is_no_longer_of_the_runs_data_set():
    known = {"data_dir": "/a", "dataset": "nih14", "image_dir": "/images"}
    assert data_config.data_of_run(known, {}).dataset == "nih14"
    other = data_config.data_of_run(known, {"data_dir": "/b"})
    assert (other.dataset, other.image_dir) == (None, None)
    given = {"data_dir": "/b", "dataset": "vindr"}
    assert data_config.data_of_run(known, given).dataset == "vindr"


def test_the_data_set_says_how_a_path_is_read(several):
    table = data_config.read_table(DataConfig(str(several), dataset="csv"))
    assert (len(table), table.class_names) == (36, NAMES)
    assert len(table.boxes)
    assert table.multi_label
    file = data_config.read_table(DataConfig(str(several / "data.csv")))
    assert file.paths.tolist() == table.paths.tolist()
    turned = data_config.read_table(
        DataConfig(str(several), dataset="csv"), NAMES[::-1]
    )
    np.testing.assert_array_equal(turned.labels, table.labels[:, ::-1])


def test_only_images_with_one_of_the_classes_are_used(several):
    whole = data_config.read_table(DataConfig(str(several), dataset="csv"))
    config = DataConfig(str(several), dataset="csv", classes=list(NAMES[:2]))
    assert config.classes == NAMES[:2]
    table = data_config.read_table(config)
    assert table.class_names == NAMES[:2]
    assert not table.multi_label
    assert len(table) == (whole.labels[:, :2].sum(axis=1) == 1).sum() > 2
    tables = data_config.training_tables(config)
    assert {one.class_names for one in tables.values()} == {NAMES[:2]}


def test_classes_with_spaces_come_from_options_and_toml(tmp_path):
    parser = arguments.Parser("Trains.", "examples: none")
    parser.add_argument("--config")
    arguments.add_data_options(parser)
    (tmp_path / "a.toml").write_text('classes = ["z\u00e8bre", "cheval de trait"]')
    words = ["--classes", "z\u00e8bre", "cheval de trait"]
    for given in (words, ["--config", str(tmp_path / "a.toml")]):
        options = parser.parse_args(["--data-dir", "/a", *given])
        config = arguments.make(DataConfig, arguments.given(options))
        assert config.classes == ("z\u00e8bre", "cheval de trait")


def test_a_run_of_some_classes_is_evaluated_on_these(shapes):
    config = DataConfig(str(shapes), classes=NAMES[1:])
    for names in (NAMES[1:], NAMES[:0:-1]):  # in the order of the network
        table = data_config.evaluation_table(config, "test", names)
        assert table.class_names == names
        folders = [path.split("/")[-2] for path in table.paths]
        assert [table.class_names[i] for i in table.class_index] == folders
    with pytest.raises(ValueError, match=r"the network, circle.*star_5_2\."):
        data_config.evaluation_table(config, "test", NAMES)


def test_the_classes_of_a_run_belong_to_its_data():
    known = {"data_dir": "/a", "classes": ["u", "v"]}
    assert data_config.data_of_run(known, {}).classes == ("u", "v")
    assert data_config.data_of_run(known, {"classes": ["w"]}).classes == ("u", "v")
    assert data_config.data_of_run(known, {"data_dir": "/b"}).classes is None
    other = {"data_dir": "/b", "classes": ["x", "y"]}
    assert data_config.data_of_run(known, other).classes == ("x", "y")


def test_an_unknown_data_set_is_refused(several):
    with pytest.raises(ValueError, match=r"one of nih14, ham, .*Received: 'mimic'"):
        data_config.read_table(DataConfig(str(several), dataset="mimic"))


def test_a_data_set_that_is_not_there_is_refused(several):
    with pytest.raises(ValueError, match="labels of ChestX-ray14 are in one of"):
        data_config.training_tables(DataConfig(str(several), dataset="nih14"))


def test_a_model_saved_without_data_asks_for_some():
    with pytest.raises(ValueError, match="Give --data-dir"):
        data_config.data_of_run({}, {"batch_size": 4})
    assert data_config.data_of_run({}, {"data_dir": "/b"}) == DataConfig("/b")


# Training


def test_validation_images_are_cut_off_once_and_for_all(shapes):
    config = DataConfig(str(shapes), val_share=0.25, seed=4)
    first, second = (data_config.training_tables(config) for _ in range(2))
    assert {name: len(table) for name, table in first.items()} == {
        "train": 18,
        "val": 6,
    }
    for name in first:
        assert first[name].paths.tolist() == second[name].paths.tolist()
    assert not set(first["train"].paths) & set(first["val"].paths)
    assert all("/train/" in path for path in first["val"].paths)


def test_another_seed_holds_out_other_images(shapes):
    paths = [
        set(data_config.training_tables(DataConfig(str(shapes), seed=s))["val"].paths)
        for s in (0, 1)
    ]
    assert paths[0] != paths[1]


def test_validation_images_of_the_data_are_used_where_there_are_some(folder):
    shutil.copytree(folder / "test", folder / "val")
    (folder / "annotations.json").unlink()
    shutil.rmtree(folder / "test")
    tables = data_config.training_tables(DataConfig(str(folder)))
    assert (len(tables["train"]), len(tables["val"])) == (24, 12)


@pytest.mark.parametrize("kind", ["folders", "csv"])
def test_test_images_are_not_even_opened(folder, tmp_path, kind):
    config = DataConfig(str(folder))
    if kind == "csv":
        config = csv_of(folder, tmp_path / "images.csv")
    broken = spoil(first(folder, "test"))
    tables = data_config.training_tables(config)
    assert len(tables["train"]) + len(tables["val"]) == 24
    with pytest.raises(ValueError, match=broken.name):
        data_config.evaluation_table(config, "test", NAMES)


def test_a_broken_image_is_named_or_skipped_and_counted(folder, caplog):
    broken = spoil(first(folder, "train"))
    with pytest.raises(ValueError, match=rf"1 of 24 that cannot.*\n.*{broken.name}"):
        data_config.training_tables(DataConfig(str(folder)))
    tables = data_config.training_tables(DataConfig(str(folder), on_error="skip"))
    assert sum(map(len, tables.values())) == 23
    assert "1 are left out" in caplog.text


def test_a_csv_without_splits_is_for_training(shapes, tmp_path):
    tables = data_config.training_tables(
        csv_of(shapes, tmp_path / "a.csv", split=False)
    )
    assert sum(map(len, tables.values())) == 36
    assert tables["val"].class_names == NAMES


def test_images_of_a_csv_may_lie_elsewhere(shapes, tmp_path):
    paths = [path.relative_to(shapes) for path in sorted(shapes.glob("train/*/*.png"))]
    lines = [[str(path), path.parent.name] for path in paths]
    write_csv(tmp_path / "a.csv", [["image", "label"], *lines])
    config = DataConfig(str(tmp_path / "a.csv"), image_dir=str(shapes))
    assert sum(map(len, data_config.training_tables(config).values())) == 24


def test_data_without_training_images_is_refused(folder):
    shutil.rmtree(folder / "train")
    with pytest.raises(ValueError, match="Put them in train/CLASS/"):
        data_config.training_tables(DataConfig(str(folder)))


def test_splits_that_share_an_image_are_refused(shapes, tmp_path):
    paths = sorted(map(str, shapes.glob("train/*/*.png")))
    link = tmp_path / "again.png"
    link.symlink_to(paths[0])
    lines = [[p, p.split("/")[-2], "train"] for p in paths]
    lines.append([str(link), lines[0][1], "val"])
    config = write_csv(tmp_path / "a.csv", [["image", "label", "split"], *lines])
    with pytest.raises(ValueError, match="in one split only"):
        data_config.training_tables(config)


def test_a_wrong_share_is_refused(shapes):
    with pytest.raises(ValueError, match="between 0 and 1"):
        data_config.training_tables(DataConfig(str(shapes), val_share=1.5))


# Classes


def test_the_expected_number_of_classes_is_checked(shapes):
    table = read_folders(shapes)
    data_config.check_class_count(table, None)
    data_config.check_class_count(table, 3)
    with pytest.raises(ValueError, match=r"3 here \(circle.*Received: 398"):
        data_config.check_class_count(table, 398)


def test_the_networks_classes_are_checked_in_their_order(shapes):
    table = read_folders(shapes)
    data_config.check_same_classes(table, list(NAMES))
    with pytest.raises(ValueError, match="network's classes, star_5_2"):
        data_config.check_same_classes(table, NAMES[::-1])


# Evaluation


def test_images_for_thresholds_are_the_very_ones_held_out_of_training(shapes):
    config = DataConfig(str(shapes), val_share=0.25, seed=4)
    held_out = data_config.training_tables(config)["val"]
    val = data_config.evaluation_table(config, "val", NAMES)
    assert val.paths.tolist() == held_out.paths.tolist()
    test = data_config.evaluation_table(config, "test", NAMES)
    assert not set(val.paths) & set(test.paths)
    assert all("/test/" in path for path in test.paths)


def test_classes_come_in_the_order_of_the_run(shapes, tmp_path):
    config = DataConfig(str(shapes))
    for data in (config, csv_of(shapes, tmp_path / "a.csv")):
        for split in ("test", "val"):
            names = NAMES if split == "val" else NAMES[::-1]
            table = data_config.evaluation_table(data, split, names)
            assert table.class_names == names
            folders = [path.split("/")[-2] for path in table.paths]
            assert [table.class_names[i] for i in table.class_index] == folders


def test_a_csv_about_some_of_the_classes_can_be_evaluated(shapes, tmp_path):
    paths = sorted(map(str, shapes.glob("*/star_*/*.png")))
    lines = [[p, p.split("/")[-2], p.split("/")[-3]] for p in paths]
    config = write_csv(tmp_path / "a.csv", [["image", "label", "split"], *lines])
    for split in ("test", "val"):
        table = data_config.evaluation_table(config, split, NAMES)
        assert table.class_names == NAMES
        assert set(table.class_index) == {1, 2}


def test_other_classes_than_the_runs_are_refused(shapes, tmp_path):
    with pytest.raises(ValueError, match="lacks cat"):
        data_config.evaluation_table(DataConfig(str(shapes)), "test", (*NAMES, "cat"))
    config = csv_of(shapes, tmp_path / "a.csv")
    with pytest.raises(ValueError, match="star_5_2 besides"):
        data_config.evaluation_table(config, "test", NAMES[:2])


def test_data_without_the_asked_split_is_refused_with_the_way_out(shapes, tmp_path):
    config = csv_of(shapes, tmp_path / "a.csv", split=False)
    with pytest.raises(ValueError, match="write test in the csv's column split"):
        data_config.evaluation_table(config, "test", NAMES)


def test_data_without_training_images_may_bring_its_validation_images(folder):
    (folder / "train").rename(folder / "val")
    (folder / "annotations.json").unlink()
    assert data_config.has_validation(DataConfig(str(folder)))
    val = data_config.evaluation_table(DataConfig(str(folder)), "val", NAMES)
    assert len(val) == 24


def test_data_of_test_images_alone_has_no_validation_images(folder):
    shutil.rmtree(folder / "train")
    assert not data_config.has_validation(DataConfig(str(folder)))
    assert (
        len(data_config.evaluation_table(DataConfig(str(folder)), "test", NAMES)) == 12
    )


def test_gray_images_are_read_as_asked(folder):
    path = first(folder, "test")
    Image.fromarray(np.zeros((32, 32, 2), np.uint8), "LA").save(path)
    for channels in (1, 3):
        table = data_config.evaluation_table(
            DataConfig(str(folder)), "test", NAMES, channels
        )
        assert len(table) == 12
