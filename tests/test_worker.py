"""A worker among everything that goes wrong: children that raise, hang or die, a database that goes, files that fail.

Its children are forks that run the light objective; where the process itself is the point, it is the real command.
"""

from __future__ import annotations

import io
import json
import os
import re
import resource
import secrets
import signal
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import FrozenTrial
from rich.console import Console

from search.child.inside.describe import describe
from search.child.seat import Seat
from search.contract import Devices, SearchError
from search.database.tables import FILES, LEASES
from search.database.url import parse
from search.files.records import Files
from search.settings import Settings
from search.show import status
from search.show.screen import Terminal
from search.studies.create import create
from search.studies.limits import change_limits
from search.studies.stop import STOPPED, let_go_on
from search.studies.study import Study, find
from search.worker.loop import Worker
from search.worker.reports import Reports
from search.worker.signals import ONE_EVENT, take_signals
from tests import light
from tests.commands import LIGHT, alive, children_of, ended, search, started, until
from tests.faults import SETTINGS, check, check_trials, declare, forked, light_launch, new_study, storage_at
from tests.postgres import PASSWORD, Postgres

THREE = Settings(lease=0.3, renew=0.1, poll=0.02, poll_at_most=0.1, grace=0.5, silence=20)
"""As a user's, who gives a trial three attempts, but fast."""
IMPATIENT = replace(THREE, silence=0.4)


class Script:
    """A screen that keeps what was said and, once its condition holds, does one thing in the middle of the run."""

    def __init__(self, act: Callable[[Worker], Any] | None = None, after_epoch: int = 1) -> None:
        self.said: list[str] = []
        self._act, self._after = act, after_epoch

    def say(self, text: str) -> None:
        assert "\n" not in text
        self.said.append(text)

    def end(self) -> None: ...

    def tick(self, worker: Worker) -> None:
        if self._act and any(trial.epoch >= self._after for trial in worker.trials.values()):
            act, self._act = self._act, None
            act(worker)


def worker_on(
    url: str, study: Study, folder: Path, screen: Script | None = None, settings: Settings = SETTINGS, *,
    seats: int = 1, **more: Any,
) -> Worker:  # fmt: skip
    worker = Worker(
        storage_at(url),
        [Seat(Devices(), light_launch(None)) for _ in range(seats)],
        workroot=folder / "work",
        data_dir=folder,
        screen=screen or Script(),
        settings=settings,
        **more,
    )
    worker.join(study)
    return worker


def work(
    url: str, study: Study, folder: Path, screen: Script | None = None, settings: Settings = SETTINGS, **more: Any
) -> Script:
    """Until the budget is used up. Returns the screen."""
    screen = screen or Script()
    worker = worker_on(url, study, folder, screen, settings, **more)
    try:
        worker.work([study.key])
    finally:
        worker.close()
    return screen


def trials(url: str, study: Study) -> list[FrozenTrial]:
    """As plain Optuna reads them."""
    return optuna.load_study(study_name=study.name, storage=plain(url)).trials


def plain(url: str) -> str:
    return parse(url).render_as_string(hide_password=False)


def rows(url: str, study: Study) -> list[dict[str, Any]]:
    return storage_at(url).leases.rows(study.key)


# -- children ----------------------------------------------------------------------------------------------------------


