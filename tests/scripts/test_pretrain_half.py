"""scripts/pretrain_half.py: its run folder, resuming and errors."""

import os
import pathlib
import runpy
import shutil
import subprocess
import sys
import time

import pytest

from kerasloc import HalfModel
from kerasloc.runs import Run, read_config, read_history
from kerasloc.weights import read_arrays

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "pretrain_half.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def folder(shapes, tmp_path):
    """A copy of the tiny data, to be spoiled."""
    return shutil.copytree(shapes, tmp_path / "copy")


def spoil(folder, split):
    path = sorted(folder.glob(f"{split}/*/*.png"))[0].with_suffix(".jpg")
    path.write_bytes(b"\xff\xd8\xff no picture")
    return path


# Run folder


def test_a_run_is_a_folder_with_everything(trained, shapes):
    folder = trained / "half" / "shapes"
    for name in (
        "best.weights.h5",
        "last.weights.h5",
        "history.csv",
        "figures/history.png",
        "logs",
    ):
        assert (folder / name).exists(), name
    config = read_config(folder)
    assert config["data"]["data_dir"] == str(shapes)
    assert config["training"]["epochs"] == 2
    assert config["network"]["class_names"] == ["circle", "star_3_1", "star_5_2"]
    assert [row["epoch"] for row in read_history(folder)] == [1, 2]
    assert HalfModel(folder).config.im_size == (32, 32)


# What is trained


@pytest.fixture
def trainers(recorded):
    """Trainings, which train nothing."""
    return recorded("half")


def test_options_reach_the_configuration(main, trainers, shapes):
    words = ["--im-size", "64x96", "--channels", "1", "--seed", "7", "--momentum", ".5"]
    more = ["--val-share", "0.4", "--num-classes", "3", "--cache", "memory"]
    main([*words, *more, "--data-dir", str(shapes)])
    (trainer,) = trainers
    assert trainer.network.input_shape == (64, 96, 1)
    assert trainer.network.options == {"momentum": 0.5}
    assert (trainer.config.seed, trainer.config.cache) == (7, "memory")
    assert len(trainer.tables["val"]) == 9
    assert read_config("results/half/shapes")["data"]["seed"] == 7


def test_a_file_of_options_seeds_and_folds_are_as_of_other_families(
    main, trainers, shapes, tmp_path
):
    (tmp_path / "c.toml").write_text("epochs = 3\nseeds = [0, 1]\nevaluation = false")
    words = ["--config", "c.toml", "--protocol", "classification", "--folds", "0", "1"]
    main([*words, "--data-dir", str(shapes), "--im-size", "32"])
    assert [(t.run.folder.name, t.config.seed, t.config.epochs) for t in trainers] == [
        (f"shapes-fold{fold}-s{seed}", seed, 3) for fold in (0, 1) for seed in (0, 1)
    ]


