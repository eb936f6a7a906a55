"""Looks at test sets: a row each, written before it is taken. They outlive the studies that took them."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from search.database.tables import LOOKS, clock


@dataclass(frozen=True)
class Look:
    """``test``: the SHA-256 of the test data, or the study's key where its objective names none; ``model`` likewise."""

    study_key: str
    study: str
    test: str
    model: str
    host: str


@dataclass(frozen=True)
class UnderWay:
    """Somebody else's look at the same model, not yet ended: where, and how many seconds ago."""

    host: str
    seconds: float


def begin(engine: sa.Engine, look: Look, *, timeout: float) -> str | UnderWay:
    """Records a look that is about to be taken. Returns its name, or who is at it: for so many seconds it is theirs."""
    same = (
        LOOKS.c.study_key == look.study_key,
        LOOKS.c.test_sha256 == look.test,
        LOOKS.c.model_sha256 == look.model,
    )
    before = sa.select(LOOKS, clock().label("now")).where(*same).order_by(LOOKS.c.taken.desc())
    with engine.begin() as connection:
        rows = connection.execute(before).all()
        under_way = _under_way(rows, timeout)
        if under_way is not None:
            return under_way
        # Two that begin at once give theirs the same name: the second finds it taken.
        last = rows[0].look if rows else ""
        name = hashlib.sha256(f"{look.study_key}/{look.test}/{look.model}/{last}".encode()).hexdigest()[:32]
        dialect: Any = postgresql if engine.name == "postgresql" else sqlite
        row = {
            "look": name,
            "test_sha256": look.test,
            "model_sha256": look.model,
            "study_key": look.study_key,
            "study": look.study,
            "host": look.host,
            "taken": clock(),
        }
        insert = dialect.insert(LOOKS).values(row).on_conflict_do_nothing().returning(LOOKS.c.look)
        mine = connection.execute(insert).first() is not None
    return name if mine else begin(engine, look, timeout=timeout)


def _under_way(rows: Any, timeout: float) -> UnderWay | None:
    if not rows or rows[0].finished is not None or rows[0].now - rows[0].taken > timeout:
        return None
    return UnderWay(rows[0].host, rows[0].now - rows[0].taken)


def end(engine: sa.Engine, name: str) -> None:
    """It was taken, or failed: nobody waits for it."""
    with engine.begin() as connection:
        connection.execute(sa.update(LOOKS).where(LOOKS.c.look == name).values(finished=clock()))


def withdraw(engine: sa.Engine, name: str) -> None:
    """It was not taken after all."""
    with engine.begin() as connection:
        connection.execute(sa.delete(LOOKS).where(LOOKS.c.look == name))


def names(engine: sa.Engine, study_key: str) -> list[str]:
    """Of this study's looks."""
    return [row.look for row in _rows(engine, LOOKS.c.study_key == study_key)]


def by_study(engine: sa.Engine, study_key: str) -> dict[str, int]:
    """How often each study of the database has looked at the test sets that this study looked at; by name."""
    tests = {row.test_sha256 for row in _rows(engine, LOOKS.c.study_key == study_key)}
    rows = _rows(engine, LOOKS.c.test_sha256.in_(tests))
    return dict(Counter(row.study for row in sorted(rows, key=lambda row: float(row.taken))))


def _rows(engine: sa.Engine, which: sa.ColumnElement[bool]) -> list[sa.Row[Any]]:
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(LOOKS.name):  # who only reads upgrades nothing
            return []
        return list(connection.execute(sa.select(LOOKS).where(which)))
