"""The command line of the benchmark, its timing and its table."""

import json
import sys

import numpy as np
import pytest


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("benchmark")


@pytest.fixture(scope="module")
def timing(tool):
    return sys.modules[tool.table.__module__]


class Clock:
    """A clock that moves on request."""

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
    race.add("fast", lambda: work("fast", fast), against={"slow": 4.0})
    first, second = race.run(3)
    assert order == ["slow", "fast"] * 4
    assert first == {
        "section": "section",
        "name": "slow",
        "unit": "ms/image",
        "values": [2000, 4000, 3000],
        "median": 3000,
    }
    # ratios of the rounds: 2 / 4, 4 / 2, 3 / 2
    assert second["ratio"] == pytest.approx(1.5)
    assert (second["against"], second["aim"]) == ("slow", 4.0)


def test_images_per_second_have_ratios_of_speed_too(timing):
    clock = Clock()
    race = timing.Race("section", "images/s", clock)
    race.publish("paper", 0.5)
    race.add("slow", lambda: clock.wait(1.0), images=4)
    race.add("fast", lambda: clock.wait(0.5), 8, {"slow": None, "paper": None})
    slow, *rows = race.run(1)
    assert slow["values"] == [4]
    assert [row["values"] for row in rows] == [[16], [16]]
    assert [row["ratio"] for row in rows] == [4, 8]


def test_columns_are_aligned_and_a_skipped_row_has_its_reason(timing):
    clock = Clock()
    times = iter([9, 0.5, 1.0, 3.0])
    race = timing.Race("section", clock=clock)
    race.add("a", lambda: clock.wait(next(times)))
    race.skip("absent", "not installed")
    race.add("longer", lambda: clock.wait(0.25), against={"a": 4.0})
    lines = timing.table(race.run(3)).splitlines()
    assert lines[1].split() == ["section", "a", "1000.0", "500.0..3000.0", "ms/image"]
    assert lines[2].endswith("250.0..250.0  ms/image   4.00  x a (aim 4)")
    assert lines[3].split()[1:4] == ["absent", "-", "ms/image"]
    assert lines[3].endswith("skipped: not installed")
    assert len({line.index("ms/image") for line in lines[1:]}) == 1
    assert lines[0].index("unit") == lines[1].index("ms/image")


def test_quick_changes_only_the_defaults(tool):
    _, options = tool.parse(["pylon", "--quick", "--im-size", "96"])
    assert options.im_size == 96
    assert (options.backbone, options.repeat) == ("resnet18", 1)
    _, usual = tool.parse(["pylon"])
    assert (usual.backbone, usual.im_size, usual.batch_size) == ("resnet50", 256, 8)
    for name, suite in tool.SUITES.items():
        assert set(suite.QUICK) <= set(vars(tool.parse([name])[1]))


def test_the_environment_has_cores_load_versions_and_settings(tool):
    facts = tool.environment({"TF_ENABLE_ONEDNN_OPTS": "0"})
    assert "cores" in facts["machine"]
    assert "load" in facts["machine"]
    assert "TF_ENABLE_ONEDNN_OPTS 0" in facts["threads"]
    assert "tensorflow" in facts["versions"]


def test_rows_are_printed_and_written_with_the_environment(tool, tmp_path, capsys):
    path = tmp_path / "speed.json"
    words = "hrcam --only postprocess --im-size 32 --repeat 1 --json"
    tool.main([*words.split(), str(path)])
    content, lines = json.loads(path.read_text()), capsys.readouterr().out.splitlines()
    assert content["environment"]["devices"] in "\n".join(lines)
    assert len(lines) == len(content["environment"]) + 1 + len(content["rows"])
    (row,) = content["rows"]
    assert row["median"] == pytest.approx(np.median(row["values"]))
    assert len(row["values"]) == 2
    assert row["ratio"] == pytest.approx(np.median(10 / np.array(row["values"])))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hrcam --only dreams", "invalid choice: 'dreams'"),
        ("pylon --only cams", "invalid choice: 'cams'"),
        ("ham --only reading", "invalid choice: 'reading'"),
        ("birds", "invalid choice: 'birds'"),
        ("hrcam --repeat 0", "Numbers are 1 or more."),
        ("pylon --files 0", "Numbers are 1 or more."),
        ("cams --only channels --size 0", "Numbers are 1 or more."),
        ("hrcam --only cams --im-size 30", "multiples of 32"),
        ("pylon --only training --im-size 30", "multiples of 32"),
        ("cams --only channels --size 30", "multiples of 32"),
        ("cams --only channels --size 32", "(None, 1, 1, 512)"),
        ("pylon --only inference --backbone oak", "'oak'"),
        ("ham --only training --downsampling 4", "downsampling=4"),
    ],
)
def test_wrong_arguments_are_an_error(tool, usage_error, line, message):
    assert message in usage_error(tool, line.split())
