"""Experiments: seeds, phases, starts, and the table of them all."""

import csv
import pathlib

import numpy as np
import pytest

from kerasloc.data import config as data_config
from kerasloc.evaluation import evaluate_run
from kerasloc.runs import read_config, read_history
from kerasloc.training import experiments, maps
from kerasloc.weights import read_arrays


@pytest.fixture
def main(script, tmp_path, monkeypatch):
    """train_pylon's main in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return script("train_pylon").main


@pytest.fixture
def asked(monkeypatch):
    """What trainings are asked for, in the place of trainings."""
    calls = []

    def train(run, tables, network, config, **how):
        calls.append(
            {"folder": run.folder, "network": network, "config": config, **how}
        )
        calls[-1]["tables"] = tables

    monkeypatch.setattr(experiments, "train_maps", train)
    return calls


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def is_equal(first, second):
    return first.keys() == second.keys() and all(
        np.array_equal(first[key], second[key]) for key in first
    )


NO = "--no-evaluation"


# What is trained


def test_without_words_the_embedded_data_is_trained_on_within_minutes(
    main, asked, several, monkeypatch
):
    configs = []

    def embedded(config):
        configs.append(config)
        return several

    monkeypatch.setattr(data_config, "default_folder", embedded)
    main([NO])
    (call,) = asked
    assert configs[0].multi_label
    assert call["folder"] == pathlib.Path("results/pylon/several")
    assert call["network"].options == {"backbone": "resnet18"}
    assert call["network"].multi_label
    assert call["config"].epochs == experiments.EMBEDDED["epochs"] < 40
    assert call["config"].augmentation == "voc"
    assert call["strategy"] is None


def test_own_data_is_trained_on_as_published(main, asked, several):
    main(["--data-dir", str(several), "--dataset", "csv", NO])
    (call,) = asked
    config = call["config"]
    assert call["network"].im_size == (256, 256)
    assert call["network"].options == {}  # so the builder's own: ResNet-50
    assert (config.optimizer, config.learning_rate) == ("adam", 1e-4)
    assert (config.batch_size, config.epochs) == (64, 40)
    assert (config.patience, config.factor, config.stop_rate) == (1, 0.2, 1e-6)
    assert (config.start, config.freeze_encoder) == (None, False)


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [("nih14", (1, "xray")), ("vindr", (1, "xray")), ("voc", (3, "voc"))],
)
def test_data_sets_have_their_channels_and_augmentation(
    main, asked, several, monkeypatch, dataset, expected
):
    table = data_config.read_table(data_config.DataConfig(str(several), dataset="csv"))
    monkeypatch.setattr(data_config, "read_table", lambda *args: table)
    main(["--data-dir", "images", "--dataset", dataset, NO])
    (call,) = asked
    assert (call["network"].channels, call["config"].augmentation) == expected
    assert read_config("results/pylon/images")["data"]["dataset"] == dataset


def test_options_win_over_what_is_published(main, asked, pylon_words):
    words = ["--n-up", "2", "--no-use-pa", "--augmentation", "xray", "--seed", "4"]
    main([*pylon_words, *words, "--patience", "5", NO])
    (call,) = asked
    assert call["network"].options == {
        "backbone": "resnet18",
        "decoder_channels": 8,
        "n_up": 2,
        "use_pa": False,
    }
    assert call["config"].augmentation == "xray"
    assert (call["config"].seed, call["config"].patience) == (4, 5)


def test_a_data_set_without_a_folder_asks_for_it(main, asked):
    with pytest.raises(ValueError, match="Received: --dataset nih14 alone"):
        main(["--dataset", "nih14"])
    assert list(pathlib.Path().iterdir()) == []  # nothing was made


# Seeds


def test_every_seed_has_its_run_and_the_images_held_out_stay(main, asked, pylon_words):
    main([*pylon_words, "--seeds", "3", "5", NO])
    folders = [call["folder"].name for call in asked]
    assert folders == ["several-s3", "several-s5"]
    assert [call["config"].seed for call in asked] == [3, 5]
    first, second = (call["tables"]["val"].paths.tolist() for call in asked)
    assert first == second
    for folder, seed in zip(folders, (3, 5), strict=True):
        config = read_config(f"results/pylon/{folder}")
        assert config["training"]["seed"] == seed
        assert config["data"]["seed"] == 0


def test_a_start_may_be_another_for_every_seed(main, asked, pylon_words):
    words = ["--seeds", "0", "2", "--start", "results/pylon/nih-s{seed}", NO]
    main([*pylon_words, *words])
    starts = [call["config"].start for call in asked]
    assert starts == ["results/pylon/nih-s0", "results/pylon/nih-s2"]


def test_a_start_of_a_file_may_be_taken_back(main, asked, pylon_words):
    main([*pylon_words, "--start", "imagenet", "--start", "none", NO])
    assert asked[0]["config"].start is None


def test_one_of_several_seeds_is_called_as_with_the_others(main, asked, pylon_words):
    main([*pylon_words, "--seeds", "4", NO])
    assert asked[0]["folder"].name == "several-s4"


@pytest.mark.parametrize(
    "words", [["--seeds", "1", "1"], ["--seeds", "1", "--seed", "2"]]
)
def test_seeds_that_mean_two_things_are_refused(main, asked, pylon_words, words):
    with pytest.raises(ValueError, match="each seed once"):
        main([*pylon_words, *words, NO])
    assert not asked


@pytest.mark.slow
def test_seeds_are_collected_with_mean_and_deviation(
    main, pylon_words, small_pylon, caplog
):
    with caplog.at_level("INFO"):
        main([*pylon_words, "--epochs", "1", "--seeds", "0", "1"])
    place = pathlib.Path("results/pylon")
    runs = [read(place / f"several-s{s}" / "evaluation/metrics.csv") for s in range(2)]
    collected = read(place / "several-collected" / "collected.csv")
    classes = [row["class"] for row in runs[0]]
    assert [row["class"] for row in collected] == classes
    assert classes[3:] == ["macro", "micro", "weighted"]
    for number, row in enumerate(collected):
        assert row["runs"] == "2"
        for name in ("auroc", "average_precision", "point", "iobb_0.25", "iou_0.1"):
            a, b = (float(run[number][name]) for run in runs)
            mean = (a + b) / 2
            variance = (a - mean) ** 2 + (b - mean) ** 2  # over 2 - 1
            assert float(row[f"{name}_mean"]) == pytest.approx(mean)
            assert float(row[f"{name}_std"]) == pytest.approx(variance**0.5, abs=1e-12)
    assert any(float(row["auroc_std"]) > 0 for row in collected)
    every = read(place / "several-collected" / "runs.csv")
    names = [f"several-s{seed}" for seed in range(2) for _ in classes]
    assert [row["run"] for row in every] == names
    assert [row["auroc"] for row in every] == [row["auroc"] for r in runs for row in r]
    assert "over 2 runs" in caplog.text


# Phases


@pytest.mark.slow
def test_the_second_phase_starts_from_the_best_of_a_frozen_first(
    main, pylon_words, small_pylon, monkeypatch
):
    began = []
    real = maps.map_trainer

    def note(model, *others):
        began.append({layer.name: layer.get_weights() for layer in model.layers})
        return real(model, *others)

    monkeypatch.setattr(maps, "map_trainer", note)
    rest = [*pylon_words, "--epochs", "2", "--learning-rate", "0.05", NO]
    main([*rest, "--results-name", "first", "--epochs", "1"])
    main([*rest, "--results-name", "two", "--phases", "2", "--start", source()])
    best = {
        name: {
            layer: [own[key] for key in sorted(own, key=int)]
            for layer, own in read_arrays(
                f"results/pylon/{name}/best.weights.h5"
            ).items()
        }
        for name in ("first", "two-phase1", "two")
    }
    for layer, arrays in best["first"].items():
        for a, b in zip(arrays, began[1][layer], strict=True):
            np.testing.assert_array_equal(a, b)
    for layer in ("conv1", "bn1"):  # and its statistics
        for a, b in zip(best["first"][layer], best["two-phase1"][layer], strict=True):
            np.testing.assert_array_equal(a, b)
        moved = zip(best["two-phase1"][layer], best["two"][layer], strict=True)
        assert any(not np.array_equal(a, b) for a, b in moved)
    for layer, arrays in best["two-phase1"].items():
        for a, b in zip(arrays, began[2][layer], strict=True):
            np.testing.assert_array_equal(a, b)
    first, second = (
        read_config(f"results/pylon/{name}")["training"]
        for name in ("two-phase1", "two")
    )
    assert (first["freeze_encoder"], second["freeze_encoder"]) == (True, False)
    assert first["start"] == str(pathlib.Path(source()).resolve())
    assert second["start"] == str(pathlib.Path("results/pylon/two-phase1").resolve())
    assert len(read_history("results/pylon/two")) == 2


def source():
    return "results/pylon/first"


# Measuring


def test_a_run_is_measured_in_full_precision_however_it_was_trained(
    main, pylon_words, small_pylon
):
    import keras

    try:
        main([*pylon_words, "--epochs", "1", "--mixed-precision", "mixed_bfloat16"])
    finally:
        keras.config.set_dtype_policy("float32")
    folder = pathlib.Path("results/pylon/several")
    measured = read(folder / "evaluation" / "metrics.csv")
    evaluate_run(folder)
    again = read(folder / "evaluation" / "metrics.csv")
    assert [row["point"] for row in measured] == [row["point"] for row in again]
    assert [row["iobb_0.25"] for row in measured] == [row["iobb_0.25"] for row in again]
