"""Who takes part in a study, when they were last seen, and who has left it to the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from search.database.tables import WORKERS, clock


class Workers:
    """All SQL on workers in one database. ``holder`` names one, as in its leases."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def join(self, study_key: str, holder: str, host: str) -> None:
        """From here on it is seen. Can be done again."""
        dialect: Any = postgresql if self._engine.name == "postgresql" else sqlite
        values = {"study_key": study_key, "holder": holder, "host": host, "seen": clock()}
        insert = dialect.insert(WORKERS).values(**values)
        again = insert.on_conflict_do_update(
            index_elements=["study_key", "holder"], set_={"seen": clock(), "gave_up": None}
        )
        with self._engine.begin() as connection:
            connection.execute(again)

    def be_seen(self, holder: str) -> None:
        """In all its studies."""
        with self._engine.begin() as connection:
            connection.execute(sa.update(WORKERS).where(WORKERS.c.holder == holder).values(seen=clock()))

    def give_up(self, study_key: str, holder: str, why: str) -> None:
        """Leaves the study to the others."""
        own = (WORKERS.c.study_key == study_key, WORKERS.c.holder == holder)
        with self._engine.begin() as connection:
            connection.execute(sa.update(WORKERS).where(*own).values(gave_up=why))

    def leave(self, holder: str) -> None:
        """It ends; that it gave a study up stays known."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(WORKERS).where(WORKERS.c.holder == holder, WORKERS.c.gave_up.is_(None)))

    def others(self, study_key: str, holder: str, seconds: float) -> int:
        """How many others were seen within so many seconds and have not given up."""
        query = sa.select(sa.func.count()).where(
            WORKERS.c.study_key == study_key,
            WORKERS.c.holder != holder,
            WORKERS.c.gave_up.is_(None),
            WORKERS.c.seen > clock() - seconds,
        )
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def forget(self, study_keys: Iterable[str]) -> None:
        """Of studies that were deleted, or that begin anew."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(WORKERS).where(WORKERS.c.study_key.in_(list(study_keys))))
