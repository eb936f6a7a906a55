"""The right to run one unit of a study's budget for a time. One table; the budget is its key.

A study with budget n has the rows 0..n-1, so that the budget is exact whoever races. Claiming is one statement that
raises the row's token; every later write of the holder proves the token. The database's clock decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from search.database.tables import LEASES, SCHEMA, clock
from search.settings import DEFAULTS

_SHOWN = [
    column
    for column in LEASES.columns
    if column.name
    in {
        "study_key",
        "number",
        "token",
        "holder",
        "host",
        "expires",
        "trial_id",
        "attempts",
        "state",
        "epoch",
        "repeated",
        "resumed_from",
        "seconds",
        "finished",
    }
]
"""What there was from the first schema on: who only reads upgrades nothing."""


UNUSED = "unused"
"""The state of a lease that no trial was begun for, as nothing more was to be tried."""


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
    nonce: str
    """This claim's alone: after a failover to an older state a token may come twice."""
    resumed_from: tuple[int, ...] = ()
    errors: int = 0
    """Exceptions that this trial has ended in."""
    judged: int = 0
    """The last epoch at which the pruner let it go on."""
    alone: bool = False
    """It ran out of memory beside others: now it is to run by itself."""
    seconds: float = 0.0
    """That its trial has taken; those of trials that were turned down are not among them."""
    turned_down: int = 0
    """Trials of this lease whose network was too large."""


@dataclass(frozen=True)
class Progress:
    """Leases, and the epochs finished in them, by state; the seconds that all took."""

    leases: Mapping[str, int]
    epochs: Mapping[str, int]
    seconds: float

    @property
    def budget(self) -> int:
        """All units."""
        return sum(self.leases.values())

    def epochs_left(self, whole_trial: int) -> int:
        """If nothing more were pruned."""
        return max(0, whole_trial * self.leases.get("open", 0) - self.epochs.get("open", 0))


@dataclass(frozen=True)
class Openings:
    """Units of a budget that are not used up; those that nobody holds, but for what a worker has left to others."""

    unfinished: int
    free: int
    left: int

    @property
    def held(self) -> int:
        """Those that somebody is at work on, or was until a moment ago."""
        return self.unfinished - self.free - self.left


@dataclass(frozen=True)
class Held:
    """Leases that have a holder."""

    count: int
    hosts: str
    """For people."""
    seconds: float
    """Until the last of them has expired, where nobody is there any more."""


@dataclass(frozen=True)
class Spent:
    """What a study's leases took: seconds, those of them in training steps, and memory at its peaks, in bytes.

    Seconds are of leases of which both are known, those without an epoch among them. 0 where nobody said: the objective
    does not report its seconds, the system tells of no memory.
    """

    seconds: float = 0.0
    trained: float = 0.0
    memory: int = 0
    worker_memory: int = 0

    def and_also(self, other: Spent) -> Spent:
        """Both together."""
        return Spent(
            self.seconds + other.seconds,
            self.trained + other.trained,
            max(self.memory, other.memory),
            max(self.worker_memory, other.worker_memory),
        )

    def as_json(self) -> dict[str, Any]:
        """What is known, for a status or a report."""
        return {
            "training_share": self.training_share,
            "memory": self.memory or None,
            "worker_memory": self.worker_memory or None,
        }

    @property
    def training_share(self) -> float | None:
        """Of the time; None where the objective does not report it."""
        return self.trained / self.seconds if self.trained and self.seconds else None


class Entry(TypedDict, total=False):
    """What the holder of a lease writes into its row."""

    born: int
    """The id of its trial, which comes into being; refused where the lease has one."""
    epoch: int
    resumed_from: Sequence[int]
    seconds: float
    """Added to those that are there."""
    trained: float
    """Seconds of these that were training steps, added likewise."""
    repeated: int
    """Epochs, added likewise."""
    memory: int
    """Bytes, of its training process at most; the largest is kept."""
    worker_memory: int
    """Likewise."""
    attempts: int
    judged: int
    state: str
    """Of the trial that has ended: the lease is closed."""
    turned_down: bool
    """Its trial has ended and counts for nothing: the lease is free again, and without one."""


