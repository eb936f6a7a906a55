"""Whether a training that was killed and has gone on is the same as one that was not."""

from __future__ import annotations

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
    resumed: float
    undisturbed: float
    spread: float
    """How far two undisturbed ones lie apart, at most."""


def differences(resumed: Curve, undisturbed: Curve, again: Curve, *, behind: int) -> list[Difference]:
    """Where the resumed one is not what the undisturbed one is, in epochs behind this one that all three have.

    Figures of time are left out.
    """
    found = []
    for name in undisturbed:
        if name.endswith(_OF_THE_CLOCK):
            continue
        rows = list(zip(*(curve.get(name, ()) for curve in (resumed, undisturbed, again)), strict=False))
        spread = max((abs(two - three) for _, two, three in rows if two is not None and three is not None), default=0.0)
        for epoch, (one, two, _) in enumerate(rows, 1):
            if epoch > behind and one is not None and two is not None and one != two:
                found.append(Difference(name, epoch, one, two, spread))
    return found


def worst_beyond_chance(found: Sequence[Difference]) -> Difference | None:
    """The earliest that lies beyond the spread of undisturbed trainings; None: they all lie within."""
    beyond = [one for one in found if abs(one.resumed - one.undisturbed) > _SPREADS * one.spread]
    return min(beyond, key=lambda one: (one.epoch, one.name), default=None)
