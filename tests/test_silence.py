"""A database that says nothing, behind a network that swallows everything or a lock held for ever, freezes nobody."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from search.contract import SearchError
from search.database.engine import driver_url, engine_arguments, open_readonly
from search.database.storage import open_storage
from search.database.url import parse
from search.settings import DEFAULTS, TIMEOUTS, Timeouts
from search.studies.study import Study
from search.worker.signals import take_signals
from tests.commands import until
from tests.faults import check, forked, new_study, storage_at
from tests.proxy import proxy_to
from tests.test_worker import Script, rows, work, worker_on

SHORT = Timeouts(connect=2, lock=0.4, statement=0.6, silence=0.8)
"""The driver knows no shorter time for connecting."""


def enough_after_the_signal(timeouts: Timeouts = SHORT, grace: float = 2.0) -> float:
    """What was under way ends, the children's grace passes, one more try fails; and this machine may be busy."""
    return 2 * (timeouts.silence + timeouts.connect) + grace + 10


class Started:
    """A worker in a process of its own that a signal stops."""

    def __init__(self, url: str, study: Study, folder: Path) -> None:
        self._folder, self._study, self._said = folder, study, folder / "said"
        self._said.touch()
        url += "?application_name=worker"  # this test's own storage is as patient as always

        def body() -> None:
            script = Script()
            script.say = lambda text: self._said.open("a").write(text + "\n")  # type: ignore[method-assign, assignment]
            storage_at(url, SHORT)
            worker = worker_on(url, study, folder, script)
            take_signals(worker)
            worker.work([study.key])
            worker.close()

        self.pid = forked(body)

    def has_said(self, what: str, times: int = 1) -> bool:
        return self._said.read_text().count(what) >= times

    def trains_on(self) -> None:
        """Four more epochs are trained."""
        (log,) = (self._folder / "work" / self._study.key).glob("0-1-*/log.txt")
        seen = log.read_text().count("epoch")
        until("training went on without the database", lambda: log.read_text().count("epoch") >= seen + 4)

    def ends(self) -> int:
        """Its exit status after SIGTERM, which comes in time."""
        began = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        status: list[int] = []

        def gone() -> bool:
            pid, code = os.waitpid(self.pid, os.WNOHANG)
            status.extend([code] if pid else [])
            return bool(pid)

        try:
            until("the worker has ended", gone, seconds=enough_after_the_signal())
        except AssertionError:
            os.kill(self.pid, signal.SIGKILL)
            raise
        assert time.monotonic() - began < enough_after_the_signal()
        return status[0]


@contextlib.contextmanager
def started(url: str, study: Study, folder: Path) -> Iterator[Started]:
    worker = Started(url, study, folder)
    try:
        yield worker
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGKILL)


