"""scripts/evaluate.py: images, runs, files."""

import json
import shutil

import keras
import numpy as np
import pytest

from kerasloc.data import config as data_config
from kerasloc.data import read_folders
from kerasloc.evaluation import classification
from kerasloc.evaluation.refinement import THRESHOLDS, PairScores
from kerasloc.io import read_csv as read
from kerasloc.models import families
from kerasloc.runs import read_config


@pytest.fixture
def results(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "results")


@pytest.fixture
def folder(shapes, tmp_path):
    """A copy of the tiny data, to be spoiled."""
    return shutil.copytree(shapes, tmp_path / "copy")


@pytest.fixture
def measured(monkeypatch):
    """Tables that maps are measured on; IoU peaks at 0.2 for the first, 0.6 after."""
    tables = []

    def localize(wrapper, table, options, batch_size):
        tables.append(table)
        curve = 1 - np.abs(THRESHOLDS - (0.2 if len(tables) == 1 else 0.6))
        return {"low": PairScores(np.ones(2), np.stack([curve, curve]))}

    monkeypatch.setattr(classification, "localize", localize)
    return tables


def change_data(run, **changes):
    config = json.loads((run / "config.json").read_text())
    config["data"] |= changes
    (run / "config.json").write_text(json.dumps(config))


# What it writes


@pytest.mark.slow
def test_a_full_model_is_measured_with_tables_and_figures(main, results, caplog):
    with caplog.at_level("INFO"):
        main(["--type", "full"])
    place = results / "full" / "shapes" / "evaluation"
    assert read(place / "metrics.csv")[0]["images"] == "12"
    assert len(read(place / "per_class.csv")) == 3
    rows = {row["map"]: row for row in read(place / "localization.csv")}
    assert {"low", "high", "refined", "constant centre"} <= set(rows)
    assert {row["count"] for row in rows.values()} == {"12"}
    everything = json.loads((place / "evaluation.json").read_text())
    assert np.sum(everything["classification"]["confusion"]) == 12
    assert len(everything["localization"]) == len(rows)
    pictures = sorted(path.name for path in place.glob("*.png"))
    assert len(pictures) == 3
    assert pictures[0] == "confusion.png"
    assert all(name.startswith("pipeline-") for name in pictures[1:])
    for text in ("12 test images", "thresholds: the best of validation", "refined"):
        assert text in caplog.text


def test_a_half_model_is_measured_by_its_low_map(main, results):
    main(["--type", "half"])
    place = results / "half" / "shapes" / "evaluation"
    maps = [row["map"] for row in read(place / "localization.csv")]
    assert maps == ["low", "low, another class", "constant centre"]
    assert [path.name for path in place.glob("*.png")] == ["confusion.png"]


def test_several_runs_are_collected(main, results, measured, caplog):
    again = shutil.copytree(results / "half" / "shapes", results / "half" / "again")
    with caplog.at_level("INFO"):
        main(["--type", "half", "--weights", str(again), "results/half/shapes"])
    (row,) = read(results / "half" / "localization_collected.csv")
    assert (row["map"], row["runs"]) == ("low", "2")
    # the first run is measured at 0.6 with a peak at 0.2, the second at its peak
    assert float(row["iou_mean"]) == pytest.approx((0.6 + 1.0) / 2)
    assert float(row["iou_std"]) == pytest.approx(0.4 / np.sqrt(2))
    assert "over 2 runs" in caplog.text
    collected = results / "half" / "collected"
    rows = read(collected / "runs.csv")
    assert {row["run"] for row in rows} == {"again", "shapes"}
    scores = {row["quantity"]: row for row in read(collected / "collected.csv")}
    accuracy = [float(r["value"]) for r in rows if r["quantity"] == "accuracy"]
    mean = float(scores["accuracy"]["value_mean"])
    assert mean == pytest.approx(np.mean(accuracy))
    assert "f1_macro" in scores


# On which images


def test_the_threshold_comes_from_the_images_held_out_of_training(
    main, results, measured
):
    main(["--type", "half"])
    test, val = measured
    config = data_config.DataConfig(**read_config(results / "half" / "shapes")["data"])
    assert len(test) == 12
    assert all("/test/" in path for path in test.paths)
    expected = data_config.training_tables(config)["val"].paths
    assert val.paths.tolist() == expected.tolist()
    (row,) = read(results / "half" / "shapes" / "evaluation" / "localization.csv")
    assert float(row["threshold"]) == 0.6  # not the 0.2 of the test images
    assert float(row["iou"]) == pytest.approx(0.6)


def test_data_without_masks_and_boxes_is_classified_only(main, results, folder):
    (folder / "annotations.json").unlink()
    main(["--type", "half", "--data-dir", str(folder)])
    place = results / "half" / "shapes" / "evaluation"
    assert read(place / "metrics.csv")[0]["images"] == "12"
    assert not (place / "localization.csv").exists()


