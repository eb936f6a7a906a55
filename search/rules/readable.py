"""How many digits of a trial's value people are shown."""

from __future__ import annotations


def readable(value: float) -> str:
    """``0.9857``, ``-inf``; ``3.142e-07`` and ``1e+300`` where four decimals say nothing, or hundreds of digits do."""
    is_usual = value == 0 or 1e-2 <= abs(value) < 1e7
    return f"{value:.4f}" if is_usual else f"{value:.4g}"
