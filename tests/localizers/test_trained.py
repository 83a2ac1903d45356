"""Trained models are found by family, by run folder and by file."""

import pytest

from kerasloc import HalfModel
from kerasloc.localizers import trained as models


@pytest.fixture
def run(trained):
    return trained / "half" / "shapes"


def test_the_newest_run_of_a_family_is_found(trained, run, monkeypatch):
    assert models.newest_run("half", trained) == run
    monkeypatch.chdir(run)  # or above the current folder
    assert models.newest_run("half") == run


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("explainer", r"Run python scripts/train_explainer\.py, or give --weights"),
        ("none", r"no run in results.none\. Give --weights"),
    ],
)
def test_without_a_run_it_says_what_to_do(family, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        models.newest_run(family)


def test_a_weight_file_of_a_run_is_of_its_family(run):
    assert isinstance(models.load_wrapper(run / "best.weights.h5"), HalfModel)


def test_another_family_than_that_of_the_run_is_refused(run):
    with pytest.raises(ValueError, match=r"family half\. Leave --type out"):
        models.load_wrapper(run, "full")


def test_an_unknown_family_of_a_file_is_named(run):
    with pytest.raises(ValueError, match=r"full, half.*Received: none"):
        models.load_wrapper(run / "best.weights.h5", "none")
