"""What a person types every day, beside a search: again, delete, wait, another folder; and what is said of it."""

from __future__ import annotations

import signal
from pathlib import Path

import optuna
import pytest

from search.commands.main import main
from search.database.engine import open_readonly
from search.show import status
from search.studies.create import raise_budget
from search.studies.study import Study, find
from tests.commands import changed, ended, search, started, until
from tests.faults import SETTINGS, new_study, storage_at
from tests.test_worker import Script, work

CLOSED = "if os.environ.get('CLOSED'):\n    raise RuntimeError('this file is not to be loaded')\n\n\n"
RAN = ("run", "light", "--objective", "mine.py", "--trials", "3")


def a_search(folder: Path, url: str) -> None:
    """Of a file that cannot be loaded any more where CLOSED is set."""
    changed(folder / "mine.py", {"@dataclass(frozen=True)\n": f"{CLOSED}@dataclass(frozen=True)\n"})
    ran = search(folder, *RAN, "--storage", url)
    assert (ran.status, ran.err) == (0, "")


# -- again -------------------------------------------------------------------------------------------------------------


def test_what_is_finished_is_said_again_at_once_and_loads_nothing(tmp_path: Path, sqlite_url: str) -> None:
    a_search(tmp_path, sqlite_url)
    place = ("--storage", sqlite_url)
    again = search(tmp_path, *RAN, *place, CLOSED="1")
    assert (again.status, again.err) == (0, "") and "best: trial" in again.out and "look no. 1" in again.out

    def is_loaded(*more: str) -> bool:
        loads = search(tmp_path, "run", "light", *more, *place, CLOSED="1")
        return loads.status == 1 and "this file is not to be loaded" in loads.err

    (tmp_path / "exports" / "light" / "model.json").rename(tmp_path / "model.json")
    assert is_loaded(), "its model is not there"
    (tmp_path / "model.json").rename(tmp_path / "exports" / "light" / "model.json")
    assert is_loaded("--trials", "4") and is_loaded("--hours", "1") and is_loaded("--changed")
    with (tmp_path / "mine.py").open("a") as file:
        file.write("# edited\n")
    assert is_loaded(), "an edited file is looked at"
    assert search(tmp_path, "run", "light", "--changed", *place).status == 0
    (tmp_path / "exports" / "light" / "report.json").unlink()
    assert is_loaded()


def test_the_plan_of_what_goes_on_is_said_before_anything_is_loaded(tmp_path: Path, sqlite_url: str) -> None:
    a_search(tmp_path, sqlite_url)
    more = ("run", "light", "--trials", "7", "--until", "9", "--storage", sqlite_url)
    stopped = search(tmp_path, *more, CLOSED="1")
    assert stopped.status == 1 and "this file is not to be loaded" in stopped.err
    assert "study light, objective mine.py, size quick" in stopped.out
    assert "quick           7" in stopped.out and "It ends when a trial is complete with 9 or better." in stopped.out
    assert status.study(open_readonly(sqlite_url), "light")["budget"] == 3, "nothing was changed"