# Resuming


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_a_run_killed_within_an_epoch_resumes(
    main, shapes, tmp_path, half_words, caplog
):
    folder = tmp_path / "results" / "half" / "shapes"
    words = [*half_words, "--data-dir", str(shapes), "--epochs", "3"]
    words += ["--batch-size", "1"]  # epochs long enough to be cut

    def state():
        """The last whole epoch, with every file in order at this moment."""
        if not (folder / "last.weights.h5").is_file():
            return 0
        for name in ("best", "last"):
            assert read_arrays(folder / f"{name}.weights.h5")
        epochs = [row["epoch"] for row in read_history(folder)]
        assert epochs == list(range(1, len(epochs) + 1))
        return Run(folder, {}).read_state()["epoch"]

    with subprocess.Popen(
        [sys.executable, str(SCRIPT), *words],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while state() < 1:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        time.sleep(0.1)  # into the next epoch
        assert process.poll() is None
        process.kill()
    assert 1 <= state() < 3
    assert HalfModel(folder).config.num_classes == 3
    with caplog.at_level("INFO"):
        main(words)  # the same command once more
    assert "resumes after epoch" in caplog.text
    assert [row["epoch"] for row in read_history(folder)] == [1, 2, 3]
    assert state() == 3


def test_two_runs_with_the_same_name_at_once_are_refused(failure, shapes, tmp_path):
    with Run(tmp_path / "results" / "half" / "shapes", {}):
        error = failure("--data-dir", shapes)
    assert "which another process is training" in error


def test_a_run_with_other_options_is_refused_by_name(
    failure, trained, tmp_path, half_words, shapes
):
    shutil.copytree(trained, tmp_path / "results")
    error = failure(*half_words, "--data-dir", shapes, "--learning-rate", 0.5)
    assert "training.learning_rate: 0.05 before, 0.5 now" in error
    assert "--results-name" in error


def test_a_mistake_in_the_first_command_does_not_block_the_name(
    failure, main, shapes, recorded
):
    assert "multiples of 32" in failure("--data-dir", shapes, "--im-size", 100)
    trainers = recorded("half")
    main(["--data-dir", str(shapes), "--im-size", "96"])
    assert trainers


# Errors


def test_a_mistake_is_one_line_and_a_status_of_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--data-dir", "nowhere"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    line = end.value.code  # Python prints what is no number, and its status is 1
    assert line.startswith("error: Expected ")
    assert str(tmp_path / "nowhere") in line
    assert line.count("error:") == 1


def test_an_empty_folder_is_shown_the_scheme(failure, tmp_path):
    error = failure("--data-dir", tmp_path)
    assert "nothing (an empty folder)" in error
    assert "train/CLASS_A" in error


def test_a_class_without_images_is_named(failure, folder):
    empty = folder / "train" / "circle"
    shutil.rmtree(empty)
    empty.mkdir()
    assert str(empty) in failure("--data-dir", folder)


def test_one_class_is_not_enough(failure, folder):
    for path in folder.glob("*/star*"):
        shutil.rmtree(path)
    (folder / "annotations.json").unlink()
    assert "classes. Received: one class, 'circle'" in failure("--data-dir", folder)


def test_other_classes_in_train_and_test_are_named(failure, folder):
    shutil.rmtree(folder / "test" / "circle")
    assert f"{folder / 'test'} lacks circle" in failure("--data-dir", folder)


def test_a_broken_image_is_named_with_the_way_out(failure, folder):
    broken = spoil(folder, "train")
    error = failure("--data-dir", folder)
    assert str(broken) in error
    assert "skip" in error


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_broken_images_can_be_skipped_and_those_of_the_test_are_not_opened(
    main, folder, half_words, caplog
):
    spoil(folder, "test")
    broken = spoil(folder, "train")
    words = ["--data-dir", str(folder), "--on-error", "skip", "--epochs", "1"]
    with caplog.at_level("INFO"):
        main([*half_words, *words])
    assert "24 images are fine, 1 are left out" in caplog.text
    assert str(broken) in caplog.text
    assert len(read_history("results/half/copy")) == 1


@pytest.mark.usefixtures("eager")
def test_a_batch_larger_than_the_data_trains_with_a_warning(
    main, shapes, half_words, caplog
):
    words = ["--data-dir", str(shapes), "--epochs", "1", "--batch-size", "99"]
    main([*half_words, *words])
    assert "batch of 99 is larger than the 18 images" in caplog.text
    assert len(read_history("results/half/shapes")) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--gpu", "7"], "TensorFlow sees"),
        (["--data-dir", "no.csv"], "no.csv"),
        (["--im-size", "100"], "100 x 100. Nearest that fits: 96 x 96"),
        (["--num-classes", "398"], "Received: 398"),
        (
            ["--augmentation", "mixup"],
            "'strong', 'none'. Received: 'mixup'",
        ),
        (["--epochs", "0"], "epochs of at least 1"),
        (["--learning-rate", "-1"], "rate above 0"),
        (["--seed", "-1"], "seed of at least 0"),
        (["--val-share", "1"], "between 0 and 1"),
        (["--growth", "0"], "growth of at least 1"),
        (["--momentum", "1"], "momentum in [0, 1)"),
        (["--channels", "0"], "channel"),
        (["--im-size", "1x2x3"], r"(rows, cols)"),
        (["--results-dir", "/proc/1/results"], "another --results-dir"),
    ],
)
def test_wrong_options_are_explained(failure, shapes, words, message):
    assert message in failure("--data-dir", shapes, *words)