def goes_on(url: str, study: Study, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker, to whom nothing was silent, at a checkpoint that the first has left."""
    (row,) = rows(url, study)
    assert (row["state"], row["token"]) == ("open", 1)
    monkeypatch.delenv("LIGHT_PAUSE")
    work(url, study, folder)
    assert check(url, study, 1) == []
    (row,) = rows(url, study)
    assert row["token"] == 2 and json.loads(row["resumed_from"])[0] >= 1


def test_a_network_that_swallows_everything(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training goes on and renewals with it once it heals; told to end in the silence the worker does."""
    study = new_study(postgres_url, epochs=100)
    monkeypatch.setenv("LIGHT_PAUSE", "0.3")
    with proxy_to(postgres_url) as proxy, started(proxy.url(postgres_url), study, tmp_path) as worker:
        until("an epoch is recorded", lambda: rows(postgres_url, study)[0]["epoch"] >= 1)
        proxy.tell("silence")
        until("it is noticed", lambda: worker.has_said("the database is away ("))
        worker.trains_on()
        before = rows(postgres_url, study)[0]
        proxy.tell("forward")
        until("it is back", lambda: worker.has_said("the database is back after "))
        until("the lease is renewed", lambda: rows(postgres_url, study)[0]["expires"] > before["expires"])
        until("epochs are recorded", lambda: rows(postgres_url, study)[0]["epoch"] >= before["epoch"] + 4)
        proxy.tell("silence")
        worker.trains_on()
        assert worker.ends() == 0
        assert worker.has_said("the database is away: trial 0 goes on when its lease has expired")
    assert list((tmp_path / "work" / study.key).glob("0-1-*/checkpoints/*")), "kept on this machine"
    goes_on(postgres_url, study, tmp_path, monkeypatch)


def test_told_to_end_before_the_silence_is_noticed(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = new_study(postgres_url, epochs=100)
    monkeypatch.setenv("LIGHT_PAUSE", "0.3")
    with proxy_to(postgres_url) as proxy, started(proxy.url(postgres_url), study, tmp_path) as worker:
        until("an epoch is recorded", lambda: rows(postgres_url, study)[0]["epoch"] >= 1)
        proxy.tell("silence")
        assert worker.ends() == 0
    goes_on(postgres_url, study, tmp_path, monkeypatch)


@pytest.mark.parametrize("lock", ["SELECT 1 FROM leases FOR UPDATE", "LOCK TABLE leases IN ACCESS EXCLUSIVE MODE"])
def test_a_lock_held_for_ever(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: str) -> None:
    """Of the lease's row or of the whole table, by a session that is idle in its transaction."""
    study = new_study(postgres_url, epochs=100)
    monkeypatch.setenv("LIGHT_PAUSE", "0.3")
    with started(postgres_url, study, tmp_path) as worker, psycopg.connect(postgres_url) as other:
        until("an epoch is recorded", lambda: rows(postgres_url, study)[0]["epoch"] >= 1)
        other.execute(lock)
        until(
            "it is noticed", lambda: worker.has_said("the database is away (canceling statement due to lock timeout)")
        )
        worker.trains_on()
        other.rollback()
        until("it is back", lambda: worker.has_said("the database is back after "))
        other.execute(lock)
        until("it is noticed", lambda: worker.has_said("due to lock timeout", times=2))
        assert worker.ends() == 0
        other.rollback()
    goes_on(postgres_url, study, tmp_path, monkeypatch)


def test_a_command_ends_too(postgres_url: str) -> None:
    """Silent from the first word, or in the middle."""
    with proxy_to(postgres_url) as proxy:
        url = proxy.url(postgres_url)
        storage = open_storage(url, SHORT)
        proxy.tell("silence")
        began = time.monotonic()
        with pytest.raises(sa.exc.OperationalError):
            storage.leases.now()
        with pytest.raises(SearchError, match=r"cannot be used: .*timeout"):
            open_storage(url, SHORT)
        assert time.monotonic() - began < 2 * (SHORT.silence + SHORT.connect) + 5


def in_force(engine: sa.Engine) -> dict[str, str]:
    """As a transaction finds them."""
    names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "timezone")
    with engine.connect() as connection:
        return {name: str(connection.execute(sa.text(f"SHOW {name}")).scalar_one()) for name in names}


def test_what_is_in_force_and_what_goes_before(postgres_url: str) -> None:
    wanted = {
        "lock_timeout": f"{TIMEOUTS.lock:g}s",
        "statement_timeout": f"{TIMEOUTS.statement:g}s",
        "idle_in_transaction_session_timeout": "1min",
        "timezone": "UTC",
    }
    new_study(postgres_url)
    for engine in (storage_at(postgres_url).engine, open_readonly(postgres_url)):
        assert in_force(engine) == wanted
    options = "?options=-c%20statement_timeout%3D7s%20--lock-timeout%3D3s&keepalives_idle=77&tcp_user_timeout=5000"
    theirs = open_storage(postgres_url + options).engine
    assert in_force(theirs) == {**wanted, "statement_timeout": "7s", "lock_timeout": "3s"}
    with theirs.connect() as connection:
        parameters = connection.connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
    expected = {"keepalives_idle": "77", "tcp_user_timeout": "5000", "keepalives_interval": "5", "connect_timeout": "8"}
    assert {name: parameters[name] for name in expected} == expected


def test_one_lost_answer_costs_no_lease() -> None:
    """And the server's own limits, which leave the connection whole, come before ours."""
    assert DEFAULTS.renew_every + TIMEOUTS.silence + TIMEOUTS.connect < DEFAULTS.lease
    assert TIMEOUTS.lock < TIMEOUTS.statement < TIMEOUTS.silence
    arguments = engine_arguments(parse("postgresql://u@h/x"))["connect_args"]
    kernel = arguments["keepalives_idle"] + arguments["keepalives_interval"] * arguments["keepalives_count"]
    assert kernel <= TIMEOUTS.silence and arguments["tcp_user_timeout"] == TIMEOUTS.silence * 1000


def test_an_answer_that_trickles_in_is_waited_for(postgres_url: str) -> None:
    """It is silence that is cut short, not a long answer."""
    engine = sa.create_engine(
        driver_url(parse(postgres_url)), **engine_arguments(parse(postgres_url), Timeouts(statement=30, silence=0.8))
    )
    notices = "DO $$ BEGIN FOR i IN 1..8 LOOP RAISE NOTICE 'here'; PERFORM pg_sleep(0.25); END LOOP; END $$"
    with engine.begin() as connection:
        connection.execute(sa.text(notices))
    with engine.connect() as connection, pytest.raises(sa.exc.OperationalError, match="said nothing"):
        connection.execute(sa.text("SELECT pg_sleep(2)"))


def test_a_guard_that_does_not_hold_is_refused(postgres_url: str) -> None:
    """What stands in between drops the words READ ONLY."""
    new_study(postgres_url)
    with proxy_to(postgres_url, blank=" READ ONLY") as proxy:
        with pytest.raises(
            SearchError, match=r"^postgresql://search:\*\*\*@.* does not keep transactions read-only"
        ) as no:
            open_readonly(proxy.url(postgres_url))
        assert "\n" not in str(no.value)
