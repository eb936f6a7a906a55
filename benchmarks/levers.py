"""What each lever of fast training is worth to the residual network: effects over sixteen trainings.

    python -m benchmarks.levers   or: make bench-levers

A two-level factorial of resolution IV: sixteen trainings of width 16, of the same 45,000 images for 10 epochs, each
lever on in half of them and beside as many of each other, scored on the same 5,000 validation images after the last
epoch, by averaged weights and in both directions, as models were exported then; the test part was not opened. What
costs no training was compared within each run. The results stand in
``benchmarks/levers.csv``; what trained them is the version of this file at revision cdacdc3. Points of validation
accuracy, with 95 % intervals; "deleted" is what the objectives had until then:

- ``whitening``: -0.29 ± 0.57 for a first layer of principal components, with normalisation's biases at 64 times the
  rate; deleted
- ``silu``: +0.18 ± 1.13 in the two runs that had it, and 1.7 times the time of a step; deleted
- ``no_scale``: -0.51 ± 0.63 without the factors of normalisation; deleted
- ``batch_256``: -0.19 ± 0.63 against 128; the space holds both
- ``alternating``: +0.01 ± 0.63 for mirroring an image in every second epoch, not at random; deleted
- ``smoothing``: +0.09 ± 0.57 for .2 against .1; the space holds both
- ``linear``: +0.06 ± 0.57 for a line against a cosine; the space holds both
- ``cutout``: -0.93 ± 0.57 for squares of 8 pixels; deleted
- ``average``: +0.05 ± 0.09 for weights averaged over the last .3 epochs; deleted
- ``flip``: +0.90 ± 0.13 for looking at the mirrored image too; what exported models do
- ``average_flip``: +0.88 ± 0.13 for both

What changes the cost of a step, and what else was tried since, is compared by ``benchmarks/equal_cost.py``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import t

from benchmarks.intervals import paired
from benchmarks.table import read

TABLE = Path(__file__).with_name("levers.csv")
LEVERS = ("whitening", "silu", "no_scale", "batch_256", "alternating", "smoothing", "linear", "cutout")
"""Off: a learned first layer, ReLU, scales in normalisation, 128 images, flips at random, label smoothing .1, a cosine,
nothing cut out. On: a whitened first layer and biases of normalisation at 64 times the rate, SiLU, none, 256, every
second epoch, .2, a line, squares of 8 pixels."""
WITHIN = ("average", "flip", "average_flip")
"""Weights averaged over the last updates; each image looked at in both directions; both."""


def effects(
    results: Sequence[Mapping[str, str]], levers: Sequence[str] = LEVERS, score: str = "average_flip"
) -> list[tuple[str, float, float]]:
    """(lever, points gained when it is on, half of the 95 % interval) by least squares over all results."""
    values = np.array([float(row[score]) for row in results])
    on = np.array([[1.0, *(float(row[lever]) for lever in levers)] for row in results])
    points, *_ = np.linalg.lstsq(on, values, rcond=None)
    freedom = len(results) - 1 - len(levers)
    variance = float(np.sum((values - on @ points) ** 2)) / freedom
    halves = t.ppf(0.975, freedom) * np.sqrt(variance * np.diag(np.linalg.inv(on.T @ on)))
    return [(lever, float(p), float(h)) for lever, p, h in zip(levers, points[1:], halves[1:], strict=True)]


def within(results: Sequence[Mapping[str, str]]) -> list[tuple[str, float, float]]:
    """(what was done, points gained over plain in the same run, half of the 95 % interval)."""
    return [(name, *paired([float(row[name]) - float(row["plain"]) for row in results])) for name in WITHIN]


def main() -> None:
    """Prints both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    results = read(TABLE)
    for name, points, half in [*effects(results), *within(results)]:
        print(f"{name:12} {points:+.2f} ± {half:.2f} points")


if __name__ == "__main__":
    main()