class Leases:
    """All SQL on leases in one database. ``seconds``: how long a claim or renewal lasts."""

    def __init__(self, engine: sa.Engine, seconds: float = DEFAULTS.lease) -> None:
        self._engine = engine
        self.seconds = seconds

    def raise_budget(self, connection: sa.Connection, study_key: str, budget: int) -> None:
        """Adds the rows that are missing below ``budget``; never takes one away. Safe when several do it at once."""
        rows = [{"study_key": study_key, "number": number} for number in range(budget)]
        if rows:
            connection.execute(self._new_rows(), rows)
        self._reopen_unused(connection, study_key)

    def reopen_unused(self, study_key: str) -> None:
        """What was left of the budget as nothing more was to be tried: it is to be tried after all."""
        with self._engine.begin() as connection:
            self._reopen_unused(connection, study_key)

    @staticmethod
    def _reopen_unused(connection: sa.Connection, study_key: str) -> None:
        unused = (LEASES.c.study_key == study_key, LEASES.c.state == UNUSED)
        connection.execute(sa.update(LEASES).where(*unused).values(state="open", finished=None))

    def _new_rows(self) -> Any:
        dialect: Any = postgresql if self._engine.name == "postgresql" else sqlite
        return dialect.insert(LEASES).on_conflict_do_nothing()

    def claim(self, study_key: str, holder: str, host: str, nonce: str, *, left: bool = False) -> Lease | None:
        """The open lease with the lowest number that nobody holds, now ours. None: see ``openings``.

        ``nonce`` is new for each claim. What this holder has left to others it gets after its pause, or with ``left``.
        """
        free = [
            LEASES.c.study_key == study_key,
            LEASES.c.state == "open",
            LEASES.c.expires < clock(),
            *([] if left else [_not_avoiding(holder)]),
        ]
        lowest = (
            sa.select(LEASES.c.number)
            .where(*free)
            .order_by(LEASES.c.number)
            .limit(1)
            .with_for_update(skip_locked=True)  # SQLite, which has one writer at a time, leaves it out
        )
        claim = (
            sa.update(LEASES)
            .where(*free, LEASES.c.number == lowest.scalar_subquery())
            .values(
                token=LEASES.c.token + 1,
                nonce=nonce,
                holder=holder,
                host=host,
                expires=clock() + self.seconds,
                attempts=LEASES.c.attempts + 1,
            )
            .returning(*LEASES.c)
        )
        with self._engine.begin() as connection:
            row = connection.execute(claim).first()
        return None if row is None else _lease(row)

    def claimed(self, nonce: str) -> Lease | None:
        """What a claim with this nonce has got, if its answer was lost and nobody else has it by now."""
        query = sa.select(LEASES).where(LEASES.c.nonce == nonce, LEASES.c.state == "open")
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else _lease(row)

    def renew(self, lease: Lease, **entry: Unpack[Entry]) -> None:
        """Another ``seconds`` from now, and this entry with it. Raises LeaseLost."""
        with self._engine.begin() as connection:
            self.prove(connection, lease, **entry)

    def prove(self, connection: Any, lease: Lease, **entry: Unpack[Entry]) -> None:
        """The fence: within somebody's transaction, which the LeaseLost that this may raise must roll back."""
        own = self._mine(lease)
        if "born" in entry:
            own.append(LEASES.c.trial_id.is_(None))
        statement = sa.update(LEASES).where(*own).values({"expires": clock() + self.seconds, **_columns(entry)})
        if connection.execute(statement).rowcount != 1:
            raise LeaseLost(f"lease {lease.number}, token {lease.token}")

    def give_back(self, lease: Lease, *, counted: bool, **entry: Unpack[Entry]) -> bool:
        """Anybody may claim it at once. ``counted``: an attempt (its child died), not a hand-over. False: lost."""
        return self._release(lease, entry, counted=counted)

    def leave_to_others(
        self,
        lease: Lease,
        *,
        counted: bool,
        pause: float,
        error: bool = False,
        alone: bool = False,
        **entry: Unpack[Entry],
    ) -> bool:
        """The same, but its last holder may claim it only after a pause. False: lost.

        ``error``: its objective raised. ``alone``: whoever claims it runs nothing beside it.
        """
        more: dict[str, Any] = {"avoid": LEASES.c.holder, "retry_at": clock() + pause}
        if error:
            more["errors"] = LEASES.c.errors + 1
        if alone:
            more["alone"] = 1
        return self._release(lease, entry, counted=counted, **more)

    def _release(self, lease: Lease, entry: Entry, *, counted: bool, **more: Any) -> bool:
        values: dict[str, Any] = {"expires": 0.0, "holder": None, **_columns(entry), **more}
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

    def close_unbegun(self, study_key: str) -> int:
        """Nothing more is to be begun: open leases that nobody holds and that have no trial. How many there were."""
        unbegun = (
            LEASES.c.study_key == study_key,
            LEASES.c.state == "open",
            LEASES.c.trial_id.is_(None),
            LEASES.c.expires < clock(),
        )
        with self._engine.begin() as connection:
            closed = connection.execute(sa.update(LEASES).where(*unbegun).values(state=UNUSED, finished=clock()))
            return int(closed.rowcount)

    def current(self, lease: Lease) -> sa.Row[Any] | None:
        """The row as it stands, if this claim still holds it."""
        with self._engine.connect() as connection:
            return connection.execute(sa.select(LEASES).where(*self._mine(lease, any_state=True))).first()

    def forgive(self, study_key: str) -> None:
        """Somebody has mended what raised: exceptions are counted anew, and everybody may try again."""
        own = (LEASES.c.study_key == study_key, LEASES.c.state == "open")
        with self._engine.begin() as connection:
            connection.execute(sa.update(LEASES).where(*own).values(errors=0, avoid=None, retry_at=0.0))

    def extend(self, study_key: str, budget: int | None = None) -> bool:
        """More units, up to this budget, or one more. False: it has so many, or nothing more is to be tried."""
        with self._engine.begin() as connection:
            rows = sa.select(sa.func.count(), sa.func.count(sa.case((LEASES.c.state == UNUSED, 1))))
            have, unused = connection.execute(rows.where(LEASES.c.study_key == study_key)).one()
            new = [{"study_key": study_key, "number": number} for number in range(have, budget or have + 1)]
            if not new or unused:
                return False
            connection.execute(self._new_rows(), new)
            return True

    def seconds_spent(self, study_key: str) -> float:
        """By all its trials so far, on all machines."""
        query = sa.select(sa.func.sum(LEASES.c.seconds)).where(LEASES.c.study_key == study_key)
        with self._engine.connect() as connection:
            return float(connection.execute(query).scalar_one() or 0.0)

    def budget(self, study_key: str) -> int:
        """Units, used up or not."""
        query = sa.select(sa.func.count()).where(LEASES.c.study_key == study_key)
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def progress(self, study_key: str) -> Progress:
        """What a screen says of a study, of however many leases."""
        query = (
            sa.select(
                LEASES.c.state,
                sa.func.count().label("leases"),
                sa.func.sum(LEASES.c.epoch).label("epochs"),
                sa.func.sum(LEASES.c.seconds).label("seconds"),
            )
            .where(LEASES.c.study_key == study_key)
            .group_by(LEASES.c.state)
        )
        with self._engine.connect() as connection:
            found = connection.execute(query).all()
        leases, epochs = {row.state: row.leases for row in found}, {row.state: int(row.epochs) for row in found}
        return Progress(leases, epochs, sum(float(row.seconds) for row in found))

    def openings(self, study_keys: Sequence[str], holder: str) -> dict[str, Openings]:
        """Of these studies, those that have units left; one statement. Left out is the only proof that one is done."""
        free = LEASES.c.expires < clock()
        theirs = _not_avoiding(holder)
        query = (
            sa.select(
                LEASES.c.study_key,
                sa.func.count().label("unfinished"),
                sa.func.sum(sa.case((sa.and_(free, theirs), 1), else_=0)).label("free"),
                sa.func.sum(sa.case((sa.and_(free, sa.not_(theirs)), 1), else_=0)).label("left"),
            )
            .where(LEASES.c.study_key.in_(study_keys), LEASES.c.state == "open")
            .group_by(LEASES.c.study_key)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return {row.study_key: Openings(row.unfinished, int(row.free), int(row.left)) for row in rows}

    def held(self, study_key: str) -> Held | None:
        """Those of a study that somebody is at work on, or was until a moment ago; None: there are none."""
        open_rows = (row for row in self.rows(study_key) if row["state"] == "open" and row["expires"] > row["now"])
        if not (rows := list(open_rows)):
            return None
        hosts = ", ".join(sorted({row["host"] or "" for row in rows}))
        return Held(len(rows), hosts, max(row["expires"] - row["now"] for row in rows))

    def rows(self, study_key: str) -> list[dict[str, Any]]:
        """All leases of a study by number, with ``now`` by the database's clock."""
        query = (
            sa.select(*_SHOWN, clock().label("now")).where(LEASES.c.study_key == study_key).order_by(LEASES.c.number)
        )
        with self._engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def spent(self, study_key: str) -> Spent:
        """By all leases of a study; nothing, where tables from before schema 3 are only read."""
        known = sa.or_(LEASES.c.trained > 0, LEASES.c.epoch == 0)
        columns = (
            sa.func.sum(sa.case((known, LEASES.c.seconds), else_=0.0)),
            sa.func.sum(LEASES.c.trained),
            sa.func.max(LEASES.c.memory),
            sa.func.max(LEASES.c.worker_memory),
        )
        with self._engine.connect() as connection:
            if connection.execute(sa.select(SCHEMA.c.number)).scalar_one() < 3:
                return Spent()
            row = connection.execute(sa.select(*columns).where(LEASES.c.study_key == study_key)).one()
        return Spent(*(value or 0 for value in row))

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
    def unsuccessful(study_key: str) -> Any:
        """The numbers of leases whose trial ended otherwise than complete, likewise."""
        ended = LEASES.c.state.not_in(("open", "complete"))
        return sa.select(LEASES.c.number).where(LEASES.c.study_key == study_key, ended)

    @staticmethod
    def _mine(lease: Lease, *, any_state: bool = False) -> list[Any]:
        own = [
            LEASES.c.study_key == lease.study_key,
            LEASES.c.number == lease.number,
            LEASES.c.token == lease.token,
            LEASES.c.nonce == lease.nonce,
        ]
        return own if any_state else [*own, LEASES.c.state == "open"]


def _not_avoiding(holder: str) -> sa.ColumnElement[bool]:
    """Leases that this holder has not left to others, or whose pause is over."""
    return sa.or_(LEASES.c.avoid.is_(None), LEASES.c.avoid != holder, LEASES.c.retry_at < clock())


def _columns(entry: Entry) -> dict[str, Any]:
    columns: dict[str, Any] = dict(entry)
    if "born" in columns:
        columns["trial_id"] = columns.pop("born")
    for name in ("seconds", "trained", "repeated"):
        if name in columns:
            columns[name] = LEASES.c[name] + columns[name]
    for name in ("memory", "worker_memory"):
        if name in columns:
            columns[name] = sa.case((LEASES.c[name] > columns[name], LEASES.c[name]), else_=columns[name])
    if "resumed_from" in columns:
        columns["resumed_from"] = json.dumps(list(columns["resumed_from"]))
    if columns.pop("turned_down", False):
        columns |= {"state": "open", "trial_id": None, "expires": 0.0, "holder": None, "nonce": ""}
        columns |= {"attempts": 0, "errors": 0, "alone": 0, "judged": 0, "epoch": 0, "resumed_from": "[]"}
        columns["turned_down"] = LEASES.c.turned_down + 1
        columns["seconds_before"] = columns.get("seconds", LEASES.c.seconds)
    elif "state" in columns:
        columns["finished"] = clock()
    return columns


def _lease(row: Any) -> Lease:
    return Lease(
        study_key=row.study_key,
        number=row.number,
        token=row.token,
        trial_id=row.trial_id,
        attempts=row.attempts,
        epoch=row.epoch,
        nonce=row.nonce,
        resumed_from=tuple(json.loads(row.resumed_from)),
        errors=row.errors,
        judged=row.judged,
        alone=bool(row.alone),
        seconds=row.seconds - row.seconds_before,
        turned_down=row.turned_down,
    )