def test_what_is_left_when_the_time_is_up_is_what_to_type_next(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_search(tmp_path, sqlite_url)
    more = ("run", "light", "--trials", "60", "--timeout", "1s", "--storage", sqlite_url)
    ran = search(tmp_path, *more, LIGHT_PAUSE="0.1")
    left = 60 - sum(status.study(open_readonly(sqlite_url), "light")["trials"][one] for one in ("complete", "pruned"))
    assert ran.status == 0 and 10 < left < 57
    assert ran.out.splitlines()[-1] == f"{left} trials left: make search STUDY=light STORAGE={sqlite_url}"


# -- delete ------------------------------------------------------------------------------------------------------------


def test_delete_leaves_nothing_of_a_study_but_its_export(
    tmp_path: Path, sqlite_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    a_search(tmp_path, sqlite_url)
    monkeypatch.chdir(tmp_path)
    other = new_study(sqlite_url)
    lease = storage_at(sqlite_url).leases.claim(other.key, "me", "there", "nonce")
    assert lease is not None
    key = find(open_readonly(sqlite_url), "light").key  # type: ignore[union-attr]
    assert main(["delete", other.name, "--storage", sqlite_url]) == 1
    assert f"search: '{other.name}' is trained on there. End that with Ctrl-C there" in capsys.readouterr().err
    assert main(["delete", "light", "--storage", sqlite_url]) == 0
    assert capsys.readouterr().out == "deleted: light, light.refit, 4 trials; exports/light/ stays\n"
    left = [one.study_name for one in optuna.get_all_study_summaries(sqlite_url)]
    assert left == [other.name] and (tmp_path / "exports" / "light" / "report.md").is_file()
    assert not (tmp_path / ".search" / key).exists() and storage_at(sqlite_url).leases.rows(key) == []
    assert [path for path in tmp_path.rglob("*") if key in path.name] == []
    assert list((tmp_path / "studies.db.files" / "artifacts").iterdir()) == []
    assert main(["delete", "light", "--storage", sqlite_url]) == 1
    assert "there is no study 'light' in this database" in capsys.readouterr().err


# -- a worker with nothing to do ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["worker", "delete x", "refit x", "export x", "status"])
def test_who_only_joins_makes_no_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 1
    assert capsys.readouterr().err.startswith("search: there is no database at studies.db. Start a search first: ")
    assert list(tmp_path.iterdir()) == []


def test_a_worker_on_an_empty_database_says_so_or_waits(tmp_path: Path, storage_url: str) -> None:
    storage_at(storage_url)
    refused = search(tmp_path, "worker", SEARCH_STORAGE=storage_url)
    assert refused.status == 1 and "or wait until somebody does: make worker WAIT=1" in refused.err
    assert "not-to-be-seen" not in refused.err
    with started(tmp_path, "worker", "--wait", "--trust", SEARCH_STORAGE=storage_url) as process:
        assert process.stdout is not None and process.stdout.readline() == "waiting for something to do\n"
        study, another = new_study(storage_url), new_study(storage_url)
        until("both were run", lambda: is_done(storage_url, study) and is_done(storage_url, another))
        raise_budget(storage_at(storage_url), study, 3)  # and again, of what it has done already
        until("the rest was run", lambda: is_done(storage_url, study))
        process.send_signal(signal.SIGTERM)
        done = ended(process, timeout=60)
    assert (done.status, done.err) == (0, "")


def is_done(url: str, study: Study) -> bool:
    return all(row["state"] == "complete" for row in storage_at(url).leases.rows(study.key))


# -- files that go, or cannot be written -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_database_that_is_deleted_in_mid_search_is_noticed(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    study = new_study(sqlite_url, budget=5, epochs=40)
    monkeypatch.setenv("LIGHT_PAUSE", "0.05")
    file = tmp_path / "studies.db"

    def remove(_: object) -> None:
        copy = file.read_bytes()
        file.unlink()
        if how == "replaced":
            file.write_bytes(copy)

    with pytest.raises(Exception, match=f"is not the file that it was: it was {how} while it was in use"):
        work(sqlite_url, study, tmp_path, Script(remove, after_epoch=2), settings=SETTINGS)
    assert file.exists() == (how == "replaced"), "none is made in its place"


def test_an_export_that_cannot_be_written_is_one_line(
    tmp_path: Path, sqlite_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    a_search(tmp_path, sqlite_url)
    monkeypatch.chdir(tmp_path)
    assert main(["export", "light", "--to", "/proc/x", "--storage", sqlite_url]) == 1
    line = "search: /proc/x cannot be written: No such file or directory. Give another folder: TO=DIR\n"
    assert capsys.readouterr().err == line


def test_a_machine_remembers_where_a_studys_data_lie(tmp_path: Path, sqlite_url: str) -> None:
    """What they are is part of what the study was created with: elsewhere they would be refused."""
    changed(tmp_path / "mine.py", {"    metric=": "    data=lambda folder, _: {'lie in': folder.name},\n    metric="})
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    place = ("--storage", sqlite_url)
    first = search(tmp_path, *RAN, "--data-dir", "one", *place)
    assert (first.status, first.err) == (0, "")
    again = search(tmp_path, "run", "light", "--trials", "4", *place, SEARCH_DATA_DIR="other")
    assert (again.status, again.err) == (0, ""), "also where another is the machine's usual one"
    assert search(tmp_path, "export", "light", *place).status == 0
    typed = search(tmp_path, "run", "light", "--trials", "5", "--data-dir", "other", *place)
    assert typed.status == 1 and 'data.lie in = "one", here it is "other"' in typed.err
    (tmp_path / "one").rmdir()
    gone = search(tmp_path, "run", "light", "--trials", "5", *place, SEARCH_DATA_DIR="other")
    assert gone.status == 1 and 'here it is "other"' in gone.err


def test_a_parameter_is_shown_in_its_unit(tmp_path: Path, sqlite_url: str) -> None:
    declared = {
        "    metric=": "    shown=Shown(units={'x': 'times 3'}),\n    metric=",
        "Objective, Size,": "Objective, Shown, Size,",
    }
    changed(tmp_path / "mine.py", declared)
    assert search(tmp_path, *RAN, "--storage", sqlite_url).status == 0
    found = status.study(open_readonly(sqlite_url), "light")
    shown = f"{found['chosen_params']['x']:.6g} times 3"
    for asked in (("status", "light"), ("status", "light", str(found["chosen"]))):
        assert f"  x = {shown}" in search(tmp_path, *asked, "--storage", sqlite_url).out
    assert f"| `x` | {shown} |" in (tmp_path / "exports" / "light" / "report.md").read_text()
