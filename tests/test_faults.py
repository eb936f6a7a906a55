"""Whatever dies, and whenever: the budget is exact, nothing is lost and nothing is there twice."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from tests.commands import ROOT
from tests.faults import check, new_study, storage_at
from tests.test_worker import worker_on


def started(mode: str, url: str, folder: Path) -> subprocess.Popen[str]:
    folder.mkdir()
    command = [sys.executable, "-m", "tests.faults", mode, url, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate()
    assert process.returncode == 0, err
    return dict(json.loads(out))


@pytest.mark.timeout(900)
def test_random_kills_and_a_death_at_every_other_point(storage_url: str, tmp_path: Path) -> None:
    """Both at once, in one database: the workers of the one mostly wait while those of the other mostly compute.

    Between them both kinds of database have every point; each has every one in the long runs.
    """
    points = started("half of the points", storage_url, tmp_path / "points")
    kills = started("random", storage_url, tmp_path / "random")
    killed, died = result(kills), result(points)
    assert killed["wrong"] == []
    assert killed["killed"] >= 40
    assert any(step > 0 for step in killed["resumed_from"]), "no trial went on from a checkpoint"
    assert died["wrong"] == []
    assert died["deaths"] >= 100


@pytest.mark.soak
@pytest.mark.parametrize(
    ("mode", "deaths"),
    [
        pytest.param("points", 200, marks=pytest.mark.timeout(1800)),
        pytest.param("statements", 500, marks=pytest.mark.timeout(5400)),
    ],
)
def test_a_death_at_every_one(mode: str, deaths: int, storage_url: str, tmp_path: Path) -> None:
    died = result(started(mode, storage_url, tmp_path / mode))
    assert died["wrong"] == []
    assert died["deaths"] >= deaths


class LostAnswer:
    """The commits of a process, of which one is made and its answer lost with the connection."""

    def __init__(self, engine: sa.Engine, at: int) -> None:
        self.seen, self._at, self._commit = 0, at, engine.dialect.do_commit
        self._error = sqlite3.OperationalError if engine.name == "sqlite" else psycopg.OperationalError

    def __call__(self, connection: Any) -> None:
        self._commit(connection)
        self.seen += 1
        if self.seen == self._at:
            raise self._error("the answer was lost")


def test_a_lost_answer_costs_no_attempt(storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever commit of a worker it is: the claim, the birth, a report, a file's record, the tell."""
    engine = storage_at(storage_url).engine

    def run(at: int) -> int:
        study = new_study(storage_url, budget=1, epochs=2, rungs=(1,))
        commits = LostAnswer(engine, at)
        worker = worker_on(storage_url, study, tmp_path)
        with monkeypatch.context() as patched:
            patched.setattr(engine.dialect, "do_commit", commits)
            worker.work([study.key])
        worker.close()
        assert check(storage_url, study, 1) == [], f"commit {at}"
        (row,) = storage_at(storage_url).leases.rows(study.key)
        assert (row["token"], row["attempts"], row["repeated"]) == (1, 0, 0), f"commit {at}"
        return commits.seen

    commits = run(0)
    assert commits >= 12
    for at in range(1, commits + 1):
        run(at)
