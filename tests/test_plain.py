"""Somebody's own ``objective(trial)`` runs as it is, and Optuna's own tools read what comes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FixedTrial

from search.database.engine import open_readonly
from search.show import status
from tests import iris_sgd
from tests.commands import search

FILE = str(Path(iris_sgd.__file__).resolve())
# What it is worth is known beforehand: the first is the best, but takes too long; the last two are below the median.
QUEUED: list[dict[str, Any]] = [
    {"alpha": 0.01, "penalty": "l1", "extra": 2},
    {"alpha": 0.03, "penalty": None, "extra": 0},
    {"alpha": 0.01, "penalty": "l1", "extra": 0},
    {"alpha": 0.03, "penalty": None, "extra": 2},
    {"alpha": 0.003, "penalty": "l1", "extra": 2},
    {"alpha": 0.1, "penalty": "l2", "extra": 0},
    {"alpha": 0.1, "penalty": "l1", "extra": 0},
]
SAMPLED = 4


def test_a_plain_function_is_searched_as_it_is(tmp_path: Path, sqlite_url: str) -> None:
    assert len(Path(FILE).read_text().splitlines()) < 30
    study = optuna.create_study(study_name="mine", storage=sqlite_url, direction="maximize")
    for params in QUEUED:
        study.enqueue_trial(params)
    budget = str(len(QUEUED) + SAMPLED)
    asked = ("run", "mine", "--objective", FILE, "--direction", "maximize", "--trials", budget)
    ran = search(tmp_path, *asked, SEARCH_STORAGE=sqlite_url)
    assert (ran.status, ran.err) == (0, "")

    refused = search(tmp_path, "refit", "mine", SEARCH_STORAGE=sqlite_url)
    assert (
        refused.status == 1 and "a plain function whose trials report nothing through search.run(trial)" in refused.err
    )
    assert [study.study_name for study in optuna.get_all_study_summaries(sqlite_url)] == ["mine"]
    trials = optuna.load_study(study_name="mine", storage=sqlite_url).trials
    assert [trial.params for trial in trials[: len(QUEUED)]] == QUEUED
    assert len(trials) == len(QUEUED) + SAMPLED
    for trial in trials:
        equals_what_the_function_gives_alone(trial)
    assert {trial.state.name for trial in trials[: len(QUEUED)]} == {"COMPLETE", "PRUNED"}
    the_best_keeps_to_the_constraint(trials, tmp_path, sqlite_url, ran.out)
    optunas_command_lists_the_same(trials, sqlite_url)


def equals_what_the_function_gives_alone(trial: optuna.trial.FrozenTrial) -> None:
    alone, reports = FixedTrial(trial.params), trial.intermediate_values
    value = iris_sgd.objective(alone)
    assert list(reports) == list(range(len(reports)))
    assert trial.constraints == alone.constraints == {"time": trial.params["extra"] - 1}
    assert type(trial.params["extra"]) is int and trial.params["penalty"] in {"l1", "l2", None}
    if trial.state.name == "COMPLETE":
        assert trial.value == value == reports[trial.params["extra"] + 4]
        assert trial.user_attrs["coefficients"] == alone.user_attrs["coefficients"]
    else:
        assert "coefficients" not in trial.user_attrs


def the_best_keeps_to_the_constraint(
    trials: list[optuna.trial.FrozenTrial], folder: Path, url: str, printed: str
) -> None:
    best = optuna.load_study(study_name="mine", storage=url).best_trial
    # Optuna does not say which of equals it takes; we take the earliest.
    best = next(trial for trial in trials if trial.value == best.value and trial.params["extra"] == 0)
    assert (trials[0].value or 0.0) > max(t.value for t in trials[1 : len(QUEUED)] if t.value is not None)
    found = status.study(open_readonly(url), "mine")["best"]
    assert found == {"number": best.number, "value": best.value, "params": best.params}
    assert f"best: trial {best.number}, value {best.value:.4f}" in printed
    report = json.loads((folder / "exports" / "mine" / "report.json").read_text())
    assert (report["trial"], report["hyperparameters"], report["test"]) == (best.number, best.params, None)


def optunas_command_lists_the_same(trials: list[optuna.trial.FrozenTrial], url: str) -> None:
    command = [str(Path(sys.executable).with_name("optuna")), "trials", "--storage", url, "--study-name", "mine"]
    listed = json.loads(subprocess.run([*command, "-f", "json"], capture_output=True, text=True, check=True).stdout)
    assert [(one["number"], one["params"], one["state"]) for one in listed] == [
        (trial.number, trial.params, trial.state.name) for trial in trials
    ]
