"""Who may import whom, and what importing the package does."""

import ast
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "kerasloc"
FLOORS = (
    {"checks", "io", "processes", "untrusted"},
    {"configs", "boxes", "maps"},
    {"runs", "layers", "losses"},
    {"backbones", "metrics", "postprocess", "data"},
    {"cams", "debug"},
    {"models"},
    {"weights", "plotting"},
    {"localizers"},
    {"evaluation"},
    {"training"},
)
TENSORFLOW = {"data", "training", "layers"}
TENSORFLOW_FILES = {"cams/backend.py"}


def room(module: str) -> str:
    """`kerasloc.data.table` -> `data`."""
    return module.split(".")[1] if "." in module else ""


def floor(name: str) -> int:
    return next(i for i, names in enumerate(FLOORS) if name in names)


def imports_of(path):
    """Modules that a file imports, inside functions, too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.module == "kerasloc":
                found += [f"kerasloc.{alias.name}" for alias in node.names]
            else:
                found.append(node.module)
    return found


def wrong_imports(name, modules):
    """Those of a file's imports that its floor forbids."""
    here = name.split("/")[0].removesuffix(".py")
    wrong = []
    for module in modules:
        if module.startswith("kerasloc."):
            there = room(module)
            if there != here and floor(there) >= floor(here):
                wrong.append(module)
        elif module.split(".")[0] == "tensorflow" and not (
            here in TENSORFLOW or name in TENSORFLOW_FILES
        ):
            wrong.append(module)
    return wrong


FILES = sorted(
    path.relative_to(PACKAGE).as_posix()
    for path in PACKAGE.rglob("*.py")
    if path.parent != PACKAGE or path.name != "__init__.py"
)


@pytest.mark.parametrize("name", FILES)
def test_a_file_imports_only_from_lower_floors(name):
    assert wrong_imports(name, imports_of(PACKAGE / name)) == []


def test_the_rule_finds_what_it_forbids():
    assert wrong_imports("metrics/a.py", ["kerasloc.data.table"])
    assert wrong_imports("models/a.py", ["kerasloc.localizers"])
    assert wrong_imports("checks.py", ["kerasloc.boxes"])
    assert wrong_imports("models/a.py", ["tensorflow.keras"])
    assert not wrong_imports("models/a.py", ["kerasloc.layers", "kerasloc.models.b"])


PRIVATE = re.compile(
    r"\._(keras_history|nodes|nodes_by_depth|inbound_nodes|outbound_nodes|operations"
    r"|run_through_graph)\b|keras\.src"
)


def test_private_keras_api_appears_in_one_file():
    files = [name for name in FILES if PRIVATE.search((PACKAGE / name).read_text())]
    assert files == ["cams/graph.py"]


def test_tools_are_not_imported_by_the_package():
    every = [m for name in FILES for m in imports_of(PACKAGE / name)]
    assert not {"utils", "scripts", "tests"} & {m.split(".")[0] for m in every}


def run(code, folder, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        check=False,
    )


def test_importing_prints_nothing_parses_nothing_and_writes_nothing(tmp_path):
    code = "import sys; sys.argv = ['x', '--nonsense']; import kerasloc"
    done = run(code, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_importing_loads_no_heavy_library(tmp_path):
    heavy = ("tensorflow", "keras", "matplotlib", "imgaug", "sklearn", "SimpleITK")
    code = f"import kerasloc, sys; print([m for m in {heavy} if m in sys.modules])"
    assert run(code, tmp_path).stdout.strip() == "[]"


def test_public_names_are_listed_and_exist():
    import kerasloc

    assert set(kerasloc.__all__) <= set(dir(kerasloc))
    for name in kerasloc.__all__:
        assert callable(getattr(kerasloc, name))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = kerasloc.nonsense
