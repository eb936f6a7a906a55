"""Whether a training that was killed and has gone on is the same as one that was not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Curve = Mapping[str, Sequence[float | None]]
"""By name, what was reported: an entry an epoch, from 1."""
_SPREADS = 3.0
"""Two trainings tell their spread only roughly."""
_OF_THE_CLOCK = ("seconds", "per_second", "_time")
"""How a figure's name ends that no two trainings have alike."""


@dataclass(frozen=True)
class Difference:
    """Of a figure in an epoch: what the resumed training has, and the undisturbed one."""

    name: str
    epoch: int
    resumed: float | None
    """None: it has none there."""
    undisturbed: float
    spread: float
    """How far two undisturbed ones lie apart, at most."""


def length(curve: Curve) -> int:
    """Epochs that were reported."""
    return max(map(len, curve.values()), default=0)


def differences(resumed: Curve, undisturbed: Curve, again: Curve, *, behind: int, until: int) -> list[Difference]:
    """Where the resumed one is not what the undisturbed one is, in the epochs behind this one, up to that one.

    Figures of time are left out. What the undisturbed one has and the resumed one has not is a difference too.
    """
    found = []
    for name in undisturbed:
        if name.endswith(_OF_THE_CLOCK):
            continue
        spread = spread_of(name, undisturbed, again)
        for epoch in range(behind + 1, until + 1):
            one, two = _at(resumed.get(name, ()), epoch), _at(undisturbed[name], epoch)
            if two is not None and not _same(one, two):
                found.append(Difference(name, epoch, one, two, spread))
    return found


def worst_beyond_chance(found: Sequence[Difference]) -> Difference | None:
    """The earliest that lies beyond the spread of undisturbed trainings; None: they all lie within."""
    beyond = [one for one in found if not is_within(one.resumed, one.undisturbed, one.spread)]
    return min(beyond, key=lambda one: (one.epoch, one.name), default=None)


def is_within(one: float | None, other: float, spread: float) -> bool:
    """Whether two values are the same, or differ by no more than undisturbed ones do. NaN is like NaN alone."""
    return one is not None and (_same(one, other) or abs(one - other) <= _SPREADS * spread)


def spread_of(name: str, one: Curve, other: Curve) -> float:
    """How far a figure of two trainings lies apart, at most."""
    rows = zip(one.get(name, ()), other.get(name, ()), strict=False)
    pairs = ((two, three) for two, three in rows if two is not None and three is not None)
    return max((abs(two - three) for two, three in pairs if math.isfinite(two) and math.isfinite(three)), default=0.0)


def _at(row: Sequence[float | None], epoch: int) -> float | None:
    return row[epoch - 1] if epoch <= len(row) else None


def _same(one: float | None, other: float) -> bool:
    return one is not None and (one == other or (math.isnan(one) and math.isnan(other)))
