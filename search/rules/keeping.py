"""Which models a study keeps, and when a checkpoint goes to where other machines find it."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def is_worth_keeping(value: float, others: Collection[float], *, maximize: bool, at_most: int) -> bool:
    """Whether a model of this value would be one of the ``at_most`` best beside those of these values."""
    better = sum(other >= value if maximize else other <= value for other in others)
    return better < at_most


def too_many(models: Mapping[int, float], *, maximize: bool, at_most: int) -> list[int]:
    """The leases whose models go: value by lease number in, all but the best out; among equals the lowest stays."""
    sign = -1.0 if maximize else 1.0
    return sorted(models, key=lambda number: (sign * models[number], number))[at_most:]


def is_worth_uploading(*, uploaded: bool, spent: float, elapsed: float, share: float) -> bool:
    """The first checkpoint always; later ones while all uploads cost at most this share of the trial's seconds."""
    return not uploaded or spent <= share * elapsed
