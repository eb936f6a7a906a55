"""The learning rate and its only owner.

Two mechanisms that both write an optimizer's rate undo each other: a scheduler sets at the next epoch's begin what a
plateau rule cut at this one's end. Here one object owns it: ``rate = peak * shape(step) * scale``. The schedule is
``shape``, a plateau only ever multiplies ``scale``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Schedule = Literal["cosine", "linear", "constant"]


def shape(schedule: Schedule, step: int, steps: int, warm_up: float) -> float:
    """The fraction of the peak rate in update ``step`` (from 0) of ``steps``.

    Rises linearly over the share ``warm_up`` of all updates, then falls along a half cosine or a line, or stays. The
    first update already learns, and so does the last: neither is ever 0.
    """
    warm = min(round(warm_up * steps), steps - 1)
    if step < warm:
        return (step + 1) / (warm + 1)
    gone = (step - warm) / (steps - warm)
    if schedule == "constant":
        return 1.0
    return 1.0 - gone if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * gone))


class Plateau:
    """Cuts ``scale`` by ``factor`` where the loss has not fallen for ``patience`` epochs; factor 1: never."""

    LEAST = 1e-4
    """By less it has not fallen, as in Keras."""

    SMALLEST = 1e-3
    """The scale falls no further: from a rate of .001 to Keras's 1e-6."""

    def __init__(self, factor: float, patience: int) -> None:
        self.factor, self.patience = factor, patience
        self.scale, self.best, self.wait = 1.0, math.inf, 0

    def epoch(self, loss: float) -> None:
        if loss < self.best - self.LEAST:
            self.best, self.wait = loss, 0
            return
        self.wait += 1
        if self.wait >= self.patience:
            self.scale, self.wait = max(self.scale * self.factor, self.SMALLEST), 0

    def state(self) -> dict[str, Any]:
        return {"scale": self.scale, "best": self.best, "wait": self.wait}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.scale, self.best, self.wait = float(state["scale"]), float(state["best"]), int(state["wait"])


class HasRate(Protocol):
    """What the owner needs of an optimizer."""

    learning_rate: Any


@dataclass(frozen=True)
class Group:
    """One optimizer: its peak rate, and for how many updates it rests at 0 before its own schedule begins."""

    name: str
    optimizer: HasRate
    peak: float
    rest: int = 0


class LearningRate:
    """Sets the rate of every group before each update, and counts the updates itself.

    ``steps`` is the trial's whole length in updates, so that the cosine ends where the trial does.
    """

    def __init__(
        self, groups: Sequence[Group], *, schedule: Schedule, steps: int, warm_up: float, plateau: Plateau
    ) -> None:
        self.groups, self.schedule, self.steps = tuple(groups), schedule, steps
        self.warm_up, self.plateau = warm_up, plateau
        self.step = 0

    def rate(self, group: Group) -> float:
        """The group's rate in the update that comes next."""
        if self.step < group.rest:
            return 0.0
        left = self.steps - group.rest
        return group.peak * shape(self.schedule, self.step - group.rest, left, self.warm_up) * self.plateau.scale

    def before_update(self) -> None:
        for group in self.groups:
            group.optimizer.learning_rate = self.rate(group)

    def after_update(self) -> None:
        self.step += 1

    def rates(self) -> dict[str, float]:
        """The rates of the last update, as the optimizers hold them."""
        return {group.name: float(group.optimizer.learning_rate) for group in self.groups}

    def state(self) -> dict[str, Any]:
        return {"step": self.step, "plateau": self.plateau.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.step = int(state["step"])
        self.plateau.restore(state["plateau"])
