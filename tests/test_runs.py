"""Run folders: one owner, one configuration, loadable whenever a process dies."""

import json
import os
import re
import signal
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest

from kerasloc import runs
from kerasloc.runs import Run, read_config, read_history, seeded

CONFIG = {
    "network": {"family": "half", "class_names": ("a", "b"), "im_size": (32, 32)},
    "data": {"data_dir": "/images", "seed": 0},
    "training": {"epochs": 2, "learning_rate": 0.1},
}
HOLD = """
import sys, time
from kerasloc.runs import Run
with Run(sys.argv[1], {}):
    print("owned", flush=True)
    time.sleep(600)
"""


def changed(**sections):
    return {
        name: {**CONFIG[name], **sections.get(name, {})} for name in CONFIG | sections
    }


def begun(folder):
    """A run folder that holds something to lose."""
    with Run(folder, CONFIG):
        (folder / "last.weights.h5").touch()
    return folder


@pytest.fixture
def model():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])


# The folder


def test_an_open_run_has_its_folder_and_configuration(tmp_path):
    with Run(tmp_path / "results" / "half" / "run", CONFIG) as run:
        assert json.loads((run.folder / "config.json").read_text()) == run.config
        assert run.config["network"]["im_size"] == [32, 32]
        assert run.path("figures/a.png").parent.is_dir()


def test_two_runs_with_the_same_name_at_once_are_refused(tmp_path):
    second = Run(tmp_path, CONFIG)
    message = r"another process is training.*--results-name"
    with Run(tmp_path, CONFIG), pytest.raises(ValueError, match=message):
        second.__enter__()
    with Run(tmp_path, CONFIG):  # free again
        pass


def test_another_process_owns_its_run_until_it_is_killed(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "owned\n"
        with pytest.raises(ValueError, match="another process is training"):
            Run(tmp_path, {}).__enter__()
        process.send_signal(signal.SIGKILL)
    with Run(tmp_path, {}) as run:
        assert run.folder == tmp_path


def test_a_refused_run_does_not_keep_the_folder(tmp_path):
    begun(tmp_path)
    with pytest.raises(ValueError, match="learning_rate"):
        Run(tmp_path, changed(training={"learning_rate": 9})).__enter__()
    with Run(tmp_path, CONFIG):
        pass


@pytest.mark.parametrize("place", ["file/runs/half", "/proc/1/runs", "/sys/nowhere"])
def test_a_folder_that_cannot_be_written_is_an_error_with_its_name(tmp_path, place):
    (tmp_path / "file").write_text("a regular file")
    folder = tmp_path / place  # an absolute place stays what it is
    with pytest.raises(OSError, match=rf"Received: {folder} \(.*--results-dir"):
        Run(folder, CONFIG).__enter__()


# The configuration


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        (
            "training",
            "learning_rate",
            0.2,
            r"training.learning_rate: 0.1 before, 0.2 n",
        ),
        ("data", "data_dir", "/b", r"data.data_dir: '/images' before, '/b' now"),
        ("network", "im_size", (64, 64), r"im_size: \[32, 32\] before, \[64, 64\] now"),
        ("training", "align_weight", 1.0, r"align_weight: None before, 1.0 now"),
    ],
)
def test_another_configuration_is_refused_key_by_key(
    tmp_path, section, key, value, message
):
    begun(tmp_path)
    with pytest.raises(ValueError, match=message):
        Run(tmp_path, changed(**{section: {key: value}})).__enter__()
    assert read_config(tmp_path)["training"] == CONFIG["training"]


def test_every_key_that_differs_is_named(tmp_path):
    begun(tmp_path)
    other = changed(training={"learning_rate": 9}, data={"seed": 7})
    with pytest.raises(ValueError, match=r"data.seed: 0 .*training.learning_rate: 0.1"):
        Run(tmp_path, other).__enter__()


def test_a_key_that_is_left_out_differs(tmp_path):
    begun(tmp_path)
    less = {**CONFIG, "data": {"data_dir": "/images"}}
    with pytest.raises(ValueError, match=r"data.seed: 0 before, None now"):
        Run(tmp_path, less).__enter__()


