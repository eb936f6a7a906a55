"""A search on simulated workers: sampler, pruner and rungs are the service's own, the training is a curve.

Time is simulated: a worker that is free asks for a trial, an epoch ends when the curve says so, and whatever ended
before is known to whoever asks. The winner is the best trial, as Optuna has it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.trial import Trial, TrialState

from benchmarks.search.task import Array, Task
from search.contract import Size, seed_for
from search.rules import pruning
from search.rules.optuna_by_name import make_pruner, make_sampler
from search.rules.sampling import startup_trials

OF_A_TRIAL, OF_AN_EPOCH = 0.9, 0.45
"""Standard deviations in points of accuracy: of a training, by its seed and by its validation images; and of each epoch
beside the next. Together 1, as measured on the residual network with 5,000 images near 50 % accuracy; where accuracy is
higher there is less."""


def seen_of(values: Array, rng: np.random.Generator) -> Array:
    """A trial's values as a training with its own seed shows them."""
    return values + (rng.normal(0, OF_A_TRIAL) + rng.normal(0, OF_AN_EPOCH, len(values)))


@dataclass(frozen=True)
class Arm:
    """A way to search: sampler and pruner as a study's definition has them."""

    sampler: Mapping[str, Any]
    pruner: Mapping[str, Any]


@dataclass(order=True)
class _Epoch:
    """An epoch of a trial ends."""

    time: float
    order: int
    trial: Trial
    number: int
    begun: float
    seconds: Array
    seen: Array


@dataclass(frozen=True)
class Found:
    """What a search has come to."""

    accuracy: float
    """The winner's, without noise."""
    good_pruned: float | None = None
    """Of the trials that had ended and would have been good (``Task.good``), the first left out, the share that was
    pruned; None where there was none."""


class Fleet:
    """The workers, and their study so far."""

    def __init__(self, task: Task, arm: Arm, workers: int, seed: int) -> None:
        self.task, self.arm, self.workers, self.seed = task, arm, workers, seed
        self.size = Size(budget=1, epochs=task.epochs, rungs=task.rungs)
        self.study = optuna.create_study(
            direction="maximize",
            pruner=make_pruner(arm.pruner, self.size),
            study_name=f"{task.name}-{seed}",  # by which Hyperband divides the trials among its brackets
        )
        self.noise = np.random.default_rng(seed_for(seed, task.name))
        self.truth: list[float] = []
        """Of each trial, by its number."""
        self.queue: list[_Epoch] = []
        self.counted = 0

    def run(self, costs: Sequence[float]) -> list[Found]:
        """After each cost: in whole trials, of all workers together."""
        unit = self.task.whole / self.workers
        waiting, found = sorted(costs), []
        for _ in range(self.workers):
            self.start(0.0)
        while waiting:
            ended = heapq.heappop(self.queue)
            while waiting and ended.time > waiting[0] * unit:
                waiting.pop(0)
                found.append(Found(self.truth[self.winner()], self.good_pruned()))
            self.finish(ended)
        return found

    def start(self, now: float) -> None:
        """A free worker asks for a trial."""
        number = len(self.truth)
        # As in a study of so many trials; a cost has no number of them.
        self.study.sampler = make_sampler(
            self.arm.sampler, startup_trials(10**9), seed_for(self.seed, "sampler", number)
        )
        if number == 0:
            self.study.enqueue_trial(dict(self.task.first))
        trial = self.study.ask()
        seconds, values = self.task.curve(self.task.suggest(trial))
        self.truth.append(float(values[-1]))
        self.push(_Epoch(now + seconds[0], 0, trial, 1, now, seconds, seen_of(values, self.noise)))

    def push(self, one: _Epoch) -> None:
        self.counted += 1
        one.order = self.counted
        heapq.heappush(self.queue, one)

    def finish(self, one: _Epoch) -> None:
        """What a worker does after an epoch."""
        trial, step = one.trial, one.number
        trial.report(float(one.seen[step - 1]), step)
        if step == len(one.seen):
            self.study.tell(trial, float(one.seen.max()))
            self.start(one.time)
        elif (
            pruning.is_asked(step, self.arm.pruner, self.size, refit=False)
            and trial.should_prune()
            and pruning.is_obeyed(is_first=trial.number == 0, is_spared=self.is_spared(trial.number))
        ):
            self.study.tell(trial, state=TrialState.PRUNED)
            self.start(one.time)
        else:
            one.time, one.number = one.begun + float(one.seconds[step]), step + 1
            self.push(one)

    def is_spared(self, number: int) -> bool:
        """As in the service, whose pruner it is; with others all that the pruner says is done."""
        return self.arm.pruner["name"] == "asha" and pruning.is_spared(self.seed, number, 0)

    def winner(self) -> int:
        """Before any trial is complete: what one would have trained unsearched."""
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return max(complete, key=lambda one: one.value or -math.inf).number if complete else 0

    def good_pruned(self) -> float | None:
        """As ``Found`` has it."""
        states = (TrialState.COMPLETE, TrialState.PRUNED)
        ended = self.study.get_trials(deepcopy=False, states=states)
        good = [one for one in ended if one.number and self.truth[one.number] > self.task.good]
        return sum(one.state == TrialState.PRUNED for one in good) / len(good) if good else None


def screened(task: Task, epochs: int, *, cost: float, seed: int) -> float:
    """What needs no sampler: half of the cost for ``epochs`` epochs of one random point after another, half for the
    best of them to their end; the winner's accuracy, without noise."""
    rng = np.random.default_rng(seed_for(seed, task.name))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed_for(seed, "sampler", 0)))
    half = cost * task.whole / 2
    spent, seen = 0.0, []
    while spent < half:
        point = dict(task.first) if not seen else task.suggest(study.ask())
        seconds, values = task.curve(point)
        seen.append((seconds, values, seen_of(values, rng)))
        spent += float(seconds[epochs - 1])
    first, *others = seen  # the first is trained whatever comes
    spent, ends = float(first[0][-1] - first[0][epochs - 1]), [(float(first[2].max()), float(first[1][-1]))]
    for seconds, values, noisy in sorted(others, key=lambda one: -one[2][epochs - 1]):
        spent += float(seconds[-1] - seconds[epochs - 1])
        if spent > half:
            break
        ends.append((float(noisy.max()), float(values[-1])))
    return max(ends)[1]