def test_data_of_test_images_alone_has_the_threshold_of_a_half(
    main, results, folder, measured
):
    shutil.rmtree(folder / "train")
    main(["--type", "half", "--data-dir", str(folder)])
    assert len(measured) == 1
    (row,) = read(results / "half" / "shapes" / "evaluation" / "localization.csv")
    assert (float(row["threshold"]), row["tuned"]) == (0.5, "False")


def test_a_csv_is_evaluated_with_the_classes_of_the_run(
    main, results, shapes, tmp_path
):
    table = read_folders(shapes).split("test")
    lines = ["image,label,split"]
    for path, index in zip(table.paths, table.class_index, strict=True):
        if index > 0:
            lines.append(f"{path},{table.class_names[index]},test")
    (tmp_path / "some.csv").write_text("\n".join(lines))
    main(["--type", "half", "--data-dir", "some.csv"])
    place = results / "half" / "shapes" / "evaluation"
    support = {row["class"]: row["support"] for row in read(place / "per_class.csv")}
    assert support == {"circle": "0", "star_3_1": "4", "star_5_2": "4"}


def test_validation_images_may_be_used(main, results):
    main(["--type", "half", "--split", "val"])
    place = results / "half" / "shapes" / "evaluation-val"
    assert read(place / "metrics.csv")[0]["images"] == "6"


def test_broken_images_are_treated_as_in_training(
    main, failure, results, folder, measured
):
    broken = sorted(folder.glob("train/*/*.png"))[0].with_suffix(".jpg")
    broken.write_bytes(b"\xff\xd8\xff no picture")
    change_data(results / "half" / "shapes", data_dir=str(folder), on_error="skip")
    main(["--type", "half"])
    assert (results / "half" / "shapes" / "evaluation" / "localization.csv").is_file()
    said = failure("--type", "half", "--on-error", "raise")
    assert str(broken) in said


# Which runs


def test_a_run_can_be_named_in_another_folder_of_runs(
    main, results, measured, tmp_path
):
    place = results.rename(tmp_path / "elsewhere") / "half"
    shutil.copytree(place / "shapes", place / "other")
    main(["--type", "half", "--results-dir", "elsewhere", "--results-name", "other"])
    assert not (place / "shapes" / "evaluation").exists()
    main(["--type", "half", "--results-dir", "elsewhere"])
    for name in ("other", "shapes"):
        assert (place / name / "evaluation" / "metrics.csv").is_file()


# How it fails


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--results-name", "nowhere"], "results/half/nowhere"),
        (["--weights", "results/full/shapes"], "one family. Received: full, half"),
        (["--checkpoint", "last"], "checkpoint last"),
    ],
)
def test_a_wrong_run_is_named(failure, results, words, message):
    assert message in failure("--type", "half", *words)


def test_data_of_other_classes_is_refused(failure, results, folder):
    (folder / "annotations.json").unlink()
    for split in ("train", "test"):
        (folder / split / "circle").rename(folder / split / "disc")
    said = failure("--type", "half", "--data-dir", folder)
    assert "lacks circle" in said
    assert "lacks disc" in said


def test_data_that_has_moved_is_named(failure, results):
    change_data(results / "half" / "shapes", data_dir="/moved/away")
    assert "/moved/away" in failure("--type", "half")


def test_broken_or_missing_test_images_are_named(failure, results, folder):
    words = ("--type", "half", "--data-dir", folder)
    broken = sorted(folder.glob("test/*/*.png"))[0].with_suffix(".jpg")
    broken.write_bytes(b"\xff\xd8\xff no picture")
    assert str(broken) in failure(*words)
    shutil.rmtree(folder / "test")
    assert "Put them in test/CLASS/" in failure(*words)


def test_a_model_is_required(main, capsys):
    with pytest.raises(SystemExit) as end:
        main([])
    assert end.value.code == 2
    assert "--type" in capsys.readouterr().err


# Networks of maps


@pytest.fixture
def map_run(small_pylon, multi_label_data, tmp_path):
    """Function that leaves a run of a small network, untrained, in results/."""

    def leave(name, seed=0, family="pylon", classes=("circle", "star_3_1", "star_5_2")):
        network = {"family": family, "class_names": classes, "im_size": (32, 32)}
        network |= {"multi_label": True, "thresholds": (0.3, 0.4, 0.5)}
        network["options"] = {"backbone": "resnet18", "decoder_channels": 4}
        data = {"data_dir": str(multi_label_data), "dataset": "csv", "seed": 0}
        folder = tmp_path / "results" / family / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(
            json.dumps({"network": network, "data": data})
        )
        keras.utils.set_random_seed(seed)
        model = small_pylon((32, 32, 3), len(classes), decoder_channels=4)
        model.save_weights(folder / "best.weights.h5")
        return folder

    return leave