def test_a_run_resumes_after_options_were_added_that_default_to_none(tmp_path):
    begun(tmp_path)
    with Run(tmp_path, changed(data={"box_share": None})) as run:
        assert run.config["data"]["box_share"] is None
    with pytest.raises(ValueError, match=r"data.box_share: None before, 0.5 now"):
        Run(tmp_path, changed(data={"box_share": 0.5})).__enter__()


@pytest.mark.parametrize(("name", "value"), [("epochs", 9), ("cache", "memory")])
def test_what_alters_no_epoch_may_change(tmp_path, name, value):
    begun(tmp_path)
    with Run(tmp_path, changed(training={name: value})):
        assert read_config(tmp_path)["training"][name] == value


def test_thresholds_are_written_and_the_same_command_goes_on(tmp_path):
    from kerasloc.runs import read_network

    begun(tmp_path)
    with Run(tmp_path, CONFIG) as run:
        run.set_thresholds(np.array([0.25, 0.75]))
        assert read_network(tmp_path).thresholds == (0.25, 0.75)
        assert run.config["network"]["thresholds"] == [0.25, 0.75]
    rest = read_config(tmp_path)
    assert rest["training"] == CONFIG["training"]
    assert rest["data"] == CONFIG["data"]
    with Run(tmp_path, CONFIG) as run:
        run.set_thresholds([0.5, 0.125])
    assert read_network(tmp_path).thresholds == (0.5, 0.125)
    assert "thresholds" not in CONFIG["network"]  # a run has a copy


def test_a_run_that_goes_on_keeps_its_thresholds_until_it_ends(tmp_path):
    begun(tmp_path)
    with Run(tmp_path, CONFIG) as run:
        run.set_thresholds([0.25, 0.75])
    with Run(tmp_path, changed(network={"thresholds": [0.5]})) as run:
        assert read_config(tmp_path)["network"]["thresholds"] == [0.25, 0.75]
        assert run.config["network"]["thresholds"] == [0.25, 0.75]


def test_thresholds_of_another_process_do_not_make_another_run(tmp_path):
    begun(tmp_path)
    with Run(tmp_path, CONFIG) as run:
        run.set_thresholds([0.25, 0.75])
    with pytest.raises(ValueError, match=r"learning_rate: 0\.1 before, 0\.2 now"):
        Run(tmp_path, changed(training={"learning_rate": 0.2})).__enter__()
    assert read_config(tmp_path)["network"]["thresholds"] == [0.25, 0.75]


def test_a_mistake_before_the_first_epoch_can_be_mended(tmp_path):
    with Run(tmp_path, changed(network={"im_size": (100, 100)})):
        pass
    with Run(tmp_path, CONFIG):
        assert read_config(tmp_path)["network"]["im_size"] == [32, 32]


def test_a_folder_saved_by_a_wrapper_is_not_overwritten(tmp_path):
    (tmp_path / "model.weights.h5").touch()
    network = json.dumps({"network": CONFIG["network"]})
    (tmp_path / "config.json").write_text(network)
    with pytest.raises(ValueError, match=r"data.data_dir: None before"):
        Run(tmp_path, CONFIG).__enter__()
    assert read_config(tmp_path)["data"] == {}


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"config\.json.*Received"):
        read_config(tmp_path)


# The data

TABLE = {"train": {"files": [4, "ab"], "labels": [4, "cd"]}}
OTHER = {"train": {"files": [5, "ba"], "labels": [4, "dc"]}}


def with_table(table, **sections):
    return {**changed(**sections), "table": table}


def begun_on(folder, table=TABLE):
    with Run(folder, with_table(table) if table else CONFIG):
        (folder / "last.weights.h5").touch()
    return folder


