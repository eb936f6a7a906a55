"""PostgreSQL as it may be: silent for ever, locked by somebody else, or behind a pooler that deals out transactions.

A statement ends in time whatever the database does. The server's own time-outs, UTC and read-only stand in the message
that begins each transaction, and nothing in the session: PgBouncer in transaction mode refuses what a connection begins
with and gives the next transaction to another one. They cost no round trip of their own there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from search.settings import TIMEOUTS, Timeouts

if TYPE_CHECKING:
    from psycopg.abc import PQGen

_DRIVER = "patient"
T = TypeVar("T")


def driven(url: sa.URL) -> sa.URL:
    """The URL with which an engine is made that talks to PostgreSQL in this way."""
    registry.register(f"postgresql.{_DRIVER}", __name__, "Dialect")
    return url.set(drivername=f"postgresql+{_DRIVER}")


class Dialect(PGDialect_psycopg):
    """SQLAlchemy's for psycopg, which begins each transaction in its own words."""

    driver = _DRIVER
    supports_statement_cache = True

    def __init__(self, timeouts: Timeouts = TIMEOUTS, readonly: bool = False, **keywords: Any) -> None:
        super().__init__(**keywords)  # type: ignore[no-untyped-call]
        self._timeouts, self._readonly = timeouts, readonly
        self._begin = ""

    def create_connect_args(self, url: sa.URL) -> Any:
        """Also learns what the URL's ``options`` set, which goes before ours."""
        arguments = super().create_connect_args(url)  # type: ignore[no-untyped-call]
        self._begin = beginning(self._timeouts, self._readonly, str(url.query.get("options", "")))
        return arguments

    def connect(self, *arguments: Any, **keywords: Any) -> Any:
        """Autocommit means that psycopg does not begin transactions: ``do_begin`` does."""
        # A prepared statement would stay behind on a connection that a pooler gives to somebody else.
        keywords |= {"autocommit": True, "prepare_threshold": None}
        connection = Connection.connect(*arguments, **keywords)
        connection.silence = self._timeouts.silence
        return connection

    def do_begin(self, dbapi_connection: Any) -> None:
        """One message and one answer."""
        dbapi_connection.cursor().execute(self._begin)


class Connection(psycopg.Connection[Any]):
    """Waits for a database only as long as it says something."""

    silence = TIMEOUTS.silence
    """Seconds. A network that swallows everything is known by nothing else: what was sent may have been received."""

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """As psycopg's, to whose every wait for an answer this is the way. OperationalError after a silence."""
        return super().wait(self._while_heard(gen), interval, timeout)

    def _while_heard(self, gen: PQGen[T]) -> Generator[Any, Any, T]:
        """The same conversation. psycopg says at each step what the socket is ready for: nothing, after an interval."""
        heard = time.monotonic()
        answer: Any = None
        while True:
            try:
                wanted = gen.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            answer = yield wanted
            now = time.monotonic()
            if answer:
                heard = now
            elif now - heard > self.silence:
                self.pgconn.finish()  # an answer that comes later would be taken for that to another statement
                raise psycopg.OperationalError(f"the database said nothing for {self.silence:g} s")


def beginning(timeouts: Timeouts, readonly: bool, options: str = "") -> str:
    """How a transaction begins. What the ``options`` of a URL set is left as they say."""
    theirs = {name.lower().replace("-", "_") for name in re.findall(r"(?:-c\s*|--)([\w-]+)\s*=", options)}
    settings = {
        "timezone": "UTC",
        "lock_timeout": f"{timeouts.lock * 1000:.0f}",
        "statement_timeout": f"{timeouts.statement * 1000:.0f}",
        "idle_in_transaction_session_timeout": f"{timeouts.idle * 1000:.0f}",
    }
    ours = [f"SET LOCAL {name} = '{value}'" for name, value in settings.items() if name not in theirs]
    return "; ".join(["BEGIN READ ONLY" if readonly else "BEGIN", *ours])
