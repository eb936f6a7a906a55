"""Everything through PgBouncer in transaction mode, over fewer connections than there are workers."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa

from search.contract import SearchError
from search.database.engine import open_readonly
from search.database.storage import open_storage
from search.settings import TIMEOUTS
from search.show.dashboard import readonly_storage
from search.studies.create import create
from search.studies.study import find
from tests.commands import LIGHT, search, started, until
from tests.faults import check, forked, new_study, storage_at, work
from tests.integration.pgbouncer import PgBouncer
from tests.postgres import Postgres
from tests.test_storage import DEFINITION
from tests.test_worker import rows

pytestmark = pytest.mark.integration
POOL = 3
"""The least that the README says is enough."""


@pytest.fixture(scope="module", params=["", "options,extra_float_digits"], ids=["strict", "ignoring options"])
def bouncer(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[PgBouncer]:
    """As installed it refuses ``options``; many are told to ignore them, which is worse."""
    one = PgBouncer(postgres.port, size=POOL, ignored=request.param)
    yield one
    one.remove()


@pytest.fixture
def url(bouncer: PgBouncer, postgres_url: str) -> str:
    """A fresh database by way of the pooler."""
    return bouncer.url(postgres_url)


def test_eight_open_an_empty_database_at_once(url: str, tmp_path: Path) -> None:
    """With three connections to the server, which the one that makes the tables needs: its lock, Optuna, Alembic."""
    gate, opener = os.pipe()

    def begin() -> None:
        os.close(opener)
        os.read(gate, 1)
        create(open_storage(url), "shared", "light.py", DEFINITION)

    pids = [forked(begin) for _ in range(8)]
    os.close(gate)
    os.close(opener)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 8
    storage = storage_at(url)
    study = find(storage.engine, "shared")
    assert study is not None and optuna.get_all_study_names(storage) == ["shared"]
    assert [row["number"] for row in storage.leases.rows(study.key)] == list(range(7))


def test_several_workers_and_kill_9(
    bouncer: PgBouncer, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The budget is exact, what was killed goes on where it was; five workers share three connections."""
    monkeypatch.setenv("LIGHT_PAUSE", "0.05")
    study = new_study(url, budget=15, epochs=6, rungs=(3,))
    running = [forked(lambda: work(url, study.name, tmp_path)) for _ in range(5)]
    until("they train", lambda: sum(row["epoch"] >= 2 for row in rows(url, study)) >= 3)
    for victim in (running.pop(), running.pop()):
        os.kill(victim, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(victim, 0)[1])
        running.append(forked(lambda: work(url, study.name, tmp_path)))
    assert [os.waitpid(pid, 0)[1] for pid in running] == [0] * 5
    assert check(url, study, 15) == []
    assert any(json.loads(row["resumed_from"]) for row in rows(url, study))
    assert 1 <= bouncer.server_connections(url.rpartition("/")[2]) <= POOL


def test_the_commands(url: str, tmp_path: Path) -> None:
    """A search that is handed over, gone on with, refitted and exported; then status."""
    arguments = ("light", "--objective", LIGHT, "--trials", "3", "--epochs", "12")
    with started(tmp_path, "run", *arguments, SEARCH_STORAGE=url, LIGHT_PAUSE="0.2") as process:
        until("the study is there", lambda: find(storage_at(url).engine, "light"))
        study = find(storage_at(url).engine, "light")
        assert study is not None
        until("an epoch is recorded", lambda: rows(url, study)[0]["epoch"] >= 1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    again = search(tmp_path, "run", "light", SEARCH_STORAGE=url)
    assert (again.status, again.err) == (0, "")
    assert "exported to exports/light/" in again.out and "look no. 1" in again.out
    assert check(url, study, 3) == []
    assert rows(url, study)[0]["attempts"] <= 1 and json.loads(rows(url, study)[0]["resumed_from"])[0] >= 1
    shown = search(tmp_path, "status", "light", "--json", SEARCH_STORAGE=url)
    assert (shown.status, shown.err) == (0, "") and json.loads(shown.out)


def test_limits_hold_in_each_transaction_and_nothing_stays_behind(url: str) -> None:
    """Several clients at once, so that each is dealt another's connection."""
    new_study(url)
    wanted = (f"{TIMEOUTS.lock:g}s", f"{TIMEOUTS.statement:g}s", "1min", "UTC")
    names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "timezone")
    shown = sa.select(*[sa.func.current_setting(name) for name in names])
    found: list[tuple[str, ...]] = []

    def ask(engine: sa.Engine) -> None:
        for _ in range(20):
            with engine.begin() as connection:
                found.append(tuple(connection.execute(shown).one()))

    threads = [threading.Thread(target=ask, args=(open_readonly(url),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {wanted} and len(found) == 80
    plain = sa.create_engine(
        url.replace("postgresql:", "postgresql+psycopg:"), connect_args={"prepare_threshold": None}
    )
    with plain.connect() as connection:
        assert tuple(connection.execute(shown).one()) == ("0", "0", "0", "Asia/Kathmandu"), "somebody else's own"
        assert connection.execute(sa.text("SHOW transaction_read_only")).scalar_one() == "off"


def test_no_statement_is_prepared(url: str) -> None:
    new_study(url)
    storage = storage_at(url)
    for _ in range(30):
        storage.leases.study_keys()
    with storage.engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM pg_prepared_statements")).scalar_one() == 0


def test_the_dashboard_cannot_write(url: str) -> None:
    study = new_study(url)
    storage = readonly_storage(url)
    assert storage.get_study_name_from_id(study.study_id) == study.name
    with pytest.raises(optuna.exceptions.StorageInternalError) as refused:
        storage.set_study_user_attr(study.study_id, "touched", True)
    assert "read-only transaction" in str(refused.value.__cause__)
    assert storage_at(url).get_study_user_attrs(study.study_id).get("touched") is None


def test_a_pooler_of_statements_is_refused_in_one_line(postgres: Postgres, postgres_url: str) -> None:
    """It knows no transactions, so that nothing here would hold."""
    bouncer = PgBouncer(postgres.port, mode="statement")
    try:
        for attempt in (open_storage, open_readonly):
            with pytest.raises(SearchError, match=r"^the database postgresql://.* cannot be used: ") as refused:
                attempt(bouncer.url(postgres_url))
            assert "\n" not in str(refused.value)
    finally:
        bouncer.remove()
