"""scripts/train_pylon.py: its run folder, resuming, datasets and errors."""

import csv
import dataclasses
import json
import logging
import pathlib
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

import kerasloc
from kerasloc.data import config as data_config
from kerasloc.data import load_image
from kerasloc.data.datasets.nih14 import NIH_CLASSES
from kerasloc.metrics import best_thresholds
from kerasloc.models import families
from kerasloc.runs import read_config, read_history
from kerasloc.training.maps import MapTrainer

NO = "--no-evaluation"


def images_of(table, network):
    read = [load_image(p, network.im_size, network.channels) for p in table.paths]
    return np.stack(read)


def tables_of(folder):
    """Train, val and test images of a run, as its configuration has them."""
    data = data_config.data_of_run(read_config(folder)["data"], {})
    names = kerasloc.load(folder).config.class_names
    test = data_config.evaluation_table(data, "test", names)
    return {**data_config.training_tables(data), "test": test}


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# Run folder


def test_a_run_is_a_folder_with_everything(trained_pylon):
    for name in (
        "best.weights.h5",
        "last.weights.h5",
        "figures/history.png",
        "logs/images",
        "evaluation/metrics.csv",
        "evaluation/evaluation.json",
    ):
        assert (trained_pylon / name).exists(), name
    config = read_config(trained_pylon)
    assert config["network"]["family"] == "pylon"
    assert config["network"]["options"] == {
        "backbone": "resnet18",
        "decoder_channels": 8,
    }
    assert config["network"]["mean"] == [0.485, 0.456, 0.406]  # it has three channels
    assert config["network"]["std"] == [0.229, 0.224, 0.225]
    assert config["data"]["dataset"] == "csv"
    assert config["training"]["optimizer"] == "adam"
    (row,) = read_history(trained_pylon)
    assert {"loss", "accuracy", "auroc", "val_loss", "val_auroc"} <= set(row)


def test_a_run_predicts_with_the_thresholds_that_suit_its_validation_images(
    trained_pylon, small_pylon
):
    wrapper = kerasloc.load(trained_pylon)
    assert type(wrapper) is kerasloc.Pylon
    tables = tables_of(trained_pylon)
    val, test = (images_of(tables[name], wrapper.config) for name in ("val", "test"))
    thresholds = np.array(wrapper.config.thresholds)
    tuned = best_thresholds(tables["val"].labels, wrapper.predict_proba(val))
    np.testing.assert_allclose(thresholds, tuned, atol=1e-4)
    assert len(set(thresholds)) == 3
    on_test = best_thresholds(tables["test"].labels, wrapper.predict_proba(test))
    assert np.abs(on_test - thresholds).max() > 1e-3
    expected = wrapper.predict_proba(test) > thresholds
    np.testing.assert_array_equal(wrapper.predict(test), expected)


def test_validation_images_are_none_of_the_others(trained_pylon, small_pylon):
    tables = tables_of(trained_pylon)
    paths = [set(table.paths) for table in tables.values()]
    assert list(map(len, paths)) == [20, 4, 12]
    assert len(set.union(*paths)) == 36


@pytest.fixture
def with_callback(small_pylon):
    """Function from a callback to the context in which PYLON's training has it."""

    def register(callback):
        class Watched(MapTrainer):
            def logs(self, *args):
                return [*super().logs(*args), callback]

        family = dataclasses.replace(families.get("pylon"), trainer=Watched)
        return families.registered(family)

    return register


