"""scripts/train_full.py: from which half model, on which data, and how it fails."""

import json
import shutil

import numpy as np
import pytest

from kerasloc import FullModel, HalfModel
from kerasloc.data import config as data_config
from kerasloc.runs import read_config, read_history
from kerasloc.training import hrcam
from kerasloc.weights import read_arrays


@pytest.fixture
def half(trained, tmp_path):
    """A half run in results/, without a full one."""
    folder = tmp_path / "results" / "half" / "shapes"
    return shutil.copytree(trained / "half" / "shapes", folder)


@pytest.fixture
def asked(monkeypatch):
    """What the training is asked for, in the place of a training."""
    calls = []

    def train(run, tables, network, config, **how):
        calls.append({"tables": tables, "network": network, "config": config, **how})
        (run.folder / "last.weights.h5").touch()

    monkeypatch.setattr(hrcam, "train_full", train)
    return calls


# What it leaves


def test_a_run_is_a_folder_with_everything(trained, shapes):
    folder = trained / "full" / "shapes"
    for name in ("best.weights.h5", "last.weights.h5", "figures/history.png", "logs"):
        assert (folder / name).exists(), name
    config = read_config(folder)
    assert config["data"] == read_config(trained / "half" / "shapes")["data"]
    assert config["training"]["half"] == str(trained / "half" / "shapes")
    assert config["training"]["align_weight"] == 0.5
    assert [row["epoch"] for row in read_history(folder)] == [1, 2]
    assert FullModel(folder).config.class_names == ("circle", "star_3_1", "star_5_2")


def test_best_weights_are_those_of_the_lowest_loss(trained):
    rows = read_history(trained / "full" / "shapes")
    assert min(rows, key=lambda row: row["loss"]) == rows[-1]  # so best is last
    best, last = (
        read_arrays(trained / "full" / "shapes" / f"{name}.weights.h5")
        for name in ("best", "last")
    )
    for name in best:
        for key in best[name]:
            np.testing.assert_array_equal(best[name][key], last[name][key])


# What it asks for


def test_without_words_it_takes_the_newest_half_model_and_its_data(
    main, asked, half, shapes
):
    main([])
    (call,) = asked
    assert call["network"].family == "full"
    assert call["network"].options == HalfModel(half).config.options
    assert call["tables"]["train"].paths[0].startswith(str(shapes))
    assert (call["config"].optimizer, call["config"].epochs) == ("adam", 50)
    assert call["config"].align_weight == 0  # the published training
    assert call["config"].batch_size == 8  # as the half model's
    assert np.array_equal(
        call["half"].get_weights()[0], HalfModel(half).model.get_weights()[0]
    )


def test_embedded_data_needs_few_epochs(main, script, asked, half, monkeypatch):
    monkeypatch.setattr(data_config, "is_embedded", lambda path: True)
    main([])
    assert asked[0]["config"].epochs == script("train_full").EMBEDDED["epochs"] < 50


def test_options_win_over_those_of_the_half_model(main, asked, half):
    words = ["--im_size", "64", "--batch_size", "3", "--augmentation", "affine"]
    main([*words, "--align_weight", "0.1", "--optimizer", "sgd", "--epochs=7"])
    (call,) = asked
    assert call["network"].im_size == (64, 64)
    config = call["config"]
    assert (config.batch_size, config.augmentation) == (3, "affine")
    assert (config.align_weight, config.optimizer, config.epochs) == (0.1, "sgd", 7)


def test_another_seed_holds_out_the_images_that_the_half_model_has_not_seen(
    main, asked, half
):
    main(["--seed", "5"])
    (call,) = asked
    assert call["config"].seed == 5
    known = data_config.data_of_run(read_config(half)["data"], {})
    held_out = data_config.training_tables(known)["val"].paths
    assert call["tables"]["val"].paths.tolist() == held_out.tolist()


def test_a_half_run_is_the_same_however_its_folder_is_spelled(main, asked, half):
    for spelling in ("results/half/shapes", "./results/half/shapes/", str(half)):
        main(["--half-weight-dir", spelling])
    assert len(asked) == 3


def test_a_half_model_saved_by_its_wrapper_is_enough_with_data(
    main, failure, asked, trained, shapes
):
    HalfModel(trained / "half" / "shapes").save("saved")
    assert "Give --data-dir" in failure("--half-weight-dir", "saved")
    main(["--half-weight-dir", "saved", "--data-dir", str(shapes)])
    assert asked[0]["config"].epochs == 50
    assert read_config("results/full/saved")["data"]["data_dir"] == str(shapes)


def test_a_complete_run_started_again_does_nothing(main, trained, tmp_path, caplog):
    results = shutil.copytree(trained, tmp_path / "results")
    path = results / "full" / "shapes" / "config.json"
    config = json.loads(path.read_text())
    config["training"]["half"] = str(results / "half" / "shapes")
    path.write_text(json.dumps(config))
    history = (results / "full" / "shapes" / "history.csv").read_text()
    words = ["--align-weight", "0.5", "--optimizer", "adam", "--learning-rate", "0.01"]
    with caplog.at_level("INFO"):
        main([*words, "--epochs", "2"])
    assert "has its 2 epochs already" in caplog.text
    assert (results / "full" / "shapes" / "history.csv").read_text() == history


# How it fails


def test_without_a_half_model_it_says_what_to_run_first(failure):
    assert "python scripts/pretrain_half.py" in failure()


def test_a_half_model_that_is_not_there_is_named(failure):
    assert "Received: nowhere, which has none" in failure(
        "--half-weight-dir", "nowhere"
    )


def test_a_full_run_is_no_half_model(failure, trained):
    said = failure("--half-weight-dir", trained / "full" / "shapes")
    assert "of the family 'full'" in said


def test_a_half_run_without_weights_has_not_ended_an_epoch(failure, half):
    (half / "best.weights.h5").unlink()
    assert "has not ended a first epoch" in failure("--half-weight-dir", half)


def test_data_of_other_classes_is_refused(failure, half, shapes, tmp_path):
    other = shutil.copytree(shapes, tmp_path / "other")
    (other / "annotations.json").unlink()
    for split in ("train", "test"):
        (other / split / "circle").rename(other / split / "disc")
    said = failure("--data-dir", other)
    assert "network's classes, circle, star_3_1" in said
    assert "Received: disc, star_3_1" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num-classes", "398"], "Received: 398"),
        (["--channels", "1"], "half model's channels, 3. Received: 1"),
        (["--im-size", "33"], "Nearest that fits: 32 x 32"),
        (["--align-weight", "-1"], "align_weight of at least 0"),
        (["--gpu", "7"], "TensorFlow sees"),
        (["--data-dir", "nowhere"], "nowhere"),
        (["--results-dir", "/proc/1/x"], "Give another --results-dir"),
    ],
)
def test_wrong_options_are_explained(failure, half, words, message):
    assert message in failure("--half-weight-dir", half, *words)
