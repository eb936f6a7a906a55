"""Which models a study keeps, and when a checkpoint goes to where other machines find it."""

from __future__ import annotations

from collections.abc import Mapping

from search.rules.best import rank


def too_many(models: Mapping[int, float], *, maximize: bool, at_most: int) -> list[int]:
    """The leases whose models go: value by lease number in, all but the best out, in the order of the best trial.

    That of lease 0 stays too: it is trained again where the best may well be no better.
    """
    ranked = sorted(models, key=lambda number: rank(models[number], number, maximize=maximize))
    return [number for number in ranked[at_most:] if number != 0]


def is_worth_uploading(*, uploaded: bool, spent: float, elapsed: float, share: float) -> bool:
    """The first checkpoint always; later ones while all uploads cost at most this share of the trial's seconds."""
    return not uploaded or spent <= share * elapsed
