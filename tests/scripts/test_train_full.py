"""scripts/train_full.py: from which half model, on which data, and how it fails."""

import json
import shutil

import numpy as np
import pytest

from kerasloc import FullModel, HalfModel
from kerasloc.data import SyntheticConfig
from kerasloc.data import config as data_config
from kerasloc.runs import read_config, read_history
from kerasloc.weights import read_arrays


@pytest.fixture
def half(trained, tmp_path):
    """A half run in results/, without a full one."""
    folder = tmp_path / "results" / "half" / "shapes"
    return shutil.copytree(trained / "half" / "shapes", folder)


@pytest.fixture
def trainers(recorded):
    """Trainings, which train nothing."""
    return recorded("full")


# Run folder


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


# What is trained


def test_without_options_it_uses_the_newest_half_run_and_its_data(
    main, trainers, half, shapes
):
    main([])
    (trainer,) = trainers
    assert trainer.network.family == "full"
    assert trainer.network.options == HalfModel(half).config.options
    assert trainer.tables["train"].paths[0].startswith(str(shapes))
    config = trainer.config
    assert (config.optimizer, config.epochs) == ("adam", 50)
    assert config.align_weight == 0  # the published training
    assert config.batch_size == 8  # the half model's
    assert config.half == str(half.resolve())


def test_embedded_data_has_its_preset(main, trainers, half, shapes, tmp_path):
    embedded = shutil.copytree(shapes, tmp_path / SyntheticConfig().name)
    main(["--data-dir", str(embedded)])
    assert (trainers[0].config.epochs, trainers[0].config.align_weight) == (4, 0.1)


def test_options_win_over_those_of_the_half_run(main, trainers, half):
    words = ["--im_size", "64", "--batch_size", "3", "--augmentation", "affine"]
    main([*words, "--align_weight", "0.1", "--optimizer", "sgd", "--epochs=7"])
    (trainer,) = trainers
    assert trainer.network.im_size == (64, 64)
    config = trainer.config
    assert (config.batch_size, config.augmentation) == (3, "affine")
    assert (config.align_weight, config.optimizer, config.epochs) == (0.1, "sgd", 7)


def test_every_seed_has_the_half_run_of_that_seed(main, trainers, half):
    runs = [half.rename(half.with_name("x-s0")), half.with_name("x-s1")]
    shutil.copytree(*runs)
    words = ["--half-weight-dir", "results/half/x-s{seed}", "--seeds", "0", "1"]
    main([*words, "--no-evaluation"])
    assert [t.run.folder.name for t in trainers] == ["x-s0", "x-s1"]
    assert [t.config.half for t in trainers] == [str(run.resolve()) for run in runs]


def test_another_seed_holds_out_the_images_that_the_half_model_has_not_seen(
    main, trainers, half
):
    main(["--seed", "5"])
    (trainer,) = trainers
    assert trainer.config.seed == 5
    data = data_config.data_of_run(read_config(half)["data"], {})
    held_out = data_config.training_tables(data)["val"].paths
    assert trainer.tables["val"].paths.tolist() == held_out.tolist()


def test_a_half_run_is_the_same_however_its_folder_is_spelled(main, trainers, half):
    for spelling in ("results/half/shapes", "./results/half/shapes/", str(half)):
        main(["--half-weight-dir", spelling])
    assert len(trainers) == 3


def test_a_half_model_saved_by_its_wrapper_is_enough_with_data(
    main, failure, trainers, trained, shapes
):
    HalfModel(trained / "half" / "shapes").save("saved")
    assert "Give --data-dir" in failure("--half-weight-dir", "saved")
    main(["--half-weight-dir", "saved", "--data-dir", str(shapes)])
    assert trainers[0].config.epochs == 50
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


# Errors


def test_without_a_half_model_it_says_what_to_run_first(failure):
    assert "python scripts/pretrain_half.py" in failure()


def test_a_half_model_that_is_not_there_is_named(failure):
    error = failure("--half-weight-dir", "nowhere")
    assert "run folder with a config.json. Received: nowhere." in error


def test_a_full_run_is_no_half_model(failure, trained):
    error = failure("--half-weight-dir", trained / "full" / "shapes")
    assert "of the family 'full'" in error


def test_a_half_run_without_weights_has_not_ended_an_epoch(failure, half):
    (half / "best.weights.h5").unlink()
    assert "not completed an epoch" in failure("--half-weight-dir", half)


def test_data_of_other_classes_is_refused(failure, half, shapes, tmp_path):
    changed = shutil.copytree(shapes, tmp_path / "other")
    (changed / "annotations.json").unlink()
    for split in ("train", "test"):
        (changed / split / "circle").rename(changed / split / "disc")
    error = failure("--data-dir", changed)
    assert "network's classes, circle, star_3_1" in error
    assert "Received: disc, star_3_1" in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num-classes", "398"], "Received: 398"),
        (["--channels", "1"], "channels, 3. Received: channels=1"),
        (["--im-size", "33"], "Nearest that fits: 32 x 32"),
        (["--align-weight", "-1"], "align_weight of at least 0"),
        (["--gpu", "7"], "TensorFlow sees"),
        (["--data-dir", "nowhere"], "nowhere"),
        (["--results-dir", "/proc/1/x"], "another --results-dir"),
    ],
)
def test_wrong_options_are_explained(failure, half, words, message):
    assert message in failure("--half-weight-dir", half, *words)
