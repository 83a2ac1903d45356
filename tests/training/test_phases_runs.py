"""Runs of three phases: how they go on, what they refuse, what a seed decides."""

import json
import shutil

import keras
import numpy as np
import pytest

from kerasloc.runs import Run, read_history
from kerasloc.training import phases
from kerasloc.weights import read_arrays

FOLDERS = ("phase1-classifier", "phase2-explainer", "phase3-both")
HOW = {"patience": (1, 1, 9), "min_delta": 9.0}


def rows_of(folder):
    rows = read_history(folder)
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def assert_equal_weights(first, second, tolerance=1e-6):
    first, second = read_arrays(first), read_arrays(second)
    assert set(first) == set(second)
    for name, layer in first.items():
        for key, array in layer.items():
            np.testing.assert_allclose(
                array, second[name][key], rtol=tolerance, atol=tolerance
            )


class Killed(keras.callbacks.Callback):
    """Dies within the second epoch of one phase, after a step."""

    armed = True

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and self.armed:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_run_that_dies_in_every_phase_equals_one_that_never_stopped(
    squares, explained, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        phases, "PLATEAU", {**phases.PLATEAU, "patience": 1, "min_delta": 9.0}
    )
    dying = []

    def attention(run, *_):
        callback = Killed()
        callback.armed = run.folder.name in dying
        return callback

    monkeypatch.setattr(phases, "attention", attention)
    for number, name in enumerate(FOLDERS):
        dying[:] = [name]
        with pytest.raises(KeyboardInterrupt):
            squares.train(tmp_path, epochs=(9, 9, 2), **HOW)
        done = [len(rows_of(tmp_path / other)) for other in FOLDERS]
        assert done == [2] * number + [1] + [0] * (2 - number)
    dying.clear()
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("phase[12]*/*.csv")}
    squares.train(tmp_path, epochs=(9, 9, 2), **HOW)
    for path, time in before.items():
        assert path.stat().st_mtime_ns == time  # over is over
    whole, _ = explained
    for name in (".", *FOLDERS):
        for one, other in zip(
            rows_of(tmp_path / name), rows_of(whole / name), strict=True
        ):
            assert one == pytest.approx(other, rel=1e-5)
        for kind in ("best",) if name == "." else ("best", "last"):
            file = f"{kind}.weights.h5"
            assert_equal_weights(tmp_path / name / file, whole / name / file)


@pytest.fixture
def copy(explained, tmp_path):
    """Folder of a finished run that may be changed."""
    return shutil.copytree(explained[0], tmp_path / "copy")


def test_a_finished_run_is_trained_no_further(squares, copy):
    files = sorted(copy.glob("phase*/*.weights.h5"))
    before = [path.stat().st_mtime_ns for path in files]
    rows = rows_of(copy)
    squares.train(copy, epochs=(9, 9, 2), **HOW)
    assert len(files) == 6
    assert [path.stat().st_mtime_ns for path in files] == before
    assert rows_of(copy) == rows


def test_more_epochs_of_the_last_phase_go_on(squares, copy):
    early = [rows_of(copy / name) for name in FOLDERS]
    squares.train(copy, epochs=(9, 9, 3), **HOW)
    later = [rows_of(copy / name) for name in FOLDERS]
    assert later[:2] == early[:2]
    assert later[2][:2] == early[2]
    assert len(later[2]) == 3
    # with the momentum and the rates that the second epoch ended with
    assert later[2][2]["learning_rate_classifier"] == pytest.approx(0.002)
    assert [row["epoch"] for row in rows_of(copy)] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("begun", ["all", "first"])
def test_a_run_of_other_settings_is_refused_and_says_which(copy, begun):
    if begun == "first":  # dead in its first phase: no weights of the run yet
        (copy / "best.weights.h5").unlink()
        for name in FOLDERS[1:]:
            shutil.rmtree(copy / name)
    config = json.loads((copy / "config.json").read_text())
    config["training"]["alpha"] = [1, 0.5, 0.74]
    with pytest.raises(
        ValueError, match=r"training\.alpha: .*0\.75.*before.*0\.5.*now"
    ):
        Run(copy, config).__enter__()


class Ends(keras.callbacks.Callback):
    """Dies as soon as an epoch begins."""

    def on_epoch_begin(self, epoch, logs=None):
        raise KeyboardInterrupt


def test_a_phase_that_ended_early_stays_ended(squares, copy, monkeypatch):
    for name in FOLDERS[1:]:
        shutil.rmtree(copy / name)
    before = rows_of(copy / FOLDERS[0])
    monkeypatch.setattr(phases, "attention", lambda *_: Ends())
    with pytest.raises(KeyboardInterrupt):
        squares.train(copy, epochs=(9, 9, 2), **HOW)
    assert rows_of(copy / FOLDERS[0]) == before
    assert (copy / FOLDERS[1]).is_dir()  # that is where it died


def test_a_seed_decides_a_run(squares, explained, tmp_path, monkeypatch):
    def attention(run, *_):
        return keras.callbacks.Callback() if "phase1" in str(run.folder) else Ends()

    monkeypatch.setattr(phases, "attention", attention)
    first = rows_of(explained[0] / FOLDERS[0])[0]
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        with pytest.raises(KeyboardInterrupt):
            squares.train(folder, seed=seed, **HOW)
        (row,) = rows_of(folder / FOLDERS[0])
        assert (row == first) == (seed == 0)
