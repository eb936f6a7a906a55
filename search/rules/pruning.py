"""When a trial is pruned: at a rung, by the pruner its study names, or because its hyperparameters lead nowhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from search.contract import Size
from search.rules.named import named
from search.settings import DEFAULTS


class Asha(BasePruner):
    """Asynchronous successive halving at integer rungs: at a rung, one in ``reduction`` goes on.

    Unlike Optuna's SuccessiveHalvingPruner it keeps no record of rungs passed: all with a value at the rung compete,
    so that a decision lost with a worker is taken again, and a trial whose verdict was ignored still counts.
    The first arrivals go on if they are the best so far. Steps are finished epochs, from 1.
    """

    def __init__(self, rungs: Sequence[int], reduction: int = DEFAULTS.reduction) -> None:
        self.rungs, self.reduction = frozenset(rungs), reduction

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the value at the trial's last step, if that is a rung, is too low to go on."""
        step = trial.last_step
        if step not in self.rungs:
            return False
        others = study.get_trials(deepcopy=False)
        values = [
            t.intermediate_values[step] for t in others if step in t.intermediate_values and t.number != trial.number
        ]
        value = trial.intermediate_values[step]
        ranked = sorted([*values, value], reverse=study.direction == StudyDirection.MAXIMIZE)
        last_kept = ranked[max(len(ranked) // self.reduction, 1) - 1]
        return value < last_kept if study.direction == StudyDirection.MAXIMIZE else value > last_kept


def make_pruner(spec: Mapping[str, Any] | None, size: Size) -> BasePruner:
    """The pruner that the definition names; ``asha`` takes the size's rungs. A plain function: Optuna's default."""
    if spec is None:
        return optuna.pruners.MedianPruner()
    if spec["name"] == "asha":
        rungs = rungs_before_the_end(size)
        return Asha(rungs) if rungs else NopPruner()
    return named(optuna.pruners, spec, {})  # type: ignore[no-any-return]


def rungs_before_the_end(size: Size) -> tuple[int, ...]:
    """A rung at the last epoch or later saves nothing and is never asked."""
    return tuple(rung for rung in size.rungs if rung < size.epochs)


def is_asked(step: int, spec: Mapping[str, Any] | None, size: Size) -> bool:
    """Whether the pruner is asked after epoch ``step``: asha at rungs only, others after each but the last.

    A plain function asks for itself.
    """
    if spec is None or not 0 < step < size.epochs:
        return False
    return spec["name"] != "asha" or step in rungs_before_the_end(size)


def why_pruned(epoch: int) -> str:
    """For who asks what the pruner meant."""
    return f"not among the best at epoch {epoch}" if epoch else "pruned by the objective"


def leads_nowhere(value: float) -> str | None:
    """Why a trial that ends with this value is pruned, and not complete."""
    return "the objective's value is not a number" if math.isnan(value) else None


def ran_out_of_memory(error: BaseException) -> str | None:
    """Why a trial whose training raised this is pruned, and not failed; None: it is failed."""
    return f"out of memory: {error}".rstrip(": ") if isinstance(error, MemoryError) else None


def was_killed_for_memory(status: int | None, silent: float, kernel_killed: bool) -> str | None:
    """Why a trial whose process ended so is pruned; None: it goes on from its checkpoint.

    ``status`` -9 is SIGKILL; ``silent`` seconds are those after which we killed it ourselves.
    """
    if status == -9 and not silent and kernel_killed:
        return "out of memory: the kernel killed the training process"
    return None
