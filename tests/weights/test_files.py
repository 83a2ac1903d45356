"""Weight files and run folders; networks and wrappers: localizers/test_hrcam.py."""

import os

import keras
import numpy as np
import pytest

from kerasloc import weights
from kerasloc.runs import CONFIG_FILE


@pytest.fixture
def model():
    layers = [keras.layers.Dense(2, name="body"), keras.layers.Dense(1, name="head")]
    return keras.Sequential([keras.Input((3,)), *layers])


def make_run(folder, age=0, name="best.weights.h5"):
    folder.mkdir(parents=True)
    (folder / CONFIG_FILE).write_text("{}")
    if name:
        (folder / name).touch()
        os.utime(folder / name, (1e9 - age, 1e9 - age))
    return folder


# Files


def test_arrays_come_back_by_layer_name(model, tmp_path):
    model.save_weights(tmp_path / "w.weights.h5")
    arrays = weights.read_arrays(tmp_path / "w.weights.h5")
    assert set(arrays) == {"body", "head"}
    np.testing.assert_array_equal(arrays["body"]["0"], model.get_weights()[0])


def test_optimizer_state_in_the_file_is_no_layer(model, tmp_path):
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    model.save_weights(tmp_path / "w.weights.h5")
    assert set(weights.read_arrays(tmp_path / "w.weights.h5")) == {"body", "head"}


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "nowhere.h5", tmp_path):
        with pytest.raises(ValueError, match="weight file exists"):
            weights.read_arrays(path)


def test_a_file_that_was_cut_short_is_refused(model, tmp_path):
    path = tmp_path / "w.weights.h5"
    model.save_weights(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="may be cut short"):
        weights.read_arrays(path)


def test_a_file_without_weights_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Flatten()])
    model.save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(ValueError, match="layers with weights"):
        weights.read_arrays(tmp_path / "w.weights.h5")


def test_assigned_arrays_are_the_models(model):
    arrays = {
        "body": {"kernel": np.full((3, 2), 2.0), "bias": np.full(2, 3.0)},
        "head": {"0": np.full((2, 1), 4.0), "1": np.full(1, 5.0)},
    }
    weights.assign(model, arrays)
    assert [w.ravel()[0] for w in model.get_weights()] == [2, 3, 4, 5]


def test_every_difference_is_listed_and_nothing_is_assigned(model):
    before = model.get_weights()
    arrays = {
        "body": {"kernel": np.ones((3, 9)), "bias": np.ones(2)},
        "tail": {"kernel": np.ones(1)},
    }
    with pytest.raises(ValueError, match="1 arrays match") as error:
        weights.assign(model, arrays, source="my.h5")
    for part in (
        "my.h5",
        "2 missing: head/kernel, head/bias",
        "1 left over: tail",
        "body/kernel (3, 9) for (3, 2)",
    ):
        assert part in str(error.value)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_long_lists_of_differences_are_shortened():
    layers = [keras.layers.Dense(1, name=f"layer_{i}") for i in range(9)]
    model = keras.Sequential([keras.Input((1,)), *layers])
    with pytest.raises(ValueError, match=r"18 missing: .* and 6 more"):
        weights.assign(model, {})


def test_a_save_that_breaks_leaves_the_old_file(model, tmp_path, monkeypatch):
    path = tmp_path / "w.weights.h5"
    weights.save_atomically(model, path)
    old = path.read_bytes()

    def breaks(self, path):
        path.write_bytes(b"half a file")
        raise OSError("no space left on device")

    monkeypatch.setattr(keras.Sequential, "save_weights", breaks)
    with pytest.raises(OSError, match="no space"):
        weights.save_atomically(model, path)
    assert path.read_bytes() == old


def test_a_save_leaves_only_its_file(model, tmp_path):
    weights.save_atomically(model, tmp_path / "w.weights.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["w.weights.h5"]


# Runs


def test_the_best_weights_come_before_the_saved_ones(tmp_path):
    for name in ("model.weights.h5", "best.weights.h5"):
        (tmp_path / name).touch()
        assert weights.weights_of_run(tmp_path).name == name


def test_the_last_weights_alone_are_no_answer(tmp_path):
    (tmp_path / "last.weights.h5").touch()
    with pytest.raises(ValueError, match="not completed an epoch"):
        weights.weights_of_run(tmp_path)


def test_runs_come_newest_first_and_only_with_weights(tmp_path):
    old = make_run(tmp_path / "old", age=9)
    new = make_run(tmp_path / "new", name="model.weights.h5")
    make_run(tmp_path / "begun", name=None)
    (tmp_path / "no-config").mkdir()
    (tmp_path / "no-config" / "best.weights.h5").touch()
    assert weights.runs_in(tmp_path) == [new, old]


def test_a_folder_that_is_not_there_has_no_runs(tmp_path):
    assert weights.runs_in(tmp_path / "nowhere") == []


def test_runs_of_the_nearest_folder_win(tmp_path):
    make_run(tmp_path / "results" / "half" / "far")
    inner = tmp_path / "project"
    near = make_run(inner / "results" / "half" / "near", age=99)
    make_run(inner / "results" / "full" / "other")
    assert weights.find_runs("half", inner / "notebooks") == [near]


def test_runs_are_looked_for_from_the_current_folder(tmp_path, monkeypatch):
    run = make_run(tmp_path / "results" / "half" / "run")
    monkeypatch.chdir(tmp_path)
    assert weights.find_runs("half") == [run]
    assert weights.find_runs("pylon") == []
