"""A new family is one record: it trains, evaluates, draws and loads like the others."""

import csv
import dataclasses

import keras
import numpy as np
import pytest

import kerasloc
from kerasloc.configs import option
from kerasloc.localizers.maps import MapLocalizer
from kerasloc.models import families
from kerasloc.runs import read_config, read_history
from kerasloc.training import cli
from kerasloc.training.experiment import run_experiment


@dataclasses.dataclass(frozen=True)
class ToyOptions:
    """Options of the toy."""

    width: int = option(4, "Number of channels of the convolution.")


def toy(input_shape, classes, width=4):
    """Build a convolution, maps of the classes, and logits that are their maxima."""
    image = keras.Input(input_shape, name="image")
    x = keras.layers.Conv2D(width, 3, 4, "same", activation="relu", name="conv")(image)
    maps = keras.layers.Conv2D(classes, 1, dtype="float32", name="maps")(x)
    logits = keras.layers.GlobalMaxPooling2D(dtype="float32", name="logits")(maps)
    return keras.Model(image, {"logits": logits, "maps": maps}, name="toy")


class Toy(MapLocalizer):
    family = "toy"


FAMILY = families.Family("toy", toy, ToyOptions, Toy, description="One convolution.")


@pytest.fixture
def family():
    with families.registered(FAMILY):
        yield FAMILY


@pytest.mark.usefixtures("eager")
def test_a_registered_family_trains_evaluates_draws_and_loads(
    family, script, multi_label_data, tmp_path
):
    parser = cli.training_parser("toy", "Train the toy.", "")
    assert "Number of channels of the convolution (default: 4)" in parser.format_help()
    words = ["--data-dir", str(multi_label_data), "--im-size", "32", "--width", "3"]
    words += ["--dataset", "csv", "--epochs", "1", "--augmentation", "none"]
    words += ["--results-dir", str(tmp_path), "--seeds", "0", "1"]
    folders = run_experiment("toy", parser.parse_args(words))
    assert [folder.relative_to(tmp_path).as_posix() for folder in folders] == [
        "toy/several-s0",
        "toy/several-s1",
    ]
    assert (tmp_path / "toy" / "several-collected" / "collected.csv").is_file()
    for folder in folders:
        assert len(read_history(folder)) == 1
        assert read_config(folder)["network"]["options"] == {"width": 3}

    metrics = folders[0] / "evaluation" / "metrics.csv"
    before = metrics.read_text()
    metrics.unlink()
    script("evaluate").main(["--weights", str(folders[0])])
    assert metrics.read_text() == before

    script("generate_heatmaps").main(
        ["--type", "toy", "--results-dir", str(tmp_path), "--limit", "3"]
    )
    with open(folders[1] / "heatmaps" / "heatmaps.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 3
    assert (folders[1] / "heatmaps" / "page-001.png").is_file()

    wrapper = kerasloc.load(folders[0])
    assert type(wrapper) is Toy
    assert wrapper.config.options == {"width": 3}
    image = np.random.default_rng(0).random((32, 32, 3), dtype="float32")
    high, low, _ = wrapper.generate_cams(image)
    assert wrapper.maps(image).shape == (*high.shape, 3) == (8, 8, 3)
    assert low.shape == kerasloc.cam(wrapper, image, size=8).shape == (8, 8)
