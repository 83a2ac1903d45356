"""Experiments: presets, seeds, folds, phases, and the table of all runs."""

import contextlib
import csv
import dataclasses
import pathlib

import keras
import pytest
from PIL import Image

from kerasloc.data import config as data_config
from kerasloc.data.splits import make_lists, write_lists
from kerasloc.evaluation import ResultTable, evaluate_run
from kerasloc.models import families
from kerasloc.runs import read_config, read_history
from kerasloc.training import cli
from kerasloc.training.configs import HamTraining, HrcamTraining, MapTraining
from kerasloc.training.experiment import make_experiment, run_experiment
from kerasloc.training.maps import MapTrainer
from tests.training.helpers import as_lists, is_equal

NO = "--no-evaluation"


@pytest.fixture
def train(tmp_path):
    """Function that trains a family with words of a command line in an empty folder."""

    def run(family, *words):
        parser = cli.training_parser(family, "", "", without=())
        words = [*map(str, words), "--results-dir", str(tmp_path / "results")]
        return run_experiment(family, parser.parse_args(words))

    return run


@pytest.fixture
def results(tmp_path):
    """Folder of the runs."""
    return tmp_path / "results"


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def read_data(multi_label_data):
    return data_config.DataConfig(str(multi_label_data), dataset="csv")


# Presets


@pytest.mark.parametrize(
    ("family", "training", "size", "normal"),
    [
        ("half", HrcamTraining(), (224, 224), (0.0,)),
        ("pylon", MapTraining(augmentation="voc"), (256, 256), (0.485, 0.456, 0.406)),
        ("ham", HamTraining(), (512, 512), (0.5,)),
    ],
)
def test_data_of_a_user_is_trained_on_as_published(
    train, recorded, multi_label_data, results, family, training, size, normal
):
    trainers = recorded(family)
    train(family, "--data-dir", multi_label_data, "--dataset", "csv", NO)
    (trainer,) = trainers
    assert trainer.run.folder == results / family / "several"
    assert trainer.config == training
    assert trainer.network.im_size == size
    assert (trainer.network.channels, trainer.network.mean) == (3, normal)
    assert trainer.network.options == {}  # the builder's defaults
    assert trainer.network.multi_label
    assert trainer.strategy is None


@pytest.mark.parametrize("family", ["half", "pylon", "ham"])
def test_embedded_data_is_trained_on_with_its_preset(
    train, recorded, multi_label_data, results, family
):
    trainers = recorded(family, data_dir=str(multi_label_data), dataset="csv")
    train(family, NO)
    (trainer,) = trainers
    preset = families.get(family).preset(None, embedded=True)
    assert trainer.run.folder == results / family / "several"
    assert trainer.network.im_size == (preset["im_size"],) * 2 == (96, 96)
    assert trainer.config.epochs == preset["epochs"] <= 12
    assert trainer.config.augmentation == preset["augmentation"]
    assert trainer.network.options.items() <= preset.items()
    assert trainer.network.options
    data = data_config.training_tables(read_data(multi_label_data))
    boxed, all_boxed = (
        len(set(tables["train"].boxes[:, 0])) for tables in (trainer.tables, data)
    )
    assert boxed == (round(all_boxed / 2) if family == "ham" else all_boxed)


@pytest.mark.parametrize(
    ("family", "multi_label"), [("half", False), ("pylon", True), ("ham", True)]
)
def test_families_have_their_embedded_data(
    monkeypatch, multi_label_data, family, multi_label
):
    configs = []

    def folder(config):
        configs.append(config)
        return multi_label_data

    monkeypatch.setattr(data_config, "default_folder", folder)
    experiment = make_experiment(family, {})
    assert configs[0].multi_label is multi_label
    assert experiment.data.dataset == ("csv" if multi_label else "folders")


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [("nih14", (1, "xray")), ("vindr", (1, "xray")), ("voc", (3, "voc"))],
)
def test_datasets_have_their_channels_and_augmentation(
    multi_label_data, dataset, expected
):
    overrides = {"data_dir": str(multi_label_data), "dataset": dataset}
    experiment = make_experiment("pylon", overrides)
    assert (experiment.images.channels, experiment.training.augmentation) == expected
    assert experiment.data.dataset == dataset


