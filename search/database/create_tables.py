"""Our tables: made once, whoever is first; upgraded at the first write; those of a newer version refused."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import sqlalchemy as sa

from search.database.tables import FILES, LEASES, METADATA, SCHEMA, SCHEMA_NUMBER
from search.errors import SearchError
from search.settings import MAKING_TABLES

_ADVISORY_LOCK = 7236284
_TRY_EVERY = 0.1


def ensure(engine: sa.Engine, make_optunas: Callable[[], object]) -> None:
    """Makes what is missing, Optuna's tables first, and upgrades what an older version made; one process at a time.

    SearchError where a newer version wrote.
    """
    if _number(engine) == SCHEMA_NUMBER:
        return
    with _alone(engine):
        found = _number(engine)
        if found is None:
            make_optunas()
        if found != SCHEMA_NUMBER:
            _make(engine)


def _number(engine: sa.Engine) -> int | None:
    """The schema's number, which is written last; None: the tables are not all there."""
    with engine.connect() as connection:
        refuse_newer(connection)
        if not sa.inspect(connection).has_table(SCHEMA.name):
            return None
        number = connection.execute(sa.select(SCHEMA.c.number)).scalar_one_or_none()
        return None if number is None else int(number)


def refuse_newer(connection: sa.Connection) -> None:
    """SearchError where a newer version of ours has written."""
    if not sa.inspect(connection).has_table(SCHEMA.name):
        return
    number = connection.execute(sa.select(SCHEMA.c.number)).scalar_one_or_none() or 0
    if number > SCHEMA_NUMBER:
        raise SearchError(
            f"this database was written by a newer version (tables of schema {number}, known here: "
            f"{SCHEMA_NUMBER}). Update this checkout: git pull"
        )


def _make(engine: sa.Engine) -> None:
    """Can be done again where it was interrupted."""
    with engine.begin() as connection:
        METADATA.create_all(connection)
        for table in (LEASES, FILES):
            _add_missing_columns(connection, table)
        for table in METADATA.sorted_tables:
            for index in table.indexes:
                index.create(connection, checkfirst=True)
        connection.execute(sa.delete(SCHEMA))
        connection.execute(sa.insert(SCHEMA).values(number=SCHEMA_NUMBER))


def _add_missing_columns(connection: sa.Connection, table: sa.Table) -> None:
    there = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
    for column in table.columns:
        if column.name not in there:
            text = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
            connection.execute(sa.text(f"ALTER TABLE {table.name} ADD COLUMN {text}"))


@contextlib.contextmanager
def _alone(engine: sa.Engine) -> Iterator[None]:
    """Making tables is not atomic, neither Optuna's nor in SQLite's DDL."""
    if engine.name == "postgresql":
        with _advisory_lock(engine):
            yield
        return
    import fcntl  # noqa: PLC0415 - not on Windows, where PostgreSQL still works

    folder = os.open(Path(str(engine.url.database)).absolute().parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


@contextlib.contextmanager
def _advisory_lock(engine: sa.Engine) -> Iterator[None]:
    """A transaction's, open meanwhile: a session's would not hold behind a transaction pooler.

    It is tried and not waited for: who waits would occupy one of the pooler's connections, of which the maker needs
    three: this one, Optuna's and Alembic's.
    """
    lock = sa.select(sa.func.pg_try_advisory_xact_lock(_ADVISORY_LOCK))
    deadline = time.monotonic() + MAKING_TABLES
    while time.monotonic() < deadline:
        with engine.begin() as connection:
            if connection.execute(lock).scalar_one():
                yield
                return
        time.sleep(_TRY_EVERY)
    raise SearchError(
        f"somebody else has been making this database's tables for {MAKING_TABLES:.0f} s. Type the command again; "
        f"if that does not help, pg_locks shows who holds the advisory lock {_ADVISORY_LOCK}."
    )
