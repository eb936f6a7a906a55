"""Claims race and the budget stays exact; a lease runs out by the database's clock and by nobody else's."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from search.database.leases import Lease, LeaseLost, Leases
from search.database.storage import open_storage
from search.database.tables import LEASES, clock
from tests.commands import until
from tests.faults import forked, storage_at

KEY = "a-study"


def leases(url: str, *, budget: int = 3, seconds: float = 60.0) -> Leases:
    storage = storage_at(url)
    storage.leases.seconds = seconds
    table = storage.leases
    with storage.engine.begin() as connection:
        table.raise_budget(connection, KEY, budget)
    return table


def claimed(table: Leases, holder: str = "one") -> Lease:
    lease = table.claim(KEY, holder, "host", secrets.token_hex(8))
    assert lease is not None
    return lease


def at_once(count: int, body: Callable[[int], None]) -> None:
    """This many processes, let go together."""
    gate, opener = os.pipe()

    def begin(index: int) -> None:
        os.close(opener)
        os.read(gate, 1)
        body(index)

    pids = [forked(lambda index=index: begin(index)) for index in range(count)]  # type: ignore[misc]
    os.close(gate)
    os.close(opener)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * count


def test_racing_claims_are_exact(storage_url: str, tmp_path: Path) -> None:
    """Six processes take units and close them, while two of them raise the budget from forty to sixty at once."""
    table = leases(storage_url, budget=40)

    def take(index: int) -> None:
        taken = []
        if index < 2:
            with storage_at(storage_url).engine.begin() as connection:
                table.raise_budget(connection, KEY, 60)
        while table.progress(KEY).leases.get("open", 0):
            lease = table.claim(KEY, f"process {index}", "host", secrets.token_hex(8))
            if lease is not None:
                taken.append([lease.number, lease.token])
                table.close(lease, "complete")
        (tmp_path / f"taken-{index}").write_text(json.dumps(taken))

    at_once(6, take)
    taken = [pair for file in tmp_path.glob("taken-*") for pair in json.loads(file.read_text())]
    assert sorted(taken) == [[number, 1] for number in range(60)]
    assert len(table.rows(KEY)) == 60
    assert table.claim(KEY, "late", "host", secrets.token_hex(8)) is None


def test_a_claim_without_a_row_means_look_again(storage_url: str) -> None:
    table = leases(storage_url, budget=2)
    first, second = claimed(table), claimed(table, "two")
    assert (first.number, second.number) == (0, 1), "the lowest number first"
    assert table.claim(KEY, "three", "host", secrets.token_hex(8)) is None
    assert table.progress(KEY).leases.get("open", 0) == 2, "all are held, so none is free; but none is used up either"
    assert table.claim("another-study", "three", "host", secrets.token_hex(8)) is None
    table.close(first, "complete")
    assert table.progress(KEY).leases.get("open", 0) == 1
    table.close(second, "fail")
    assert table.progress(KEY).leases.get("open", 0) == 0


def test_it_expires_by_the_databases_clock(storage_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = leases(storage_url, budget=1, seconds=0.7)
    monkeypatch.setattr(time, "time", lambda: 4e9)  # a machine whose clock is wrong by decades
    before = table.rows(KEY)[0]["now"]
    lease = claimed(table)
    again: list[Lease] = []
    until(
        "another can claim it",
        lambda: again.extend(filter(None, [table.claim(KEY, "two", "host", secrets.token_hex(8))])) or again,
    )
    row = table.rows(KEY)[0]
    assert row["now"] - before >= 0.7
    assert again[0].token == lease.token + 1
    assert (row["holder"], row["attempts"]) == ("two", 2)
    assert 1.7e9 < row["now"] < 3e9, "seconds since 1970, whatever time zone the server is set to"
    with pytest.raises(LeaseLost):
        table.renew(lease)
    assert table.current(lease) is None
    assert table.current(again[0]) is not None


def test_the_clock_goes_on_within_a_transaction(storage_url: str) -> None:
    """A long one, or one that waited for a lock, does not write a lease that has run out already."""
    with storage_at(storage_url).engine.begin() as connection:
        read = sa.select(clock())
        first = connection.execute(read).scalar_one()
        until("it went on", lambda: connection.execute(read).scalar_one() > first, seconds=5)


def test_renewing_keeps_it(storage_url: str) -> None:
    table = leases(storage_url, budget=1, seconds=5.0)
    lease = claimed(table)
    assert 0 < table.rows(KEY)[0]["expires"] - table.rows(KEY)[0]["now"] <= 5
    longer = leases(storage_url, budget=1, seconds=1000.0)
    longer.renew(lease, epoch=3)
    row = table.rows(KEY)[0]
    assert 900 < row["expires"] - row["now"] <= 1000
    assert (row["epoch"], row["token"]) == (3, lease.token)


def test_a_hand_over_is_no_attempt(storage_url: str) -> None:
    table = leases(storage_url, budget=1)
    lease = claimed(table)
    table.renew(lease, epoch=4, resumed_from=[0])
    assert table.give_back(lease, counted=False, seconds=2.5)
    second = claimed(table, "two")  # at once: nobody waits for the rest of its time
    assert (second.attempts, second.epoch, second.resumed_from) == (1, 4, (0,))
    assert not table.give_back(lease, counted=False), "the first holder has nothing to give any more"
    assert table.give_back(second, counted=True, seconds=0.5)
    third = claimed(table, "three")
    assert third.attempts == 2, "a death was an attempt"
    row = table.rows(KEY)[0]
    assert (row["seconds"], row["holder"], row["token"]) == (3.0, "three", 3)


def test_a_closed_lease_stays_closed(storage_url: str) -> None:
    table = leases(storage_url, budget=1)
    lease = claimed(table)
    table.close(lease, "pruned")
    row: dict[str, Any] = table.rows(KEY)[0]
    assert (row["state"], row["holder"]) == ("pruned", None)
    assert abs(row["finished"] - row["now"]) < 60
    table.close(lease, "complete")
    with pytest.raises(LeaseLost):
        table.renew(lease)
    assert not table.give_back(lease, counted=True)
    assert table.claim(KEY, "two", "host", secrets.token_hex(8)) is None
    assert table.rows(KEY)[0]["state"] == "pruned"


def test_one_trial_belongs_to_one_lease(storage_url: str) -> None:
    table = leases(storage_url, budget=2)
    table.renew(claimed(table), born=5)
    other = claimed(table)
    with pytest.raises(sa.exc.IntegrityError):
        table.renew(other, born=5)


def test_the_budget_only_grows(storage_url: str) -> None:
    table = leases(storage_url, budget=3)
    lease = claimed(table)
    table.close(lease, "complete")
    engine = open_storage(storage_url).engine
    for budget in (5, 2):
        with engine.begin() as connection:
            table.raise_budget(connection, KEY, budget)
    assert [row["state"] for row in table.rows(KEY)] == ["complete", "open", "open", "open", "open"]
    table.forget([KEY])
    with engine.connect() as connection:
        assert connection.execute(sa.select(LEASES)).all() == []
