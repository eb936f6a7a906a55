"""A study that begins from another's model, with a light objective: which source, searched how, or refused."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search.commands import run
from tests.commands import LIGHT, changed, search


def heir(folder: Path) -> str:
    """The light objective, wanting a source."""
    return changed(folder / "heir.py", {'metric="score",': 'metric="score", source="light",'})


def definition(folder: Path, study: str) -> dict[str, Any]:
    with sqlite3.connect(folder / "studies.db") as database:
        query = (
            "SELECT a.value_json FROM study_user_attributes a JOIN studies s USING (study_id) WHERE s.study_name = ?"
        )
        (record,) = database.execute(f"{query} AND a.key = 'search:study'", (study,)).fetchone()
    return dict(json.loads(record)["definition"])


def test_a_source_without_a_model_is_searched_first_as_what_it_is(tmp_path: Path) -> None:
    """It exists, of an objective that nobody names again; its search was stopped before a trial was complete."""
    begun = ("run", "begun", "--objective", LIGHT, "--trials", "2")
    stopped = search(tmp_path, *begun, "--timeout", "1s", LIGHT_PAUSE="60")
    assert stopped.status == 0 and "the time was up before a trial was complete" in stopped.out

    ran = search(tmp_path, "run", "mine", "--objective", heir(tmp_path), "--source", "begun", "--trials", "2")
    assert (ran.status, ran.err) == (0, "")
    assert "begun has no model to begin from yet, so it is searched first" in ran.out
    source = definition(tmp_path, "mine")["source"]
    assert (source["study"], source["refit"]) == ("begun", True)
    assert (tmp_path / "exports" / "begun" / "report.json").is_file()

    again = search(tmp_path, "run", "mine", "--trials", "3")
    assert (again.status, again.err) == (0, "")
    assert "searched first" not in again.out and definition(tmp_path, "mine")["source"] == source


@pytest.mark.parametrize(
    ("in_time", "refitted", "interrupted", "is_done"),
    [
        (True, None, False, True),
        (False, "model", False, True),
        (False, None, False, False),
        (False, "model", True, False),
    ],
)
def test_a_source_has_half_of_the_time_and_is_done_once_it_is_trained_again(
    monkeypatch: pytest.MonkeyPatch, *, in_time: bool, refitted: str | None, interrupted: bool, is_done: bool
) -> None:
    given, found = [], [(None, None), (None, SimpleNamespace(refitted=refitted))]

    def searched(_machine: Any, _name: str, _options: Any, left: run.TimeLeft) -> bool:
        given.append(left.seconds)
        return in_time

    monkeypatch.setattr(run, "search", searched)
    monkeypatch.setattr(run, "find_source", lambda *_: found.pop(0))
    says = SimpleNamespace(say=lambda _: None)
    worker = SimpleNamespace(interrupted=interrupted, take_up=lambda: given.append(0.0))
    machine: Any = SimpleNamespace(storage=None, screen=says, worker=worker)
    options: Any = SimpleNamespace(for_source=lambda *_, **__: None)
    left = run.TimeLeft(100.0)
    winner = run._source(machine, "light", {"needs": "light"}, options, left)
    assert given == [50.0, 0.0][: 1 + is_done], "it is taken up again, as the source's last epoch may have been late"
    assert left.seconds == pytest.approx(100, abs=1)
    assert (winner is not None) == is_done


def test_a_source_that_somebody_mistyped_is_not_searched(tmp_path: Path) -> None:
    assert search(tmp_path, "run", "light", "--objective", LIGHT, "--trials", "0").status == 0
    refused = search(tmp_path, "run", "mine", "--objective", heir(tmp_path), "--source", "lihgt")
    assert (refused.status, refused.err) == (
        1,
        "search: there is no study 'lihgt' in this database (there: light, light.refit). Did you mean 'light'?\n",
    )
    assert "mine" not in search(tmp_path, "status").out


@pytest.mark.parametrize("source", [(), ("--source", "none")])
def test_what_takes_no_source_needs_none(tmp_path: Path, source: tuple[str, ...]) -> None:
    ran = search(tmp_path, "run", "light", "--objective", LIGHT, "--trials", "1", "--no-refit", *source)
    assert (ran.status, ran.err) == (0, "")
    refused = search(tmp_path, "run", "other", "--objective", LIGHT, "--source", "light")
    assert refused.status == 1 and "this objective takes no source, 'light' was given" in refused.err


def test_a_source_of_another_width_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    assert search(tmp_path, "run", "light", "--objective", LIGHT, "--trials", "0").status == 0
    file = Path(heir(tmp_path))
    changed(file, {"Size(budget=6,": "Size(width=2, budget=6,"}, source=file)
    refused = search(tmp_path, "run", "mine", "--objective", str(file))
    assert refused.status == 1
    assert refused.err.startswith(
        "search: the source study 'light' has networks of width 1, size quick here has 2. Search one of that size: "
        "make search STUDY=light_quick OBJECTIVE=light SIZE=quick, then name it: SOURCE=light_quick"
    )
    assert "mine" not in search(tmp_path, "status").out
