import importlib.util
import json
import pathlib
import types

import numpy as np
import pytest

from kerasloc.backbones import densenet_fcn
from kerasloc.data.augment import imgaug as augmentations

SCRIPT = pathlib.Path(__file__).parents[2] / "utils" / "benchmark.py"
SIZES = ["--im-size", "32", "--train-size", "8", "--batch-size", "2", "--images", "1"]
NETWORK = {"growth": 2, "initial_filters": 2, "layers_per_block": 1, "blocks": 1}


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def suite(tool, monkeypatch):
    """The suite with networks and files of a moment."""
    suite = tool.SUITES["hrcam"]
    monkeypatch.setattr(suite, "FILE_SIZE", 16)
    monkeypatch.setattr(suite, "NETWORK", NETWORK)
    return suite


@pytest.fixture
def measure(tool, tmp_path, capsys):
    """Function that measures one section: the rows of the json, the lines printed."""

    def run(section):
        path = tmp_path / "speed.json"
        arguments = ["hrcam", "--only", section, "--repeat", "2", *SIZES]
        tool.main([*arguments, "--json", str(path)])
        content = json.loads(path.read_text())
        return content, capsys.readouterr().out.splitlines()

    return run


def check(rows):
    """Every row has two rounds of positive numbers, and a ratio if it says of what."""
    for row in rows:
        assert len(row["values"]) >= 2
        assert min(row["values"]) > 0
        assert row["median"] == pytest.approx(np.median(row["values"]))
        assert ("ratio" in row) == ("against" in row)
        assert row.get("ratio", 1) > 0


def test_plain_networks_are_built_inside_only(suite):
    import keras

    ours = densenet_fcn.BatchNormalization
    with suite.built_with("mixed_bfloat16", plain=True):
        assert densenet_fcn.BatchNormalization is keras.layers.BatchNormalization
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert densenet_fcn.BatchNormalization is ours
    assert keras.config.dtype_policy().name == "float32"


def test_the_published_way_draws_the_same_maps(suite):
    from kerasloc import FullModel

    wrapper = FullModel(num_classes=3, im_size=16, **NETWORK)
    image = np.random.default_rng(0).random((16, 16, 3), dtype="float32")
    high, low, best = suite.published_cams(wrapper)(image)
    expected_high, expected_low, expected_best = wrapper.generate_cams(image)
    np.testing.assert_allclose(high, expected_high, atol=1e-5)
    np.testing.assert_allclose(low, expected_low, atol=1e-5)
    assert best == expected_best


def test_cams_are_compared_with_the_published_way(measure):
    content, lines = measure("cams")
    rows = content["rows"]
    check(rows)
    assert [row["name"] for row in rows] == [
        "three predicts",
        "three predicts, Keras' BatchNorm",
        "generate_cams, one by one",
        "generate_cams, 1 at once",
    ]
    assert [row.get("aim") for row in rows] == [None, None, 4, 15]
    assert {row["against"] for row in rows[1:]} == {"three predicts"}
    assert content["environment"]["devices"] in "\n".join(lines)
    assert len(lines) == len(content["environment"]) + 1 + len(rows)


def test_training_compares_three_ways_for_both_models(suite, measure, monkeypatch):
    import keras

    ours, built = densenet_fcn.BatchNormalization, []

    def step(family, side, options):
        fused = densenet_fcn.BatchNormalization is ours
        built.append((family, side, fused, keras.config.dtype_policy().name))
        return list

    monkeypatch.setattr(suite, "training_step", step)
    rows = measure("training")[0]["rows"]
    check(rows)
    assert built == [
        (family, 8, *how)
        for family in ("half", "full")
        for how in ((False, "float32"), (True, "float32"), (True, "mixed_bfloat16"))
    ]
    names = [row["name"] for row in rows]
    assert [name.split(",")[0] for name in names] == ["half"] * 3 + ["full"] * 3
    assert rows[4]["against"] == names[3] == "full, 8 px, Keras' BatchNorm"
    assert rows[5]["against"] == names[4] == "full, 8 px, fused"


@pytest.mark.parametrize("family", ["half", "full"])
def test_a_training_step_changes_what_is_trained(suite, family):
    options = types.SimpleNamespace(batch_size=2)
    step = suite.training_step(family, 8, options)
    trainer = step.func.__self__
    before = [w.numpy() for w in trainer.trainable_variables]
    step()
    after = [w.numpy() for w in trainer.trainable_variables]
    assert len(after) > 0
    assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    frozen = trainer.get_layer("initial_conv2D")
    assert frozen.trainable == (family == "half")


def test_the_pipeline_is_compared_with_training_and_goes_on_without_imgaug(
    suite, measure, monkeypatch
):
    def absent():
        raise ImportError("imgaug could not be imported")

    monkeypatch.setattr(augmentations, "imgaug_library", absent)
    monkeypatch.setattr(suite, "training_step", lambda *_: list)
    content, lines = measure("pipeline")
    step, *read, skipped = content["rows"]
    check([step, *read])
    assert [row["name"] for row in read] == [
        "PNG none",
        "JPEG none",
        "JPEG affine",
        "JPEG affine memory",
    ]
    assert {row["against"] for row in read} == {step["name"]}
    assert skipped["name"] == "JPEG imgaug"
    assert lines[-1].endswith("skipped: imgaug could not be imported")


def test_postprocessing_is_compared_with_the_published_figure(measure):
    (row,) = measure("postprocess")[0]["rows"]
    check([row])
    rounds = np.array(row["values"])
    assert row["ratio"] == pytest.approx(np.median(10 / rounds))
