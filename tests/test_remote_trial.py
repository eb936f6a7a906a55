"""A trial in its training process: all of Optuna's Trial that can be given, and one line for the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta

from search.commands.main import main
from search.studies.stop import last_stop
from search.studies.study import Study, existing
from tests.faults import storage_at
from tests.test_worker import plain, rows, trials

Said = pytest.CaptureFixture[str]
HEAD = """import os, pathlib, optuna, optuna.terminator
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage_url: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEARCH_STORAGE", storage_url)


def search(body: str, trials: int = 3) -> int:
    """A plain function of this body, under the name of mine."""
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    Path("mine.py").write_text(f'{HEAD}def objective(trial):\n    x = trial.suggest_float("x", 0, 1)\n{lines}')
    return main(["run", "mine", "--objective", "mine.py", "--trials", str(trials), "--direction", "maximize"])


def the_study(url: str) -> Study:
    return existing(storage_at(url).engine, "mine")


def test_artifacts_of_a_trial_and_scores_for_the_terminator(storage_url: str) -> None:
    """Optuna's own programs write through the trial's storage, under its lease."""
    body = """
pathlib.Path("note.txt").write_text(f"x is {x}")
os.makedirs("artifacts", exist_ok=True)
upload_artifact(study_or_trial=trial, file_path="note.txt", artifact_store=FileSystemArtifactStore("artifacts"))
optuna.terminator.report_cross_validation_scores(trial, [x, x / 2])
trial.storage.set_trial_user_attr(trial._trial_id, "through", "storage")
return x
"""
    assert search(body) == 0
    study = optuna.load_study(study_name="mine", storage=plain(storage_url))
    store = FileSystemArtifactStore("artifacts")
    for trial in study.trials:
        (artifact,) = get_all_artifact_meta(trial, storage=study._storage)
        with store.open_reader(artifact.artifact_id) as file:
            assert (artifact.filename, file.read()) == ("note.txt", f"x is {trial.params['x']}".encode())
        assert trial.system_attrs["terminator:cv_scores"] == [trial.params["x"], trial.params["x"] / 2]
        assert trial.user_attrs["through"] == "storage"


def test_the_study_can_be_read(storage_url: str) -> None:
    """As Optuna reads it, while it runs; the last trial tells what it saw."""
    body = """
study, seen = trial.study, {}
if trial.number == 2:
    seen = {
        "name": study.study_name, "direction": study.direction.name, "directions": len(study.directions),
        "best": study.best_value, "params": study.best_params, "number": study.best_trial.number,
        "states": [one.state.name for one in study.trials], "values": [one.value for one in study.trials],
        "complete": len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE])),
        "attr": study.user_attrs["mine"], "metric": study.metric_names,
        "own": trial.storage.get_trial(trial._trial_id).params,
        "history": study.trials[0].intermediate_values,
        "kind": isinstance(trial, optuna.Trial) and isinstance(study, optuna.Study),
    }
    trial.set_user_attr("seen", seen)
trial.report(x, 0)
return x
"""
    optuna.create_study(study_name="mine", storage=plain(storage_url), direction="maximize").set_user_attr("mine", [1])
    assert search(body) == 0
    first, second, last = trials(storage_url, the_study(storage_url))
    best = max((first, second), key=lambda one: one.value or 0.0)
    assert last.user_attrs["seen"] == {
        "name": "mine", "direction": "MAXIMIZE", "directions": 1,
        "best": best.value, "params": best.params, "number": best.number,
        "states": ["COMPLETE", "COMPLETE", "RUNNING"], "values": [first.value, second.value, None],
        "complete": 2, "attr": [1], "metric": ["value"],
        "own": last.params, "history": json.loads(json.dumps(first.intermediate_values)), "kind": True,
    }  # fmt: skip


@pytest.mark.parametrize("storage_url", ["sqlite"], indirect=True)  # no database has a say in it
@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("trial.study.set_user_attr('a', 1)", "the objective writes an attribute of its study, which is not supported"),
        ("trial.study.ask()", "the objective makes another trial, which is not supported here"),
        ("trial.study.enqueue_trial({'x': 1})", "the objective makes another trial, which is not supported here"),
        ("trial.storage.get_all_studies()", "the objective lists all studies, which is not supported here"),
        ("trial.storage.set_trial_user_attr(999, 'a', 1)", "the objective writes into another trial, which is not"),
        ("trial.relative_params", "the objective reads relative_params, which only the worker has. Take it out"),
        (
            "return x, 1 - x",
            "the objective returned 2 values, and several objectives are not supported. Return one number, then type",
        ),
        ("return [x, x, x]", "the objective returned 3 values, and several objectives are not supported. Return one"),
    ],
)
def test_what_is_not_supported_stops_the_study_and_costs_nothing(
    capsys: Said, storage_url: str, body: str, line: str
) -> None:
    assert search(body) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f"search: {line}") and len(err.splitlines()) == 1 and "Traceback" not in out
    study = the_study(storage_url)
    assert [(row["state"], row["attempts"]) for row in rows(storage_url, study)] == [("open", 0)] * 3
    assert str(last_stop(storage_at(storage_url).engine, study)["why"]).startswith(line)
    assert len(trials(storage_url, study)) == 1, "the first such answer"

    assert search("return x") == 0
    assert {trial.state.name for trial in trials(storage_url, study)} == {"COMPLETE"}
    assert len(trials(storage_url, study)) == 3


@pytest.mark.parametrize("storage_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("answer", "value"), [("[x]", True), ("(x,)", True), ("'x'", False), ("[]", False), ("['a', 1]", False)]
)
def test_one_number_in_a_sequence_is_one_number(storage_url: str, answer: str, value: Any) -> None:
    """As in Optuna; what is none is an exception of the objective's."""
    assert search(f"return {answer}", trials=1) == (0 if value else 1)
    (trial,) = trials(storage_url, the_study(storage_url))
    assert trial.value == (trial.params["x"] if value else None)
    assert value or str(trial.user_attrs["search:reason"]).startswith("TypeError: the objective returned ")


def test_an_objective_may_end_its_study(capsys: Said, storage_url: str) -> None:
    """``study.stop()``, as in Optuna: what runs ends well, and nothing more is begun."""
    assert search("if trial.number == 1: trial.study.stop()\nreturn x", trials=5) == 0
    assert "nothing more is to be tried; left of the budget: 3 trials" in capsys.readouterr().out
    states = [row["state"] for row in rows(storage_url, the_study(storage_url))]
    assert states == ["complete"] * 2 + ["unused"] * 3
