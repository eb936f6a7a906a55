"""The 95 % interval of a paired comparison."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from scipy.stats import t


def paired(gains: Sequence[float]) -> tuple[float, float]:
    """(mean, half of its interval by Student's t) of two differences or more."""
    half = t.ppf(0.975, len(gains) - 1) * statistics.stdev(gains) / len(gains) ** 0.5
    return statistics.fmean(gains), float(half)
