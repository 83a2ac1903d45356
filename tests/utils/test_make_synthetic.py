import importlib.util
import pathlib

import pytest

from kerasloc.data import read_csv, read_folders

SCRIPT = pathlib.Path(__file__).parents[2] / "utils" / "make_synthetic.py"
TINY = ["--classes", "3", "--size", "16", "--train", "6", "--test", "3", "--seed", "2"]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("make_synthetic", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_folder_holds_what_was_asked_for(tool, tmp_path, capsys):
    tool.main(["--out", str(tmp_path / "x"), *TINY])
    table = read_folders(tmp_path / "x")
    assert len(table.class_names) == 3
    assert len(table.split("train")) == 6
    assert len(table.split("test")) == len(table.boxes) - 6 == 3
    assert "x: 6 images for training and 3 for testing, 16 x 16" in (
        capsys.readouterr().out
    )


def test_without_a_name_the_folder_is_named_after_the_settings(
    tool, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    tool.main(TINY)
    (folder,) = (tmp_path / "data").iterdir()
    assert folder.name.startswith("synthetic-16px-3classes-seed2")


@pytest.mark.parametrize("option", ["--most-objects", "--most_objects"])
def test_several_objects_come_with_a_csv(tool, tmp_path, capsys, option):
    tool.main(["--out", str(tmp_path / "x"), *TINY, option, "2"])
    assert len(read_csv(tmp_path / "x" / "data.csv")) == 9
    assert "with data.csv" in capsys.readouterr().out


def test_dashes_and_underscores_are_the_same(tool):
    dashes, underscores = (
        tool.parse([option, "0.1", "0.15"])[1]
        for option in ("--object-share", "--object_share")
    )
    assert dashes == underscores
    assert dashes.object_share == [0.1, 0.15]


def test_the_help_has_an_example(tool, capsys):
    with pytest.raises(SystemExit, match="0"):
        tool.main(["--help"])
    assert "python utils/make_synthetic.py --out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--classes", "1"], "classes is 2 to 12"),
        (["--noise", "7"], "noise lies in 0..0.5"),
        (["--size", "big"], "invalid int value"),
    ],
)
def test_what_does_not_fit_is_an_error_with_the_reason(
    tool, tmp_path, capsys, arguments, message
):
    with pytest.raises(SystemExit, match="2"):
        tool.main(["--out", str(tmp_path / "x"), *arguments])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_other_settings_do_not_overwrite(tool, tmp_path, capsys):
    tool.main(["--out", str(tmp_path / "x"), *TINY])
    with pytest.raises(SystemExit, match="2"):
        tool.main(["--out", str(tmp_path / "x"), *TINY, "--seed", "3"])
    assert "name another folder" in capsys.readouterr().err