def test_a_network_of_maps_is_measured_by_its_family(main, map_run, caplog):
    folder = map_run("a")
    with caplog.at_level("INFO"):
        main(["--type", "pylon"])
    rows = read(folder / "evaluation" / "metrics.csv")
    names = ["circle", "star_3_1", "star_5_2", "macro", "micro", "weighted"]
    assert [row["class"] for row in rows] == names
    assert {"auroc", "point", "point_low", "center_point", "iobb_0.25", "iou_0.5"} <= (
        set(rows[0])
    )
    assert "12 images" in caplog.text
    assert not (folder.parent / "collected").exists()


def test_several_runs_of_maps_are_collected(main, map_run):
    folders = [map_run(f"s{seed}", seed) for seed in range(2)]
    main(["--weights", *map(str, folders), "--batch-size", "5"])
    target = folders[0].parent / "collected"
    runs = [read(folder / "evaluation" / "metrics.csv") for folder in folders]
    for number, row in enumerate(read(target / "collected.csv")):
        values = [float(run[number]["auroc"]) for run in runs]
        assert float(row["auroc_mean"]) == pytest.approx(np.mean(values))
    assert [row["run"] for row in read(target / "runs.csv")[::6]] == ["s0", "s1"]


def test_runs_of_different_families_are_refused(failure, map_run):
    folders = [map_run("a"), map_run("a", family="fpn")]
    said = failure("--weights", *folders)
    assert "Expected runs of one family. Received: fpn, pylon" in said
    said = failure("--type", "pylon", "--weights", folders[1])
    assert "Received: fpn, pylon" in said
    assert not (folders[1] / "evaluation").exists()


@pytest.mark.parametrize(
    ("family", "command"),
    [
        ("full", "pretrain_half.py and then python scripts/train_full.py"),
        ("pylon", "python scripts/train_pylon.py"),
        ("fpn", "python scripts/train_baseline.py --model"),
        ("explainer", "python scripts/train_explainer.py"),
    ],
)
def test_without_a_run_the_command_is_named(failure, family, command):
    assert command in failure("--type", family)


def test_data_of_other_classes_than_the_maps_is_refused(failure, map_run):
    map_run("a", classes=("circle", "star_3_1", "disc"))
    assert "disc" in failure("--type", "pylon")


def test_another_checkpoint_of_a_run_is_measured_in_a_folder_of_its_own(main, map_run):
    folder = map_run("a")
    other = map_run("b", 9) / "best.weights.h5"
    shutil.copy(other, folder / "best-tiou.weights.h5")
    words = ["--weights", str(folder), "--checkpoint", "best-tiou"]
    main(words)
    main(["--weights", str(other.parent)])
    found = read(folder / "evaluation-best-tiou" / "metrics.csv")
    assert found == read(other.parent / "evaluation" / "metrics.csv")
    assert not (folder / "evaluation").exists()
    main([*words, "--split", "val"])
    assert (folder / "evaluation-val-best-tiou" / "metrics.csv").is_file()


def test_the_help_names_the_families(main, capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert ", ".join(families.names()) in text


# The explainer-classifier


@pytest.fixture
def explainer_run(shapes, tmp_path):
    """A run of an untrained explainer-classifier with the folder of a phase."""
    from kerasloc.models.explainer import explainer_classifier

    names = ("circle", "star_3_1", "star_5_2")
    network = {"family": "explainer", "class_names": names, "im_size": (16, 16)}
    network["options"] = {"classifier": "vgg", "init_bias": 1.0}
    data = {"data_dir": str(shapes), "dataset": "folders", "seed": 0}
    folder = tmp_path / "results" / "explainer" / "a"
    for number, place in enumerate((folder, folder / "phase1-classifier")):
        place.mkdir(parents=True)
        config = json.dumps({"network": network, "data": data, "training": {}})
        (place / "config.json").write_text(config)
        keras.utils.set_random_seed(number)
        model = explainer_classifier((16, 16, 3), 3, "vgg", init_bias=1.0)
        model.save_weights(place / "best.weights.h5")
    return folder


def test_explainer_classifiers_and_their_phases_are_measured_and_collected(
    main, failure, explainer_run, caplog
):
    phase = explainer_run / "phase1-classifier"
    words = ["--weights", str(explainer_run), str(phase), "--aopc-images", "1"]
    with caplog.at_level("INFO"):
        main([*words, "--batch-size", "65"])
    found = [
        {row["quantity"]: row for row in read(place / "evaluation" / "metrics.csv")}
        for place in (explainer_run, phase)
    ]
    expected = {"accuracy", "explanation_target", "pompom", "point", "aopc_gradcam"}
    assert expected <= set(found[0])
    assert found[0]["pompom"]["images"] == "12"
    assert found[0]["aopc"]["images"] == "1"
    collected = read(explainer_run.parent / "collected" / "collected.csv")
    for row in collected:
        values = [float(each[row["quantity"]]["value"]) for each in found]
        assert float(row["value_mean"]) == pytest.approx(np.mean(values))
    assert "over 2 runs" in caplog.text
    said = failure("--type", "explainer", "--checkpoint", "last")
    assert "--weights RUN/phase1-classifier" in said  # there is no other checkpoint
