"""Somebody's own file is part of what a study is: another content is refused, until somebody says yes to it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from search.child.seat import Seat
from search.commands.main import main
from search.contract import Devices, SearchError
from search.database.optuna_tables import STUDY_ATTRIBUTES
from search.studies.change_file import accept_file
from search.studies.create import create, raise_budget
from search.studies.study import ATTRIBUTE, Study, existing, find
from search.worker.loop import Worker
from tests.commands import LIGHT
from tests.faults import SETTINGS, light_launch, new_study, storage_at
from tests.test_cli import refused
from tests.test_worker import Script, rows, trials

Said = pytest.CaptureFixture[str]
MINE = """def objective(trial):
    return (trial.suggest_float("x", -10, 10) - 2) ** 2
"""
OTHER = MINE.replace("- 2", "- 3")


def short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage_url: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEARCH_STORAGE", storage_url)


def run(*arguments: str) -> None:
    assert main(["run", "mine", *arguments]) == 0


def the_study(url: str) -> Study:
    return existing(storage_at(url).engine, "mine")


def test_an_edited_function_is_refused_until_somebody_says_yes(capsys: Said, storage_url: str) -> None:
    mine = Path("mine.py")
    mine.write_text(MINE)
    run("--objective", "mine.py", "--trials", "2")
    mine.write_text(OTHER)  # of the same length, and perhaps in the same second
    assert refused(capsys, "run", "mine", "--trials", "4") == (
        f"the study 'mine' goes by mine.py with the content {short(MINE)}, here it is {short(OTHER)}. Go back to what "
        "it was, give a new STUDY, or say yes to the change: the same command with CHANGED=1"
    )
    assert len(rows(storage_url, the_study(storage_url))) == 2, "nothing was begun, and the budget is what it was"

    run("--trials", "4", "--changed")
    found = trials(storage_url, the_study(storage_url))
    note = f"the objective's file is {short(OTHER)}, {short(MINE)} where the study was created"
    assert [trial.user_attrs.get("search:file") for trial in found] == [None, None, note, note]
    assert [trial.value for trial in found] == [
        (trial.params["x"] - wanted) ** 2 for trial, wanted in zip(found, (2, 2, 3, 3), strict=True)
    ]
    run("--trials", "5")
    assert list(json.loads(Path("exports/mine/report.json").read_text())["chosen"]["of_another_file"]) == list("234")
    assert "trials 2, 3, 4 ran another version" in Path("exports/mine/report.md").read_text()
    mine.write_text(MINE)
    assert f"the content {short(OTHER)}, here it is {short(MINE)}. " in refused(capsys, "run", "mine", "--trials", "6")


def test_who_joins_is_asked_too_and_the_path_says_nothing(
    capsys: Said, storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine: another folder, under the same relative path."""
    Path("mine.py").write_text(MINE)
    run("--objective", "mine.py", "--trials", "1")
    raise_budget(storage_at(storage_url), the_study(storage_url), 4)
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.chdir(there)
    Path("mine.py").write_text(OTHER)
    said = refused(capsys, "worker", "mine")
    assert f"the content {short(MINE)}, here it is {short(OTHER)}. " in said
    assert "Name it: make worker STUDY=… CHANGED=1" in refused(capsys, "worker", "--changed")
    Path("mine.py").write_text(MINE)
    assert main(["worker", "mine"]) == 0
    assert {row["state"] for row in rows(storage_url, the_study(storage_url))} == {"complete"}
    raise_budget(storage_at(storage_url), the_study(storage_url), 5)
    Path("mine.py").write_text(OTHER)
    assert main(["worker", "mine", "--changed"]) == 0
    assert "search:file" in trials(storage_url, the_study(storage_url))[-1].user_attrs


def test_an_own_objective_likewise_with_its_refit(capsys: Said, storage_url: str) -> None:
    mine, source = Path("mine.py"), Path(LIGHT).read_text()
    mine.write_text(source)
    run("--objective", "mine.py", "--trials", "2")
    edited = source.replace('print(f"epoch {epoch}"', 'print(f"Epoch {epoch}"')
    mine.write_text(edited)
    assert f"the content {short(source)}, here it is {short(edited)}. " in refused(capsys, "run", "mine")
    assert f"here it is {short(edited)}. " in refused(capsys, "refit", "mine")
    run("--changed")
    engine = storage_at(storage_url).engine
    files = [(find(engine, name) or the_study(storage_url)).definition["file"] for name in ("mine", "mine.refit")]
    assert [file["sha256"][:12] for file in files] == [short(edited)] * 2
    mine.write_text(source.replace('suggest_float("x", 0.0', 'suggest_float("x", 0.25'))
    assert "was created with space.x." in refused(capsys, "run", "mine", "--changed"), "a yes to the file alone"


