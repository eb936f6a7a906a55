"""The examples that need more than the project: they are run as their docstrings say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from search.database.engine import open_readonly
from search.show import status
from tests.commands import ROOT
from tests.integration.environment import PYTHON
from tests.integration.test_buckets import run_python, search_there

pytestmark = pytest.mark.integration

EXAMPLES = ROOT / "examples"


def test_a_pytorch_loop_goes_on_bit_for_bit_and_keeps_its_model(tmp_path: Path) -> None:
    file = str(EXAMPLES / "torch_loop.py")
    checked = search_there(tmp_path, "check", file, "--direction", "maximize")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "gone on, the trial is bit for bit what it is undisturbed" in checked.stdout
    asked = ("run", "digits", "--objective", file, "--direction", "maximize", "--trials", "4")
    ran = search_there(tmp_path, *asked)
    assert (ran.returncode, ran.stderr) == (0, "")
    best = status.study(open_readonly(f"sqlite:///{tmp_path}/studies.db"), "digits")["best"]
    code = f"""
import torch
from examples.torch_loop import HELD_OUT, X, Y, nn
units = {best["params"]["units"]}
model = nn.Sequential(nn.Linear(64, units), nn.ReLU(), nn.Identity(), nn.Linear(units, 10))
model.load_state_dict(torch.load("{tmp_path}/exports/digits/model.pt", weights_only=True))
print(float((model(X[-HELD_OUT:]).argmax(1) == Y[-HELD_OUT:]).float().mean()))
"""
    assert float(run_python(code, {})) == pytest.approx(best["value"])
    report = json.loads((tmp_path / "exports" / "digits" / "report.json").read_text())
    assert set(report["reported"]) == {"loss", "value"} and report["model"]["file"] == "model.pt"


def test_it_is_the_same_loop_under_optuna_alone(tmp_path: Path) -> None:
    code = f"""
import os, optuna
os.chdir("{tmp_path}")
from examples.torch_loop import objective
study = optuna.create_study(direction="maximize")
study.optimize(objective, n_trials=2)
print(study.best_value)
"""
    assert 0.5 < float(run_python(code, {})) <= 1


def test_a_hydra_app_is_an_objective_and_still_an_app(tmp_path: Path) -> None:
    file = str(EXAMPLES / "hydra_app.py")
    asked = ("run", "app", "--objective", file, "--direction", "maximize", "--trials", "6")
    ran = search_there(tmp_path, *asked)
    assert (ran.returncode, ran.stderr) == (0, "")
    best = status.study(open_readonly(f"sqlite:///{tmp_path}/studies.db"), "app")["best"]
    overrides = [f"{name}={value}" for name, value in best["params"].items()]
    code = f"import runpy, sys; sys.argv = {['hydra_app.py', *overrides, f'hydra.run.dir={tmp_path}']!r}; "
    shown = run_python(f"{code}runpy.run_path({file!r}, run_name='__main__')", {})
    found = re.fullmatch(r"accuracy (0\.\d+|1\.0+)\n", shown)
    assert found is not None and float(found[1]) == pytest.approx(best["value"], abs=5e-5)
    assert PYTHON.is_file()