def test_an_objective_that_raises_everywhere_stops_its_study_and_uses_up_nothing(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = new_study(storage_url, budget=6, epochs=3)
    monkeypatch.setenv("LIGHT_MOOD", "raises")
    said = r"3 trials of '.*' in a row raised on .* before any reported, last: RuntimeError: the light"
    with pytest.raises(SearchError, match=said) as gave_up:
        work(storage_url, study, tmp_path)
    log = Path(str(gave_up.value).partition("The traceback is in ")[2].partition(";")[0])
    assert "Traceback" in log.read_text() and log.read_text().count("told to raise") == 2, "the source and the error"
    assert [(row["state"], row["attempts"]) for row in rows(storage_url, study)] == [("open", 0)] * 6
    assert {trial.state.name for trial in trials(storage_url, study)} == {"RUNNING"}
    with pytest.raises(SearchError, match=said):  # stopped: another worker, which joins meanwhile, does not begin
        work(storage_url, study, tmp_path)
    assert len(trials(storage_url, study)) == 3

    monkeypatch.delenv("LIGHT_MOOD")
    let_go_on(storage_at(storage_url), study)
    work(storage_url, study, tmp_path)
    assert check(storage_url, study, 6) == []


@pytest.mark.parametrize("count", [1, 2])
def test_broken_workers_beside_a_healthy_one_use_up_nothing(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Each stops by itself, in one line; what they could not run the other runs, and the study ends complete.

    What raised on one broken machine and then on another has not failed.
    """
    study = new_study(storage_url, budget=8, epochs=4)
    monkeypatch.setenv("LIGHT_PAUSE", "0.3")

    def broken(number: int) -> None:
        os.environ["LIGHT_MOOD"] = "raises"
        try:
            work(storage_url, study, tmp_path / f"broken {number}")
        except SearchError as reason:
            (tmp_path / f"error {number}").write_text(str(reason))

    healthy = forked(lambda: work(storage_url, study, tmp_path / "healthy") and None)
    until("the healthy one has reported", lambda: rows(storage_url, study)[0]["epoch"] >= 1)
    stopping = [forked(lambda number=number: broken(number)) for number in range(count)]  # type: ignore[misc]
    for number, pid in enumerate(stopping):
        assert os.waitpid(pid, 0)[1] == 0
        assert re.match(r"3 trials of '.*' in a row raised on ", (tmp_path / f"error {number}").read_text())
    assert os.waitpid(healthy, 0)[1] == 0
    assert check(storage_url, study, 8) == []


def test_an_exception_is_tried_once_more_and_then_fails_the_trial(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here at once where there is nobody else; the other trials are not held up by it."""
    study = new_study(storage_url, budget=2, epochs=3)
    monkeypatch.setenv("LIGHT_MOOD", "raises at 0.5")  # the first of ``first``
    said = work(storage_url, study, tmp_path, settings=replace(SETTINGS, retry=60)).said
    assert [row["state"] for row in rows(storage_url, study)] == ["fail", "complete"]
    assert sum("it is tried once more" in line for line in said) == 1
    failed = trials(storage_url, study)[0]
    assert failed.user_attrs["search:reason"] == "RuntimeError: the light objective was told to raise"
    assert said[0].endswith("it is tried once more") and "trial 1: complete" in said[1] and "trial 0: fail" in said[2]


@pytest.mark.parametrize(
    ("mood", "how"),
    [("hangs", "was silent for "), ("segfault", "was killed by signal 11"), ("killed", "was killed by signal 9")],
)
def test_three_attempts_without_a_checkpoint(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mood: str, how: str
) -> None:
    study = new_study(storage_url, epochs=3)
    monkeypatch.setenv("LIGHT_MOOD", mood)
    said = work(storage_url, study, tmp_path, settings=IMPATIENT if mood == "hangs" else THREE).said
    assert [line.partition("trial 0: ")[2][: len(f"waiting: its process {how}")] for line in said] == [
        *[f"waiting: its process {how}"] * 3,
        "fail: 3 attempts ended without a new checkpoint"[: len(f"waiting: its process {how}")],
    ]
    (trial,) = trials(storage_url, study)
    assert (trial.state.name, trial.user_attrs["search:reason"]) == (
        "FAIL",
        "3 attempts ended without a new checkpoint",
    )
    (row,) = rows(storage_url, study)
    assert (row["state"], row["attempts"], row["resumed_from"]) == ("fail", 4, "[0, 0]")


def test_each_new_checkpoint_gives_three_attempts(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that is killed after every epoch gets through all the same, and its curve does not show it."""
    study = new_study(storage_url, epochs=7)
    monkeypatch.setenv("LIGHT_MOOD", "dies")
    said = work(storage_url, study, tmp_path, settings=THREE).said
    assert sum("killed by signal 9" in line for line in said) == 7
    assert check(storage_url, study, 1) == []
    (row,) = rows(storage_url, study)
    assert json.loads(row["resumed_from"]) == [1, 2, 3, 4, 5, 6, 7]
    assert row["repeated"] == 0


@pytest.mark.parametrize(
    ("mood", "reason"),
    [
        ("nan", "loss is not finite after epoch 1"),
        ("memory", "out of memory: the light objective was told to have none"),
        ("killed", "out of memory: the kernel killed the training process, also when nothing ran beside it"),
    ],
)
def test_hyperparameters_that_lead_nowhere_are_pruned(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mood: str, reason: str
) -> None:
    """Not failed: four of them stop nothing. A second kill counts as one where the kernel says it was for memory."""
    study = new_study(storage_url, budget=4)
    monkeypatch.setenv("LIGHT_MOOD", mood)
    kills = iter(range(1000))
    said = work(storage_url, study, tmp_path, settings=THREE, kernel_kills=lambda: next(kills)).said
    assert [trial.user_attrs["search:reason"] for trial in trials(storage_url, study)] == [reason] * 4
    assert {row["state"] for row in rows(storage_url, study)} == {"pruned"}
    assert [line.partition(": ")[2] for line in said if "waiting" not in line] == [f"pruned: {reason}"] * 4
    assert status.study(storage_at(storage_url).engine, study.name)["epochs"]["saved_by_pruning"] == 0


@pytest.mark.parametrize("recorded", [True, False])
def test_what_the_pruner_stops_is_saved(storage_url: str, tmp_path: Path, recorded: bool) -> None:
    """Also of trials from before it was recorded who pruned them."""
    study = new_study(storage_url, budget=3, epochs=5, rungs=(2,), hopeless=True)
    work(storage_url, study, tmp_path)
    assert [trial.user_attrs["search:pruned_by"] for trial in trials(storage_url, study)] == ["pruner"] * 3
    if not recorded:
        with storage_at(storage_url).engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM trial_user_attributes WHERE key = 'search:pruned_by'"))
    found = status.study(storage_at(storage_url).engine, study.name)["epochs"]
    assert found["saved_by_pruning"] == 15 - found["run"] > 0


def test_a_trial_that_ends_worse_after_it_was_resumed_keeps_no_earlier_model(storage_url: str, tmp_path: Path) -> None:
    """Its worker died between model and tell; what it had kept is none of those that it has to beat."""
    study = new_study(storage_url, budget=3, epochs=2)
    worker = worker_on(storage_url, study, tmp_path)
    files, leases = worker.joined[study.key].files, worker.storage.leases
    (tmp_path / "model").mkdir()
    leases.seconds = 60.0
    for value in (5.0, 7.0, 8.0):
        lease = leases.claim(study.key, "dead", "host", "nonce")
        assert lease is not None
        files.keep(lease, "model", tmp_path / "model", value=value)
        if lease.number == 0:
            leases.give_back(lease, counted=False)
            again = leases.claim(study.key, "dead", "host", "nonce")
            assert again is not None and again.number == 0
            resumed = again
        else:
            leases.close(lease, "complete")
    leases.give_back(resumed, counted=False)
    worker.close()
    work(storage_url, study, tmp_path)
    ended_with = trials(storage_url, study)[0].value
    assert ended_with is not None and ended_with < 5.0
    assert sorted(row.value for row in files.of_kind(study.key, "model")) == [ended_with, 7.0, 8.0]


def test_a_time_limit_hands_over(storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = new_study(storage_url, budget=3, epochs=100)
    monkeypatch.setenv("LIGHT_PAUSE", "0.1")
    worker = worker_on(storage_url, study, tmp_path, Script(lambda worker: setattr(worker, "deadline", 0.0)))
    worker.work([study.key])
    worker.close()
    assert (worker.stopping, worker.interrupted) == (True, False)
    first, *rest = rows(storage_url, study)
    assert (first["state"], first["expires"], first["attempts"], first["epoch"] >= 1) == ("open", 0.0, 0, True)
    assert [row["token"] for row in rest] == [0, 0], "nothing more was begun"
    monkeypatch.delenv("LIGHT_PAUSE")
    work(storage_url, study, tmp_path)
    assert check(storage_url, study, 3) == []
    assert json.loads(rows(storage_url, study)[0]["resumed_from"]) == [first["epoch"]]


# -- the study ---------------------------------------------------------------------------------------------------------


def test_first_and_enqueued_trials_are_run(storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever enqueues with Optuna, before or during the run, gets it; the budget stays exact."""
    study = new_study(storage_url, budget=6)
    queue = optuna.load_study(study_name=study.name, storage=plain(storage_url))
    queue.enqueue_trial({"x": 0.125, "kind": "b"}, user_attrs={"who": "me"})
    queue.enqueue_trial({"x": 0.25})
    monkeypatch.setenv("LIGHT_PAUSE", "0.03")
    work(storage_url, study, tmp_path, Script(lambda _: queue.enqueue_trial({"kind": "b"})))
    assert check(storage_url, study, 6) == []
    found = trials(storage_url, study)
    by_id = {trial._trial_id: trial for trial in found}
    assert [by_id[row["trial_id"]].params for row in rows(storage_url, study)[:2]] == light.OBJECTIVE.tried_first()
    assert found[0].params == {"x": 0.125, "kind": "b"} and found[0].user_attrs["who"] == "me"
    assert found[1].params["x"] == 0.25 and found[1].params["kind"] in {"a", "b"}
    (late,) = [trial for trial in found[2:] if trial.system_attrs.get("fixed_params") == {"kind": "b"}]
    assert late.params["kind"] == "b"
    assert len({trial.params["x"] for trial in found}) == 6
    assert all(trial.datetime_start <= trial.datetime_complete for trial in found)  # type: ignore[operator]


def test_a_deleted_study_ends_its_worker(storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is made in its place, under its name and on SQLite under its very ids, is not touched."""
    study, other = new_study(storage_url, budget=3, epochs=9), new_study(storage_url, budget=1)
    work(storage_url, new_study(storage_url), tmp_path)
    made: list[Study] = []

    def delete(_: Worker) -> None:
        optuna.delete_study(study_name=study.name, storage=plain(storage_url))
        made.append(new_study(storage_url, budget=2))

    monkeypatch.setenv("LIGHT_PAUSE", "0.1")
    script = Script(delete)
    with pytest.raises(SearchError, match=rf"^the study '{study.name}' was deleted. Begin anew: make search"):
        work(storage_url, study, tmp_path, script)
    assert [row["token"] for row in rows(storage_url, made[0])] == [0, 0]
    assert trials(storage_url, made[0]) == []

    monkeypatch.delenv("LIGHT_PAUSE")
    work(storage_url, other, tmp_path)  # whoever starts next sweeps
    engine = storage_at(storage_url).engine
    with engine.connect() as connection:
        for table in (LEASES, FILES):
            left = connection.execute(sa.select(table.c.study_key).where(table.c.study_key == study.key)).all()
            assert left == [], table.name
    assert not (tmp_path / "work" / study.key).exists()
    work(storage_url, made[0], tmp_path)
    assert check(storage_url, made[0], 2) == []


# -- the database ------------------------------------------------------------------------------------------------------


def test_postgresql_goes_away_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training goes on meanwhile, reports wait, nothing is lost; and a worker told to end need not wait for it."""
    server = Postgres()
    monkeypatch.setenv("LIGHT_PAUSE", "0.1")
    try:
        url = server.create_database()
        study = new_study(url, budget=2, epochs=40)
        said = tmp_path / "said"

        def body() -> None:
            script = Script()
            script.say = lambda text: said.open("a").write(text + "\n")  # type: ignore[method-assign, assignment]
            server.let_go()
            worker = worker_on(url, study, tmp_path, script)
            take_signals(worker)
            worker.work([study.key])
            worker.close()

        pid = forked(body)
        until("an epoch is recorded", lambda: rows(url, study)[0]["epoch"] >= 1)
        server.stop()
        (log,) = (tmp_path / "work" / study.key).glob("0-1-*/log.txt")
        seen = log.read_text().count("epoch")
        until("training went on without the database", lambda: log.read_text().count("epoch") >= seen + 4)
        server.start()
        until("the first trial is done", lambda: rows(url, study)[0]["state"] == "complete")
        until("the second runs", lambda: rows(url, study)[1]["epoch"] >= 1)
        server.stop()
        os.kill(pid, signal.SIGTERM)
        assert os.waitpid(pid, 0)[1] == 0
        server.start()
        lines = said.read_text().splitlines()
        away = [
            line for line in lines if re.match(r"the database is away \(.+\): training goes on, reports wait", line)
        ]
        assert len(away) == 2 and not any(PASSWORD in line for line in lines)
        assert sum(line.startswith("the database is back after ") for line in lines) == 1
        assert "the database is away: trial 1 goes on when its lease has expired" in lines

        monkeypatch.delenv("LIGHT_PAUSE")
        work(url, study, tmp_path)
        assert check(url, study, 2) == []
        first, second = rows(url, study)
        assert (first["token"], first["resumed_from"], second["token"]) == (1, "[]", 2)
        assert json.loads(second["resumed_from"])[0] >= 1
    finally:
        server.remove()


def test_an_interrupt_that_a_garbage_collector_swallows_ends_the_work_as_it_begins(
    sqlite_url: str, tmp_path: Path
) -> None:
    study = new_study(sqlite_url, budget=2, epochs=40)
    worker = worker_on(sqlite_url, study, tmp_path, Script())
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    try:
        take_signals(worker)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        worker.limit(600.0)
        worker.work([study.key])
        assert worker.interrupted and {row["token"] for row in rows(sqlite_url, study)} == {0}
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        worker.close()


def test_a_locked_sqlite_loses_nothing(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock held for longer than SQLite's patience, which is shortened here."""
    study = new_study(sqlite_url, epochs=12)
    monkeypatch.setenv("LIGHT_PAUSE", "0.05")
    locker = sqlite3.connect(parse(sqlite_url).database or "", isolation_level=None)
    held: list[float] = []

    def hold(_: Worker) -> None:
        locker.execute("BEGIN IMMEDIATE")
        held.append(time.monotonic())

    class Locking(Script):
        def tick(self, worker: Worker) -> None:
            super().tick(worker)
            if locker.in_transaction and "away" in " ".join(self.said) and time.monotonic() - held[0] > 0.5:
                locker.execute("ROLLBACK")

    engine = storage_at(sqlite_url).engine
    engine.dispose()
    sa.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=50"))
    script = Locking(hold)
    work(sqlite_url, study, tmp_path, script)
    assert script.said[0].startswith("the database is away (database is locked): training goes on")
    assert script.said[1].startswith("the database is back after ")
    assert check(sqlite_url, study, 1) == []


def test_what_is_waited_for_is_said_once(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dead worker's trial is not free at once."""
    monkeypatch.setattr("search.show.screen._IDLE", 0.1)
    study = new_study(sqlite_url, budget=1)
    dead = worker_on(sqlite_url, study, tmp_path, settings=replace(SETTINGS, lease=1.0))
    assert dead.storage.leases.claim(study.key, "the dead", "elsewhere", "nonce")
    worker = worker_on(sqlite_url, study, tmp_path)
    worker.screen = Terminal(Console())
    worker.work([study.key])
    dead.close()
    worker.close()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "nothing to do" in line]
    assert line.startswith(f"{study.name}: nothing to do but what other workers hold (1 of the budget, on elsewhere)")
    assert line.endswith(" s") and check(sqlite_url, study, 1) == []


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whose", ["child", "worker"])
def test_files_that_cannot_be_written_are_one_line(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    """A limit on the size of files: the child's on its checkpoint, or the worker's on what it stores and writes."""
    study = new_study(storage_url, budget=2, epochs=6)
    monkeypatch.setenv("LIGHT_PAUSE", "0.1")
    limit = 4096 if whose == "worker" else 1 << 20
    monkeypatch.setenv("LIGHT_BYTES", str(2 << 20 if whose == "child" else 0))
    error = tmp_path / "error"

    def limited(_: object = None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def body() -> None:
        if whose == "child":
            limited()
        try:
            place = str(tmp_path / "files")
            work(storage_url, study, tmp_path, Script(limited if whose == "worker" else None), files_place=place)
        except SearchError as reason:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            error.write_text(str(reason))

    assert os.waitpid(forked(body), 0)[1] == 0
    line = error.read_text()
    assert "\n" not in line
    assert "File too large" in line or (whose == "worker" and "disk I/O error" in line)
    assert [row["state"] for row in rows(storage_url, study)] == ["open"] * 2
    monkeypatch.delenv("LIGHT_BYTES")
    work(storage_url, study, tmp_path, files_place=str(tmp_path / "files"))
    assert [trial.state.name for trial in trials(storage_url, study)] == ["COMPLETE"] * 2
    assert all(row["attempts"] <= 2 for row in rows(storage_url, study))


def harmed(files: Files, record: Any, harm: str) -> None:
    with files.open(record) as stored:
        content = stored.read()
    files.store.remove(record.name)
    if harm == "damaged":
        files.store.write(record.name, io.BytesIO(content[:-1]), lambda: None)


def interrupted(storage_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A study whose trial was handed over in the middle, with both of its checkpoints stored."""
    study = new_study(storage_url, epochs=30)
    monkeypatch.setenv("LIGHT_PAUSE", "0.2")
    eager = replace(SETTINGS, upload_share=10.0)
    work(storage_url, study, folder, Script(lambda worker: worker.stop(), after_epoch=3), settings=eager)
    monkeypatch.delenv("LIGHT_PAUSE")
    return study


@pytest.mark.parametrize("harm", ["damaged", "gone"])
@pytest.mark.parametrize("how_many", [1, 2])
def test_a_checkpoint_that_cannot_be_had_costs_epochs(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str, how_many: int
) -> None:
    """On another machine than the one that wrote it: the one before it is next, then the beginning; said in a line."""
    study = interrupted(storage_url, tmp_path, monkeypatch)
    worker = worker_on(storage_url, study, tmp_path / "elsewhere")
    files = worker.joined[study.key].files
    stored = files.checkpoints(study.key, 0)
    assert len(stored) == 2 and stored[0].step == stored[1].step + 1
    for record in stored[:how_many]:
        harmed(files, record, harm)
    worker.work([study.key])
    worker.close()
    begun = stored[1].step if how_many == 1 else 0
    (row,) = rows(storage_url, study)
    assert (row["resumed_from"], row["repeated"]) == (f"[{begun}]", stored[0].step - begun)
    said = [line for line in worker.screen.said if "goes on from before epoch" in line]  # type: ignore[attr-defined]
    assert len(said) == how_many and all(f"is {harm}" in line for line in said)
    assert check(storage_url, study, 1) == []


def test_hours_end_a_trial_that_repeats_its_epochs(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = interrupted(storage_url, tmp_path, monkeypatch)
    monkeypatch.setenv("LIGHT_PAUSE", "0.2")
    storage, worker = storage_at(storage_url), worker_on(storage_url, study, tmp_path / "elsewhere")
    spent = storage.leases.seconds_spent(study.key)
    change_limits(storage, study, {"hours": (spent + 0.1) / 3600}, trials=1)
    files = worker.joined[study.key].files
    for record in files.checkpoints(study.key, 0):
        harmed(files, record, "gone")
    worker.work([study.key])
    worker.close()
    (row,) = rows(storage_url, study)
    assert (row["state"], row["resumed_from"], row["repeated"]) == ("open", "[0]", 1) and row["epoch"] > 1


def test_a_checkpoint_that_the_objective_refuses_gives_way(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stored ones one after the other, and then the beginning; no attempt is counted."""
    study = interrupted(storage_url, tmp_path, monkeypatch)
    monkeypatch.setenv("LIGHT_MOOD", "refuses")
    said = work(storage_url, study, tmp_path / "elsewhere", settings=replace(SETTINGS, attempts=1)).said
    assert sum("the one before it is next" in line for line in said) == 2
    assert check(storage_url, study, 1) == []
    assert json.loads(rows(storage_url, study)[0]["resumed_from"])[-1] == 0


def test_a_share_that_is_not_mounted_loses_nothing(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is empty on one machine: that is its fault, and the trial waits for a machine that has it."""
    study, share = new_study(sqlite_url, epochs=6), tmp_path / "share"
    monkeypatch.setenv("LIGHT_PAUSE", "0.2")
    stop = Script(lambda worker: worker.stop())
    work(sqlite_url, study, tmp_path, stop, files_place=str(share))
    monkeypatch.delenv("LIGHT_PAUSE")
    share.rename(tmp_path / "elsewhere")
    share.mkdir()  # where it is to be mounted
    with pytest.raises(SearchError, match=r"^the files are not at .*/share on this machine.* Mount it"):
        work(sqlite_url, study, tmp_path / "other", files_place=str(share))
    assert list(share.iterdir()) == []
    worker = worker_on(sqlite_url, study, tmp_path / "other", files_place=str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").rename(tmp_path / "gone")  # while it runs
    with pytest.raises(SearchError, match=r"^the files are not at "):
        worker.work([study.key])
    worker.close()
    (row,) = rows(sqlite_url, study)
    assert (row["state"], row["attempts"], row["resumed_from"]) == ("open", 0, "[]")
    work(sqlite_url, study, tmp_path / "other", files_place=str(tmp_path / "gone"))
    assert check_trials(sqlite_url, study, 1) == []
    assert json.loads(rows(sqlite_url, study)[0]["resumed_from"])[0] >= 1


# -- several trials, several studies -----------------------------------------------------------------------------------


def test_a_bug_that_one_trial_shows_strands_no_other(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An attempt of that trial, with its traceback on stderr and in its log; the others do not notice."""
    study = new_study(storage_url, budget=3, epochs=4)
    epoch, bugs = Reports.epoch, ["a bug"]
    monkeypatch.setenv("LIGHT_PAUSE", "0.4")

    def buggy(self: Reports, step: int, *rest: Any) -> None:
        if bugs and self.number == 1 and step == 2:
            raise TypeError(bugs.pop())
        epoch(self, step, *rest)

    monkeypatch.setattr(Reports, "epoch", buggy)
    worker = worker_on(storage_url, study, tmp_path, settings=THREE, seats=2)
    worker.work([study.key])
    worker.close()
    assert check(storage_url, study, 3) == []
    said = [line for line in worker.screen.said if "a bug, TypeError: a bug" in line]  # type: ignore[attr-defined]
    assert len(said) == 1 and "trial 1: waiting: a bug" in said[0]
    log = Path(said[0].rpartition(" ")[2])
    assert "Traceback" in log.read_text() and "TypeError: a bug" in capfd.readouterr().err
    assert [json.loads(row["resumed_from"]) for row in rows(storage_url, study)] == [[], [1], []]


def test_a_verdict_is_final(storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial that survived its rung is preempted; better ones come; it is not judged anew when it goes on."""
    study = new_study(storage_url, budget=4, epochs=6, rungs=(2,))
    queue = optuna.load_study(study_name=study.name, storage=plain(storage_url))
    queue.enqueue_trial({"x": 0.0, "kind": "a"})
    for row in rows(storage_url, study)[:2]:  # those of ``first`` are never judged
        lease = storage_at(storage_url).leases.claim(study.key, "me", "here", secrets.token_hex(8))
        assert lease is not None and lease.number == row["number"]
        storage_at(storage_url).leases.close(lease, "complete")
    monkeypatch.setenv("LIGHT_PAUSE", "0.5")
    work(storage_url, study, tmp_path, Script(lambda worker: worker.stop(), after_epoch=3))
    survivor = trials(storage_url, study)[0]
    assert survivor.params["x"] == 0.0 and 2 in survivor.intermediate_values
    values = {2: max(survivor.intermediate_values.values()) + 1.0}
    for _ in range(5):
        better = optuna.trial.create_trial(state=optuna.trial.TrialState.PRUNED, intermediate_values=values)
        queue.add_trial(better)
    monkeypatch.delenv("LIGHT_PAUSE")
    work(storage_url, study, tmp_path)
    assert trials(storage_url, study)[0].state.name == "COMPLETE"
    assert rows(storage_url, study)[3]["state"] == "pruned", "who comes to the rung now is judged by them"


def test_a_worker_without_a_name_finds_what_is_born_later(tmp_path: Path, sqlite_url: str) -> None:
    """A study that is created, and a search's refit: it works on both, and ends when nothing is open."""
    first = ("run", "one", "--objective", LIGHT, "--trials", "3", "--no-refit")
    with started(tmp_path, *first, SEARCH_STORAGE=sqlite_url, LIGHT_PAUSE="0.5") as one:
        until("it runs", lambda: (found := find_there(sqlite_url, "one")) and rows(sqlite_url, found)[0]["epoch"])
        with started(tmp_path, "worker", "--trust", SEARCH_STORAGE=sqlite_url) as worker:
            assert worker.stdout is not None and "working on one" in worker.stdout.readline()
            create(storage_at(sqlite_url), "two", LIGHT, new_definition(budget=2))
            assert ended(worker).status == 0
        assert ended(one).status == 0
    two = find_there(sqlite_url, "two")
    assert two is not None and [row["state"] for row in rows(sqlite_url, two)] == ["complete"] * 2


def find_there(url: str, name: str) -> Study | None:
    """None as long as there is no database either."""
    exists = Path(parse(url).database or "").exists()
    return find(storage_at(url).engine, name) if exists else None


def new_definition(**changes: Any) -> dict[str, Any]:
    return describe(light.OBJECTIVE, declare(changes, direction="maximize"))


# -- the refit ---------------------------------------------------------------------------------------------------------


def test_a_refit_that_failed_says_so_and_runs_again_when_asked(tmp_path: Path, sqlite_url: str) -> None:
    """Exit status 1, and the test set is not looked at for another model."""
    at = {"SEARCH_STORAGE": sqlite_url}
    assert search(tmp_path, "run", "light", "--objective", LIGHT, "--trials", "2", "--no-refit", **at).status == 0
    for _ in range(2):  # a second time as the first
        failed = search(tmp_path, "refit", "light", LIGHT_MOOD="memory", **at)
        assert failed.status == 1
        assert "search: the refit of 'light' ended as pruned: out of memory" in failed.err
    refused = search(tmp_path, "export", "light", "--test", **at)
    assert refused.status == 1 and "Again: make refit STUDY=light" in refused.err
    assert search(tmp_path, "export", "light", **at).status == 0
    mended = search(tmp_path, "refit", "light", **at)
    assert (mended.status, mended.err) == (0, "")
    assert search(tmp_path, "export", "light", "--test", **at).status == 0
    report = json.loads((tmp_path / "exports" / "light" / "report.json").read_text())
    assert (report["exported"], report["test_openings"]) == ("refit", 1)


# -- the command -------------------------------------------------------------------------------------------------------


def test_sigterm_hands_over_to_another_machine(tmp_path: Path, sqlite_url: str) -> None:
    """Exit status 0, no attempt counted; a worker in another folder goes on and the curve is as if nothing had been."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    arguments = ("light", "--objective", LIGHT, "--trials", "2", "--epochs", "20", "--no-refit")
    with started(here, "run", *arguments, SEARCH_STORAGE=sqlite_url, LIGHT_PAUSE="0.2") as process:
        until(
            "the study is there",
            lambda: (tmp_path / "studies.db").exists() and find(storage_at(sqlite_url).engine, "light"),
        )
        study = find(storage_at(sqlite_url).engine, "light")
        assert study is not None
        until("two epochs are recorded", lambda: rows(sqlite_url, study)[0]["epoch"] >= 2)
        process.send_signal(signal.SIGTERM)
        first = ended(process)
    assert (first.status, first.err) == (0, "")
    assert "handed over. Go on, here or on another machine: make search STUDY=light" in first.out
    row = rows(sqlite_url, study)[0]
    assert (row["state"], row["expires"], row["attempts"]) == ("open", 0.0, 0)
    assert row["epoch"] < 20 and trials(sqlite_url, study)[0].state.name == "RUNNING"

    second = search(there, "worker", "light", SEARCH_STORAGE=sqlite_url)
    assert (second.status, second.err) == (0, "")
    assert second.out.splitlines()[-1] == "nothing is left to do"
    after = rows(sqlite_url, study)[0]
    assert json.loads(after["resumed_from"]) == [row["epoch"]] and after["repeated"] == 0
    assert check(sqlite_url, study, 2) == []


def test_kill_9_leaves_nobody_training_and_no_secret(tmp_path: Path, postgres_url: str) -> None:
    """The child ends with its worker, even one that says nothing. No argument list and no child holds the password."""
    password = parse(postgres_url).password
    assert password
    arguments = ("light", "--objective", LIGHT, "--trials", "1", "--lease", "2s", "--no-refit")
    with started(tmp_path, "run", *arguments, SEARCH_STORAGE=postgres_url, LIGHT_MOOD="sleeps") as process:
        until("the study is there", lambda: find(storage_at(postgres_url).engine, "light"))
        study = find(storage_at(postgres_url).engine, "light")
        assert study is not None
        until("an epoch is recorded", lambda: rows(postgres_url, study)[0]["epoch"] >= 1)
        (child,) = [
            pid for pid in children_of(process.pid) if b"search.child" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        for pid, name in ((process.pid, "cmdline"), (child, "cmdline"), (child, "environ")):
            shown = Path(f"/proc/{pid}/{name}").read_bytes()
            assert b"light" in shown or name == "environ"
            assert password.encode() not in shown and b"SEARCH_STORAGE" not in shown
        process.kill()
        until("the child is gone", lambda: not alive(child), seconds=10)
    assert rows(postgres_url, study)[0]["state"] == "open"
    again = search(tmp_path, "run", "light", "--no-refit", "--lease", "2s", SEARCH_STORAGE=postgres_url)
    assert again.status == 0 and password not in again.out + again.err
    assert json.loads(rows(postgres_url, study)[0]["resumed_from"])[0] >= 1
    assert check(postgres_url, study, 1) == []


def test_the_second_signal_ends_at_once(tmp_path: Path, sqlite_url: str) -> None:
    arguments = ("light", "--objective", LIGHT, "--trials", "1", "--no-refit")
    with started(tmp_path, "run", *arguments, SEARCH_STORAGE=sqlite_url, LIGHT_MOOD="hangs") as process:
        until("it hangs", lambda: list(tmp_path.glob(".search/*/0-1-*/log.txt")))
        (child,) = [
            pid for pid in children_of(process.pid) if b"search.child" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert any(line.startswith("stopping: ") for line in process.stdout)
        time.sleep(2 * ONE_EVENT)  # else both are one
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert time.monotonic() - began < 15, "the first waits for a hanging child for twice its grace of 20 s"
        until("the child is gone", lambda: not alive(child), seconds=10)


def test_two_signals_of_one_event_hand_over(tmp_path: Path, sqlite_url: str) -> None:
    """A terminal that is closed sends SIGHUP twice: by way of its shell, and of the kernel."""
    arguments = ("light", "--objective", LIGHT, "--trials", "1", "--no-refit", "--epochs", "100")
    with started(tmp_path, "run", *arguments, SEARCH_STORAGE=sqlite_url, LIGHT_PAUSE="0.1") as process:
        until("it trains", lambda: list(tmp_path.glob(".search/*/0-1-*/checkpoints/*")))
        process.send_signal(signal.SIGHUP)
        assert process.stdout is not None
        assert any(line.startswith("stopping: ") for line in process.stdout)
        process.send_signal(signal.SIGHUP)
        assert process.wait(30) == 0
    study = find(storage_at(sqlite_url).engine, "light")
    assert study is not None
    (row,) = rows(sqlite_url, study)
    assert (row["state"], row["holder"]) == ("open", None) and row["epoch"] >= 1


def test_timeout_hands_over_and_exports_the_best(tmp_path: Path, sqlite_url: str) -> None:
    arguments = ("light", "--objective", LIGHT, "--no-refit", "--trials")
    assert search(tmp_path, "run", *arguments, "2", SEARCH_STORAGE=sqlite_url).status == 0
    timed = search(
        tmp_path, "run", "light", "--trials", "1000", "--timeout", "3s", SEARCH_STORAGE=sqlite_url, LIGHT_PAUSE="0.3"
    )
    assert (timed.status, timed.err) == (0, "")
    study = find(storage_at(sqlite_url).engine, "light")
    assert study is not None and len(rows(sqlite_url, study)) == 1000
    report = json.loads((tmp_path / "exports" / "light" / "report.json").read_text())
    complete = [trial for trial in trials(sqlite_url, study) if trial.state.name == "COMPLETE"]
    best = max(complete, key=lambda trial: trial.value or 0.0)
    assert (report["trial"], report["value"], report["test"]) == (best.number, best.value, None)
    assert json.loads((tmp_path / "exports" / "light" / "model.json").read_text())["x"] == best.params["x"]
    assert all(row["expires"] == 0.0 for row in rows(sqlite_url, study) if row["state"] == "open")
    assert find(storage_at(sqlite_url).engine, "light.refit") is None


def test_a_study_that_raises_is_one_line_and_goes_on_when_mended(tmp_path: Path, sqlite_url: str) -> None:
    """The whole way behind it: refit, test, export; then a higher budget."""
    arguments = ("light", "--objective", LIGHT, "--trials", "5")
    failed = search(tmp_path, "run", *arguments, SEARCH_STORAGE=sqlite_url, LIGHT_MOOD="raises")
    assert failed.status == 1
    (line,) = failed.err.splitlines()
    assert line.startswith("search: 3 trials of 'light' in a row raised on ") and "Traceback" not in failed.out
    assert Path(line.partition("The traceback is in ")[2].partition(";")[0]).is_file()

    mended = search(tmp_path, "run", "light", SEARCH_STORAGE=sqlite_url)
    assert (mended.status, mended.err) == (0, "")
    assert "test accuracy of the refit (3 epochs): " in mended.out and "look no. 1" in mended.out
    report = json.loads((tmp_path / "exports" / "light" / "report.json").read_text())
    assert report["test"]["accuracy"] > 0 and report["exported"] == "refit" and report["chosen"]["from"] == 5
    study = find(storage_at(sqlite_url).engine, "light")
    assert study is not None
    assert [row["state"] in {"complete", "pruned"} for row in rows(sqlite_url, study)] == [True] * 5

    more = search(tmp_path, "run", "light", "--trials", "6", "--no-refit", SEARCH_STORAGE=sqlite_url)
    assert (more.status, more.err) == (0, "")
    assert [row["state"] in {"complete", "pruned"} for row in rows(sqlite_url, study)] == [True] * 6
    attributes = storage_at(sqlite_url).get_study_user_attrs(study.study_id)
    assert attributes[STOPPED]["why"] is None


# -- what it asks of the database --------------------------------------------------------------------------------------


class Statements:
    """Those of this process's engine, and how many connections it has at once."""

    def __init__(self, url: str) -> None:
        self.engine = storage_at(url).engine
        self.seen: list[str] = []
        self.connections = 0

    def __enter__(self) -> Statements:
        sa.event.listen(self.engine, "before_cursor_execute", self._count)
        return self

    def __exit__(self, *_: object) -> None:
        sa.event.remove(self.engine, "before_cursor_execute", self._count)

    def _count(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        self.seen.append(statement)
        pool = self.engine.pool
        assert isinstance(pool, sa.pool.QueuePool)
        self.connections = max(self.connections, pool.checkedout())


def closed_trials(url: str, study: Study, count: int) -> None:
    """As many as a long search leaves."""
    storage = storage_at(url)
    with storage.engine.begin() as connection:
        storage.leases.raise_budget(connection, study.key, count + 3)
        number = LEASES.c.number < count
        connection.execute(sa.update(LEASES).where(LEASES.c.study_key == study.key, number).values(state="pruned"))


def test_an_idle_worker_asks_ever_less_often(storage_url: str, tmp_path: Path) -> None:
    """With four seats as with one: a statement a look; the looks come further apart."""
    study = new_study(storage_url, budget=1)
    held = storage_at(storage_url).leases.claim(study.key, "somebody", "else", secrets.token_hex(8))
    assert held is not None
    often = replace(SETTINGS, lease=60, renew=60, poll=0.1, poll_at_most=0.4)
    worker = worker_on(storage_url, study, tmp_path, settings=often, seats=4)
    storage_at(storage_url).leases.renew(held)
    worker.limit(3.0)
    with Statements(storage_url) as statements:
        worker.work([study.key])
    worker.close()
    looks = [text for text in statements.seen if "leases" in text]
    assert 5 <= len(looks) <= 3.0 / 0.4 + 8, "a poll a seat would be more than a hundred"
    assert len(statements.seen) - len(looks) <= 6, "whether the study is there is asked once it has waited long"


def test_a_trial_costs_as_much_beside_thousands_of_closed_ones(storage_url: str, tmp_path: Path) -> None:
    """Statements, and connections at once: two at the most."""
    counts = []
    seldom = replace(SETTINGS, lease=60, renew=60)  # a renewal more or less would be the machine's speed
    for closed in (5, 2000):
        study = new_study(storage_url, budget=3)
        closed_trials(storage_url, study, closed)
        worker = worker_on(storage_url, study, tmp_path, settings=seldom)
        with Statements(storage_url) as statements:
            worker.work([study.key])
        worker.close()
        assert [row["state"] for row in rows(storage_url, study)][closed:] == ["complete"] * 3
        counts.append(len(statements.seen))
        assert statements.connections <= 2
    assert abs(counts[0] - counts[1]) <= 6, "an idle look more or less"
    assert counts[0] / 3 <= 180, "of three epochs; two thirds of them are Optuna's reads of the trial"
