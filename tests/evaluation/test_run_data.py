"""A model is looked at with the images of its run, or with other ones."""

import types

import pytest

from kerasloc.data import read_folders
from kerasloc.evaluation import run_data
from kerasloc.evaluation.run_data import table_of_run
from kerasloc.runs import read_network


def test_the_images_are_those_of_the_run_or_other_ones(trained, shapes, tmp_path):
    run = trained / "half" / "shapes"
    network = read_network(run)
    table = table_of_run(run, network, {}, "test")
    expected = read_folders(shapes).split("test").paths.tolist()
    assert table.paths.tolist() == expected
    given = {"data_dir": str(shapes)}
    assert len(table_of_run(tmp_path, network, given, "test")) == len(expected)
    with pytest.raises(ValueError, match="Give --data-dir"):
        table_of_run(tmp_path, network, {}, "test")


def test_models_have_names_as_short_as_they_can_be(tmp_path):
    def names(*runs):
        paths = [tmp_path / one for one in runs]
        wrappers = [
            types.SimpleNamespace(config=types.SimpleNamespace(family=path.parts[-2]))
            for path in paths
        ]
        return run_data.model_names(paths, wrappers)

    assert names("a/pylon/x", "a/half/x") == ["pylon", "half"]
    assert names("a/pylon/x", "a/pylon/y") == ["pylon/x", "pylon/y"]
    with pytest.raises(ValueError, match="Every run is given once"):
        names("a/pylon/x", "a/pylon/x")
    twice = names("a/pylon/x", "b/pylon/x")
    assert twice == [str(tmp_path / "a/pylon/x"), str(tmp_path / "b/pylon/x")]
