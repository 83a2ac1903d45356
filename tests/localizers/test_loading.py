"""A run folder becomes the wrapper of its family."""

import json

import pytest

import kerasloc
from kerasloc import HalfModel, localizers
from kerasloc.configs import NetworkConfig
from kerasloc.localizers import Localizer, wrappers
from kerasloc.runs import CONFIG_FILE


def write_config(folder, family):
    """What a training script or `save` leaves beside the weights."""
    network = NetworkConfig(family, ("cat", "dog"), (32, 32))
    text = json.dumps({"network": vars(network)})
    (folder / CONFIG_FILE).write_text(text)
    return folder


@pytest.fixture
def opened(monkeypatch):
    """What wrappers were given, none of which builds a network."""
    seen = []
    monkeypatch.setattr(Localizer, "__init__", lambda self, source: seen.append(source))
    return seen


@pytest.mark.parametrize("family", wrappers())
def test_a_run_of_every_family_is_loaded_by_its_wrapper(family, tmp_path, opened):
    folder = write_config(tmp_path, family)
    assert type(kerasloc.load(folder)) is wrappers()[family]
    assert opened == [folder]


def test_every_wrapper_that_is_public_has_a_family():
    public = {getattr(kerasloc, name) for name in kerasloc.__all__}
    assert set(wrappers().values()) <= public


def test_a_run_of_no_family_is_refused(tmp_path, opened):
    with pytest.raises(ValueError, match=r"pylon.*Received: 'none'"):
        kerasloc.load(write_config(tmp_path, "none"))
    assert opened == []


@pytest.mark.parametrize("name", ["best.weights.h5", "exported.keras"])
def test_a_weight_file_of_a_run_is_loaded_by_the_wrapper_of_the_run(
    name, tmp_path, opened
):
    file = write_config(tmp_path, "pylon") / name
    file.touch()
    assert type(kerasloc.load(str(file))) is kerasloc.Pylon
    assert opened == [file]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("best.weights.h5", r"best\.weights\.h5, which has none beside it.*Pylon\(wei"),
        ("absent.weights.h5", r"absent\.weights\.h5, which does not exist"),
        ("absent", r"absent, which does not exist"),
        (".", r"config\.json. Received"),
    ],
)
def test_what_is_no_run_nor_a_file_of_one_is_refused(name, message, tmp_path, opened):
    (tmp_path / "best.weights.h5").touch()
    with pytest.raises(ValueError, match=message):
        kerasloc.load(tmp_path / name)
    assert opened == []


@pytest.fixture
def run(trained):
    return trained / "half" / "shapes"


def test_the_newest_run_of_a_family_is_found(trained, run, monkeypatch):
    assert localizers.newest_run("half", trained) == run
    monkeypatch.chdir(run)  # or above the current folder
    assert localizers.newest_run("half") == run


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (
            "explainer",
            r"no run in results.explainer.*python scripts/train_explainer\.py",
        ),
        ("none", "Received: 'none'"),
    ],
)
def test_without_a_run_the_error_names_the_commands(
    family, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        localizers.newest_run(family)


def test_a_weight_file_of_a_run_is_of_its_family(run):
    assert isinstance(localizers.load_wrapper(run / "best.weights.h5"), HalfModel)


def test_another_family_than_that_of_the_run_is_refused(run):
    with pytest.raises(ValueError, match=r"family half\. Leave --type out"):
        localizers.load_wrapper(run, "full")


def test_an_unknown_family_of_a_file_is_named(run):
    with pytest.raises(ValueError, match=r"half, full.*Received"):
        localizers.load_wrapper(run / "best.weights.h5", "none")
