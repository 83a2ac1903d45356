"""scripts/train_explainer.py: what a run leaves, how options are read, how it fails."""

import csv
import json

import numpy as np
import pytest

import kerasloc
from kerasloc.configs import select_fields
from kerasloc.data.synthetic import PolygonConfig, write_polygons
from kerasloc.runs import read_config, read_history
from kerasloc.training.cli import overrides
from kerasloc.training.configs import ExplainerTraining

SMALL = ["--im-size", "16", "--clf", "vgg", "--epochs", "1", "-bs", "4"]
SMALL += ["--augmentation", "none", "--alpha", "1,0.8,0.8"]


@pytest.fixture(scope="module")
def polygons(tmp_path_factory):
    """Folder of a few polygons, with masks and boxes."""
    config = PolygonConfig(size=16, train=8, val=4, test=4)
    return write_polygons(tmp_path_factory.mktemp("data") / "polygons", config)


@pytest.fixture
def small(main, polygons, eager):
    """Function from words to a training of a moment."""

    def run(*words):
        main(["--data-dir", str(polygons), *SMALL, *words])

    return run


def test_a_run_leaves_everything_and_goes_on(main, small, polygons, tmp_path, caplog):
    small("--results-name", "a")
    folder = tmp_path / "results" / "explainer" / "a"
    phases = ("phase1-classifier", "phase2-explainer", "phase3-both")
    for name in (
        "best.weights.h5",
        "history.csv",
        "figures/phases.png",
        *(f"figures/explanations-{phase}.png" for phase in phases),
        *(
            f"{phase}/{kind}.weights.h5"
            for phase in phases
            for kind in ("best", "last")
        ),
        "evaluation/metrics.csv",
        "evaluation/evaluation.json",
    ):
        assert (folder / name).is_file(), name
    assert [row["phase"] for row in read_history(folder)] == [1, 2, 3]
    config = read_config(folder)
    assert config["network"]["class_names"] == ["absent", "present"]
    assert config["network"]["options"] == {"classifier": "vgg", "init_bias": 3.0}
    assert kerasloc.load(folder).explanations(np.zeros((16, 16, 3))).shape == (16, 16)
    with open(folder / "evaluation" / "metrics.csv", newline="") as file:
        names = {row["quantity"] for row in csv.DictReader(file)}
    assert {"accuracy", "explanation_target", "explanation_others", "pompom"} <= names
    json.loads((folder / "evaluation" / "evaluation.json").read_text())
    before = (folder / "history.csv").read_text()
    small("--results-name", "a", "--no-evaluation")
    assert (folder / "history.csv").read_text() == before
    caplog.clear()
    with pytest.raises(ValueError, match=r"configuration.*gamma"):
        small("--results-name", "a", "--gamma", "2")


def test_published_spellings_are_read(script):
    words = (
        "--nr_epochs 10,10,60 -bs 8 --init_bias 3.0 --loss hybrid "
        "--alpha 1.0,0.25,0.9 --beta 0.9 --gamma 1.0 --aug_prob 0.2 "
        "-lr_clf 0.01,0,0.01 -lr_expl 0,0.01,0.01 "
        "--opt sgd -clf resnet18 --early_patience 100,100,10 --early_delta 1e-4"
    )
    options = overrides(script("train_explainer").parse(words.split()))
    training = ExplainerTraining(**select_fields(ExplainerTraining, options))
    assert training == ExplainerTraining()
    assert (options["classifier"], options["init_bias"]) == ("resnet18", 3.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "1,0,1"], "epochs of at least 1 in every phase"),
        (["--epochs", "1,1"], "epochs to be one value for all phases"),
        (["--alpha", "1,2,0.5"], "alpha in [0, 1]"),
        (
            ["--lr-clf", "0.1,0.1,0.1"],
            "classifier_rate above 0 where it learns",
        ),
        (["--patience", "0"], "patience of at least 1 epoch"),
        (["--im-size", "24"], "multiples of 16"),
        (["--class-weights", "1", "2", "3"], "Received: (1.0, 2.0, 3.0)"),
    ],
)
def test_a_mistake_is_named_before_anything_is_trained(
    failure, polygons, words, message, tmp_path
):
    assert message in failure("--data-dir", polygons, *SMALL, *words)
    assert not list(tmp_path.rglob("*.h5"))
