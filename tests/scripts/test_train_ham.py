"""scripts/train_ham.py: its run folder, resuming and errors."""

import csv
import json
import pathlib
import shutil

import numpy as np
import pytest

import kerasloc
from kerasloc.data import config as data_config
from kerasloc.data import load_image
from kerasloc.metrics import auroc, tior, tiou
from kerasloc.runs import read_config, read_history

NO = "--no-evaluation"


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def without_boxes(multi_label_data, folder):
    """The tiny data without its boxes, as a csv; the words for it."""
    rows = list(
        csv.DictReader((multi_label_data / "data.csv").read_text().splitlines())
    )
    columns = ["split", "circle", "star_3_1", "star_5_2"]
    lines = {row["image"]: [row[c] for c in columns] for row in rows}
    text = [["image", *columns]]
    text += [
        [str(multi_label_data / image), *values] for image, values in lines.items()
    ]
    (folder / "plain.csv").write_text("\n".join(",".join(line) for line in text))
    return ["--data-dir", str(folder / "plain.csv")]


# Run folder


def test_a_run_is_a_folder_with_everything(trained_ham):
    for name in (
        *(f"best{kind}.weights.h5" for kind in ("", "-auroc", "-tiou", "-tior")),
        "last.weights.h5",
        "figures/history.png",
        "logs/images",
        "evaluation/metrics.csv",
        "evaluation/evaluation.json",
    ):
        assert (trained_ham / name).exists(), name
    config = read_config(trained_ham)
    assert config["network"]["family"] == "ham"
    assert (config["network"]["mean"], config["network"]["std"]) == ([0.5], [0.5])
    assert config["training"]["weight_decay"] == 1e-4
    assert len(read_history(trained_ham)) == 4


def test_it_ends_in_a_table_with_auroc_tiou_and_tior(trained_ham):
    rows = read(trained_ham / "evaluation" / "metrics.csv")
    assert [row["class"] for row in rows[3:]] == ["macro", "micro", "weighted"]
    for name in ("auroc", "tiou", "tior", "center_tiou", "center_tior", "point"):
        low, value, high = (
            float(rows[3][f"{name}{end}"]) for end in ("_low", "", "_high")
        )
        assert 0 <= low <= value <= high <= 1, name
    text = (trained_ham / "evaluation" / "evaluation.json").read_text()
    report = json.loads(text, parse_constant=pytest.fail)
    assert report["tiou"]["mean"] == pytest.approx(float(rows[3]["tiou"]))
    assert {"tiou", "tior", "center_tiou"} <= set(report)


def test_the_table_is_what_the_wrapper_answers(trained_ham, small_ham):
    wrapper = kerasloc.load(trained_ham)
    assert type(wrapper) is kerasloc.HAM
    data = data_config.data_of_run(read_config(trained_ham)["data"], {})
    table = data_config.evaluation_table(data, "test", wrapper.config.class_names)
    images = np.stack([load_image(path, (32, 32), 3) for path in table.paths])
    attended = wrapper.refined_maps(images) >= np.float32(0.999)
    masks = np.zeros(attended.shape, bool)
    for image, x, y, w, h, k in table.boxes.astype(int):
        masks[image, y : y + h, x : x + w, k] = True
    expected = {
        "auroc": auroc(table.labels, wrapper.logits(images))["macro"],
        "tiou": tiou(attended, masks)["mean"],
        "tior": tior(attended, masks)["mean"],
    }
    macro = read(trained_ham / "evaluation" / "metrics.csv")[3]
    for name, value in expected.items():
        assert float(macro[name]) == pytest.approx(value, abs=1e-6), name


def test_evaluate_measures_the_run(script, trained_ham, small_ham, tmp_path):
    folder = shutil.copytree(trained_ham, tmp_path / "run")
    before = read(folder / "evaluation" / "metrics.csv")
    shutil.rmtree(folder / "evaluation")
    evaluate = script("evaluate").main
    evaluate(["--weights", str(folder), "--batch-size", "5"])
    after = read(folder / "evaluation" / "metrics.csv")
    assert [row["class"] for row in after] == [row["class"] for row in before]
    for row, expected in zip(after, before, strict=True):
        assert float(row["tiou"]) == float(expected["tiou"])
        assert float(row["auroc"]) == pytest.approx(float(expected["auroc"]))
    evaluate(["--weights", str(folder), "--checkpoint", "best-tiou"])
    assert (folder / "evaluation-best-tiou" / "metrics.csv").is_file()


# Resuming


def test_labels_alone_are_enough(
    main, ham_words, small_ham, multi_label_data, tmp_path
):
    words = without_boxes(multi_label_data, tmp_path)
    main([*ham_words, *words, "--epochs", "1"])
    folder = pathlib.Path("results/ham/plain")
    row = read(folder / "evaluation" / "metrics.csv")[3]
    assert 0 <= float(row["auroc"]) <= 1
    assert "tiou" not in row
    assert not list(folder.glob("best-*"))


# Errors


def test_a_missing_crf_is_named(failure, ham_words, small_ham, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    assert "[crf]" in failure(*ham_words, "--crf")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--annotated-weight", "0"], "annotated_weight above 0"),
        (["--decay-epochs", "0"], "decay_epochs of at least 1"),
        (["--union-weight", "-1"], "union_weight of at least 0"),
        (["--box-share", "2"], "in [0, 1]. Received: 2.0"),
        (["--im-size", "33"], "Nearest that fits: 32 x 32"),
        (["--folds", "0"], "--folds to name each fold once, of a --protocol"),
        (["--image-sets", "nowhere"], "nowhere"),
        (["--image-sets", "a", "--protocol", "official"], "Leave one out"),
        (["--uncertain", "ones"], "options of csv"),
        (["--start", "nowhere"], "nowhere"),
        (["--num-classes", "14"], "Received: 14"),
    ],
)
def test_wrong_options_are_explained(failure, ham_words, small_ham, words, message):
    assert message in failure(*ham_words, *words)
