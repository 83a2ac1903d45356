"""Files that are written whole or not at all."""

import json
import os

import numpy as np
import pytest

from kerasloc import io


def fail_in_the_middle(path):
    with io.atomic_write(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
        raise RuntimeError


def test_a_failed_write_leaves_the_old_file_and_no_partial_one(tmp_path):
    path = tmp_path / "a.txt"
    io.write_text(path, "old")
    with pytest.raises(RuntimeError):
        fail_in_the_middle(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_partial_files_of_a_killed_process_are_removed(tmp_path):
    with io.atomic_write(tmp_path / "a.txt") as partial:
        partial.write_text("half")
        os.link(partial, tmp_path / partial.name.replace(str(os.getpid()), "1"))
    assert len(list(tmp_path.iterdir())) == 2
    io.remove_partial(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_missing_folders_are_made(tmp_path):
    io.write_text(tmp_path / "a" / "b.txt", "text")
    assert (tmp_path / "a" / "b.txt").read_text() == "text"


def test_json_holds_what_json_can(tmp_path):
    value = {"a": np.float32(0.5), "b": (1, np.nan), "c": np.arange(2), "d": tmp_path}
    io.write_json(tmp_path / "a.json", value)
    stored = json.loads((tmp_path / "a.json").read_text())
    assert stored == {"a": 0.5, "b": [1, None], "c": [0, 1], "d": str(tmp_path)}


def test_csv_rows_come_back_as_text_under_all_columns(tmp_path):
    io.write_csv(tmp_path / "a.csv", [{"name": "a,b", "x": 1}, {"name": "ü", "y": 0.1}])
    rows = io.read_csv(tmp_path / "a.csv")
    assert rows[0] == {"name": "a,b", "x": "1", "y": ""}
    assert rows[1] == {"name": "ü", "x": "", "y": "0.1"}
