import importlib.util
import pathlib

import pytest

from kerasloc.debug import get_model_memory_usage
from kerasloc.models.hrcam import half_densenet

SCRIPT = pathlib.Path(__file__).parents[2] / "utils" / "memory_usage.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("memory_usage", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_has_a_row_per_batch_size(tool, capsys):
    size = ["--im-size", "32", "64", "--channels", "1"]
    tool.main(["half", *size, "--num-classes", "2", "--batch-size", "3", "10"])
    title, _, *rows = capsys.readouterr().out.splitlines()
    model = half_densenet((32, 64, 1), 2)
    assert title.startswith("half model, 32 x 64 x 1, 2 classes")
    assert f"{model.count_params():,} parameters" in title
    assert [row.split() for row in rows] == [
        [str(batch), f"{get_model_memory_usage(model, batch):.3f}"] for batch in (3, 10)
    ]


def test_the_full_model_needs_more(tool, capsys):
    needs = {}
    for model in ("half", "full"):
        tool.main([model, "--im_size", "64", "--batch_size", "32"])
        needs[model] = float(capsys.readouterr().out.split()[-1])
    assert 0 < needs["half"] < needs["full"]


def test_dashes_and_underscores_are_the_same(tool):
    dashes = "full --im-size 64 --num-classes 3 --batch-size 1 2"
    assert (
        tool.parse(dashes.split())[1]
        == (tool.parse(dashes.replace("-s", "_s").replace("m-c", "m_c").split())[1])
    )


def test_the_help_has_an_example(tool, capsys):
    with pytest.raises(SystemExit, match="0"):
        tool.main(["--help"])
    assert "python utils/memory_usage.py full" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["half", "--im-size", "60"], "multiples of 32. Received: 60 x 60"),
        (["half", "--im-size", "32", "32", "3"], "a positive number or"),
        (["half", "--im-size", "32", "--batch-size", "0"], "batch_size=0"),
        (["quarter"], "invalid choice: 'quarter'"),
    ],
)
def test_what_does_not_fit_is_an_error_with_the_reason(
    tool, capsys, arguments, message
):
    with pytest.raises(SystemExit, match="2"):
        tool.main(arguments)
    assert message in capsys.readouterr().err
