"""Values and counts as people read them, and as JSON can have them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


class Foreign(str):
    """A line that is not, or not alone, of our writing: nothing in it is for us to translate."""


def readable(value: float) -> str:
    """``0.9857``, ``-inf``; ``3.142e-07`` and ``1e+300`` where four decimals say nothing, or hundreds of digits do."""
    is_usual = value == 0 or 1e-2 <= abs(value) < 1e7
    return f"{value:.4f}" if is_usual else f"{value:.4g}"


def in_its_unit(value: Any, unit: str | None) -> str:
    """A hyperparameter: ``0.0123``, ``adamw``, ``2.5 times 0.1``."""
    shown = f"{value:.6g}" if isinstance(value, float) else f"{value}"
    return f"{shown} {unit}" if unit else shown


def counted(number: int, noun: str) -> str:
    """``1 epoch``, ``2,000 epochs``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def finite(found: Any) -> Any:
    """The same, however deep, with None where there is an infinity or NaN, which JSON does not know."""
    if isinstance(found, Mapping):
        return {key: finite(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [finite(value) for value in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found
