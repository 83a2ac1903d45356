"""Trainings that diverge, lose their disk or images, or are stopped: what is safe."""

import contextlib
import dataclasses
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from kerasloc.io import create_array
from kerasloc.models import families
from kerasloc.runs import Run, read_history, save_weights
from kerasloc.training import cli
from tests.training.squares import SquaresTrainer, small_explaining, train_squares

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL_FILES = 4096  # bytes, of a disk that is as good as full
TRAIN = {"half": "pretrain_half", "full": "train_full", "pylon": "train_pylon"}
TRAIN["ham"] = "train_ham"


class After(keras.callbacks.Callback):
    """Call a function of the model after the last step of an epoch, over all phases."""

    def __init__(self, epoch, function):
        super().__init__()
        self._left, self._function = epoch, function

    def on_epoch_begin(self, epoch, logs=None):
        self._left -= 1

    def on_train_batch_end(self, batch, logs=None):
        if self._left == 0 and batch == self.params["steps"] - 1:
            self._function(self.model)


def disturbed(trainer, epoch, function):
    """A trainer class with that callback instead of pictures and curves."""

    after = After(epoch, function)

    class Disturbed(trainer):
        def logs(self, run, model, feed):
            return [after]

    return Disturbed


@pytest.fixture
def train(request, script, shapes, trained, eager, small_pylon, small_ham, tmp_path):
    """Function that trains two epochs of a family into results/, disturbed in one."""

    def run(family, epoch=2, function=lambda model: None, *words):
        if family == "explainer":
            trainer = disturbed(SquaresTrainer, epoch, function)
            record = dataclasses.replace(families.get(family), build=small_explaining)
            with families.registered(record):
                return train_squares(tmp_path / "results/explainer/run", trainer)
        record = families.get(family)
        trainer = disturbed(record.load("trainer"), epoch, function)
        data = {"full": ["--half-weight-dir", str(trained / "half" / "shapes")]}
        if family == "half":
            options = [*request.getfixturevalue("half_words"), "--data-dir", shapes]
        else:
            options = data.get(family) or request.getfixturevalue(f"{family}_words")
        options = [*options, "--results-dir", tmp_path / "results", "--epochs", "2"]
        with families.registered(dataclasses.replace(record, trainer=trainer)):
            main = script(TRAIN[family]).main
            main([*map(str, [*options, *words]), "--no-evaluation"])

    return run


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*.h5")}


def end_of(main):
    """Return the code, or the message, with which a main ends."""
    with pytest.raises(SystemExit) as end:
        cli.run_main(main)
    return end.value.code


@contextlib.contextmanager
def full_disk():
    """No file can become larger than a few kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_FILES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# Weights that are not finite


@pytest.mark.parametrize(
    ("family", "value"),
    [
        ("half", np.inf),
        ("full", -np.inf),
        ("pylon", np.nan),
        ("ham", np.nan),
        ("explainer", np.inf),
    ],
)
def test_no_file_is_replaced_by_weights_that_are_not_finite(
    train, tmp_path, family, value
):
    before = {}

    def spoil(model):
        before.update(files_of(tmp_path / "results"))
        weight = model.trainable_variables[-1]
        weight.assign(np.full(weight.shape, value))

    with pytest.raises(ValueError, match="weights") as error:
        train(family, 2, spoil)
    message = str(error.value)
    assert 0 < message.index("learning rate") < message.index("data")
    after = files_of(tmp_path / "results")
    assert before
    assert after.keys() - before.keys() <= {p for p in after if "phase2" in str(p)}
    assert {path: after[path] for path in before} == before


def test_a_rate_that_is_too_high_leaves_no_weights_and_a_lower_one_starts_again(
    train, tmp_path
):
    folder = tmp_path / "results" / "ham" / "several"
    message = end_of(lambda: train("ham", 0, print, "--learning-rate", "1e30"))
    assert "learning rate" in message
    assert files_of(folder) == {}
    train("ham", 0, print, "--learning-rate", "0.01")
    assert [row["epoch"] for row in read_history(folder)] == [1, 2]


def test_moments_of_an_optimizer_count_as_weights(tmp_path):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    save_weights(model, tmp_path / "a.weights.h5")
    before = files_of(tmp_path)
    model.optimizer.variables[-1].assign([np.inf])
    with pytest.raises(ValueError, match=model.optimizer.variables[-1].path):
        save_weights(model, tmp_path / "a.weights.h5")
    assert files_of(tmp_path) == before


# Disks


def test_a_full_disk_ends_in_a_line_and_keeps_the_last_epoch(train, tmp_path):
    before, folder = {}, tmp_path / "results" / "pylon" / "several"

    def main():
        with contextlib.ExitStack() as stack:

            def fill(model):
                before.update(files_of(folder))
                stack.enter_context(full_disk())

            train("pylon", 2, fill)

    message = end_of(main)
    assert "\n" not in message
    assert f"Received: {folder / 'best.weights.h5'} (File too large)" in message or (
        f"Received: {folder / 'last.weights.h5'} (File too large)" in message
    )
    assert f"{folder} is safe up to epoch 1" in message
    assert not list(folder.glob("partial-*"))
    assert files_of(folder).keys() == before.keys()
    assert (
        files_of(folder)[folder / "last.weights.h5"]
        == before[folder / "last.weights.h5"]
    )
    train("pylon")
    assert [row["epoch"] for row in read_history(folder)] == [1, 2]


FULL = """
import resource, sys
import keras
from kerasloc.runs import Run
from kerasloc.training.cli import run_main

