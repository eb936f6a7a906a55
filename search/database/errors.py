"""What a database's errors mean: it cannot be used, it was lost, it is away for a while, or it is broken."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from search.database.url import masked
from search.errors import SearchError

_AWAY = (
    sa.exc.OperationalError,
    sa.exc.InternalError,
    sa.exc.InterfaceError,
    sa.exc.TimeoutError,
    sa.exc.ResourceClosedError,
)
DELETED = "is not the file that it was"
_BROKEN = (DELETED, "disk I/O error", "disk is full", "readonly database", "malformed", "no such table")
"""SQLite's words, under the same class as a lock that is held, for what no waiting mends."""


def cause_of(error: BaseException) -> BaseException:
    """SQLAlchemy's error, also where Optuna has wrapped it. By name: importing Optuna takes longer than reading."""
    wrapped = type(error).__name__ == "StorageInternalError" and error.__cause__ is not None
    return error.__cause__ or error if wrapped else error


def reason(error: BaseException) -> str:
    """The first line of what the driver itself says."""
    cause = cause_of(error)
    return str(getattr(cause, "orig", None) or cause).strip().splitlines()[0]


def is_away(error: BaseException) -> bool:
    """Whether waiting may help."""
    return isinstance(cause_of(error), _AWAY) and not is_broken(error)


def is_broken(error: BaseException) -> bool:
    """Whether the database is there and no waiting makes it usable."""
    return isinstance(cause_of(error), _AWAY) and any(text in reason(error) for text in _BROKEN)


@contextlib.contextmanager
def unusable(url: sa.URL) -> Iterator[None]:
    """Turns what a driver says of a database that cannot be reached or used into one SearchError."""
    try:
        yield
    except Exception as error:
        if isinstance(error, RuntimeError) and "version" in str(error):  # Optuna's word for another version's tables
            raise SearchError(f"the tables in {masked(url)} are another Optuna's: {error}") from None
        if not isinstance(cause_of(error), SQLAlchemyError):
            raise
        said = reason(error)
        for secret in filter(None, [url.password, url.query.get("password")]):
            said = said.replace(str(secret), "***")
        raise SearchError(
            f"the database {masked(url)} cannot be used: {said}. Check STORAGE, or SEARCH_STORAGE."
        ) from None


def lost(error: Exception) -> str | None:
    """One line for a database that went away while a command used it; None for anything else."""
    if not isinstance(cause_of(error), (sa.exc.OperationalError, sa.exc.InterfaceError)):
        return None
    return (
        f"the database was lost: {reason(error)}. What was recorded is there; type the command again when it is back."
    )
