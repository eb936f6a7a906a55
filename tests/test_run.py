"""``search.run(trial)``: a plain function's training goes on after a kill, stops when told to, keeps its model."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FixedTrial

from search.child.inside.describe import describe
from search.database.engine import open_readonly
from search.show import status
from search.studies.create import create
from search.studies.limits import change_limits
from search.studies.study import Study
from tests import resumable
from tests.commands import changed, first_epoch, search, started, until
from tests.faults import declare, storage_at
from tests.test_worker import THREE, Script, rows, trials, work

FILE = str(Path(resumable.__file__).resolve())


def new_study(url: str, budget: int = 1, objective: str = FILE, **more: Any) -> Study:
    definition = describe(resumable.objective, declare({"budget": budget}, direction="maximize")) | more
    return create(storage_at(url), f"s{os.urandom(6).hex()}", objective, definition)


def check(url: str, study: Study, steps: int) -> None:
    """Each trial is complete, once, with the curve of one that nobody interrupted."""
    found, leases = trials(url, study), {row["trial_id"]: row for row in rows(url, study)}
    assert len(found) == len(leases) and {row["state"] for row in leases.values()} == {"complete"}
    for trial in found:
        curve = resumable.curve(trial.params["x"], steps)
        assert dict(sorted(trial.intermediate_values.items())) == dict(enumerate(curve, 1))
        assert trial.user_attrs["search:epochs"] == {"rmse": [1 / step for step in range(1, steps + 1)], "value": curve}
        assert (trial.value, leases[trial._trial_id]["epoch"]) == (curve[-1], steps)


def log_of(folder: Path, study: Study) -> str:
    logs = (folder / "work" / study.key).rglob("log.txt")
    return "".join(log.read_text() for log in sorted(logs, key=lambda one: one.stat().st_mtime))


@pytest.mark.parametrize("as_folder", ["0", "1"])
def test_a_child_that_is_killed_after_every_step_leaves_the_curve_of_one_that_was_not(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_folder: str
) -> None:
    study = new_study(storage_url)
    monkeypatch.setenv("RESUMABLE_MOOD", "dies")
    monkeypatch.setenv("RESUMABLE_FOLDER", as_folder)
    said = work(storage_url, study, tmp_path, settings=THREE).said
    assert sum("killed by signal 9" in line for line in said) == 4
    check(storage_url, study, 4)
    (row,) = rows(storage_url, study)
    assert (json.loads(row["resumed_from"]), row["repeated"]) == ([1, 2, 3, 4], 0)
    log = log_of(tmp_path, study)
    identity = f"{study.name}-{study.key[:8]}-0"
    assert [f"begins at {step} as {identity}" in log for step in range(5)] == [True] * 5, log


@pytest.mark.parametrize("as_folder", ["0", "1"])
def test_told_to_stop_it_hands_over_and_goes_on_elsewhere(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_folder: str
) -> None:
    study = new_study(storage_url, budget=2)
    monkeypatch.setenv("RESUMABLE_STEPS", "60")
    monkeypatch.setenv("RESUMABLE_PAUSE", "0.1")
    monkeypatch.setenv("RESUMABLE_FOLDER", as_folder)
    said = work(storage_url, study, tmp_path, Script(lambda worker: worker.stop(), after_epoch=3)).said
    epoch = rows(storage_url, study)[0]["epoch"]
    assert said[-1].endswith(f"handed over: after epoch {epoch}") and 3 <= epoch < 60
    assert "ends as handed over" in log_of(tmp_path, study)
    monkeypatch.setenv("RESUMABLE_PAUSE", "0")
    work(storage_url, study, tmp_path / "elsewhere")
    check(storage_url, study, 60)
    assert json.loads(rows(storage_url, study)[0]["resumed_from"]) == [epoch]


@pytest.mark.parametrize("end", ["import optuna; raise optuna.TrialPruned", "return None", "return undefined"])
def test_however_it_ends_when_told_to_what_counts_is_why_it_was_told(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    stops = "        if run.stopping():\n            break"
    last = "rmse=1 / step):\n            break"
    mine = changed(
        tmp_path / "mine.py",
        {stops: f"        if run.stopping():\n            {end}", last: f"rmse=1 / step):\n            {end}"},
        FILE,
    )
    study = new_study(sqlite_url, objective=mine)
    monkeypatch.setenv("RESUMABLE_STEPS", "60")
    monkeypatch.setenv("RESUMABLE_PAUSE", "0.1")
    said = work(sqlite_url, study, tmp_path, Script(lambda worker: worker.stop(), after_epoch=2)).said
    assert "handed over: after epoch" in said[-1]
    (row,) = rows(sqlite_url, study)
    assert (row["state"], row["attempts"]) == ("open", 0)
    monkeypatch.setenv("RESUMABLE_PAUSE", "0")
    work(sqlite_url, study, tmp_path)
    assert [trial.state.name for trial in trials(sqlite_url, study)] == ["COMPLETE"]


def test_the_pruner_is_asked_after_each_step_and_its_verdict_is_what_is_recorded(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threshold = {"name": "ThresholdPruner", "keywords": {"upper": -1.0, "n_warmup_steps": 2}}
    study = new_study(storage_url, budget=2, pruner=threshold)
    monkeypatch.setenv("RESUMABLE_PAUSE", "0.1")
    monkeypatch.setenv("RESUMABLE_STEPS", "500")
    work(storage_url, study, tmp_path)
    for trial in trials(storage_url, study):
        assert (trial.state.name, trial.user_attrs["search:pruned_by"]) == ("PRUNED", "pruner")
        assert sorted(trial.intermediate_values) == [1, 2]
    assert log_of(tmp_path, study).count("ends as pruned") == 2


def test_hours_and_trial_timeout_stop_it(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESUMABLE_STEPS", "1000")
    monkeypatch.setenv("RESUMABLE_PAUSE", "0.05")
    study = new_study(sqlite_url)
    change_limits(storage_at(sqlite_url), study, {"hours": 0.5 / 3600}, trials=1)
    work(sqlite_url, study, tmp_path)
    (row,) = rows(sqlite_url, study)
    assert row["state"] == "open" and 0 < row["epoch"] < 100 and 0.5 <= row["seconds"] < 5
    change_limits(storage_at(sqlite_url), study, {"hours": None, "trial_timeout": 1.0}, trials=1)
    work(sqlite_url, study, tmp_path)
    (trial,) = trials(sqlite_url, study)
    assert (trial.state.name, trial.user_attrs["search:pruned_by"]) == ("PRUNED", "time")
    assert "ends as out of time" in log_of(tmp_path, study)


def test_a_value_that_is_not_finite_prunes_and_what_is_no_step_is_an_error(tmp_path: Path) -> None:
    study = optuna.create_study()
    run = __import__("search").run(study.ask())
    with pytest.raises(optuna.TrialPruned, match="the value is nan after step 1"):
        run.report(1, float("nan"))
    for step, error in ((0, ValueError), (-1, ValueError), (2, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match=f"step {step}"):
            run.report(step, 0.5)
    with pytest.raises(FileNotFoundError, match="the checkpoint of step 1 is not there"):
        run.report(1, 0.5, checkpoint=tmp_path / "none")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def test_under_study_optimize_it_is_the_same_and_nothing_resumes(here: Path) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.ThresholdPruner(upper=1.2)
    study = optuna.create_study(study_name="a/b", direction="maximize", pruner=pruner)
    for x in (0.5, 1.0):
        study.enqueue_trial({"x": x})
    study.optimize(resumable.objective, n_trials=2)
    below, above = study.trials
    assert (below.state.name, below.value) == ("COMPLETE", resumable.curve(0.5, 4)[-1])
    assert below.user_attrs["search:epochs"]["rmse"] == [1, 1 / 2, 1 / 3, 1 / 4]
    assert (above.state.name, list(above.intermediate_values)) == ("PRUNED", [1, 2])
    folders = here / ".search" / "optuna"
    (kept,) = folders.glob("a-b-0-*/model/weights.json")
    assert json.loads(kept.read_text())["step"] == 4
    assert resumable.objective(FixedTrial({"x": 0.25})) == resumable.curve(0.25, 4)[-1]


def test_its_best_models_are_kept_exported_and_trained_again(tmp_path: Path, sqlite_url: str) -> None:
    asked = ("run", "mine", "--objective", FILE, "--direction", "maximize", "--trials", "5")
    ran = search(tmp_path, *asked, SEARCH_STORAGE=sqlite_url)
    assert (ran.status, ran.err) == (0, "")
    exported, best = tmp_path / "exports" / "mine", status.study(open_readonly(sqlite_url), "mine")["best"]
    kept = json.loads((exported / "weights.json").read_text())
    assert (kept["x"], kept["refit"], kept["total"]) == (best["params"]["x"], False, best["value"])
    report = (exported / "report.md").read_text()
    assert "| rmse | 0.2500 |" in report and "`weights.json`: SHA-256" in report
    assert [word for word in ("accuracy", "image", "test set", "validation", "unknown") if word in report] == []

    refused = search(tmp_path, "export", "mine", "--test", SEARCH_STORAGE=sqlite_url)
    assert refused.status == 1 and "is a plain function, of whose test data nobody here knows" in refused.err
    refitted = search(tmp_path, "refit", "mine", SEARCH_STORAGE=sqlite_url)
    assert (refitted.status, refitted.err) == (0, "") and "make export STUDY=mine\n" in refitted.out
    assert search(tmp_path, "export", "mine", SEARCH_STORAGE=sqlite_url).status == 0
    kept = json.loads((exported / "weights.json").read_text())
    assert (kept["x"], kept["refit"]) == (best["params"]["x"], True)


def test_sigterm_hands_it_over_and_the_same_command_goes_on(tmp_path: Path, sqlite_url: str) -> None:
    asked = ("run", "mine", "--objective", FILE, "--direction", "maximize", "--trials", "1")
    slow = {"RESUMABLE_STEPS": "200", "RESUMABLE_PAUSE": "0.1", "SEARCH_STORAGE": sqlite_url}

    with started(tmp_path, *asked, **slow) as process:
        until("three steps", lambda: first_epoch(sqlite_url, "mine") >= 3)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "") and "mine trial 0: handed over: after epoch" in out
    before = first_epoch(sqlite_url, "mine")
    ran = search(tmp_path, *asked, SEARCH_STORAGE=sqlite_url, RESUMABLE_STEPS="200")
    assert (ran.status, ran.err) == (0, "")
    (lease,) = status.study(open_readonly(sqlite_url), "mine")["leases"]
    assert (lease["resumed_from"], lease["epoch"], lease["state"]) == ([before], 200, "complete")