@pytest.mark.parametrize("family", ["half", "pylon", "ham", "unet"])
def test_counts_of_each_class_and_a_warning_come_before_training(
    train, recorded, caplog, tmp_path, family
):
    lines = ["image,label,split"]
    for index in range(10):
        Image.new("L", (8, 8)).save(tmp_path / f"{index}.png")
        lines.append(f"{index}.png,cat,{'val' if index < 3 else 'train'}")
    path = tmp_path / "cats.csv"
    path.write_text("\n".join(lines))
    recorded(family)
    with caplog.at_level("INFO"):
        train(family, "--data-dir", path, NO)
    counts, warning, training = (
        next(i for i, r in enumerate(caplog.records) if text in r.getMessage())
        for text in ("7 train, 3 val", "no image without cat in train", "Training")
    )
    assert counts < warning < training
    assert caplog.messages[counts].split()[-5:] == ["cat", "7", "0", "3", "0"]
    assert "mean nothing" in caplog.messages[warning]
    assert caplog.records[warning].levelname == "WARNING"


def test_options_win_over_presets(train, recorded, pylon_words, ham_words, results):
    pylons, hams = recorded("pylon"), recorded("ham")
    words = ["--n-up", "2", "--no-use-pa", "--augmentation", "xray", "--seed", "4"]
    train("pylon", *pylon_words, *words, "--patience", "5", NO)
    words = ["--downsampling", "16", "--no-using-dilation", "--select", "tiou"]
    words += ["--decay", "polynomial", "--union-weight", "0.25", "--epochs", "6"]
    words += ["--annotated-weight", "3", "--weight-decay", "0", "--box-share", "0.5"]
    train("ham", *ham_words, *words, NO)
    small = {"backbone": "resnet18"}
    options = {**small, "decoder_channels": 8, "n_up": 2, "use_pa": False}
    assert pylons[0].network.options == options
    expected = {"augmentation": "xray", "seed": 4, "patience": 5}
    assert expected.items() <= dataclasses.asdict(pylons[0].config).items()
    options = {**small, "downsampling": 16, "using_dilation": False}
    assert hams[0].network.options == options
    expected = {"select": "tiou", "decay": "polynomial", "decay_epochs": 6}
    expected |= {"annotated_weight": 3, "weight_decay": 0}
    assert expected.items() <= dataclasses.asdict(hams[0].config).items()
    weights = {**HamTraining().term_weights, "union": 0.25}
    assert hams[0].config.term_weights == weights
    assert read_config(results / "ham" / "several")["data"]["box_share"] == 0.5


def test_a_dataset_without_its_folder_is_refused(train, recorded, tmp_path):
    trainers = recorded("pylon")
    with pytest.raises(ValueError, match="Received: --dataset nih14 alone"):
        train("pylon", "--dataset", "nih14")
    assert not trainers
    assert list(tmp_path.iterdir()) == []  # nothing was made


# Seeds


@pytest.mark.parametrize("family", ["half", "pylon"])
def test_every_seed_has_its_run_and_the_held_out_images_stay(
    train, recorded, multi_label_data, results, family
):
    trainers = recorded(family)
    train(
        family, "--data-dir", multi_label_data, "--dataset", "csv", "--seeds", 3, 5, NO
    )
    names = ["several-s3", "several-s5"]
    assert [trainer.run.folder.name for trainer in trainers] == names
    assert [trainer.config.seed for trainer in trainers] == [3, 5]
    first, second = (trainer.tables["val"].paths.tolist() for trainer in trainers)
    assert first == second
    for name, seed in zip(names, (3, 5), strict=True):
        config = read_config(results / family / name)
        assert config["training"]["seed"] == seed
        assert config["data"]["seed"] == 0


@pytest.mark.parametrize(
    ("words", "starts"),
    [
        (
            ["--seeds", 0, 2, "--start", "results/pylon/nih-s{seed}"],
            ["results/pylon/nih-s0", "results/pylon/nih-s2"],
        ),
        (["--start", "imagenet", "--start", "none"], [None]),  # one of a toml file
    ],
)
def test_a_start_is_that_of_the_seed_or_none(
    train, recorded, pylon_words, words, starts
):
    trainers = recorded("pylon")
    train("pylon", *pylon_words, *words, NO)
    assert [trainer.config.start for trainer in trainers] == starts


