"""Optuna's storage at a URL, its writes fenced by leases: for a worker, or for who only reads.

The fence lives in Optuna's own transactions, as their first statement. SQLAlchemy's ``before_flush`` would need fewer
names and cannot carry it: attributes are written by statements that no flush sees, and a proof behind what Optuna reads
first would fail on SQLite wherever somebody wrote in between. It relies on these private names of Optuna 5.0 (pinned;
held by ``tests/test_storage.py``, which ``make contract`` runs with another version):
``RDBStorage._get_prepared_new_trial``, ``._set_trial_param_without_commit``,
``._set_trial_attr_without_commit``, ``._set_trial_intermediate_value_without_commit``, ``.scoped_session``,
``.engine``, ``._version_manager``, ``Study._study_id``, ``Study._storage``, ``Trial._trial_id``,
``Trial._cached_frozen_trial``, ``FrozenTrial._trial_id``, ``BaseDistribution._contains`` and ``._asdict``, the models
of ``storages._rdb.models``, and the columns of ``search/database/optuna_tables.py``.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import sqlalchemy as sa

from search.database.create_tables import ensure
from search.database.engine import (
    driver_url,
    engine_arguments,
    no_database,
    notice_deletion,
    open_readonly,
    wait_for_locks,
)
from search.database.errors import unusable
from search.database.fence import FencedStorage
from search.database.url import parse
from search.errors import SearchError
from search.settings import TIMEOUTS, Timeouts


def open_storage(url: str, timeouts: Timeouts = TIMEOUTS, *, makes_file: bool = True) -> FencedStorage:
    """The storage for a worker: tables made where missing, eight workers at once or one.

    Raises SearchError within about ten seconds where the database cannot be reached, and where not ``makes_file`` and
    there is none.
    """
    parsed = parse(url)
    if parsed.get_backend_name() == "sqlite":
        folder = Path(str(parsed.database)).absolute().parent
        if not folder.is_dir():
            raise SearchError(f"there is no folder {folder} for the database. Make it: mkdir -p {folder}")
        if not makes_file and not Path(str(parsed.database)).is_file():
            raise no_database(Path(str(parsed.database)))
        if sqlite3.sqlite_version_info < (3, 35):
            raise SearchError(f"SQLite 3.35 or newer is needed, this Python carries {sqlite3.sqlite_version}.")
    driven, arguments = driver_url(parsed), engine_arguments(parsed, timeouts)
    text, engine = driven.render_as_string(hide_password=False), sa.create_engine(driven, **arguments)
    with unusable(parsed):
        ensure(engine, lambda: FencedStorage(text, engine_kwargs=engine_arguments(parsed, timeouts)))
        engine.dispose()
        storage = FencedStorage(text, engine_kwargs=arguments, skip_table_creation=True)
        notice_deletion(storage.engine)
        wait_for_locks(storage.engine)
        return storage


def open_readonly_storage(url: str, connections: int = 2) -> FencedStorage:
    """The same over so many connections, on which the database refuses to write."""
    engine = open_readonly(url, connections)
    with unusable(engine.url):
        text = engine.url.render_as_string(hide_password=False)
        begun = {"readonly": True} if engine.name == "postgresql" else {}
        return FencedStorage(text, engine_kwargs={"pool": engine.pool, **begun}, skip_table_creation=True)
