"""The database under everything: Optuna's private names, the fence, secrets, and who opens it first."""

from __future__ import annotations

import inspect
import os
import re
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from optuna.distributions import FloatDistribution
from optuna.storages import RDBStorage
from optuna.trial import Trial, TrialState, create_trial

from search.contract import SearchError
from search.database import optuna_tables
from search.database.engine import driver_url, engine_arguments, open_readonly
from search.database.fence import FencedStorage
from search.database.leases import Lease, LeaseLost
from search.database.storage import open_readonly_storage, open_storage
from search.database.tables import SCHEMA
from search.database.url import masked, parse
from search.studies.create import create
from search.studies.optuna_study import as_optuna
from search.studies.study import Study, find
from tests.faults import forked, new_study

HOOKS = {
    "_get_prepared_new_trial": ["self", "study_id", "template_trial", "session"],
    "_set_trial_param_without_commit": ["self", "session", "trial_id"],
    "_set_trial_attr_without_commit": ["self", "session", "model_cls", "trial_id"],
    "_set_trial_intermediate_value_without_commit": ["self", "session", "trial_id"],
}
DEFINITION = {"size": {"budget": 7}, "direction": "maximize", "metric": "score", "first": []}
DATA = ("trials", "trial_params", "trial_values", "trial_intermediate_values", "trial_user_attributes",
        "trial_system_attributes", "leases")  # fmt: skip


def opened(url: str, seconds: float = 60.0) -> FencedStorage:
    """What a worker has: its own storage, its own connections."""
    storage = open_storage(url)
    storage.leases.seconds = seconds
    return storage


def born(storage: FencedStorage, study: Study) -> tuple[Lease, Trial]:
    """A claim and its trial, as a worker makes them."""
    lease = storage.leases.claim(study.key, "one", "host", secrets.token_hex(8))
    assert lease is not None
    running = create_trial(state=TrialState.RUNNING)
    trial_id = storage.bear(study.study_id, running, lease)
    storage.hold(trial_id, lease)
    real = as_optuna(study, optuna.storages.get_storage(storage), lease.number)
    real.get_trials(deepcopy=False)
    return lease, Trial(real, trial_id)


def contents(url: str) -> dict[str, list[Any]]:
    with closing(sa.create_engine(parse(url)).connect()) as connection:
        return {table: sorted(map(repr, connection.execute(sa.text(f"SELECT * FROM {table}")))) for table in DATA}  # noqa: S608


# -- what we know of Optuna --------------------------------------------------------------------------------------------


