"""A storage's URL: as people write it, as the driver wants it, and as it may be shown."""

from __future__ import annotations

import re

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from search.errors import SearchError


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
    plain = parsed.set(drivername=parsed.get_backend_name()).update_query_dict(hidden)
    return plain.render_as_string(hide_password=True).replace("%2A%2A%2A", "***")


def without_secrets(text: str) -> str:
    """Whatever was typed, without what may be a password in it."""
    _, at, tail = text.rpartition("@")
    shown = f"***{at}{tail}" if at else re.sub("(://[^/:]*:)[^/]*", r"\1***", text)
    return re.sub(r"(?i)(password\s*=\s*)[^&\s]*", r"\1***", shown)