def test_a_single_seed_is_named_as_several_are(train, recorded, pylon_words):
    trainers = recorded("pylon")
    train("pylon", *pylon_words, "--seeds", "4", NO)
    assert trainers[0].run.folder.name == "several-s4"


@pytest.mark.parametrize(
    "words", [["--seeds", "1", "1"], ["--seeds", "1", "--seed", "2"]]
)
def test_ambiguous_seeds_are_refused(train, recorded, pylon_words, words):
    trainers = recorded("pylon")
    with pytest.raises(ValueError, match=r"--seeds.*Received: --seeds 1"):
        train("pylon", *pylon_words, *words, NO)
    assert not trainers


@pytest.fixture
def measured():
    """Function that registers a family whose AUROC is the number of the run."""
    with contextlib.ExitStack() as stack:

        def register(name):
            folders = []

            def evaluate(folder, config):
                folders.append(pathlib.Path(folder).name)
                row = {"class": "macro", "images": 2, "auroc": float(len(folders))}
                return ResultTable.from_rows([row])

            family = dataclasses.replace(families.get(name), evaluator=evaluate)
            stack.enter_context(families.registered(family))
            return folders

        yield register


@pytest.mark.parametrize(
    ("words", "evaluated"),
    [
        ([], []),
        (["--evaluation"], ["several"]),
        (["--seeds", "0", "1"], ["several-s0", "several-s1"]),
        (["--seeds", "0", "1", NO], []),
    ],
)
def test_hrcam_is_evaluated_with_several_seeds_or_on_request(
    train, recorded, measured, multi_label_data, results, words, evaluated
):
    recorded("half")
    folders = measured("half")
    train("half", "--data-dir", multi_label_data, "--dataset", "csv", *words)
    assert folders == evaluated
    assert (results / "half" / "several-collected").is_dir() is (len(evaluated) > 1)


@pytest.mark.slow
def test_seeds_are_collected_with_mean_and_deviation(
    train, pylon_words, small_pylon, results, caplog
):
    with caplog.at_level("INFO"):
        train("pylon", *pylon_words, "--epochs", "1", "--seeds", "0", "1")
    folder = results / "pylon"
    runs = [read(folder / f"several-s{s}" / "evaluation/metrics.csv") for s in range(2)]
    collected = read(folder / "several-collected" / "collected.csv")
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
    rows = read(folder / "several-collected" / "runs.csv")
    names = [f"several-s{seed}" for seed in range(2) for _ in classes]
    assert [row["run"] for row in rows] == names
    assert [row["auroc"] for row in rows] == [row["auroc"] for r in runs for row in r]
    assert "over 2 runs" in caplog.text


# Folds


def test_every_fold_has_its_run_and_they_are_collected(
    train, recorded, measured, ham_words, results
):
    trainers = recorded("ham")
    folders = measured("ham")
    train("ham", *ham_words, "--protocol", "classification", "--folds", "0", "2")
    names = ["several-fold0", "several-fold2"]
    assert [trainer.run.folder.name for trainer in trainers] == folders == names
    for name, fold in zip(names, (0, 2), strict=True):
        data = read_config(results / "ham" / name)["data"]
        assert (data["protocol"], data["fold"]) == ("classification", fold)
    first, second = (set(trainer.tables["train"].paths) for trainer in trainers)
    assert first != second
    (row,) = read(results / "ham" / "several-collected" / "collected.csv")
    assert float(row["auroc_mean"]) == 1.5
    assert float(row["auroc_std"]) == pytest.approx(0.5**0.5)
    runs = read(results / "ham" / "several-collected" / "runs.csv")
    assert [row["run"] for row in runs] == names


def test_every_fold_has_all_seeds(train, recorded, ham_words):
    trainers = recorded("ham")
    words = ["--protocol", "localization", "--folds", "1", "3", "--seeds", "0", "1"]
    train("ham", *ham_words, *words, "--results-name", "x", NO)
    assert [(t.run.folder.name, t.config.seed) for t in trainers] == [
        ("x-fold1-s0", 0),
        ("x-fold1-s1", 1),
        ("x-fold3-s0", 0),
        ("x-fold3-s1", 1),
    ]
    held_out = [trainer.tables["val"].paths.tolist() for trainer in trainers]
    assert held_out[0] == held_out[1]
    assert held_out[2] == held_out[3]