def main():
    model = keras.Sequential([keras.Input((99,)), keras.layers.Dense(99)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    with Run(sys.argv[1], {}) as run:
        run.save_state(model, {"epoch": 1})
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, -1))
        run.save_state(model, {"epoch": 2})

run_main(main)
"""


def test_a_process_with_a_full_disk_does_not_crash(tmp_path):
    """HDF5 does, at the end of the process, after a write that failed."""
    result = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
        check=False,
    )
    assert result.returncode == 1
    line = result.stderr.splitlines()[-1]
    assert line.startswith("error: ")
    assert f"{tmp_path / 'run' / 'last.weights.h5'} (File too large)" in line
    assert "Traceback" not in result.stderr
    assert [path.name for path in (tmp_path / "run").glob("*.h5")] == [
        "last.weights.h5"
    ]


def test_a_memory_map_is_reserved_on_the_disk(tmp_path):
    with full_disk(), pytest.raises(OSError, match=f"{tmp_path / 'a.npy'}"):
        create_array(tmp_path / "a.npy", (64, 64))


# Images


@pytest.mark.parametrize("kind", ["deleted", "cut off"])
def test_an_image_that_is_lost_during_training_is_named(
    train, multi_label_data, tmp_path, kind
):
    data = shutil.copytree(multi_label_data, tmp_path / "data")
    folder = tmp_path / "results" / "pylon" / "data"
    paths = sorted(data.rglob("*.png"))
    assert paths

    def spoil(model):
        for path in paths:
            if kind == "deleted":
                path.unlink()
            else:
                path.write_bytes(path.read_bytes()[:60])

    words = ("--data-dir", str(data))
    message = end_of(lambda: train("pylon", 2, spoil, *words))
    assert "\n" not in message
    assert any(str(path) in message for path in paths)
    assert f"{folder} is safe up to epoch 1" in message


# Signals


@pytest.fixture
def usual_signals():
    """Signals as in a terminal; nohup and background jobs ignore some of them."""
    usual = {signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
    usual[signal.SIGINT] = signal.default_int_handler
    before = {number: signal.signal(number, usual[number]) for number in usual}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("usual_signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_in_a_line_and_the_status_of_a_shell(
    train, tmp_path, capsys, name
):
    folder, number = tmp_path / "results" / "pylon" / "several", signal.Signals[name]
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, number)]
    status = end_of(
        lambda: train("pylon", 2, lambda model: os.kill(os.getpid(), number))
    )
    assert status == 128 + number
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert line == (
        f"stopped by {name}; {folder} is safe up to epoch 1; the same command resumes."
    )
    assert [signal.getsignal(n) for n in (signal.SIGINT, number)] == handlers
    assert not list(folder.glob("partial-*"))


WAITING = """
import sys, time
from kerasloc.training.cli import run_main

def main():
    try:
        print("waits", flush=True)
        time.sleep(100)
    finally:
        if "busy" in sys.argv:
            print("waits", flush=True)
            time.sleep(100)

run_main(main)
"""


@pytest.fixture
def waiting(usual_signals):
    """Function from words to a process that waits, and then needs as long to end."""
    with contextlib.ExitStack() as stack:

        def start(*words):
            process = subprocess.Popen(
                [sys.executable, "-c", WAITING, *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout.readline() == "waits\n"
            return process

        yield start


def test_a_process_that_is_stopped_ends_with_a_line(waiting):
    process = waiting()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    (line,) = process.stderr.read().splitlines()
    assert line.startswith("stopped by SIGTERM; ")


def test_a_second_signal_kills_unless_it_follows_at_once(waiting):
    process = waiting("busy")
    for _ in range(2):  # as timeout does
        process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "waits\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == -signal.SIGINT


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as below nohup
    try:
        cli.run_main(lambda: os.kill(os.getpid(), signal.SIGHUP))
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("usual_signals")
def test_a_signal_while_weights_are_written_leaves_the_old_ones(tmp_path):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")

    class Killing(keras.layers.Dense):
        def save_own_variables(self, store):
            os.kill(os.getpid(), signal.SIGTERM)

    with Run(tmp_path / "run", {}) as run:
        run.save_state(model, {"epoch": 1})
        before = files_of(tmp_path)
        last = keras.Sequential([keras.Input((1,)), Killing(1)])
        last.compile("sgd", "mse")
        assert end_of(lambda: run.save_state(last, {"epoch": 2})) == 143
        assert files_of(tmp_path) == before
        assert run.read_state() == {"epoch": 1}
