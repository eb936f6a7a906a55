"""Asynchronous successive halving: the pruner that is called ``asha``."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from search.settings import REDUCTION


class Asha(BasePruner):
    """Asynchronous successive halving at integer rungs: at a rung, one in ``reduction`` goes on.

    Unlike Optuna's SuccessiveHalvingPruner it keeps no record of rungs passed: all with a value at the rung compete,
    so that a decision lost with a worker is taken again, and a trial whose verdict was ignored still counts.
    The first arrivals go on if they are the best so far. Steps are finished epochs, from 1.
    """

    def __init__(self, rungs: Sequence[int], reduction: int = REDUCTION) -> None:
        self.rungs, self.reduction = frozenset(rungs), reduction

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the value at the trial's last step, if that is a rung, is too low to go on."""
        step = trial.last_step
        if step not in self.rungs:
            return False
        values = [
            t.intermediate_values[step] for t in study.get_trials(deepcopy=False) if step in t.intermediate_values
        ]
        value = trial.intermediate_values[step]
        if study.direction == StudyDirection.MAXIMIZE:
            better = sum(other > value for other in values)
        else:
            better = sum(other < value for other in values)
        return better >= max(len(values) // self.reduction, 1)
