"""Damaged images: what is counted, and that a seed decides it."""

import contextlib

import pytest


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("fuzz_images")


def test_a_seed_decides_the_damage(tool):
    files = [list(tool.cases(30, seed)) for seed in (1, 1, 2)]
    assert files[0] == files[1] != files[2]
    kinds = [kind for kind, *_ in files[0]]
    assert set(kinds) == {"bomb", *tool.MUTATIONS}
    assert sum(kind != "bomb" for kind in kinds) == 30


@pytest.mark.slow
def test_no_file_is_over_a_limit_unnamed_or_run(tool, capsys, tmp_path):
    assert tool.main(["--files", "9", "--keep", str(tmp_path / "kept")]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    name, tried, named, unnamed, equal, changed, over, run = last.split()
    assert name == "all"
    assert int(tried) == int(named) + int(equal) + int(changed) > 9
    assert (unnamed, over, run) == ("0", "0", "0")
    assert not (tmp_path / "kept").exists()


@pytest.mark.slow
@pytest.mark.parametrize("limits", [(60.0, -1e12), (1e-6, 1e12)])
def test_a_file_over_a_limit_of_time_or_memory_is_counted(tool, tmp_path, limits):
    path = tmp_path / "x.png"
    path.write_bytes(tool.valid_files()["color.png"])
    with contextlib.closing(tool.Reader(*limits)) as reader:
        assert reader.read(str(path), str(path))[0] == "over"


def test_failures_depend_on_the_damage(tool):
    assert tool.is_failure("flip", "over")
    assert tool.is_failure("cut", "equal")
    assert not tool.is_failure("flip", "changed")
    assert not tool.is_failure("cut", "named")
