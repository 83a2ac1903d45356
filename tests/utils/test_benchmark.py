import importlib.util
import pathlib
import sys

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "utils" / "benchmark.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def timing(tool):
    return sys.modules[tool.table.__module__]


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds


def test_turns_alternate_and_the_first_of_each_does_not_count(timing):
    clock, order = Clock(), []

    def work(name, seconds):
        order.append(name)
        clock.wait(seconds.pop(0))

    race = timing.Race("section", clock=clock)
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


def test_images_per_second_have_ratios_of_speed_too(timing):
    clock = Clock()
    race = timing.Race("section", "images/s", clock)
    race.add("slow", lambda: clock.wait(1.0), images=4)
    race.add("fast", lambda: clock.wait(0.5), images=8)
    race.run(1)
    row = race.row("fast", "slow")
    assert row["values"] == [16]
    assert row["ratio"] == 4


def test_columns_are_aligned_and_what_was_skipped_says_why(timing):
    race = timing.Race("section")
    race.seconds = {"a": np.array([0.5, 1.0, 3.0]), "longer": np.array([0.25])}
    race.skipped["absent"] = "skipped: not installed"
    rows = [race.row("a"), race.row("longer", "a", 4.0), race.row("absent", "a")]
    lines = timing.table(rows).splitlines()
    assert lines[1].split() == ["section", "a", "1000.0", "500.0..3000.0", "ms/image"]
    assert lines[2].endswith("250.0..250.0  ms/image   4.00  x a (aim 4)")
    assert lines[3].split()[1:4] == ["absent", "-", "ms/image"]
    assert lines[3].endswith("skipped: not installed")
    assert len({line.index("ms/image") for line in lines[1:]}) == 1
    assert lines[0].index("unit") == lines[1].index("ms/image")


def test_dashes_and_underscores_are_the_same(tool):
    dashes = "hrcam --im-size 64 --train-size 32 --batch-size 2"
    assert (
        tool.parse(dashes.split())[1]
        == tool.parse(dashes.replace("-s", "_s").split())[1]
    )


def test_quick_sets_what_is_not_given(tool):
    _, options = tool.parse(["pylon", "--quick", "--im-size", "96"])
    assert options.im_size == 96
    assert (options.backbone, options.repeat) == ("resnet18", 1)
    _, usual = tool.parse(["pylon"])
    assert (usual.backbone, usual.im_size, usual.batch_size) == ("resnet50", 256, 8)


def test_quick_knows_every_option_by_name(tool):
    for name, suite in tool.SUITES.items():
        assert set(suite.QUICK) <= set(vars(tool.parse([name])[1]))


def test_the_environment_names_cores_load_versions_and_settings(tool, monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    facts = tool.environment()
    assert "cores" in facts["machine"]
    assert "load" in facts["machine"]
    assert "TF_ENABLE_ONEDNN_OPTS 0" in facts["threads"]
    assert "tensorflow" in facts["versions"]


@pytest.mark.parametrize(
    ("words", "example"),
    [
        (["--help"], "python utils/benchmark.py hrcam --only cams"),
        (["hrcam", "--help"], "python utils/benchmark.py hrcam --only cams"),
        (["pylon", "--help"], "python utils/benchmark.py pylon --only training"),
        (["ham", "--help"], "python utils/benchmark.py ham --only training"),
    ],
)
def test_the_help_has_an_example(tool, capsys, words, example):
    with pytest.raises(SystemExit, match="0"):
        tool.main(words)
    assert example in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hrcam", "--only", "dreams"], "invalid choice: 'dreams'"),
        (["pylon", "--only", "cams"], "invalid choice: 'cams'"),
        (["hrcam", "--repeat", "0"], "Numbers are 1 or more."),
        (["pylon", "--files", "0"], "Numbers are 1 or more."),
        (["hrcam", "--only", "cams", "--im-size", "30"], "multiples of 32"),
        (["pylon", "--only", "training", "--im-size", "30"], "multiples of 32"),
        (["pylon", "--only", "inference", "--backbone", "oak"], "Received: 'oak'"),
        (["ham", "--only", "reading"], "invalid choice: 'reading'"),
        (["ham", "--only", "training", "--downsampling", "4"], "8, 16 or 32"),
        (["birds"], "invalid choice: 'birds'"),
    ],
)
def test_what_does_not_fit_is_an_error_with_the_reason(
    tool, capsys, arguments, message
):
    with pytest.raises(SystemExit, match="2"):
        tool.main(arguments)
    assert message in capsys.readouterr().err
