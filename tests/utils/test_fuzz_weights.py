"""Weight files that attack their reader, in this process and with the tool."""

import re
import zipfile

import h5py
import numpy as np
import pytest

from kerasloc import weights

SHORT = (
    "--mutations 4 --only memo. bytearray. zip-bomb classes unstored. virtual. eval-5"
)


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("fuzz_weights")


@pytest.fixture(scope="module")
def model(tool):
    return tool.hdf5.wrapper(num_classes=2, im_size=32, channels=1).model


def refusal(read, path):
    """The error of a refused file: one line with its name."""
    with pytest.raises(ValueError, match=re.escape(str(path))) as error:
        read(path)
    text = str(error.value)
    assert "\n" not in text
    return text


def test_no_file_is_run_or_over_a_limit(run_tool):
    result = run_tool("fuzz_weights", SHORT.split())
    assert result.returncode == 0, result.stdout
    counts = {
        line.partition(":")[0]: dict(
            reversed(text.split(" ", 1)) for text in re.findall(r"\d+ [a-z ]+", line)
        )
        for line in result.stdout.splitlines()[-3:]
    }
    assert counts["intact"]["taken"] == counts["intact"]["files tried"] == "7"
    assert counts["attacks"]["named"] == counts["attacks"]["files tried"]
    for group in ("intact", "attacks", "damaged"):
        faults = [counts[group][k] for k in ("other errors", "over a limit", "run")]
        assert faults == ["0", "0", "0"]


def test_torch_and_safetensors_files_that_attack_are_named(tool, tmp_path):
    marker = tmp_path / "was-run"
    for name, content in tool.pickles.attacks(marker).items():
        path = tmp_path / name
        path.write_bytes(content)
        if "classes-few" not in name:  # a network that is far larger than its file
            refusal(weights.read_torch, path)
        path.unlink()
    assert list(tmp_path.iterdir()) == []


def test_hdf5_files_that_attack_are_named(tool, model, tmp_path):
    path = tmp_path / "a.weights.h5"
    for change in tool.hdf5.changes(tmp_path).values():
        model.save_weights(path)
        with h5py.File(path, "a") as file:
            change(file)
        if change is not tool.hdf5.many_layers:  # an honest file of another network
            refusal(weights.read_arrays, path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("external-link", "link"),
        ("soft-link", "link"),
        ("cycle", "cycle"),
        ("external-storage", "another file"),
        ("virtual", "another file"),
        ("virtual-endless", "another file"),
        ("unstored", "of 68719476736 bytes has 0"),
        ("unstored-chunks", "in chunks"),
        ("bomb", "in chunks"),
    ],
)
def test_the_reason_is_named(tool, model, name, text, tmp_path):
    path = tmp_path / "a.weights.h5"
    model.save_weights(path)
    with h5py.File(path, "a") as file:
        tool.hdf5.changes(tmp_path)[name](file)
    assert text in refusal(weights.read_arrays, path)


def test_texts_that_hdf5_would_read_for_ever_are_named(tool, model, tmp_path):
    path = tmp_path / "a.weights.h5"
    model.save_weights(path)
    path.write_bytes(tool.hdf5.endless_texts(path.read_bytes()))
    assert "texts without an end" in refusal(weights.read_arrays, path)


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_models_of_keras_that_attack_are_named(tool, tmp_path):
    tool.hdf5.write_intact(tmp_path)
    with zipfile.ZipFile(tmp_path / "half.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for content in tool.hdf5.configs(members).values():
        path = tool.hdf5.write_keras(tmp_path / "a.keras", content)
        refusal(lambda source: tool.hdf5.wrapper(weights=source), path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_taken_with_a_warning(model, value):
    arrays = {
        layer.name: {v.name: v.numpy() for v in layer.weights}
        for layer in model.layers
        if layer.weights
    }
    arrays["aux_output"]["bias"][0] = value
    with pytest.warns(UserWarning, match=r"Received: a\.h5, of which 1 of .*bias"):
        weights.assign(model, arrays, source="a.h5")
    arrays["aux_output"]["bias"][0] = 0
    weights.assign(model, arrays)


def test_damage_is_seeded(tool):
    content = bytes(range(256)) * 8
    first, again, second = (
        [tool.damaged(content, tool.random.Random(seed)) for _ in range(3)]
        for seed in (1, 1, 2)
    )
    assert first == again != second
    assert content not in first
