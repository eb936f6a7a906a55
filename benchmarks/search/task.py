"""What a simulated search searches: a space, and a learning curve for each of its points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import optuna
from optuna.trial import BaseTrial

Array = npt.NDArray[np.float64]
SAMPLE = 2_000
"""Points drawn at random, by which a task's costs and values are known."""
GOOD = 0.9
"""Of them, better than so many are the good ones."""


class Curves(Protocol):
    """Where the curves come from."""

    name: str
    epochs: int
    rungs: tuple[int, ...]
    first: Mapping[str, Any]
    """What one would train unsearched."""

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """The space."""
        ...

    def curves(self, points: Sequence[Mapping[str, Any]]) -> tuple[Array, Array]:
        """(seconds since the beginning, accuracy in per cent), each (points, epochs), without noise."""
        ...


class Task:
    """Curves, and what random points of them are like.

    ``first``: what is tried first; None: what the curves have.
    """

    def __init__(self, curves: Curves, first: Mapping[str, Any] | None = None) -> None:
        self.curves = curves
        self.name, self.epochs, self.rungs = curves.name, curves.epochs, curves.rungs
        self.first = curves.first if first is None else first

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """The space."""
        return self.curves.suggest(trial)

    def curve(self, point: Mapping[str, Any]) -> tuple[Array, Array]:
        """One point's seconds and accuracies."""
        seconds, values = self.curves.curves([point])
        return np.maximum.accumulate(seconds[0]), values[0]

    @cached_property
    def _sample(self) -> tuple[list[dict[str, Any]], Array, Array]:
        """(points, their seconds, their last values)."""
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        points = [self.suggest(study.ask()) for _ in range(SAMPLE)]
        parts = [self.curves.curves(points[at : at + 100]) for at in range(0, SAMPLE, 100)]
        seconds, values = (np.concatenate([one[which][:, -1] for one in parts]) for which in (0, 1))
        return points, seconds, values

    @property
    def whole(self) -> float:
        """Seconds of a whole trial, the mean of random points: the unit of cost."""
        return float(self._sample[1].mean())

    def better(self, value: float) -> float:
        """The share of random points whose last value is higher."""
        return float(np.mean(self._sample[2] > value))

    @cached_property
    def good(self) -> float:
        """The last value that one random point in ten exceeds."""
        return float(np.quantile(self._sample[2], GOOD))

    def point_at(self, share: float) -> dict[str, Any]:
        """The random point whose last value is better than this share of the others'."""
        points, _, values = self._sample
        return points[int(np.argsort(values, kind="stable")[int(share * (SAMPLE - 1))])]
