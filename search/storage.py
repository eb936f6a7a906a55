"""From a URL to an engine and to an Optuna storage whose writes are fenced by leases.

The fence lives in Optuna's own transactions. It relies on these private names of Optuna 5.0 (pinned; held by
``tests/test_storage.py``): ``RDBStorage._get_prepared_new_trial``, ``._set_trial_param_without_commit``,
``._set_trial_attr_without_commit``, ``._set_trial_intermediate_value_without_commit``, ``.scoped_session``,
``.engine``, ``Study._study_id``, ``Study._storage``, ``Trial._trial_id``, ``Trial._cached_frozen_trial``,
``FrozenTrial._trial_id``, ``BaseDistribution._contains`` and ``._asdict``, and the models of ``storages._rdb.models``.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from search.errors import SearchError
from search.tables import METADATA, SCHEMA, SCHEMA_NUMBER

if TYPE_CHECKING:
    from search.fence import FencedStorage

_BUSY_SECONDS = 30
_OPTIONS = "-c timezone=UTC -c idle_in_transaction_session_timeout=60000"
IN_DATABASE = "database"


def parse(url: str) -> sa.URL:
    """A URL as people write it -> one with the driver that we bring. SearchError where it is none."""
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):  # the latter of a port that is no number
        raise SearchError(
            f"not a database URL: {without_secrets(url)!r}. "
            "Give sqlite:///studies.db or postgresql://user@host/database."
        ) from None
    if "@" in (parsed.host or ""):
        raise SearchError("the user or the password in the storage's URL holds an '@'. Write it as %40.")
    kind = parsed.get_backend_name()
    if kind in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg")
    if kind != "sqlite":
        raise SearchError(
            f"a database of the kind {kind!r} is not supported. Give sqlite:///studies.db (one machine) "
            "or postgresql://user@host/database (many)."
        )
    if not parsed.database or parsed.database == ":memory:":
        raise SearchError("a study in memory cannot be shared or resumed. Give a file: sqlite:///studies.db")
    return parsed


def masked(url: str | sa.URL) -> str:
    """The URL without its password, wherever it stands."""
    parsed = parse(url) if isinstance(url, str) else url
    hidden = {key: "***" for key in parsed.query if "password" in key.lower()}
    shown = parsed.update_query_dict(hidden).render_as_string(hide_password=True)
    return shown.replace("+psycopg", "").replace("%2A%2A%2A", "***")


def without_secrets(text: str) -> str:
    """Whatever was typed, without what may be a password in it."""
    _, at, tail = text.rpartition("@")
    shown = f"***{at}{tail}" if at else re.sub("(://[^/:]*:)[^/]*", r"\1***", text)
    return re.sub(r"(?i)(password\s*=\s*)[^&\s]*", r"\1***", shown)


def engine_arguments(url: sa.URL) -> dict[str, Any]:
    """Keywords of ``create_engine``: small pools, UTC, a dead connection noticed before it is used."""
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": _BUSY_SECONDS}}
    ours: dict[str, Any] = {
        "connect_timeout": 8,  # so that a command ends within ten seconds
        "keepalives_idle": 30,
        "application_name": "search",
    }
    # What the URL says goes before.
    arguments = {key: value for key, value in ours.items() if key not in url.query}
    arguments["options"] = f"{_OPTIONS} {url.query.get('options', '')}".strip()
    return {
        "pool_pre_ping": True,
        "pool_size": 2,
        "max_overflow": 2,
        "pool_recycle": 1800,
        "connect_args": arguments,
    }


def open_readonly(url: str) -> sa.Engine:
    """For commands that only read: SQLite is opened ``mode=ro`` and no pragma is set (WAL would rewrite the file)."""
    parsed = parse(url)
    if parsed.get_backend_name() == "sqlite":
        path = Path(str(parsed.database))
        if not path.is_file():
            raise SearchError(f"there is no database at {path}. Start a search first: make search STUDY=cnn_digits")
        engine = sa.create_engine(
            "sqlite://",
            # The pool hands a connection to one thread at a time, but to any: the dashboard's server has several.
            creator=lambda: sqlite3.connect(
                _readonly_uri(path), uri=True, timeout=_BUSY_SECONDS, check_same_thread=False
            ),
            poolclass=sa.pool.QueuePool,
        )
    else:
        arguments = engine_arguments(parsed)
        arguments["connect_args"]["options"] += " -c default_transaction_read_only=on"
        engine = sa.create_engine(parsed, **arguments)
    with reaching(parsed), engine.connect() as connection:
        if not sa.inspect(connection).has_table("studies"):
            raise SearchError(
                f"there are no studies in {masked(parsed)} yet. Start a search first: make search STUDY=cnn_digits"
            )
        _refuse_newer(connection)
    return engine


def _readonly_uri(path: Path) -> str:
    # A file that is not in WAL mode opens so even where we may not write: no side file is made.
    return f"file:{quote(str(path.resolve()))}?mode=ro"


def open_storage(url: str, *, readonly: bool = False) -> FencedStorage:
    """The storage for a worker: tables made where missing, eight workers at once or one; or one that cannot write.

    Raises SearchError within about ten seconds where the database cannot be reached.
    """
    from search.fence import FencedStorage  # noqa: PLC0415 - Optuna's storage costs a second; parsing a URL must not

    parsed = parse(url)
    if readonly:
        engine = open_readonly(url)
        with reaching(parsed):
            return FencedStorage.readonly(engine, place_for(parsed))
    if parsed.get_backend_name() == "sqlite":
        folder = Path(str(parsed.database)).absolute().parent
        if not folder.is_dir():
            raise SearchError(f"there is no folder {folder} for the database. Make it: mkdir -p {folder}")
        if sqlite3.sqlite_version_info < (3, 35):
            raise SearchError(f"SQLite 3.35 or newer is needed, this Python carries {sqlite3.sqlite_version}.")
    text = parsed.render_as_string(hide_password=False)
    engine = sa.create_engine(parsed, **engine_arguments(parsed))
    with reaching(parsed):
        if not _complete(engine):
            with _alone(engine, parsed):
                if not _complete(engine):
                    FencedStorage(text, engine_kwargs=engine_arguments(parsed))
                    _make_tables(engine)
        engine.dispose()
        return FencedStorage.opened(text, engine_arguments(parsed), place_for(parsed))


def place_for(url: sa.URL) -> str:
    """Where files go unless somebody says: a folder beside a SQLite file, else the database itself."""
    if url.get_backend_name() == "sqlite":
        return f"{Path(str(url.database)).absolute()}.files"
    return IN_DATABASE


@contextlib.contextmanager
def reaching(url: sa.URL) -> Iterator[None]:
    """Turns what a driver says of an unreachable or unusable database into one line."""
    try:
        yield
    except Exception as error:
        # By name: importing Optuna takes longer than any command that only reads.
        wrapped = type(error).__name__ == "StorageInternalError"
        if isinstance(error, RuntimeError) and "version" in str(error):  # Optuna's word for another version's tables
            raise SearchError(f"the tables in {masked(url)} are another Optuna's: {error}") from None
        if not (wrapped or isinstance(error, SQLAlchemyError)):
            raise
        cause = error.__cause__ if wrapped else error
        reason = str(getattr(cause, "orig", None) or cause).strip().splitlines()[0]
        for secret in filter(None, [url.password, url.query.get("password")]):
            reason = reason.replace(str(secret), "***")
        raise SearchError(
            f"the database {masked(url)} cannot be used: {reason}. Check --storage or SEARCH_STORAGE."
        ) from None


def lost(error: Exception) -> str | None:
    """One line for a database that went away while a command used it; None for anything else."""
    cause = error.__cause__ if type(error).__name__ == "StorageInternalError" else error
    if not isinstance(cause, (sa.exc.OperationalError, sa.exc.InterfaceError)):
        return None
    reason = str(cause.orig).strip().splitlines()[0]
    return f"the database was lost: {reason}. What was recorded is there; type the command again when it is back."


@contextlib.contextmanager
def _alone(engine: sa.Engine, url: sa.URL) -> Iterator[None]:
    """One process at a time: making tables is not atomic, neither Optuna's nor in SQLite's DDL."""
    if engine.name == "postgresql":
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT pg_advisory_lock(7236284)"))
            try:
                yield
            finally:
                connection.execute(sa.text("SELECT pg_advisory_unlock(7236284)"))
        return
    import fcntl  # noqa: PLC0415 - not on Windows, where PostgreSQL still works

    folder = os.open(Path(str(url.database)).absolute().parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _complete(engine: sa.Engine) -> bool:
    """Whether all tables are there: the schema's number is written last. SearchError where it is newer than ours."""
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(SCHEMA.name):
            return False
        _refuse_newer(connection)
        return connection.execute(sa.select(SCHEMA.c.number)).first() is not None


def _make_tables(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        METADATA.create_all(connection)
        if connection.execute(sa.select(SCHEMA.c.number)).first() is None:
            connection.execute(sa.insert(SCHEMA).values(number=SCHEMA_NUMBER))


def _refuse_newer(connection: sa.Connection) -> None:
    if not sa.inspect(connection).has_table(SCHEMA.name):
        return
    number = connection.execute(sa.select(SCHEMA.c.number)).scalar_one_or_none() or 0
    if number > SCHEMA_NUMBER:
        raise SearchError(
            f"this database was written by a newer version (tables of schema {number}, known here: "
            f"{SCHEMA_NUMBER}). Update this checkout: git pull"
        )