def test_folds_may_be_folders_of_lists(
    train, recorded, multi_label_data, ham_words, tmp_path
):
    trainers = recorded("ham")
    table = data_config.read_table(read_data(multi_label_data))
    folders = [tmp_path / "lists" / f"fold{fold}" for fold in (0, 1)]
    lists = [make_lists(table, "classification", fold, seed=5) for fold in (0, 1)]
    for folder, split in zip(folders, lists, strict=True):
        write_lists(folder, split)
    words = ["--image-sets", tmp_path / "lists", "--folds", "0", "1", NO]
    train("ham", *ham_words, *words)
    for fold, trainer in enumerate(trainers):
        assert trainer.run.folder.name == f"several-fold{fold}"
        paths = trainer.tables["val"].paths
        assert {"/".join(p.split("/")[-2:]) for p in paths} == set(lists[fold]["val"])
        data = read_config(trainer.run.folder)["data"]
        assert data["image_sets"] == str(folders[fold])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--folds", "0", "1"], "--folds.*Received: --folds 0 1, protocol None"),
        (
            ["--folds", "1", "1", "--protocol", "classification"],
            "--folds.*Received: --folds 1 1, protocol classification",
        ),
        (["--folds", "1", "1", "--image-sets", "lists"], "--folds.*image sets .*lists"),
        (["--protocol", "localization", "--folds", "5"], "Received: .*5"),
    ],
)
def test_wrong_folds_are_refused(train, recorded, ham_words, words, message):
    trainers = recorded("ham")
    with pytest.raises(ValueError, match=message):
        train("ham", *ham_words, *words)
    assert not trainers


# Phases


class Remembered(MapTrainer):
    """Training that remembers its initial weights."""

    began = ()

    def compile(self, model, count):
        began = {x.name: x.get_weights() for x in model.layers if x.weights}
        Remembered.began += (began,)
        return super().compile(model, count)


@pytest.mark.slow
def test_the_second_phase_starts_from_the_best_of_a_frozen_first(
    train, pylon_words, small_pylon, results
):
    runs = results / "pylon"
    words = [*pylon_words, "--epochs", "2", "--learning-rate", "0.05", NO]
    family = dataclasses.replace(families.get("pylon"), trainer=Remembered)
    with families.registered(family):
        train("pylon", *words, "--results-name", "first", "--epochs", "1")
        start = ["--start", runs / "first"]
        train("pylon", *words, "--results-name", "two", "--phases", "2", *start)
    best = {
        name: as_lists(runs / name / "best.weights.h5")
        for name in ("first", "two-phase1", "two")
    }
    _, phase1, phase2 = Remembered.began
    assert all(is_equal(best["first"][name], phase1[name]) for name in phase1)
    assert all(is_equal(best["two-phase1"][name], phase2[name]) for name in phase2)
    for layer in ("conv1", "bn1"):  # and its statistics
        assert is_equal(best["first"][layer], best["two-phase1"][layer])
        assert not is_equal(best["two-phase1"][layer], best["two"][layer])
    first, second = (read_config(runs / n)["training"] for n in ("two-phase1", "two"))
    assert (first["freeze_encoder"], second["freeze_encoder"]) == (True, False)
    assert first["start"] == str((runs / "first").resolve())
    assert second["start"] == str((runs / "two-phase1").resolve())
    assert len(read_history(runs / "two")) == 2


# Evaluation


@pytest.mark.half_precision
def test_a_run_is_measured_in_full_precision_however_it_was_trained(
    train, pylon_words, small_pylon, results
):
    try:
        train(
            "pylon",
            *pylon_words,
            *["--epochs", "1", "--mixed-precision", "mixed_bfloat16"],
        )
    finally:
        keras.config.set_dtype_policy("float32")
    folder = results / "pylon" / "several"
    measured = read(folder / "evaluation" / "metrics.csv")
    evaluate_run(folder)
    again = read(folder / "evaluation" / "metrics.csv")
    assert [row["point"] for row in measured] == [row["point"] for row in again]
    assert [row["iobb_0.25"] for row in measured] == [row["iobb_0.25"] for row in again]