class Spoiling(keras.callbacks.Callback):
    """The third epoch is a bad one."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            bias = self.model.get_layer("segmentation_head_0").bias
            bias.assign(bias + 50)


def test_best_weights_are_those_of_the_lowest_validation_loss(
    main, pylon_words, with_callback
):
    with with_callback(Spoiling()):
        main([*pylon_words, "--epochs", "3", NO])
    losses = [row["val_loss"] for row in read_history("results/pylon/several")]
    assert losses[2] > 10 * min(losses)  # so best is not last
    wrapper = kerasloc.load("results/pylon/several")
    val = tables_of("results/pylon/several")["val"]
    logits = wrapper.logits(images_of(val, wrapper.config)).astype(float)
    loss = np.logaddexp(0, np.where(val.labels == 1, -logits, logits)).mean()
    assert loss == pytest.approx(min(losses), rel=1e-3)


# Resuming


def test_a_complete_run_started_again_stays_as_it_is(
    main, pylon_words, small_pylon, caplog
):
    main([*pylon_words, "--epochs", "1"])
    files = ["history.csv", "config.json", "best.weights.h5", "last.weights.h5"]
    files.append("evaluation/metrics.csv")

    def content():
        folder = pathlib.Path("results/pylon/several")
        return [(folder / name).read_bytes() for name in files]

    before = content()
    with caplog.at_level(logging.INFO):
        main([*pylon_words, "--epochs", "1"])
    assert "has its 1 epochs already" in caplog.text
    assert content() == before


# Data sets


def write_nih(root):
    """Twelve images as of ChestX-ray14, of twelve patients, eight for training."""
    (root / "images_001" / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f"{patient:08d}_000.png" for patient in range(1, 13)]
    labels = ["Cardiomegaly", "Effusion|Mass", "No Finding", "Cardiomegaly|Effusion"]
    head = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age\n"
    rows = [f"{n},{labels[k % 4]},0,{k + 1},50\n" for k, n in enumerate(names)]
    (root / "Data_Entry_2017.csv").write_text(head + "".join(rows))
    for name in names:
        gray = rng.integers(0, 256, (64, 64), np.uint8)
        Image.fromarray(gray).save(root / "images_001" / "images" / name)
    (root / "train_val_list.txt").write_text("\n".join(names[:8]))
    (root / "test_list.txt").write_text("\n".join(names[8:]))
    boxes = f"{names[8]},Cardiomegaly,256,256,512,512,,,\n"
    (root / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n" + boxes
    )
    return root


def test_nih_files_are_trained_on_and_measured(main, small_pylon, tmp_path):
    root = write_nih(tmp_path / "nih")
    words = ["--data-dir", str(root), "--dataset", "nih14", "--im-size", "32"]
    main([*words, "--backbone", "resnet18", "--epochs", "1", "--batch-size", "4"])
    folder = tmp_path / "results" / "pylon" / "nih"
    config = read_config(folder)
    assert tuple(config["network"]["class_names"]) == NIH_CLASSES
    assert config["network"]["channels"] == 1  # published for chest X-rays
    assert config["network"]["mean"] == [0.4984]
    assert config["network"]["std"] == [0.2483]
    assert config["training"]["augmentation"] == "xray"
    rows = {row["class"]: row for row in read(folder / "evaluation" / "metrics.csv")}
    assert rows["Cardiomegaly"]["positives"] == "2"
    assert rows["Cardiomegaly"]["pairs"] == rows["macro"]["pairs"] == "1"
    assert rows["Hernia"]["auroc"] == rows["Hernia"]["point"] == "nan"
    assert np.isfinite(float(rows["macro"]["auroc"]))
    text = (folder / "evaluation" / "evaluation.json").read_text()
    everything = json.loads(text, parse_constant=pytest.fail)
    hernia = NIH_CLASSES.index("Hernia")
    assert everything["auroc"]["per_class"][hernia] is None
    assert everything["rows"][hernia]["auroc"] is None


def test_data_without_test_images_is_trained_on_only(
    main, pylon_words, small_pylon, multi_label_data, tmp_path, caplog
):
    folder = shutil.copytree(multi_label_data, tmp_path / "copy")
    lines = (folder / "data.csv").read_text().splitlines()
    kept = [line for line in lines if not line.startswith("images/test/")]
    (folder / "data.csv").write_text("\n".join(kept) + "\n")
    with caplog.at_level(logging.INFO):
        main([*pylon_words, "--data-dir", str(folder), "--epochs", "1"])
    assert "no test images; nothing is measured" in caplog.text
    assert (tmp_path / "results" / "pylon" / "copy" / "best.weights.h5").is_file()
    assert not (tmp_path / "results" / "pylon" / "copy" / "evaluation").exists()


# Errors


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--patience", "0"], "patience of at least 1"),
        (["--factor", "1"], "factor in (0, 1)"),
        (["--stop-rate", "-1"], "stop_rate of at least 0"),
        (["--epochs", "0"], "epochs of at least 1"),
        (["--im-size", "33"], "Nearest that fits: 32 x 32"),
        (["--head-kernel-size", "2"], "head_kernel_size=2"),
        (["--num-classes", "14"], "Received: 14"),
        (["--augmentation", "mixup"], "mixup"),
        (["--start", "nowhere"], "nowhere"),
        (["--start", "nowhere.pt"], "nowhere.pt"),
        (["--data-dir", "nowhere"], "nowhere"),
        (["--gpu", "7"], "TensorFlow sees"),
    ],
)
def test_wrong_options_are_explained(failure, pylon_words, small_pylon, words, message):
    assert message in failure(*pylon_words, *words)
