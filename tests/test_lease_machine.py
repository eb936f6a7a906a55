"""The lease protocol against a model of a few lines: whatever comes in whatever order, on both databases.

Claims, renewals, reports, hand-overs, deaths, silence beyond the lease, lost answers, and failovers to an older state,
after which those who wrote since then still believe that they hold what they had.
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from search.database.leases import Lease, LeaseLost, Leases
from search.database.tables import LEASES
from tests.faults import storage_at

BUDGET, WORKERS = 3, ("one", "two")
NONCES = (f"{number:016x}" for number in itertools.count())


@dataclass
class Unit:
    """What the model knows of a unit of the budget. ``holds`` is the claim that may write."""

    state: str = "open"
    free: bool = True
    holds: str = ""
    holder: str | None = None
    token: int = 0
    epoch: int = 0
    attempts: int = 0
    errors: int = 0
    avoid: str | None = None
    seconds: float = 0.0


@dataclass
class Snapshot:
    rows: list[dict[str, Any]]
    units: list[Unit] = field(default_factory=list)


class LeaseMachine(RuleBasedStateMachine):
    """``known`` are all claims that anybody ever got and still remembers."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.engine = storage_at(self.url).engine
        self.leases, self.key = Leases(self.engine, 1000.0), f"study-{next(NONCES)}"
        with self.engine.begin() as connection:
            self.leases.raise_budget(connection, self.key, BUDGET)
        self.units = [Unit() for _ in range(BUDGET)]
        self.known: list[Lease] = []
        self.snapshot: Snapshot | None = None

    def mine(self, lease: Lease) -> bool:
        """Whether this claim may write."""
        unit = self.units[lease.number]
        return unit.state == "open" and unit.holds == lease.nonce

    def expected(self, holder: str, left: bool) -> int | None:
        free = (n for n, unit in enumerate(self.units) if unit.state == "open" and unit.free)
        return next((n for n in free if left or self.units[n].avoid != holder), None)

    def taken(self, number: int, holder: str, nonce: str) -> None:
        unit = self.units[number]
        unit.free, unit.holds, unit.holder = False, nonce, holder
        unit.token, unit.attempts = unit.token + 1, unit.attempts + 1

    @rule(holder=st.sampled_from(WORKERS), left=st.booleans(), answered=st.booleans())
    def claim(self, holder: str, left: bool, answered: bool) -> None:
        nonce, expected = next(NONCES), self.expected(holder, left)
        lease = self.leases.claim(self.key, holder, "host", nonce, left=left)
        assert (lease and lease.number) == expected
        if expected is not None:
            self.taken(expected, holder, nonce)
        if not answered:
            lease = self.leases.claimed(nonce)
            assert (lease and lease.number) == expected, "its own nonce tells a worker what it has"
        if lease is not None:
            unit = self.units[lease.number]
            assert (lease.token, lease.epoch, lease.attempts) == (unit.token, unit.epoch, unit.attempts)
            self.known.append(lease)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), epoch=st.none() | st.integers(1, 9))
    def write(self, data: st.DataObject, epoch: int | None) -> None:
        """A renewal, alone or with a report."""
        lease = data.draw(st.sampled_from(self.known))
        if not self.mine(lease):
            with pytest.raises(LeaseLost):
                self.leases.renew(lease, epoch=99)
            return
        unit = self.units[lease.number]
        unit.free = False
        if epoch is None:
            self.leases.renew(lease)
        else:
            self.leases.renew(lease, epoch=epoch, seconds=2.0)
            unit.epoch, unit.seconds = epoch, unit.seconds + 2.0

    @precondition(lambda self: self.known)
    @rule(data=st.data(), how=st.sampled_from(["handed over", "died", "raised"]))
    def give_back(self, data: st.DataObject, how: str) -> None:
        lease = data.draw(st.sampled_from(self.known))
        unit, mine = self.units[lease.number], self.mine(lease)
        if how == "handed over":
            done = self.leases.give_back(lease, counted=False, seconds=1.0)
        else:
            raised = how == "raised"
            done = self.leases.leave_to_others(lease, counted=not raised, seconds=1.0, pause=1e6, error=raised)
        assert done == mine
        if not mine:
            return
        unit.seconds += 1.0
        unit.attempts -= how != "died" and unit.attempts > 0
        unit.errors += how == "raised"
        unit.avoid = unit.avoid if how == "handed over" else unit.holder
        unit.free, unit.holder = True, None

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.known))
        if self.mine(lease):
            self.units[lease.number].state, self.units[lease.number].holder = "complete", None
        self.leases.close(lease, "complete")

    @rule(number=st.integers(0, BUDGET - 1))
    def silence(self, number: int) -> None:
        """Its holder, if it has one, says nothing for longer than a lease."""
        own = (LEASES.c.study_key == self.key, LEASES.c.number == number)
        with self.engine.begin() as connection:
            connection.execute(sa.update(LEASES).where(*own).values(expires=0.0))
        self.units[number].free = True

    @rule()
    def replicate(self) -> None:
        """What the standby has."""
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(LEASES).where(LEASES.c.study_key == self.key))
            self.snapshot = Snapshot([dict(row._mapping) for row in rows], copy.deepcopy(self.units))

    @precondition(lambda self: self.snapshot)
    @rule()
    def fail_over(self) -> None:
        """To an older state: what was written since then never was, also in the model."""
        assert self.snapshot is not None
        with self.engine.begin() as connection:
            connection.execute(sa.delete(LEASES).where(LEASES.c.study_key == self.key))
            connection.execute(sa.insert(LEASES), self.snapshot.rows)
        self.units = copy.deepcopy(self.snapshot.units)

    @invariant()
    def the_table_is_what_the_model_says(self) -> None:
        rows = self.leases.rows(self.key)
        found = [
            (row["state"], row["token"], row["epoch"], row["attempts"], row["holder"], row["seconds"]) for row in rows
        ]
        assert found == [
            (unit.state, unit.token, unit.epoch, unit.attempts, unit.holder, unit.seconds) for unit in self.units
        ]
        assert self.leases.progress(self.key).leases.get("open", 0) == sum(unit.state == "open" for unit in self.units)
        assert all((row["expires"] < row["now"]) == unit.free for row, unit in zip(rows, self.units, strict=True)
                   if unit.state == "open")  # fmt: skip

    @invariant()
    def one_writer_at_most(self) -> None:
        for number in range(BUDGET):
            assert sum(self.mine(lease) for lease in self.known if lease.number == number) <= 1


def test_whatever_comes_in_whatever_order(storage_url: str) -> None:
    machine = type("Machine", (LeaseMachine,), {"url": storage_url})
    few = settings(
        max_examples=60, stateful_step_count=30, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=few)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_whatever_comes_for_long(storage_url: str) -> None:
    machine = type("Machine", (LeaseMachine,), {"url": storage_url})
    many = settings(
        max_examples=1500, stateful_step_count=60, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=many)