def test_changed_data_is_refused_and_named(tmp_path):
    begun_on(tmp_path)
    with pytest.raises(ValueError, match="allow-changed-data") as error:
        Run(tmp_path, with_table(OTHER)).__enter__()
    assert "train files: 4 before, 5 now; train labels: 4, but others" in str(
        error.value
    )
    assert read_config(tmp_path)["table"] == TABLE
    with Run(tmp_path, with_table(TABLE)):
        pass


def test_changed_data_may_be_allowed_and_is_recorded(tmp_path, caplog):
    begun_on(tmp_path)
    with Run(tmp_path, with_table(OTHER), allow_changed_data=True):
        assert read_config(tmp_path)["table"] == OTHER
    assert "train files: 4 before, 5 now" in caplog.text
    assert runs.changed_data(tmp_path, OTHER) == []
    assert len(runs.changed_data(tmp_path, TABLE)) == 2


def test_the_same_data_in_another_folder_resumes(tmp_path):
    begun_on(tmp_path)
    moved = {"data_dir": "/moved"}
    with Run(tmp_path, with_table(TABLE, data=moved)):
        assert read_config(tmp_path)["data"]["data_dir"] == "/moved"
    with pytest.raises(ValueError, match=r"data.data_dir: '/moved' before, '/b' now"):
        Run(tmp_path, with_table(OTHER, data={"data_dir": "/b"})).__enter__()


def test_a_run_without_a_record_of_its_data_resumes_with_a_warning(tmp_path, caplog):
    begun_on(tmp_path, None)
    assert runs.changed_data(tmp_path, TABLE) == []
    with Run(tmp_path, with_table(TABLE)):
        assert "no record of it" in caplog.text
    with pytest.raises(ValueError, match="train files"):
        Run(tmp_path, with_table(OTHER)).__enter__()


# What it keeps


def test_history_comes_back_as_numbers(tmp_path):
    rows = [{"epoch": 1, "loss": 0.25}, {"epoch": 2, "loss": 1e-7, "val_loss": 3.0}]
    with Run(tmp_path, {}) as run:
        assert run.history == []
        run.write_history(rows)
        assert run.history == read_history(tmp_path) == rows
        run.write_history(rows[:1])
        assert run.history == rows[:1]


def test_history_is_a_csv_file_with_a_header(tmp_path):
    with Run(tmp_path, {}) as run:
        run.write_history([{"epoch": 1, "loss": 0.5}])
    assert (tmp_path / "history.csv").read_text() == "epoch,loss\n1,0.5\n"


def test_state_lies_with_the_weights_and_the_optimizer(tmp_path, model):
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    model.optimizer.learning_rate = 0.125
    with Run(tmp_path, {}) as run:
        assert run.read_state() is None
        run.save_state(model, {"epoch": 3, "best": float("inf"), "others": [{}]})
        assert run.read_state() == {"epoch": 3, "best": np.inf, "others": [{}]}
    before = model.get_weights()
    model.set_weights([0 * w for w in before])
    model.optimizer.learning_rate = 9
    model.load_weights(tmp_path / "last.weights.h5")
    assert float(model.optimizer.learning_rate) == 0.125
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_damaged_state_is_named(tmp_path, model):
    model.compile("adam", "mse")
    path = tmp_path / "last.weights.h5"
    with Run(tmp_path, {}) as run:
        run.save_state(model, {"epoch": 1})
        content = path.read_bytes()
        for damage in (content[:900], content.replace(b"SNOD", b"SNOB"), b""):
            path.write_bytes(damage)
            for read in (run.read_state, lambda: run.load_state(model)):
                with pytest.raises(ValueError, match=rf"{re.escape(str(path))}, a dam"):
                    read()


