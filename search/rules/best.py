"""Which trial of a study is the best."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol, TypeVar


class Candidate(Protocol):
    """A trial as far as this is decided by."""

    @property
    def number(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def value(self) -> float | None: ...
    @property
    def feasible(self) -> bool: ...
    @property
    def lease(self) -> int | None: ...


C = TypeVar("C", bound=Candidate)


def best(trials: Iterable[C], *, maximize: bool) -> C | None:
    """The best complete one whose constraints hold; among equals that of the lowest lease, everywhere.

    A trial that somebody added with Optuna's tools has no lease and comes after those that have.
    """
    complete = [one for one in trials if one.state == "complete" and one.value is not None and one.feasible]
    return min(
        complete,
        key=lambda one: (*rank(one.value or 0.0, one.lease, maximize=maximize), one.number),
        default=None,
    )


def rank(value: float, lease: int | None, *, maximize: bool) -> tuple[float, float]:
    """Where a trial stands among others, the lowest first: the order in which models are kept too."""
    return -value if maximize else value, math.inf if lease is None else lease


def is_feasible(constraints: Iterable[float]) -> bool:
    """Whether all constraints hold, as Optuna means it."""
    return all(value <= 0.0 for value in constraints)
