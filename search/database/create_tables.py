"""Our tables are made once, whoever is first, and those of a newer version are refused."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import sqlalchemy as sa

from search.database.tables import METADATA, SCHEMA, SCHEMA_NUMBER
from search.errors import SearchError

_ADVISORY_LOCK = 7236284


def ensure(engine: sa.Engine, make_optunas: Callable[[], object]) -> None:
    """Makes what is missing, Optuna's tables first; one process at a time. SearchError where a newer version wrote."""
    if is_complete(engine):
        return
    with _alone(engine):
        if not is_complete(engine):
            make_optunas()
            _make(engine)


def is_complete(engine: sa.Engine) -> bool:
    """Whether all tables are there: the schema's number is written last. SearchError where it is newer than ours."""
    with engine.connect() as connection:
        refuse_newer(connection)
        if not sa.inspect(connection).has_table(SCHEMA.name):
            return False
        return connection.execute(sa.select(SCHEMA.c.number)).first() is not None


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
    with engine.begin() as connection:
        METADATA.create_all(connection)
        if connection.execute(sa.select(SCHEMA.c.number)).first() is None:
            connection.execute(sa.insert(SCHEMA).values(number=SCHEMA_NUMBER))


@contextlib.contextmanager
def _alone(engine: sa.Engine) -> Iterator[None]:
    """Making tables is not atomic, neither Optuna's nor in SQLite's DDL."""
    if engine.name == "postgresql":
        with engine.connect() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_lock(_ADVISORY_LOCK)))
            try:
                yield
            finally:
                connection.execute(sa.select(sa.func.pg_advisory_unlock(_ADVISORY_LOCK)))
        return
    import fcntl  # noqa: PLC0415 - not on Windows, where PostgreSQL still works

    folder = os.open(Path(str(engine.url.database)).absolute().parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
