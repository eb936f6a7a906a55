"""A database of an earlier version goes on: what was not stored then is taken from the objective's file."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import optuna
import pytest

from search.database.engine import open_readonly
from search.show import status
from search.studies.stop import STOPPED, last_stop, let_go_on
from search.studies.study import find
from search.worker.loop import Worker
from tests.commands import LIGHT, search
from tests.faults import check, new_study, storage_at
from tests.test_worker import Script, work

RECORDS = "SELECT study_id, value_json FROM study_user_attributes WHERE key"
DECLARED = 'shown=Shown(numbers=(Number(key="accuracy", title="luck", unit="%"),), references={"mine": 0.5}),'


SOMETIMES = 'if trial.suggest_categorical("kind", ["a", "b"]) == "b": trial.suggest_float("only_b", 0, 1)'


def an_objective(folder: Path) -> str:
    text = Path(LIGHT).read_text().replace("import BadCheckpointError, ", "import BadCheckpointError, Number, Shown, ")
    path = folder / "mine.py"
    text = text.replace("    return Hyper", f"    {SOMETIMES}\n    return Hyper")
    path.write_text(text.replace('metric="score",', f'metric="score", {DECLARED}'))
    return str(path)


def made_old(database: Path) -> None:
    """As version 0.1 wrote it: no prefix, no ``shown``, the references by themselves, the tables of schema 1."""
    with sqlite3.connect(database) as connection:
        for table in ("study_user_attributes", "trial_user_attributes"):
            connection.execute(f"UPDATE {table} SET key = substr(key, 8) WHERE key LIKE 'search:%'")  # noqa: S608
        connection.execute("UPDATE study_user_attributes SET key = 'search' WHERE key = 'study'")
        for study_id, text in connection.execute(f"{RECORDS} = 'search'").fetchall():
            record = json.loads(text)
            definition = record["definition"]
            definition["references"] = definition.pop("shown")["references"]
            del definition["size"]["precision"]
            for newer in ("first_named", "first_titles", "first_winners", "metric_is_share", "sampler_named"):
                del definition[newer]
            definition["sampler"] = {"name": "TPESampler", "keywords": {}}
            definition["space"].pop("only_b", None)  # what one point did not ask for
            connection.execute(
                "UPDATE study_user_attributes SET value_json = ? WHERE key = 'search' AND study_id = ?",
                (json.dumps(record), study_id),
            )
        connection.execute("ALTER TABLE files DROP COLUMN place")
        for column in ("trained", "memory", "worker_memory", "turned_down", "seconds_before"):
            connection.execute(f"ALTER TABLE leases DROP COLUMN {column}")
        connection.execute("DROP TABLE looks")
        connection.execute("UPDATE search_schema SET number = 1")


def test_it_goes_on_and_is_reported_as_its_file_declares(tmp_path: Path) -> None:
    first = search(tmp_path, "run", "old", "--objective", an_objective(tmp_path), "--trials", "2", "--no-refit")
    assert first.status == 0, first.err
    made_old(tmp_path / "studies.db")

    assert search(tmp_path, "export", "old", "--no-model").status == 0
    report = tmp_path / "exports" / "old" / "report.json"
    assert json.loads(report.read_text())["references"] == {"mine": 0.5}
    assert search(tmp_path, "export", "old", "--test").status == 0
    assert "**Test luck " in (report.parent / "report.md").read_text()

    ran = search(tmp_path, "run", "old", "--trials", "3")
    assert (ran.status, ran.err) == (0, "")
    assert "test luck of the refit (3 epochs): " in ran.out and "mine: 50.00 %" in ran.out
    assert json.loads(report.read_text())["chosen"]["from"] == 3
    assert "old.refit" in search(tmp_path, "status", "old").out


def test_a_trial_that_it_left_in_the_middle_keeps_its_history(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHT_PAUSE", "0.2")
    study = new_study(sqlite_url, budget=2, epochs=3)
    work(sqlite_url, study, tmp_path, Script(Worker.stop))
    storage_at(sqlite_url).set_study_user_attr(study.study_id, STOPPED, {"why": "it raised"})
    database = tmp_path / "studies.db"
    made_old(database)
    old = find(open_readonly(sqlite_url), study.name)
    assert old is not None and (old.is_old, old.key) == (True, study.key)
    assert last_stop(open_readonly(sqlite_url), old) == {"why": "it raised"}
    assert status.trial(open_readonly(sqlite_url), study.name, 0)["epoch"] in {1, 2}

    command = search(tmp_path, "status")  # who only reads upgrades nothing
    assert command.status == 0 and study.name in command.out
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT number FROM search_schema").fetchone() == (1,)

    worked = search(tmp_path, "worker", study.name)
    assert worked.status == 1 and "it raised" in worked.err
    let_go_on(storage_at(sqlite_url), old)
    work(sqlite_url, old, tmp_path)
    assert check(sqlite_url, study, 2) == []


FOREIGN = [7, "text", None, [], {"key": "x"}, {"key": "../../home"}, {"key": "5f3c7a52-6d0e-4d34-9f0e-3a6d2c1b9e77"}]


@pytest.mark.parametrize("value", FOREIGN)
def test_attributes_of_somebody_else_are_theirs(sqlite_url: str, tmp_path: Path, value: object) -> None:
    """Named as ours once were: beside a study of ours, and of a study of their own."""
    theirs = optuna.create_study(study_name="theirs", storage=sqlite_url)
    theirs.set_user_attr("search", value)
    ours = new_study(sqlite_url, budget=1, epochs=2)
    storage_at(sqlite_url).set_study_user_attr(ours.study_id, "search", value)
    storage_at(sqlite_url).set_study_user_attr(ours.study_id, "stopped", {"why": "I was tired"})
    work(sqlite_url, ours, tmp_path)
    assert check(sqlite_url, ours, 1) == []
    assert [one["study"] for one in status.studies(open_readonly(sqlite_url))] == [ours.name]
    assert status.study(open_readonly(sqlite_url), ours.name)["state"] == "finished"
    assert optuna.load_study(study_name="theirs", storage=sqlite_url).user_attrs == {"search": value}


def test_what_an_objective_notes_of_its_trial_is_not_taken_for_ours(tmp_path: Path) -> None:
    notes = 'trial.set_user_attr("epochs", 30); trial.set_user_attr("reason", 1); trial.set_user_attr("lease", "mine")'
    whole, plain = tmp_path / "whole.py", tmp_path / "plain.py"
    whole.write_text(Path(LIGHT).read_text().replace("    return Hyper", f"    {notes}\n    return Hyper"))
    plain.write_text(f"def objective(trial):\n    {notes}\n    return trial.suggest_float('x', 0, 1)\n")
    for name in ("whole", "plain"):
        ran = search(tmp_path, "run", name, "--objective", f"{name}.py", "--trials", "2")
        assert (ran.status, ran.err) == (0, "")
        assert search(tmp_path, "status", name).status == 0
        shown = search(tmp_path, "status", name, "0")
        assert shown.status == 0 and "reason: " not in shown.out
        report = json.loads((tmp_path / "exports" / name / "report.json").read_text())
        curve = report["curves"]["search"]
        assert curve is None if name == "plain" else len(curve["score"]) == 4
        noted = optuna.load_study(study_name=name, storage=f"sqlite:///{tmp_path}/studies.db").trials[0].user_attrs
        assert (noted["epochs"], noted["reason"], noted["lease"]) == (30, 1, "mine")
