"""Samplers and pruners from the data that a study stores of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from search.contract import Size
from search.errors import SearchError

REDUCTION = 3


class Asha(BasePruner):
    """Asynchronous successive halving at integer rungs: at a rung, one in ``REDUCTION`` goes on.

    Unlike Optuna's SuccessiveHalvingPruner it keeps no record of rungs passed: all with a value at the rung compete,
    so that a decision lost with a worker is taken again, and a trial whose verdict was ignored still counts.
    The first arrivals go on if they are the best so far. Steps are finished epochs, from 1.
    """

    def __init__(self, rungs: Sequence[int]) -> None:
        self.rungs = frozenset(rungs)

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
        last_kept = ranked[max(len(ranked) // REDUCTION, 1) - 1]
        return value < last_kept if study.direction == StudyDirection.MAXIMIZE else value > last_kept


def rungs_before_the_end(size: Size) -> tuple[int, ...]:
    """A rung at the last epoch or later saves nothing and is never asked."""
    return tuple(rung for rung in size.rungs if rung < size.epochs)


def make_pruner(spec: Mapping[str, Any] | None, size: Size) -> BasePruner:
    """The pruner that the definition names; ``asha`` takes the size's rungs. A plain function: Optuna's default."""
    if spec is None:
        return optuna.pruners.MedianPruner()
    if spec["name"] == "asha":
        rungs = rungs_before_the_end(size)
        return Asha(rungs) if rungs else NopPruner()
    return _named(optuna.pruners, spec, {})  # type: ignore[no-any-return]


def make_sampler(spec: Mapping[str, Any] | None, startup: int, seed: int) -> BaseSampler:
    """The sampler that the definition names, with this seed; TPE begins with ``startup`` random ones unless it says."""
    spec = spec or {"name": "TPESampler", "keywords": {}}
    extra: dict[str, Any] = {"seed": seed}
    if spec["name"] == "TPESampler":
        extra["n_startup_trials"] = startup
    return _named(optuna.samplers, spec, extra)  # type: ignore[no-any-return]


def _named(module: Any, spec: Mapping[str, Any], extra: Mapping[str, Any]) -> Any:
    kind = getattr(module, spec["name"], None)
    if kind is None:
        raise SearchError(
            f"{module.__name__} has no {spec['name']!r}. Name one of its classes in the objective's file."
        )
    return kind(**{**extra, **spec["keywords"]})
