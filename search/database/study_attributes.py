"""A study's user attribute in Optuna's table: its JSON, set only where nobody has changed it since it was read."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from search.database.optuna_tables import STUDY_ATTRIBUTES


def text_of(connection: sa.Connection, study_id: int, key: str) -> str | None:
    """None: there is none of this name."""
    return connection.execute(sa.select(STUDY_ATTRIBUTES.c.value_json).where(*_own(study_id, key))).scalar_one_or_none()


def is_set(connection: sa.Connection, study_id: int, key: str, text: str | None, wanted: str) -> bool:
    """False, and nothing is written: it is no longer this text, or is there by now where that is None."""
    if text is not None:
        unchanged = (*_own(study_id, key), STUDY_ATTRIBUTES.c.value_json == text)
        update = sa.update(STUDY_ATTRIBUTES).where(*unchanged).values(value_json=wanted)
        return connection.execute(update).rowcount == 1
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(STUDY_ATTRIBUTES).values(study_id=study_id, key=key, value_json=wanted)
    # Not by rowcount, which an insert on PostgreSQL has not.
    mine = insert.on_conflict_do_nothing().returning(STUDY_ATTRIBUTES.c.study_id)
    return connection.execute(mine).first() is not None


def _own(study_id: int, key: str) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return STUDY_ATTRIBUTES.c.study_id == study_id, STUDY_ATTRIBUTES.c.key == key
