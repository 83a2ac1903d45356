"""Memory of HRCAM by batch size."""

import pytest

from kerasloc.debug import get_model_memory_usage
from kerasloc.models.hrcam import half_densenet


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("memory_usage")


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["half", "--im-size", "60"], "multiples of 32. Received: 60 x 60"),
        (["half", "--im-size", "32", "32", "3"], "a positive number or"),
        (["half", "--im-size", "32", "--batch-size", "0"], "batch_size=0"),
        (["quarter"], "invalid choice: 'quarter'"),
    ],
)
def test_wrong_arguments_are_an_error(tool, usage_error, arguments, message):
    assert message in usage_error(tool, arguments)