def test_optunas_private_names_are_as_we_know_them(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fence's hooks exist, take what we pass on, and are passed by every way of writing a trial."""
    for name, first in HOOKS.items():
        assert list(inspect.signature(getattr(RDBStorage, name)).parameters)[: len(first)] == first, name

    passed: list[str] = []
    for name in HOOKS:
        original = getattr(RDBStorage, name)

        def counted(self: Any, *rest: Any, name: str = name, original: Any = original, **keywords: Any) -> Any:
            session = [*rest, *keywords.values()][list(HOOKS[name]).index("session") - 1]
            assert session.get_bind() is self.engine
            passed.append(name)
            return original(self, *rest, **keywords)

        monkeypatch.setattr(RDBStorage, name, counted)
    study = optuna.create_study(storage=RDBStorage(sqlite_url))
    assert isinstance(study._storage.get_study_name_from_id(study._study_id), str)
    trial = study.ask()
    assert passed == ["_get_prepared_new_trial"]
    for name, write in (
        ("_set_trial_param_without_commit", lambda: trial.suggest_float("x", 0, 1)),
        ("_set_trial_attr_without_commit", lambda: trial.set_user_attr("a", 1)),
        ("_set_trial_attr_without_commit", lambda: trial.set_constraint("c", 1.0)),
        ("_set_trial_intermediate_value_without_commit", lambda: trial.report(1.0, 1)),
    ):
        passed.clear()
        write()
        assert name in passed
    passed.clear()
    study._storage.create_new_trial(  # a template's parameters and values pass the same hooks
        study._study_id,
        create_trial(
            value=1.0,
            params={"x": 0.5},
            distributions={"x": FloatDistribution(0, 1)},
            intermediate_values={1: 1.0},
            user_attrs={"a": 1},
        ),
    )
    assert set(passed) == set(HOOKS)


def test_optunas_tables_have_the_columns_that_we_read(storage_url: str) -> None:
    inspector = sa.inspect(open_storage(storage_url).engine)
    tables = [table for table in vars(optuna_tables).values() if isinstance(table, sa.TableClause)]
    assert len(tables) == 8
    for table in tables:
        assert {column.name for column in table.columns} <= {
            column["name"] for column in inspector.get_columns(table.name)
        }


# -- the fence ---------------------------------------------------------------------------------------------------------


def test_who_lost_its_lease_changes_nothing(storage_url: str) -> None:
    study = new_study(storage_url, budget=2)
    late, heir = opened(storage_url, seconds=0.0), opened(storage_url)
    lease, trial = born(late, study)
    trial.suggest_float("x", 0.0, 1.0)
    trial.report(0.5, 1)
    taken = heir.leases.claim(study.key, "two", "host", secrets.token_hex(8))
    assert taken is not None
    assert (taken.number, taken.token, taken.trial_id) == (lease.number, lease.token + 1, trial._trial_id)

    before = contents(storage_url)
    writes: list[Callable[[], Any]] = [
        lambda: trial.report(0.9, 2),
        lambda: trial.set_user_attr("late", True),
        lambda: trial.set_constraint("late", 1.0),
        lambda: trial.suggest_float("late", 0.0, 1.0),
        lambda: trial.study.tell(trial, 0.9),
        lambda: trial.study.tell(trial, state=TrialState.FAIL),
        lambda: late.leases.renew(lease),
        lambda: late.leases.renew(lease, epoch=9),
    ]
    for write in writes:
        with pytest.raises(LeaseLost):
            write()
    assert not late.leases.give_back(lease, counted=True)
    late.leases.close(lease, "complete")
    with pytest.raises(LeaseLost):
        late.bear(study.study_id, create_trial(state=TrialState.RUNNING), lease)
    assert contents(storage_url) == before

    heir.hold(trial._trial_id, taken)
    heirs = as_optuna(study, optuna.storages.get_storage(heir), taken.number)
    heirs.get_trials(deepcopy=False)
    again = Trial(heirs, trial._trial_id)
    assert again.params == trial.params
    again.report(0.7, 2)
    heirs.tell(again, 0.7)
    assert [(row["state"], row["trial_id"]) for row in heir.leases.rows(study.key)] == [
        ("complete", trial._trial_id),
        ("open", None),
    ]
    after = contents(storage_url)
    for write in writes[:2]:
        with pytest.raises((LeaseLost, optuna.exceptions.UpdateFinishedTrialError)):
            write()
    assert contents(storage_url) == after, "finished, and still out of reach"


def test_one_lease_one_trial(storage_url: str) -> None:
    study = new_study(storage_url, budget=2)
    storage = opened(storage_url)
    lease, _ = born(storage, study)
    before = contents(storage_url)
    with pytest.raises(LeaseLost):
        storage.bear(study.study_id, create_trial(state=TrialState.RUNNING), lease)
    assert contents(storage_url) == before
    plain = optuna.load_study(study_name=study.name, storage=parse(storage_url).render_as_string(hide_password=False))
    plain.enqueue_trial({"x": 0.25})
    queued = contents(storage_url)
    with pytest.raises(LeaseLost):  # this lease has its trial already: the queue stays as it is
        storage.adopt_waiting(study.study_id, lease)
    assert contents(storage_url) == queued
    other = storage.leases.claim(study.key, "one", "host", secrets.token_hex(8))
    assert other is not None
    adopted = storage.adopt_waiting(study.study_id, other)
    assert storage.get_trial(adopted).state == TrialState.RUNNING  # type: ignore[arg-type]
    assert storage.adopt_waiting(study.study_id, other) is None
    with pytest.raises(LeaseLost):  # not held by this process
        opened(storage_url).set_trial_user_attr(adopted, "a", 1)  # type: ignore[arg-type]


def test_each_write_renews_and_the_last_one_closes(storage_url: str) -> None:
    study = new_study(storage_url)
    storage = opened(storage_url, seconds=5.0)
    lease, trial = born(storage, study)
    storage.leases.seconds = 1000.0

    def row() -> dict[str, Any]:
        return storage.leases.rows(study.key)[0]

    assert row()["expires"] - row()["now"] <= 5
    trial.report(0.5, 1)
    assert 900 < row()["expires"] - row()["now"] <= 1000
    with storage.entering(trial._trial_id, seconds=12.5):
        trial.study.tell(trial, 0.5)
    assert (row()["state"], row()["seconds"], row()["token"]) == ("complete", 12.5, lease.token)
    assert abs(row()["finished"] - row()["now"]) < 60


# -- opening -----------------------------------------------------------------------------------------------------------


def test_eight_open_an_empty_database_at_once(storage_url: str, tmp_path: Path) -> None:
    """Each makes the tables and the study if it is the first; one study with its exact budget comes of it."""
    gate, opener = os.pipe()
    failures = tmp_path / "failures"
    failures.touch()

    def begin() -> None:
        os.close(opener)
        os.read(gate, 1)  # the end of the pipe: all eight are there
        try:
            create(open_storage(storage_url), "shared", "light.py", DEFINITION)
        except BaseException as error:
            with failures.open("a") as file:
                file.write(f"{type(error).__name__}: {error}\n")
            raise

    pids = [forked(begin) for _ in range(8)]
    os.close(gate)
    os.close(opener)
    statuses = [os.waitpid(pid, 0)[1] for pid in pids]
    assert (statuses, failures.read_text()) == ([0] * 8, "")
    storage = open_storage(storage_url)
    study = find(storage.engine, "shared")
    assert study is not None
    assert optuna.get_all_study_names(storage) == ["shared"]
    assert [row["number"] for row in storage.leases.rows(study.key)] == list(range(7))
    with storage.engine.connect() as connection:
        keys = connection.execute(sa.text("SELECT DISTINCT study_key FROM leases")).scalars().all()
        assert (keys, connection.execute(sa.select(SCHEMA.c.number)).scalars().all()) == ([study.key], [4])


def test_tables_of_a_newer_version_are_refused(storage_url: str) -> None:
    storage = open_storage(storage_url)
    with storage.engine.begin() as connection:
        connection.execute(sa.update(SCHEMA).values(number=99))
    for attempt in (open_storage, open_readonly):
        with pytest.raises(SearchError, match=r"newer version \(tables of schema 99, known here: 4\).*git pull"):
            attempt(storage_url)


def test_tables_of_another_optuna_are_refused(storage_url: str) -> None:
    storage = open_storage(storage_url)
    with storage.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'v99'"))
    for attempt in (open_storage, open_readonly_storage):
        with pytest.raises(SearchError, match=r"the tables in .* are another Optuna's: .*updating optuna"):
            attempt(storage_url)


def test_what_is_there_is_opened_over_one_connection_at_a_time(postgres_url: str) -> None:
    """As many processes as a pooler has connections would wait for each other, each holding one and wanting another."""
    open_storage(postgres_url)
    held, most = 0, 0

    def taken(*_: Any) -> None:
        nonlocal held, most
        held += 1
        most = max(most, held)

    def given_back(*_: Any) -> None:
        nonlocal held
        held -= 1

    sa.event.listen(sa.pool.Pool, "checkout", taken)
    sa.event.listen(sa.pool.Pool, "checkin", given_back)
    try:
        create(open_storage(postgres_url), "one", "light.py", DEFINITION)
    finally:
        sa.event.remove(sa.pool.Pool, "checkout", taken)
        sa.event.remove(sa.pool.Pool, "checkin", given_back)
    assert (held, most) == (0, 1)


def test_reading_makes_nothing(tmp_path: Path) -> None:
    missing = tmp_path / "studies.db"
    with pytest.raises(SearchError, match=r"there is no database at .*make search"):
        open_readonly(f"sqlite:///{missing}")
    with pytest.raises(SearchError, match=r"no folder .*nowhere.*mkdir -p"):
        open_storage(f"sqlite:///{tmp_path / 'nowhere' / 'studies.db'}")
    assert list(tmp_path.iterdir()) == []
    missing.write_bytes(b"this is no database, whatever its name says" * 100)
    for attempt in (open_storage, open_readonly):
        with pytest.raises(SearchError, match="file is not a database"):
            attempt(f"sqlite:///{missing}")


# -- what can be seen --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hidden@h/x",
        "postgres://u:hidden@h/x",
        "postgresql+psycopg2://u:hidden@h:5432/x",
        "postgresql+psycopg://:hidden@h/x",
        "postgresql://u:hid%64en@h/x",
        "postgresql://u:hidden:hidden@h/x",
        "postgresql://u:hidden/hidden?@h/x",
        "postgresql://h/x?user=u&password=hidden",
        "postgresql://h/x?sslmode=verify-full&sslpassword=hidden",
        "postgresql://u:hidden@hidden@h/x",
        "postgresql://u:hidden@h:port/x",
        "postgresql://u:hidden",
        "postgresql//u:hidden@h/x",
        "mysql://u:hidden@h/x",
        "host=h password = hidden dbname=x",
        "nonsense?password=hidden",
    ],
)
def test_no_spelling_shows_the_password(url: str) -> None:
    try:
        shown = masked(url)
    except SearchError as error:
        shown = str(error)
        assert "\n" not in shown and re.search("Give|Write", shown)
    else:
        assert shown.startswith("postgresql://") and "***" in shown
        assert parse(shown).host == "h"
    assert "hid" not in shown