def test_a_stopped_study_takes_the_mended_file(capsys: Said, storage_url: str) -> None:
    mine = Path("mine.py")
    mine.write_text("def objective(trial):\n    raise OSError\n")
    assert "3 trials of 'mine' in a row raised on " in stopped(capsys)
    mine.write_text(MINE)
    run()
    found = trials(storage_url, the_study(storage_url))
    assert {trial.state.name for trial in found} == {"COMPLETE"} and len(found) == 4
    assert all(trial.user_attrs["search:file"].startswith(f"the objective's file is {short(MINE)}") for trial in found)


def stopped(capsys: Said) -> str:
    capsys.readouterr()
    assert main(["run", "mine", "--objective", "mine.py", "--trials", "4"]) == 1
    return capsys.readouterr().err


def test_a_study_from_before_takes_what_is_there(storage_url: str) -> None:
    mine = Path("mine.py")
    mine.write_text(MINE)
    run("--objective", "mine.py", "--trials", "1")
    own = (STUDY_ATTRIBUTES.c.key == ATTRIBUTE,)
    with storage_at(storage_url).engine.begin() as connection:
        record: dict[str, Any] = json.loads(
            connection.execute(sa.select(STUDY_ATTRIBUTES.c.value_json).where(*own)).scalar_one()
        )
        del record["definition"]["file"]
        connection.execute(sa.update(STUDY_ATTRIBUTES).where(*own).values(value_json=json.dumps(record)))
    mine.write_text(OTHER)
    run("--trials", "2")
    run("--trials", "3", "--changed")
    assert not any("file" in trial.user_attrs for trial in trials(storage_url, the_study(storage_url)))


def test_of_two_who_say_yes_at_once_one_is_told(storage_url: str) -> None:
    Path("mine.py").write_text(MINE)
    run("--objective", "mine.py", "--trials", "1")
    storage, before = storage_at(storage_url), the_study(storage_url)
    after = accept_file(storage, before, "a" * 64)
    assert after.definition["file"] == {"sha256": "a" * 64, "created": before.definition["file"]["sha256"]}
    with pytest.raises(SearchError, match=r"was changed by somebody else at the same time, here it is bbbbbbbbbbbb\. "):
        accept_file(storage, before, "b" * 64)
    assert accept_file(storage, before, "a" * 64) == after == the_study(storage_url)


def worker_on(url: str, source: Path, screen: Script) -> tuple[Worker, Study]:
    """A child a trial."""
    made = new_study(url, budget=4, epochs=3)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    study = create(storage_at(url), f"{made.name}.own", str(source), {**made.definition, "file": {"sha256": digest}})
    worker = Worker(
        storage_at(url),
        [Seat(Devices(), light_launch(None), 1)],
        workroot=Path("work").resolve(),
        data_dir=Path().resolve(),
        screen=screen,
        settings=SETTINGS,
    )
    worker.join(study)
    return worker, study


def test_a_file_that_is_edited_while_it_is_searched_mixes_nothing(
    storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHT_PAUSE", "0.1")
    source = Path("mine.py").resolve()
    source.write_text(Path(LIGHT).read_text())
    edited = source.read_text() + "\n"
    worker, study = worker_on(storage_url, source, Script(lambda _: source.write_text(edited)))
    with pytest.raises(SearchError, match=rf"mine.py was changed meanwhile: .*, now {short(edited)}\. Go back to what"):
        worker.work([study.key])
    worker.close()
    assert [(row["state"], row["attempts"]) for row in rows(storage_url, study)] == [
        ("complete", 0),
        *[("open", 0)] * 3,
    ]


def test_a_yes_that_is_said_elsewhere_ends_who_has_the_old_file(
    storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHT_PAUSE", "0.1")
    source = Path("mine.py").resolve()
    source.write_text(Path(LIGHT).read_text())
    worker, study = worker_on(
        storage_url, source, Script(lambda worker: accept_file(worker.storage, study, "c" * 64) and None)
    )
    with pytest.raises(
        SearchError, match=r"somebody said yes to another content of .*mine.py: cccccccccccc, here it is"
    ):
        worker.work([study.key])
    worker.close()
    assert [row["state"] for row in rows(storage_url, study)] == ["complete", "open", "open", "open"]
