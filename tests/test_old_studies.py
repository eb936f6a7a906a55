"""A database of an earlier version goes on: what was not stored then is taken from the objective's file."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from tests.commands import LIGHT, search

DECLARED = 'shown=Shown(numbers=(Number(key="accuracy", title="luck", unit="%"),), references={"mine": 0.5}),'


def an_objective(folder: Path) -> str:
    text = Path(LIGHT).read_text().replace("import Objective, ", "import Number, Objective, Shown, ")
    path = folder / "mine.py"
    path.write_text(text.replace('metric="score",', f'metric="score", {DECLARED}'))
    return str(path)


def made_old(database: Path) -> None:
    """As version 0.1 wrote a study: no ``shown``, the references by themselves."""
    with sqlite3.connect(database) as connection:
        (text,) = connection.execute("SELECT value_json FROM study_user_attributes WHERE key = 'search'").fetchone()
        record = json.loads(text)
        record["definition"]["references"] = record["definition"].pop("shown")["references"]
        connection.execute(
            "UPDATE study_user_attributes SET value_json = ? WHERE key = 'search'", (json.dumps(record),)
        )


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
    assert "test luck of the refit: " in ran.out and "mine: 50.00 %" in ran.out
    assert json.loads(report.read_text())["chosen"]["from"] == 3
    assert "old.refit" in search(tmp_path, "status", "old").out
