"""The scripts one after the other, on other data and in other precision."""

import json
import pathlib

import keras
import numpy as np
import pytest

from kerasloc.runs import read_config, read_history


@pytest.fixture
def main(script, tmp_path, monkeypatch):
    """pretrain_half's main in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return script("pretrain_half").main


def write_multi_label(folder, path):
    """A csv about the tiny data with two classes, some labels unknown."""
    rng = np.random.default_rng(0)
    lines = ["image,round,pointed,split"]
    for image in sorted(folder.glob("*/*/*.png")):
        split = image.parts[-3]
        certain = ["1" if "circle" in str(image) else "0", str(rng.integers(2))]
        labels = [label if rng.random() < 0.7 else "" for label in certain]
        lines.append(",".join([str(image), *labels, split]))
    path.write_text("\n".join(lines))
    return path


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_labels_that_are_partly_unknown_train_and_evaluate(
    main, script, shapes, tmp_path, half_words
):
    data = write_multi_label(shapes, tmp_path / "labels.csv")
    short = ["--epochs", "1", "--channels", "1"]
    main([*half_words, "--data-dir", str(data), *short])
    script("train_full").main(["--epochs", "1"])
    for family in ("half", "full"):
        config = read_config(f"results/{family}/labels")
        assert config["network"]["multi_label"] is True
        (row,) = read_history(f"results/{family}/labels")
        assert all(np.isfinite(value) for value in row.values())
        script("evaluate").main(["--type", family])
        text = pathlib.Path(f"results/{family}/labels/evaluation/evaluation.json")
        report = json.loads(text.read_text())["classification"]
        assert report["count"] == 12
        assert set(report["per_class"]) == {"round", "pointed"}


@pytest.mark.half_precision
@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_mixed_precision_trains_and_evaluates(main, script, shapes, half_words):
    words = ["--mixed-precision", "mixed_bfloat16", "--epochs", "1"]
    try:
        main([*half_words, "--data-dir", str(shapes), *words])
        script("train_full").main(["--epochs", "1"])
    finally:
        keras.config.set_dtype_policy("float32")
    script("evaluate").main(["--type", "full"])
    for family in ("half", "full"):
        config = read_config(f"results/{family}/shapes")
        assert config["training"]["precision"] == "mixed_bfloat16"
        (row,) = read_history(f"results/{family}/shapes")
        assert all(np.isfinite(value) for value in row.values())
    assert pathlib.Path("results/full/shapes/evaluation/localization.csv").is_file()
