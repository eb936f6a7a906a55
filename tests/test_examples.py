"""The examples as their docstrings say, but for those that need more than the project has."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import optuna
import pytest

from search.commands.parser import parser
from tests.commands import ROOT, search

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_a_table_by_scikit_learn_is_searched(tmp_path: Path) -> None:
    file = str(ROOT / "examples" / "sklearn_table.py")
    ran = search(tmp_path, "run", "table", "--objective", file, "--direction", "maximize", "--trials", "4")
    assert (ran.status, ran.err) == (0, "")
    assert re.search(r"best: trial \d, value 0\.9", ran.out)
    objective = runpy.run_path(file)["objective"]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    study.optimize(objective, n_trials=1)
    assert study.best_value > 0.5


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_is_short_says_what_to_type_and_stands_in_the_readme(path: Path) -> None:
    text = path.read_text()
    assert 40 <= len(text.splitlines()) <= 60 and f"`{path.name}`" in (ROOT / "README.md").read_text()
    docstring = ast.get_docstring(ast.parse(text)) or ""
    command = re.search(r"make search (.*?)(?:  #|$)", docstring, re.MULTILINE)
    assert command is not None
    typed = dict(one.split("=") for one in command[1].split())
    study, flags = typed.pop("STUDY"), [f"--{name.lower()}={value}" for name, value in typed.items()]
    assert parser().parse_args(["run", study, *flags]).objective == f"examples/{path.name}"
