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
DEFINITION = ("STUDY", "OBJECTIVE", "SIZE", "SOURCE", "DIRECTION", "FIRST", "SAMPLER", "PRUNER")
SPENDING = ("TRIALS", "EPOCHS", "TRAIN_SIZE")
MACHINE = ("STORAGE", "DATA_DIR", "FILES", "CHILDREN", "TIMEOUT", "TRIAL", "TO", "PORT")
LIMITS = ("HOURS", "UNTIL", "TRIAL_TIMEOUT", "MAX_PARAMS", "MAX_FLOPS")
SWITCHES = ("CHANGED", "TEST", "TRUST", "WAIT")
MAKE_VARIABLES = (*DEFINITION, *SPENDING, *MACHINE, *LIMITS, *SWITCHES)
POSITIONAL = {"STUDY", "TRIAL"}

FOLDERS = ("objectives.data", "objectives.models", "objectives.training")
# The rooms of the service, a floor a line: imports go to lower floors or stay in their room.
FLOORS = (
    {"search", "search.__main__", "search.keras"},
    {"search.commands"},
    {"search.show"},
    {"search.export", "search.worker"},
    {"search.studies"},
    {"search.child", "search.files"},
    {"search.rules", "search.database"},
    {"search.trial_run"},
    {"search.contract"},
    {"search.report_declaration"},
    {"search.errors", "search.settings"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
OPTUNA, SQL = "optuna", "sqlalchemy"
# What may be imported from outside, beside the standard library.
OUTSIDE = {
    "search": (),
    "search.__main__": (),
    "search.keras": ("keras", "numpy"),
    "search.commands": (OPTUNA, "rich"),
    "search.show": (OPTUNA, SQL, "rich", "waitress", "optuna_dashboard"),
    "search.export": (OPTUNA, SQL, "jinja2"),
    "search.worker": (OPTUNA, SQL),
    "search.studies": (OPTUNA, SQL),
    "search.child": (OPTUNA,),
    "search.files": (SQL, OPTUNA, "boto3", "botocore", "google"),
    "search.rules": (OPTUNA, "numpy", "scipy"),
    "search.database": (OPTUNA, SQL, "psycopg"),
    "search.trial_run": (OPTUNA,),
    "search.contract": (OPTUNA,),
    "search.report_declaration": (),
    "search.errors": (),
    "search.settings": (),
    "objectives": (OPTUNA,),
    "objectives.data": ("numpy", "keras", "pooch", "sklearn"),
    "objectives.models": ("keras", "tensorflow"),
    "objectives.training": ("keras", "numpy", "scipy", "sklearn", "matplotlib"),
}
# The same within the other half: rooms of ours, and the one file of the service.
INSIDE = {
    "objectives": (*FOLDERS, "search.contract"),
    "objectives.data": ("objectives.data", "search.contract"),
    "objectives.models": ("objectives.models",),
    "objectives.training": (*FOLDERS, "search.contract"),
}
KEPT_APART = {("search.child", "search.database")}  # a training process never comes near the database
LATE = {"matplotlib", "tensorflow"}  # heavy or optional: inside functions only
IMPURE = {"os", "time", "socket", "subprocess", "threading", "select", "signal"}  # no rule needs them


@dataclass(frozen=True)
class Import:
    """``function`` is the name of the function that it stands in, None at the module's level."""

    path: str
    module: str
    function: str | None

    @property
    def by(self) -> str:
        """The module that imports."""
        return module_of(self.path)


def module_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def room_of(module: str) -> str:
    """The longest known room that this module lies in; empty: it lies in none."""
    known = [room for room in (*FLOOR, "objectives", *FOLDERS) if f"{module}.".startswith(f"{room}.")]
    return max(known, key=len, default="")


def imports(path: str, source: str) -> Iterator[Import]:
    """Every import of a source text; ``from a import b`` counts as a.b where that is a module of ours."""

    def names(node: ast.ImportFrom) -> list[str]:
        assert node.level == 0 and node.module, f"{path}: relative imports are not used here"
        ours = node.module.partition(".")[0] in {"search", "objectives"}
        found = []
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            at = ROOT / whole.replace(".", "/")
            found.append(whole if ours and (at.is_dir() or at.with_suffix(".py").is_file()) else node.module)
        return sorted(set(found))

    def walk(node: ast.AST, function: str | None) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(path, alias.name, function) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                yield from (Import(path, name, function) for name in names(child))
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from walk(child, child.name)
            else:
                yield from walk(child, function)

    yield from walk(ast.parse(source), None)


def everything() -> list[Import]:
    """Of every file below ``search/`` and ``objectives/``."""
    files = [path for half in ("search", "objectives") for path in sorted((ROOT / half).rglob("*.py"))]
    assert len(files) > 80
    return [
        one for file in files for one in imports(file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8"))
    ]


def forbidden(one: Import) -> str | None:
    """Why this import goes against the arrows."""
    room, top = room_of(one.by), one.module.partition(".")[0]
    if top in {"search", "objectives"}:
        return _inside(one, room) if room in INSIDE else _between(room, one.module)
    if top in sys.stdlib_module_names:
        return "is for no rule" if room == "search.rules" and top in IMPURE else None
    if top not in OUTSIDE[room]:
        return "is not for this room"
    return "stands outside a function" if top in LATE and one.function is None else None


def _inside(one: Import, room: str) -> str | None:
    allowed = any(f"{one.module}.".startswith(f"{name}.") for name in INSIDE[room])
    return None if allowed and not _back_to_a_file(one) else "is none of its rooms"


def _between(room: str, module: str) -> str | None:
    target = room_of(module)
    if module == "search" or target == room:
        return None
    if target not in FLOOR or (room, target) in KEPT_APART:
        return "is no room for it"
    return "is no lower floor" if FLOOR[target] <= FLOOR[room] else None


def _back_to_a_file(one: Import) -> bool:
    """From a folder of ``objectives/`` to an objective's file."""
    return room_of(one.by) in FOLDERS and room_of(one.module) == "objectives"


def violations(found: list[Import]) -> list[str]:
    """One line for each import that the arrows forbid."""
    wrong = [f"{one.path}: {one.module} {why}" for one in found if (why := forbidden(one))]
    if len({(one.path, one.function) for one in found if one.module.partition(".")[0] == "tensorflow"}) > 1:
        wrong.append("TensorFlow is imported in more than one function")
    return wrong


def circle(found: list[Import]) -> list[str]:
    """Modules that import each other in a ring, in functions too; none, if all is well."""
    arrows: dict[str, set[str]] = {}
    for one in found:
        if one.module.partition(".")[0] in {"search", "objectives"} and one.module != one.by:
            arrows.setdefault(one.by, set()).add(one.module)
    done: set[str] = set()

    def ring(module: str, above: list[str]) -> list[str]:
        if module in above:
            return [*above[above.index(module) :], module]
        if module in done:
            return []
        for target in sorted(arrows.get(module, ())):
            if found_ring := ring(target, [*above, module]):
                return found_ring
        done.add(module)
        return []

    return next((found_ring for module in sorted(arrows) if (found_ring := ring(module, []))), [])


def test_every_file_has_a_room_and_the_arrows_hold() -> None:
    homeless = [
        path.relative_to(ROOT).as_posix()
        for half in ("search", "objectives")
        for path in (ROOT / half).rglob("*.py")
        if path.parent.relative_to(ROOT).as_posix().replace("/", ".") not in {"search", "search.child.inside", *OUTSIDE}
    ]
    beside = {path.stem for path in (ROOT / "search").glob("*.py")}
    assert homeless == [] and beside == {
        "__init__", "__main__", "contract", "errors", "keras", "report_declaration", "settings", "trial_run",
    }  # fmt: skip
    assert violations(everything()) == []


def test_no_import_goes_in_a_circle() -> None:
    assert circle(everything()) == []
    ring = [Import("search/a.py", "search.b", None), Import("search/b.py", "search.a", "late")]
    assert circle(ring) == ["search.a", "search.b", "search.a"]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("search/worker/loop.py", "import keras"),
        ("search/worker/loop.py", "from search import keras"),
        ("search/trial_run.py", "import keras"),
        ("search/__init__.py", "import optuna"),
        ("search/worker/loop.py", "from search.show import screen"),
        ("search/worker/loop.py", "from search.export import report"),
        ("search/child/inside/serve.py", "def run():\n    from objectives import cnn_digits"),
        ("search/child/inside/serve.py", "from search.database import leases"),
        ("search/child/process.py", "import sqlalchemy as sa"),
        ("search/rules/best.py", "import sqlalchemy as sa"),
        ("search/rules/best.py", "from search.studies.study import Study"),
        ("search/rules/failures.py", "import time"),
        ("search/show/status.py", "import numpy as np"),
        ("search/contract.py", "from search.rules import best"),
        ("search/studies/study.py", "from search.worker.loop import Worker"),
        ("objectives/mine.py", "from search.database import engine"),
        ("objectives/mine.py", "from search.errors import SearchError"),
        ("objectives/mine.py", "from objectives import cnn_digits"),
        ("objectives/mine.py", "import keras"),
        ("objectives/models/mine.py", "import numpy"),
        ("objectives/models/mine.py", "from objectives.data import load"),
        ("objectives/data/mine.py", "from search.contract_two import x"),
        ("objectives/training/mine.py", "from objectives.cnn_digits import OBJECTIVE"),
        ("objectives/training/mine.py", "import matplotlib.pyplot"),
        ("objectives/training/mine.py", "import tensorflow"),
        ("objectives/models/mine.py", "def a():\n    import tensorflow\ndef b():\n    import tensorflow"),
    ],
)
def test_a_forbidden_import_is_found(path: str, source: str) -> None:
    assert len(violations(list(imports(path, source)))) == 1


@pytest.mark.parametrize(
    ("command", "without"),
    [("status", {"optuna", "rich", "keras"}), ("options", {"optuna", "sqlalchemy", "rich"}), ("run", {"keras"})],
)
def test_a_command_loads_only_what_it_needs(command: str, without: set[str]) -> None:
    """Optuna's import alone takes longer than ``status``; a worker never loads Keras."""
    code = f"import search.commands.{command}, sys; print(*({without!r} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown.split() == []


def test_each_make_variable_is_a_flag_of_the_command_it_goes_to() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    passed = set(re.findall(r"\$\(call flag,([a-z-]+),([A-Z_]+)\)", makefile))
    assert all(flag == variable.lower().replace("_", "-") for flag, variable in passed)
    switched = re.findall(r"\$\(call yes,([a-z-]+),([A-Z_]+)\)", makefile)
    assert {(variable.lower(), variable) for variable in SWITCHES} == set(switched)
    assert {variable for _, variable in passed} | POSITIONAL | {"STORAGE", *SWITCHES} == set(MAKE_VARIABLES)
    listed = "".join(line for line in makefile.splitlines() if line.startswith("#:"))
    assert [variable for variable in MAKE_VARIABLES if f"{variable}=" not in listed] == []

    variables = [f"{variable}=1" for variable in MAKE_VARIABLES]
    for target in ("search", "worker", "status", "delete", "refit", "export", "check", "dashboard"):
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
