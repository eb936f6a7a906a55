"""What of a difference between two trials is noise: a tie, the interval of a lead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

LIKELY = 0.8
"""A lead that chance alone would not have given the best, with this probability, is none by chance; less is a tie."""
SEEDS_AS_EXAMPLES = 4_500
"""A training's seed moves its result as much as being scored on so many examples does. Measured on the residual
network, near 50 % accuracy: the standard deviation of a repeat is 1.0 points with 5,000 images, whose own part is .7.
Near 85 % a seed alone moves sixteen repeats by .4 points (``benchmarks/recipes.csv``), where this says .5."""


def deviation(share: float, examples: int) -> float:
    """The standard deviation of a share of so many examples, from one training to the next."""
    fair = (share * examples + 2) / (examples + 4)  # of 280 right among 280 some may be wrong among others
    return math.sqrt(fair * (1 - fair) * (1 / examples + 1 / SEEDS_AS_EXAMPLES))


def is_tie(lead: float, noise: float, *, others: int = 1) -> bool:
    """Whether one that leads by so much, as the best of ``others``, may well be no better than one not chosen so."""
    return lead < _half(1 - LIKELY, noise, others)


def interval(lead: float, noise: float, *, others: int, confidence: float = 0.95) -> tuple[float, float]:
    """Of the lead of the best of so many ``others`` over one that was not chosen by its value (Dunnett, by Bonferroni).

    Whoever is best among many is so by luck too: where none of them is better, the interval lies above 0 in at most
    half of 1 - ``confidence`` of all searches. ``noise`` is each value's standard deviation.
    """
    half = _half((1 - confidence) / 2, noise, others)
    return lead - half, lead + half


def _half(at_most: float, noise: float, others: int) -> float:
    """A lead that the best of so many, none of them better, has with this probability at most."""
    return NormalDist().inv_cdf(1 - at_most / max(1, others)) * math.sqrt(2) * noise


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Spearman's; None where there are fewer than three, or one side is all the same."""
    if len(one) < 3 or len(set(one)) == 1 or len(set(other)) == 1:
        return None
    from scipy.stats import spearmanr  # noqa: PLC0415 - half a second that only a report needs

    return float(spearmanr(one, other).statistic)
