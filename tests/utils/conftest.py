"""Tools of ``utils/`` as modules, and the rows of benchmarks."""

import functools
import importlib.util
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest

UTILS = pathlib.Path(__file__).parents[2] / "utils"


@pytest.fixture(scope="session")
def load_tool():
    """Function from the name of a tool to its module."""

    @functools.cache
    def load(name):
        spec = importlib.util.spec_from_file_location(name, UTILS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def run_tool():
    """Function that runs a tool in a new process, optionally without some modules."""

    def run(name, arguments, without=()):
        code = f"import runpy, sys; sys.modules.update(dict.fromkeys({without!r})); "
        code += f"runpy.run_path({str(UTILS / name)!r} + '.py', run_name='__main__')"
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def usage_error(capsys):
    """Function that runs a tool with wrong arguments; returns its error message."""

    def run(tool, arguments):
        with pytest.raises(SystemExit, match="2"):
            tool.main(arguments)
        return capsys.readouterr().err

    return run


@pytest.fixture(scope="session")
def load_suite(load_tool):
    """Function from the name of a suite of the benchmark to its module."""
    return lambda name: load_tool("benchmark").SUITES[name]


@pytest.fixture(scope="session")
def quick_options():
    """Function that creates the options of a suite for two rounds of tiny sizes."""

    def create(suite, **changes):
        usual = {k.replace("-", "_"): value for k, (value, _) in suite.OPTIONS.items()}
        settings = usual | suite.QUICK | {"repeat": 2} | changes
        return types.SimpleNamespace(**settings)

    return create


@pytest.fixture(scope="session")
def comparisons():
    """Function that checks rows; returns name, compared row and target ratio."""

    def check(rows):
        for row in rows:
            assert len(row["values"]) >= 1
            assert min(row["values"]) > 0
            assert ("ratio" in row) == ("against" in row)
            assert row.get("ratio", 1) > 0
        return [(row["name"], row.get("against"), row.get("aim")) for row in rows]

    return check


@pytest.fixture(scope="session")
def changes():
    """Function that calls a step; returns True if it changes a variable."""

    def check(step, variables):
        before = [variable.numpy() for variable in variables]
        step()
        pairs = zip(before, variables, strict=True)
        return any(not np.array_equal(old, new.numpy()) for old, new in pairs)

    return check
