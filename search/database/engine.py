"""SQLAlchemy's engines for this service: how they are tuned, and the one that is proved not to write."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from search.database.create_tables import refuse_newer
from search.database.errors import DELETED, unusable
from search.database.url import masked, parse
from search.errors import SearchError
from search.settings import FIRST_SEARCH, TIMEOUTS, Timeouts

_BUSY_SECONDS = 30
_READONLY = sa.text("SHOW transaction_read_only")


def driver_url(url: sa.URL) -> sa.URL:
    """The URL with which engines are made."""
    if url.get_backend_name() == "sqlite":
        return url
    from search.database.postgresql import driven  # noqa: PLC0415 - psycopg is not for who has a file

    return driven(url)


def engine_arguments(url: sa.URL, timeouts: Timeouts = TIMEOUTS, connections: int = 2) -> dict[str, Any]:
    """Keywords of ``create_engine``: timeouts, a dead connection noticed before it is used.

    Of the ``connections`` to a server there are so many at most, and one is kept.
    """
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": _BUSY_SECONDS}}
    ours: dict[str, Any] = {
        "connect_timeout": timeouts.connect,
        # The kernel's part: a peer that is gone is known even where nobody waits for an answer.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": round(timeouts.silence * 1000),
        "application_name": "search",
    }
    return {
        "pool_pre_ping": True,
        "pool_size": 1,
        "max_overflow": connections - 1,
        "pool_recycle": 1800,
        # What the URL says goes before.
        "connect_args": {key: value for key, value in ours.items() if key not in url.query},
        "timeouts": timeouts,
    }


def wait_for_locks(engine: sa.Engine) -> None:
    """SQLite in WAL mode, waiting for locks instead of failing; nothing to do elsewhere."""
    if engine.name == "sqlite":
        sa.event.listen(engine, "connect", _pragmas)
        # Connections that are there already were made before the listener.
        engine.dispose()


def notice_deletion(engine: sa.Engine) -> None:
    """A SQLite file that is deleted or replaced meanwhile is an error at the next use: what has it open would write on
    into nowhere."""
    if engine.name != "sqlite":
        return
    path = Path(str(engine.url.database)).absolute()
    file = path.stat()

    def check(*_: Any) -> None:
        try:
            now = path.stat()
        except FileNotFoundError:
            now = None
        if now is None or (now.st_dev, now.st_ino) != (file.st_dev, file.st_ino):
            was = "deleted" if now is None else "replaced"
            error = sqlite3.OperationalError(f"{path} {DELETED}: it was {was} while it was in use")
            raise sa.exc.OperationalError("", {}, error)

    sa.event.listen(engine, "do_connect", check)  # before a new one would make the file again
    sa.event.listen(engine, "checkout", check)


def _pragmas(connection: Any, _record: Any) -> None:
    connection.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


@contextlib.contextmanager
def durably(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that has reached the disk when it ends, and all before it: what it replaces may then be removed.

    PostgreSQL's all do. SQLite's in WAL mode do so only when asked: one sync, of a file that is written to its end.
    """
    if engine.name != "sqlite":
        with engine.begin() as connection:
            yield connection
        return
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA synchronous=FULL")
        connection.commit()
        try:
            with connection.begin():
                yield connection
        finally:
            connection.exec_driver_sql("PRAGMA synchronous=NORMAL")
            connection.commit()


def open_readonly(url: str, connections: int = 2) -> sa.Engine:
    """For commands that only read: SQLite is opened ``mode=ro`` and no pragma is set (WAL would rewrite the file)."""
    parsed = parse(url)
    if parsed.get_backend_name() == "sqlite":
        path = Path(str(parsed.database))
        if not path.is_file():
            raise no_database(path)
        engine = sa.create_engine(
            parsed,
            # The pool hands a connection to one thread at a time, but to any: the dashboard's server has several.
            creator=lambda: sqlite3.connect(
                _readonly_uri(path), uri=True, timeout=_BUSY_SECONDS, check_same_thread=False
            ),
            poolclass=sa.pool.QueuePool,
        )
    else:
        engine = sa.create_engine(
            driver_url(parsed), readonly=True, **engine_arguments(parsed, connections=connections)
        )
    with unusable(parsed), engine.connect() as connection:
        if engine.name == "postgresql" and connection.execute(_READONLY).scalar_one() != "on":
            raise SearchError(
                f"{masked(parsed)} does not keep transactions read-only (transaction_read_only is off), so it is not "
                "opened. Go past what stands in between, or read as a user who may not write."
            )
        if not sa.inspect(connection).has_table("studies"):
            raise SearchError(f"there are no studies in {masked(parsed)} yet. Start a search first: {FIRST_SEARCH}")
        refuse_newer(connection)
    return engine


def no_database(path: Path) -> SearchError:
    """For who would not make one."""
    return SearchError(f"there is no database at {path}. Start a search first: {FIRST_SEARCH}")


def _readonly_uri(path: Path) -> str:
    # A file that is not in WAL mode opens so even where we may not write: no side file is made.
    return f"file:{quote(str(path.resolve()))}?mode=ro"
