import importlib.util
import json
import pathlib
import types

import numpy as np
import pytest

from kerasloc.backbones import densenet_fcn
from kerasloc.data import augment as augmentations

SCRIPT = pathlib.Path(__file__).parents[2] / "utils" / "benchmark.py"
SIZES = ["--im-size", "32", "--train-size", "8", "--batch-size", "2", "--images", "1"]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.FILE_SIZE = 16
    module.NETWORK = {
        "growth": 2,
        "initial_filters": 2,
        "layers_per_block": 1,
        "blocks": 1,
    }
    return module


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


def clock(tool, monkeypatch):
    """A clock that stands still, and a function that moves it."""
    now = [0.0]
    monkeypatch.setattr(
        tool, "time", types.SimpleNamespace(perf_counter=lambda: now[0])
    )
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


def test_turns_alternate_and_the_first_of_each_does_not_count(tool, monkeypatch):
    wait, order = clock(tool, monkeypatch), []

    def work(name, seconds):
        order.append(name)
        wait(seconds.pop(0))

    race = tool.Race("section")
    slow, fast = [50.0, 4.0, 8.0, 6.0], [70.0, 4.0, 2.0, 2.0]
    race.add("slow", lambda: work("slow", slow), images=2)
    race.add("fast", lambda: work("fast", fast))
    race.run(3)
    assert order == ["slow", "fast"] * 4
    assert race.row("slow") == {
        "section": "section",
        "name": "slow",
        "unit": "ms/image",
        "values": [2000, 4000, 3000],
        "median": 3000,
    }
    # ratios of the rounds: 2 / 4, 4 / 2, 3 / 2
    assert race.row("fast", "slow", 4.0)["ratio"] == pytest.approx(1.5)


def test_images_per_second_have_ratios_of_speed_too(tool, monkeypatch):
    wait = clock(tool, monkeypatch)
    race = tool.Race("section", "images/s")
    race.add("slow", lambda: wait(1.0), images=4)
    race.add("fast", lambda: wait(0.5), images=8)
    race.run(1)
    row = race.row("fast", "slow")
    assert row["values"] == [16]
    assert row["ratio"] == 4


def test_columns_are_aligned_and_what_was_skipped_says_why(tool):
    race = tool.Race("section")
    race.seconds = {"a": np.array([0.5, 1.0, 3.0]), "longer": np.array([0.25])}
    race.skipped["absent"] = "skipped: not installed"
    rows = [race.row("a"), race.row("longer", "a", 4.0), race.row("absent", "a")]
    lines = tool.table(rows).splitlines()
    assert lines[1].split() == ["section", "a", "1000.0", "500.0..3000.0", "ms/image"]
    assert lines[2].endswith("250.0..250.0  ms/image   4.00  x a (aim 4)")
    assert lines[3].split()[1:4] == ["absent", "-", "ms/image"]
    assert lines[3].endswith("skipped: not installed")
    assert len({line.index("ms/image") for line in lines[1:]}) == 1
    assert lines[0].index("unit") == lines[1].index("ms/image")


def test_plain_networks_are_built_inside_only(tool):
    import keras

    ours = densenet_fcn.BatchNormalization
    with tool.built_with("mixed_bfloat16", plain=True):
        assert densenet_fcn.BatchNormalization is keras.layers.BatchNormalization
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert densenet_fcn.BatchNormalization is ours
    assert keras.config.dtype_policy().name == "float32"


def test_the_published_way_draws_the_same_maps(tool):
    from kerasloc import FullModel

    wrapper = FullModel(num_classes=3, im_size=16, **tool.NETWORK)
    image = np.random.default_rng(0).random((16, 16, 3), dtype="float32")
    high, low, best = tool.published_cams(wrapper)(image)
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


def test_training_compares_three_ways_for_both_models(tool, measure, monkeypatch):
    import keras

    ours, built = densenet_fcn.BatchNormalization, []

    def step(family, side, options):
        fused = densenet_fcn.BatchNormalization is ours
        built.append((family, side, fused, keras.config.dtype_policy().name))
        return list

    monkeypatch.setattr(tool, "training_step", step)
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
def test_a_training_step_changes_what_is_trained(tool, family):
    options = types.SimpleNamespace(batch_size=2)
    step = tool.training_step(family, 8, options)
    trainer = step.func.__self__
    before = [w.numpy() for w in trainer.trainable_variables]
    step()
    after = [w.numpy() for w in trainer.trainable_variables]
    assert len(after) > 0
    assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    frozen = trainer.get_layer("initial_conv2D")
    assert frozen.trainable == (family == "half")


def test_the_pipeline_is_compared_with_training_and_goes_on_without_imgaug(
    tool, measure, monkeypatch
):
    def absent():
        raise ImportError("imgaug could not be imported")

    monkeypatch.setattr(augmentations, "_imgaug", absent)
    monkeypatch.setattr(tool, "training_step", lambda *_: list)
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


def test_dashes_and_underscores_are_the_same(tool):
    dashes = "hrcam --im-size 64 --train-size 32 --batch-size 2"
    assert (
        tool.parse(dashes.split())[1]
        == tool.parse(dashes.replace("-s", "_s").split())[1]
    )


def test_the_help_has_an_example(tool, capsys):
    with pytest.raises(SystemExit, match="0"):
        tool.main(["--help"])
    assert "python utils/benchmark.py hrcam --only cams" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hrcam", "--only", "dreams"], "invalid choice: 'dreams'"),
        (["hrcam", "--repeat", "0"], "Numbers are 1 or more."),
        (["hrcam", "--only", "cams", "--im-size", "30"], "multiples of 4"),
        (["birds"], "invalid choice: 'birds'"),
    ],
)
def test_what_does_not_fit_is_an_error_with_the_reason(
    tool, capsys, arguments, message
):
    with pytest.raises(SystemExit, match="2"):
        tool.main(arguments)
    assert message in capsys.readouterr().err
