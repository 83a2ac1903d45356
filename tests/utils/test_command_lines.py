"""Help texts and option names of all tools."""

import pytest

from tests.utils.conftest import UTILS

HELP = {
    "check_data": "python utils/check_data.py --dataset nih14",
    "convert_weights": "python utils/convert_weights.py --family pylon",
    "dicom_to_png": "python utils/dicom_to_png.py --input",
    "fuzz_images": "python utils/fuzz_images.py --files",
    "fuzz_weights": "python utils/fuzz_weights.py --seed 0 --mutations 40",
    "make_folders": "python utils/make_folders.py --table",
    "make_splits": "python utils/make_splits.py --dataset nih14",
    "make_synthetic": "python utils/make_synthetic.py --out",
    "memory_usage": "python utils/memory_usage.py full",
    "benchmark": "python utils/benchmark.py hrcam --only cams",
    "benchmark hrcam": "python utils/benchmark.py hrcam --only cams",
    "benchmark pylon": "python utils/benchmark.py pylon --only training",
    "benchmark ham": "python utils/benchmark.py ham --only training",
    "benchmark explainer": "python utils/benchmark.py explainer --only multiplication",
    "benchmark cams": "python utils/benchmark.py cams --only methods",
}
DASHES = [
    ("benchmark", "hrcam --im-size 64 --train-size 32 --batch-size 2"),
    ("convert_weights", "a.pt --family x --output y --num-classes 2 --im-size 4x6"),
    ("make_synthetic", "--object-share 0.1 0.15 --most-objects 2"),
    ("memory_usage", "full --im-size 64 --num-classes 3 --batch-size 1 2"),
]


@pytest.mark.parametrize("name", sorted({command.split()[0] for command in HELP}))
def test_a_tool_that_is_stopped_ends_in_a_line(name):
    assert "run_main(main)" in (UTILS / f"{name}.py").read_text()


@pytest.fixture
def help_of(load_tool, capsys):
    def run(command):
        name, *words = command.split()
        with pytest.raises(SystemExit, match="0"):
            load_tool(name).main([*words, "--help"])
        return " ".join(capsys.readouterr().out.split())

    return run


@pytest.mark.parametrize("command", HELP)
def test_the_help_has_an_example(help_of, command):
    assert HELP[command] in help_of(command)


def test_the_help_has_protocols_and_defaults(help_of):
    assert "no-boxes test on all images with boxes" in help_of("make_splits")
    text = help_of("make_synthetic")
    assert "--size N side of the square images" in text
    assert "(default: 96 for shapes, 64 for polygons)" in text
    assert "kinds of other shapes (default: circle 3/1 4/1)" in text


@pytest.mark.parametrize(("name", "line"), DASHES)
def test_dashes_and_underscores_are_the_same(load_tool, name, line):
    underscores = "".join(
        f"--{part.split(' ')[0].replace('-', '_')} {' '.join(part.split(' ')[1:])}"
        if number
        else part
        for number, part in enumerate(line.split("--"))
    )
    assert underscores != line
    dashed, underscored = (
        load_tool(name).parse(text.split())[1] for text in (line, underscores)
    )
    assert dashed == underscored
