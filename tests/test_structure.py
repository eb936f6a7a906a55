"""Who may import whom, read from the source: the arrows between the halves hold, or this fails."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DEFINITION = ("STUDY", "OBJECTIVE", "SIZE", "TRIALS", "EPOCHS", "TRAIN_SIZE", "SOURCE", "DIRECTION")
MACHINE = ("STORAGE", "DATA_DIR", "FILES", "CHILDREN", "TIMEOUT", "TRIAL", "TO", "PORT")
MAKE_VARIABLES = (*DEFINITION, *MACHINE)
POSITIONAL = {"STUDY", "TRIAL"}

FOLDERS = ("objectives.data", "objectives.models", "objectives.training")
# Where a file lies -> what it may import beside the standard library.
ALLOWED = {
    "search": ("search", "optuna", "sqlalchemy", "rich", "waitress", "optuna_dashboard"),
    "objectives": (*FOLDERS, "search.contract", "optuna"),
    "objectives/data": ("objectives.data", "search.contract", "numpy", "keras", "pooch", "sklearn"),
    "objectives/models": ("objectives.models", "keras"),
    "objectives/training": (
        *FOLDERS,
        "search.contract",
        "optuna",
        "keras",
        "numpy",
        "sklearn",
        "matplotlib",
        "tensorflow",
    ),
}
LATE = {"matplotlib", "tensorflow"}  # heavy or optional: inside functions only


@dataclass(frozen=True)
class Import:
    """``function`` is the name of the function that it stands in, None at the module's level."""

    path: str
    module: str
    function: str | None


def imports(path: str, source: str) -> Iterator[Import]:
    """Every import of a source text; ``from a import b`` counts as a.b where a is a folder of ours."""

    def walk(node: ast.AST, function: str | None) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(path, alias.name, function) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0 and child.module, f"{path}: relative imports are not used here"
                packages = child.module in {"search", "objectives", *FOLDERS}
                names = [f"{child.module}.{alias.name}" for alias in child.names] if packages else [child.module]
                yield from (Import(path, name, function) for name in names)
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from walk(child, child.name)
            else:
                yield from walk(child, function)

    yield from walk(ast.parse(source), None)


def violations(found: list[Import]) -> list[str]:
    """One line for each import that the arrows forbid."""
    wrong = []
    for one in found:
        top = one.module.partition(".")[0]
        allowed = ALLOWED[str(Path(one.path).parent)]
        if top not in sys.stdlib_module_names and not any(f"{one.module}.".startswith(f"{name}.") for name in allowed):
            wrong.append(f"{one.path} imports {one.module}")
        elif top in LATE and one.function is None:
            wrong.append(f"{one.path} imports {one.module} outside a function")
    if len({(one.path, one.function) for one in found if one.module.partition(".")[0] == "tensorflow"}) > 1:
        wrong.append("TensorFlow is imported in more than one function")
    return wrong


def test_the_arrows_hold() -> None:
    found: list[Import] = []
    for folder in ALLOWED:
        files = sorted((ROOT / folder).glob("*.py"))
        assert files, f"nothing in {folder}"
        for file in files:
            found += imports(str(file.relative_to(ROOT)), file.read_text(encoding="utf-8"))
    assert violations(found) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("search/worker.py", "import keras"),
        ("search/child.py", "def run():\n    from objectives import cnn_digits"),
        ("search/status.py", "import numpy as np"),
        ("objectives/mine.py", "from search import storage"),
        ("objectives/mine.py", "from search.errors import SearchError"),
        ("objectives/mine.py", "from objectives import cnn_digits"),
        ("objectives/mine.py", "import keras"),
        ("objectives/models/mine.py", "import numpy"),
        ("objectives/models/mine.py", "from objectives.data import load"),
        ("objectives/data/mine.py", "from search.contract_two import x"),
        ("objectives/training/mine.py", "import matplotlib.pyplot"),
        ("objectives/training/mine.py", "import tensorflow"),
        ("objectives/training/mine.py", "def a():\n    import tensorflow\ndef b():\n    import tensorflow"),
    ],
)
def test_a_forbidden_import_is_found(path: str, source: str) -> None:
    assert len(violations(list(imports(path, source)))) == 1


def test_each_make_variable_is_a_flag_of_the_command_it_goes_to() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    passed = set(re.findall(r"\$\(call flag,([a-z-]+),([A-Z_]+)\)", makefile))
    assert all(flag == variable.lower().replace("_", "-") for flag, variable in passed)
    assert {variable for _, variable in passed} | POSITIONAL | {"STORAGE"} == set(MAKE_VARIABLES)
    listed = "".join(line for line in makefile.splitlines() if line.startswith("#:"))
    assert [variable for variable in MAKE_VARIABLES if f"{variable}=" not in listed] == []

    variables = [f"{variable}=1" for variable in MAKE_VARIABLES]
    for target in ("search", "worker", "status", "refit", "export", "check", "dashboard"):
        # A trial's number is status's alone: beside the others it would be taken for TRIALS, and is refused.
        given = [one for one in variables if target == "status" or one != "TRIAL=1"]
        shown = subprocess.run(
            ["make", "-n", target, *given], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        planned = next(line for line in shown.splitlines() if line.startswith(".venv/bin/python -m search "))
        command = planned.split()[3]
        explained = subprocess.run(
            [sys.executable, "-m", "search", command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        known = set(re.findall(r"--[a-z-]+", explained))
        assert "--storage" in known
        assert set(re.findall(r"--[a-z-]+", planned)) <= known, f"make {target}"