def test_a_state_in_another_file_is_not_read(tmp_path, model):
    model.compile("adam", "mse")
    path = tmp_path / "last.weights.h5"
    with Run(tmp_path, {}) as run:
        run.save_state(model, {"epoch": 1})
        with h5py.File(path, "a") as file:
            file["layers/x"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")
        with pytest.raises(ValueError, match=r"layers/x is a link"):
            run.load_state(model)


@pytest.mark.parametrize("when", ["while it writes", "before it replaces"])
def test_a_save_that_dies_leaves_the_old_state(tmp_path, model, monkeypatch, when):
    def dies(*_):
        if when == "while it writes":
            (tmp_path / "partial-last.weights.h5").write_bytes(b"half of it")
        raise KeyboardInterrupt

    with Run(tmp_path, {}) as run:
        run.save_state(model, {"epoch": 1})
        with monkeypatch.context() as patch:
            if when == "while it writes":
                patch.setattr(model, "save_weights", dies)
            else:
                patch.setattr(runs.os, "replace", dies)
            with pytest.raises(KeyboardInterrupt):
                run.save_state(model, {"epoch": 2})
        assert run.read_state() == {"epoch": 1}
        model.load_weights(tmp_path / "last.weights.h5")
        run.save_state(model, {"epoch": 2})  # over what lies about
        assert run.read_state() == {"epoch": 2}


def test_what_a_dead_process_left_half_written_goes(tmp_path):
    (tmp_path / "partial-7-best.weights.h5").touch()
    (tmp_path / "best.weights.h5").touch()
    with Run(tmp_path, {}):
        assert not list(tmp_path.glob("partial-*"))
        assert (tmp_path / "best.weights.h5").is_file()


# Seeds


def draws():
    return np.random.random(), float(keras.random.normal(()))  # noqa: NPY002


def test_a_seed_decides_what_is_drawn():
    with seeded(1):
        first = draws()
    with seeded(1):
        again = draws()
    with seeded(2):
        other = draws()
    assert first == again
    assert not set(first) & set(other)


def test_numpy_goes_on_afterwards_as_before_even_after_an_error():
    np.random.seed(5)  # noqa: NPY002
    expected = draws()[0]
    np.random.seed(5)  # noqa: NPY002
    with pytest.raises(KeyError), seeded(1):
        raise KeyError
    assert draws()[0] == expected


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match=r"not negative. Received: -1"):
        seeded(-1).__enter__()


# Weights and finders


class Breaking:
    """A network that cannot be written."""

    def save_weights(self, file):
        file.write(b"half a file")
        raise OSError("no space left on device")


def test_a_save_leaves_only_its_file_and_if_it_breaks_the_old_one(model, tmp_path):
    path = tmp_path / "w.weights.h5"
    runs.save_weights(model, path)
    old = path.read_bytes()
    with pytest.raises(OSError, match="no space"):
        runs.save_weights(Breaking(), path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_the_best_weights_come_before_the_saved_ones(tmp_path):
    (tmp_path / "last.weights.h5").touch()
    with pytest.raises(ValueError, match=f"{tmp_path}.*not completed an epoch"):
        runs.weights_of_run(tmp_path)
    for name in ("model.weights.h5", "best.weights.h5"):
        (tmp_path / name).touch()
        assert runs.weights_of_run(tmp_path).name == name


def make_run(folder, age=0, name="best.weights.h5"):
    folder.mkdir(parents=True)
    (folder / runs.CONFIG_FILE).write_text("{}")
    if name:
        (folder / name).touch()
        os.utime(folder / name, (1e9 - age, 1e9 - age))
    return folder


def test_runs_come_newest_first_and_only_with_weights(tmp_path):
    old = make_run(tmp_path / "old", age=9)
    new = make_run(tmp_path / "new", name="model.weights.h5")
    make_run(tmp_path / "begun", name=None)
    (tmp_path / "no-config").mkdir()
    (tmp_path / "no-config" / "best.weights.h5").touch()
    assert runs.runs_in(tmp_path) == [new, old]
    assert runs.runs_in(tmp_path / "nowhere") == []


def test_runs_of_the_nearest_folder_are_taken(tmp_path):
    make_run(tmp_path / "results" / "half" / "far")
    inner = tmp_path / "project"
    near = make_run(inner / "results" / "half" / "near", age=99)
    make_run(inner / "results" / "full" / "other")
    assert runs.find_runs("half", inner / "notebooks") == [near]
    assert runs.find_runs("pylon", inner) == []
