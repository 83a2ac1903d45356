"""Folders of synthetic images by command line."""

import dataclasses
import pathlib

import pytest

from kerasloc.data import PolygonConfig, read_csv, read_folders

TINY = ["--classes", "3", "--size", "16", "--train", "6", "--test", "3", "--seed", "2"]


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("make_synthetic")


def test_the_folder_has_the_classes_and_images_of_the_options(tool, tmp_path, capsys):
    tool.main(["--out", str(tmp_path / "x"), *TINY])
    table = read_folders(tmp_path / "x")
    assert len(table.class_names) == 3
    assert len(table.split("train")) == 6
    assert len(table.split("test")) == len(table.boxes) - 6 == 3
    text = "x: 6 images for training and 3 for testing, 16 x 16"
    assert text in capsys.readouterr().out


def test_without_a_name_the_folder_is_named_after_the_settings(tool):
    settings = vars(tool.parse(TINY)[1])
    folder = tool.default_folder(tool.make(settings.pop("kind"), settings)[0])
    assert folder.parent == pathlib.Path("data")
    assert folder.name.startswith("synthetic-16px-3classes-seed2")


@pytest.mark.parametrize("option", ["--most-objects", "--most_objects"])
def test_several_objects_come_with_a_csv(tool, tmp_path, capsys, option):
    tool.main(["--out", str(tmp_path / "x"), *TINY, option, "2"])
    assert len(read_csv(tmp_path / "x" / "data.csv")) == 9
    assert "with data.csv" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--classes", "1"], "classes in 2..12"),
        (["--noise", "7"], "noise in 0..0.5"),
        (["--size", "big"], "invalid int value"),
        (["--train", "6", "7"], "Received: {'train': [6, 7]}"),
        (["--target", "5/2"], "Received: --target with --kind shapes"),
        (["--simplified"], "use --kind polygons"),
        (["--kind", "polygons", "--classes", "3"], "Received: --classes"),
        (["--kind", "polygons", "--target", "4/2"], "shape p/q"),
        (["--kind", "polygons", "--occlusion", "0.5"], "overlap for an occlusion"),
    ],
)
def test_wrong_arguments_are_an_error(tool, tmp_path, usage_error, arguments, message):
    assert message in usage_error(tool, ["--out", str(tmp_path / "x"), *arguments])
    assert not (tmp_path / "x").exists()


def test_different_settings_do_not_overwrite(tool, tmp_path, usage_error):
    words = ["--out", str(tmp_path / "x"), *TINY]
    tool.main(words)
    assert "name another folder" in usage_error(tool, [*words, "--seed", "3"])


POLYGONS = ["--kind", "polygons", "--size", "32", "--train", "4", "--val", "0"]


def test_polygons_are_written_in_the_numbers_of_the_options(tool, tmp_path, capsys):
    tool.main(["--out", str(tmp_path / "x"), *POLYGONS, "--test", "1", "3"])
    table = read_folders(tmp_path / "x")
    assert table.class_names == ("absent", "present")
    assert table.split("train").labels.sum(axis=0).tolist() == [2, 2]
    assert table.split("test").labels.sum(axis=0).tolist() == [1, 3]
    assert "1 absent and 3 present for testing; 32 x 32" in capsys.readouterr().out


def test_every_option_of_polygons_reaches_its_setting(tool):
    words = (
        "--target 5/2 --outer -1 --others 3/1 4/1 --other-outers none 6/1 --size 128 "
        "--train 9 --val 2 4 --test 0 --seed 3 --shapes 1 2 --radius .2 .3 --overlap "
        "--no-rotation --occlusion 0.25 --noise 0 --no-antialias --color any "
        "--outer-color 1 2 3 --background any --same-color"
    )
    settings = vars(tool.parse(["--kind", "polygons", *words.split()])[1])
    config, _ = tool.make(settings.pop("kind"), settings)
    assert set(settings) == {field.name for field in dataclasses.fields(config)}
    assert config == PolygonConfig(
        target=(5, 2),
        outer=(-1, 1),
        others=((3, 1), (4, 1)),
        other_outers=(None, (6, 1)),
        size=128,
        train=(5, 4),
        val=(2, 4),
        test=(0, 0),
        seed=3,
        shapes=(1, 2),
        radius=(0.2, 0.3),
        overlap=True,
        rotation=False,
        occlusion=0.25,
        noise=0,
        antialias=False,
        color=None,
        outer_color=(1, 2, 3),
        background=None,
        same_color=True,
    )


def test_simplified_polygons_may_be_changed(tool):
    words = ["--kind", "polygons", "--simplified", "--noise", "0.1", "--color", "any"]
    settings = vars(tool.parse(words)[1])
    config, _ = tool.make(settings.pop("kind"), settings)
    assert config == PolygonConfig.simplified(noise=0.1, color=None)