@pytest.mark.parametrize("where", ["u:hidden@127.0.0.1:1/x", "127.0.0.1:1/x?user=u&password=hidden"])
def test_an_unreachable_database_is_one_line(where: str) -> None:
    began = time.monotonic()
    for attempt in (open_storage, open_readonly):
        with pytest.raises(SearchError) as refused:
            attempt(f"postgresql://{where}")
        assert re.fullmatch(
            r"the database postgresql://.*127\.0\.0\.1:1/x.* cannot be used: .*SEARCH_STORAGE\.", str(refused.value)
        )
        assert "hidden" not in str(refused.value)
    assert time.monotonic() - began < 10


def test_a_server_that_says_nothing_is_not_waited_for(sqlite_url: str) -> None:
    """It takes the connection and is silent: the driver's patience is ours, cut short here to spare the test's time."""
    arguments = engine_arguments(parse("postgresql://u@h/x"))
    assert 0 < arguments["connect_args"]["connect_timeout"] <= 10
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        arguments["connect_args"]["connect_timeout"] = 2  # the driver knows no less
        url = parse(f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/x")
        began = time.monotonic()
        with pytest.raises(sa.exc.OperationalError, match="timeout"):
            sa.create_engine(driver_url(url), **arguments).connect()
        assert time.monotonic() - began < 8
