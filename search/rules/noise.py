"""What of a difference between two trials is noise: a tie, the interval of a lead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

LIKELY = 0.8
"""A lead that is real with less than this probability, if nothing is known beforehand, is a tie."""
OF_A_REPEAT = 2.0
"""The variance of a repeated training, with other seeds, where that of its validation examples is 1. Measured on the
residual network: 1.0 points with 5,000 images, of which .7 are the images'."""


def deviation(share: float, examples: int) -> float:
    """The standard deviation of a share of so many examples, from one training to the next."""
    fair = (share * examples + 2) / (examples + 4)  # of 280 right among 280 some may be wrong among others
    return math.sqrt(OF_A_REPEAT * fair * (1 - fair) / examples)


def is_tie(lead: float, noise: float) -> bool:
    """Whether two values that are ``lead`` apart, each with this standard deviation, may well be one and the same."""
    return lead < NormalDist().inv_cdf(LIKELY) * math.sqrt(2) * noise


def interval(lead: float, noise: float, *, others: int, confidence: float = 0.95) -> tuple[float, float]:
    """Of the lead of the best of so many ``others`` over one that was not chosen by its value (Dunnett, by Bonferroni).

    Whoever is best among many is so by luck too: where none of them is better, the interval lies above 0 in at most
    half of 1 - ``confidence`` of all searches.
    """
    half = NormalDist().inv_cdf(1 - (1 - confidence) / 2 / max(1, others)) * math.sqrt(2) * noise
    return lead - half, lead + half


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Spearman's; None where there are fewer than three, or one side is all the same."""
    from scipy.stats import spearmanr  # noqa: PLC0415 - takes half a second, and reports alone ask

    if len(one) < 3 or len(set(one)) == 1 or len(set(other)) == 1:
        return None
    return float(spearmanr(one, other).statistic)
