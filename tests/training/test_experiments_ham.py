"""Experiments with HAM: its values, folds, checkpoints."""

import csv
import pathlib

import pytest

from kerasloc.data import config as data_config
from kerasloc.evaluation import ResultTable
from kerasloc.runs import read_config
from kerasloc.training import experiments
from kerasloc.training.configs import HamTraining

NO = "--no-evaluation"


@pytest.fixture
def main(script, tmp_path, monkeypatch):
    """train_ham's main in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return script("train_ham").main


@pytest.fixture
def asked(monkeypatch):
    """What trainings are asked for, in the place of trainings."""
    calls = []

    def train(run, tables, network, config, **how):
        call = {"folder": run.folder, "network": network, "config": config}
        calls.append({**call, "tables": tables, **how})

    monkeypatch.setitem(experiments.TRAININGS, "ham", (HamTraining, train))
    return calls


@pytest.fixture
def measured(monkeypatch):
    """Folders that were measured, in the place of measuring; AUROC by their order."""
    folders = []

    def evaluate(folder, options=None):
        folders.append(pathlib.Path(folder))
        row = {"class": "macro", "images": 2, "auroc": float(len(folders))}
        return ResultTable.from_rows([{**row, "tiou": 0.5}])

    monkeypatch.setattr(experiments, "evaluate_run", evaluate)
    return folders


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# What is trained


def test_own_data_is_trained_on_as_published(main, asked, several):
    main(["--data-dir", str(several), "--dataset", "csv", NO])
    (call,) = asked
    assert call["config"] == HamTraining()
    assert call["network"].im_size == (512, 512)
    assert (call["network"].channels, call["network"].family) == (3, "ham")
    assert (call["network"].mean, call["network"].std) == ((0.5,), (0.5,))
    assert call["network"].options == {}  # so the builder's own: ResNet-50
    assert call["network"].multi_label


def test_without_words_the_embedded_data_is_trained_on_within_minutes(
    main, asked, several, monkeypatch
):
    monkeypatch.setattr(data_config, "default_folder", lambda config: several)
    main([NO])
    (call,) = asked
    assert call["folder"] == pathlib.Path("results/ham/several")
    assert call["network"].options["backbone"] == "resnet18"
    assert call["network"].im_size == (96, 96)
    config = call["config"]
    assert config.epochs <= 20
    assert config.augmentation == "ham"
    boxed = len(set(call["tables"]["train"].boxes[:, 0]))
    whole = data_config.DataConfig(str(several), dataset="csv")
    everything = len(set(data_config.training_tables(whole)["train"].boxes[:, 0]))
    assert boxed == round(everything / 2)  # "with boxes for half of them"


def test_options_win_over_what_is_published(main, asked, ham_words):
    words = ["--downsampling", "16", "--no-using-dilation", "--select", "tiou"]
    words += ["--decay", "polynomial", "--union-weight", "0.25", "--epochs", "6"]
    words += ["--annotated-weight", "3", "--weight-decay", "0", "--box-share", "0.5"]
    main([*ham_words, *words, NO])
    (call,) = asked
    options = {"backbone": "resnet18", "downsampling": 16, "using_dilation": False}
    assert call["network"].options == options
    config = call["config"]
    assert (config.select, config.decay, config.decay_epochs) == (
        "tiou",
        "polynomial",
        6,
    )
    assert (config.annotated_weight, config.weight_decay) == (3, 0)
    assert config.term_weights == {
        **HamTraining().term_weights,
        "union": 0.25,
    }
    assert read_config(call["folder"])["data"]["box_share"] == 0.5


# Folds


def test_every_fold_has_its_run_and_they_are_collected(
    main, asked, measured, ham_words
):
    main([*ham_words, "--protocol", "classification", "--folds", "0", "2"])
    names = ["several-fold0", "several-fold2"]
    assert [call["folder"].name for call in asked] == names
    assert [folder.name for folder in measured] == names
    for name, fold in zip(names, (0, 2), strict=True):
        data = read_config(f"results/ham/{name}")["data"]
        assert (data["protocol"], data["fold"]) == ("classification", fold)
    first, second = (set(call["tables"]["train"].paths) for call in asked)
    assert first != second
    (row,) = read("results/ham/several-collected/collected.csv")
    assert float(row["auroc_mean"]) == 1.5
    assert float(row["auroc_std"]) == pytest.approx(0.5**0.5)
    runs = read("results/ham/several-collected/runs.csv")
    assert [row["run"] for row in runs] == names


def test_every_fold_has_all_seeds(main, asked, ham_words):
    words = ["--protocol", "localization", "--folds", "1", "3", "--seeds", "0", "1"]
    main([*ham_words, *words, "--results-name", "x", NO])
    assert [(call["folder"].name, call["config"].seed) for call in asked] == [
        ("x-fold1-s0", 0),
        ("x-fold1-s1", 1),
        ("x-fold3-s0", 0),
        ("x-fold3-s1", 1),
    ]
    for first, second in (asked[:2], asked[2:]):
        assert first["tables"]["val"].paths.tolist() == (
            second["tables"]["val"].paths.tolist()
        )


def test_folds_may_be_folders_of_lists(main, asked, several, ham_words, tmp_path):
    from kerasloc.data.splits import make_lists, write_lists

    table = data_config.read_table(data_config.DataConfig(str(several), dataset="csv"))
    for fold in (0, 1):
        lists = make_lists(table, "classification", fold, seed=5)
        write_lists(tmp_path / "lists" / f"fold{fold}", lists)
    main([*ham_words, "--image-sets", "lists", "--folds", "0", "1", NO])
    for fold, call in enumerate(asked):
        lists = make_lists(table, "classification", fold, seed=5)
        assert call["folder"].name == f"several-fold{fold}"
        found = {"/".join(path.split("/")[-2:]) for path in call["tables"]["val"].paths}
        assert found == set(lists["val"])
        place = str(tmp_path / "lists" / f"fold{fold}")
        assert read_config(call["folder"])["data"]["image_sets"] == place


@pytest.mark.parametrize(
    "words",
    [
        ["--folds", "0", "1"],
        ["--folds", "1", "1", "--protocol", "classification"],
        ["--folds", "1", "1", "--image-sets", "lists"],
    ],
)
def test_folds_of_nothing_or_twice_are_refused(main, asked, ham_words, words):
    with pytest.raises(ValueError, match=r"--folds takes each fold once.*Received"):
        main([*ham_words, *words])
    assert not asked


def test_a_fold_that_there_is_not_is_refused(main, asked, ham_words):
    with pytest.raises(ValueError, match=r"from 0 to 4. Received: 5"):
        main([*ham_words, "--protocol", "localization", "--folds", "5"])
