"""The right to run one unit of a study's budget for a time. One table; the budget is its key.

A study with budget n has the rows 0..n-1, so that the budget is exact whoever races. Claiming is one statement that
raises the row's token; every later write of the holder proves the token. The database's clock decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from search.database.tables import LEASES, clock
from search.settings import DEFAULTS


class LeaseLost(Exception):  # noqa: N818 - not an error: somebody else goes on with the trial
    """The token says that somebody else holds the lease, or that it is closed."""


@dataclass(frozen=True)
class Lease:
    """One claim. ``epoch`` is the last finished one, reported and recorded; ``attempts`` counts this claim."""

    study_key: str
    number: int
    token: int
    trial_id: int | None
    attempts: int
    epoch: int
    resumed_from: tuple[int, ...] = ()


class Entry(TypedDict, total=False):
    """What the holder of a lease writes into its row."""

    born: int
    """The id of its trial, which comes into being; refused where the lease has one."""
    epoch: int
    resumed_from: Sequence[int]
    seconds: float
    """Added to those that are there."""
    repeated: int
    """Epochs, added likewise."""
    attempts: int
    state: str
    """Of the trial that has ended: the lease is closed."""


class Leases:
    """All SQL on leases in one database. ``seconds``: how long a claim or renewal lasts."""

    def __init__(self, engine: sa.Engine, seconds: float = DEFAULTS.lease) -> None:
        self._engine = engine
        self.seconds = seconds

    def raise_budget(self, connection: sa.Connection, study_key: str, budget: int) -> None:
        """Adds the rows that are missing below ``budget``; never takes one away. Safe when several do it at once."""
        dialect: Any = postgresql if self._engine.name == "postgresql" else sqlite
        rows = [{"study_key": study_key, "number": number} for number in range(budget)]
        connection.execute(dialect.insert(LEASES).on_conflict_do_nothing(), rows)

    def claim(self, study_key: str, holder: str, host: str) -> Lease | None:
        """The open lease with the lowest number that nobody holds, now ours. None: look again, or ``unfinished``."""
        free = (
            sa.select(LEASES.c.number)
            .where(LEASES.c.study_key == study_key, LEASES.c.state == "open", LEASES.c.expires < clock())
            .order_by(LEASES.c.number)
            .limit(1)
            .with_for_update(skip_locked=True)  # SQLite, which has one writer at a time, leaves it out
        )
        claim = (
            sa.update(LEASES)
            .where(
                LEASES.c.study_key == study_key,
                LEASES.c.state == "open",
                LEASES.c.expires < clock(),
                LEASES.c.number == free.scalar_subquery(),
            )
            .values(
                token=LEASES.c.token + 1,
                holder=holder,
                host=host,
                expires=clock() + self.seconds,
                attempts=LEASES.c.attempts + 1,
            )
            .returning(
                LEASES.c.number,
                LEASES.c.token,
                LEASES.c.trial_id,
                LEASES.c.attempts,
                LEASES.c.epoch,
                LEASES.c.resumed_from,
            )
        )
        with self._engine.begin() as connection:
            row = connection.execute(claim).first()
        if row is None:
            return None
        resumed = tuple(json.loads(row.resumed_from))
        return Lease(study_key, row.number, row.token, row.trial_id, row.attempts, row.epoch, resumed)

    def renew(self, lease: Lease, **entry: Unpack[Entry]) -> None:
        """Another ``seconds`` from now, and this entry with it. Raises LeaseLost."""
        with self._engine.begin() as connection:
            self.prove(connection, lease, **entry)

    def prove(self, connection: Any, lease: Lease, **entry: Unpack[Entry]) -> None:
        """The fence: within somebody's transaction, which the LeaseLost that this may raise must roll back."""
        own = self._mine(lease)
        if "born" in entry:
            own.append(LEASES.c.trial_id.is_(None))
        statement = sa.update(LEASES).where(*own).values(expires=clock() + self.seconds, **_columns(entry))
        if connection.execute(statement).rowcount != 1:
            raise LeaseLost(f"lease {lease.number}, token {lease.token}")

    def give_back(self, lease: Lease, *, counted: bool, seconds: float = 0.0) -> bool:
        """Anybody may claim it at once. ``counted``: an attempt (its child died), not a hand-over. False: lost."""
        values: dict[str, Any] = {"expires": 0.0, "holder": None, **_columns({"seconds": seconds})}
        if not counted:
            values["attempts"] = sa.case((LEASES.c.attempts > 0, LEASES.c.attempts - 1), else_=0)
        with self._engine.begin() as connection:
            return connection.execute(sa.update(LEASES).where(*self._mine(lease)).values(values)).rowcount == 1

    def close(self, lease: Lease, state: str) -> None:
        """For a trial that somebody finished with Optuna's own tools: its unit of the budget is used up."""
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(LEASES).where(*self._mine(lease)).values(state=state, finished=clock(), holder=None)
            )

    def current(self, lease: Lease) -> sa.Row[Any] | None:
        """The row as it stands, if this claim still holds it."""
        with self._engine.connect() as connection:
            return connection.execute(sa.select(LEASES).where(*self._mine(lease, any_state=True))).first()

    def unfinished(self, study_key: str) -> int:
        """Units of the budget that are not used up. 0 is the only proof that the study is done."""
        query = sa.select(sa.func.count()).where(LEASES.c.study_key == study_key, LEASES.c.state == "open")
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def budget(self, study_key: str) -> int:
        """Units, used up or not."""
        query = sa.select(sa.func.count()).where(LEASES.c.study_key == study_key)
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def rows(self, study_key: str) -> list[dict[str, Any]]:
        """All leases of a study by number, with ``now`` by the database's clock."""
        query = sa.select(LEASES, clock().label("now")).where(LEASES.c.study_key == study_key).order_by(LEASES.c.number)
        with self._engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def tokens(self, study_key: str) -> dict[int, tuple[int, bool]]:
        """Token of each lease, and whether it is open."""
        query = sa.select(LEASES.c.number, LEASES.c.token, LEASES.c.state).where(LEASES.c.study_key == study_key)
        with self._engine.connect() as connection:
            return {row.number: (row.token, row.state == "open") for row in connection.execute(query)}

    def now(self) -> float:
        """The database's clock."""
        with self._engine.connect() as connection:
            return float(connection.execute(sa.select(clock())).scalar_one())

    def study_keys(self) -> set[str]:
        """Of all studies that have leases, deleted ones too."""
        with self._engine.connect() as connection:
            return set(connection.execute(sa.select(LEASES.c.study_key).distinct()).scalars())

    def forget(self, study_keys: Iterable[str]) -> None:
        """For studies that were deleted with Optuna's tools."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(LEASES).where(LEASES.c.study_key.in_(list(study_keys))))

    @staticmethod
    def closed(study_key: str) -> Any:
        """The numbers of closed leases, as a query to be part of another."""
        return sa.select(LEASES.c.number).where(LEASES.c.study_key == study_key, LEASES.c.state != "open")

    @staticmethod
    def _mine(lease: Lease, *, any_state: bool = False) -> list[Any]:
        own = [
            LEASES.c.study_key == lease.study_key,
            LEASES.c.number == lease.number,
            LEASES.c.token == lease.token,
        ]
        return own if any_state else [*own, LEASES.c.state == "open"]


def _columns(entry: Entry) -> dict[str, Any]:
    columns: dict[str, Any] = dict(entry)
    if "born" in columns:
        columns["trial_id"] = columns.pop("born")
    for name in ("seconds", "repeated"):
        if name in columns:
            columns[name] = LEASES.c[name] + columns[name]
    if "resumed_from" in columns:
        columns["resumed_from"] = json.dumps(list(columns["resumed_from"]))
    if "state" in columns:
        columns["finished"] = clock()
    return columns
