"""Runs that resume, or are evaluated, after their data has changed."""

import logging
import shutil

import pytest

from kerasloc.runs import read_config, read_history
from kerasloc.training import cli


@pytest.fixture
def data(multi_label_data, tmp_path):
    """A copy of the tiny data, to be changed."""
    return shutil.copytree(multi_label_data, tmp_path / "data" / "several")


@pytest.fixture
def train(script, pylon_words, small_pylon, tmp_path, monkeypatch):
    """Function that trains a number of epochs on a folder."""
    monkeypatch.chdir(tmp_path)

    def run(folder, epochs, *words):
        words = [*pylon_words, "--data-dir", folder, "--epochs", epochs, *words]
        script("train_pylon").main([*map(str, words), "--no-evaluation"])

    return run


def swap_labels(folder):
    """Exchange two classes of the training images, and those of their boxes."""
    path, names = folder / "data.csv", ("circle", "star_3_1")
    lines = [line.split(",") for line in path.read_text().splitlines()]
    first, second, box = map(lines[0].index, (*names, "box_label"))
    for row in lines[1:]:
        if "train" in row:
            row[first], row[second] = row[second], row[first]
            row[box] = dict([names, names[::-1]]).get(row[box], row[box])
    path.write_text("\n".join(map(",".join, lines)))


def test_swapped_labels_are_an_error_unless_they_are_allowed(train, data, tmp_path):
    train(data, 1)
    folder = tmp_path / "results" / "pylon" / "several"
    before = read_config(folder)["table"]
    swap_labels(data)
    with pytest.raises(ValueError, match="--allow-changed-data") as error:
        train(data, 2)
    assert "train labels" in str(error.value)
    assert "files" not in str(error.value)
    assert len(read_history(folder)) == 1
    train(data, 2, "--allow-changed-data")
    assert len(read_history(folder)) == 2
    assert read_config(folder)["table"] != before


def test_moved_data_resumes_and_evaluation_warns_of_changed_data(
    train, script, data, tmp_path, caplog
):
    train(data, 1)
    moved = shutil.move(data, tmp_path / "elsewhere")
    train(moved, 2, "--results-name", "several")
    folder = tmp_path / "results" / "pylon" / "several"
    assert len(read_history(folder)) == 2

    def evaluate():
        with caplog.at_level(logging.WARNING):
            script("evaluate").main(["--weights", str(folder)])
        return "has changed since its training" in caplog.text

    assert not evaluate()
    swap_labels(tmp_path / "elsewhere")
    assert evaluate()
    assert "train labels" in caplog.text


@pytest.mark.parametrize("family", ["half", "full", "pylon", "baseline", "ham"])
def test_every_training_has_the_option(family):
    words = ["--allow-changed-data"]
    parser = cli.training_parser(family, "Trains.", "", without=())
    assert parser.parse_args(words).allow_changed_data is True
    assert "--allow-changed-data" in parser.format_help()
