"""Optuna's trial as the training process sees it: every question goes to the worker, which keeps the real one."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalChoiceType,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)
from optuna.trial import FrozenTrial, Trial

from search.child.inside.own_attr import as_json
from search.child.inside.pipe_end import Line
from search.child.inside.remote_run import RemoteRun
from search.child.inside.remote_study import RemoteStorage, RemoteStudy
from search.child.protocol import Constraint, Go, Report, ShouldPrune, Suggest, UserAttr
from search.errors import UnsupportedError


class RemoteTrial(Trial):
    """All of Optuna's Trial over the pipe; the worker keeps the real one, with the sampler and the pruner."""

    def __init__(self, line: Line, go: Go) -> None:
        self._line = line
        self._trial_id = go.trial_id
        self.storage = RemoteStorage(line, go)
        self.study = RemoteStudy(go.study_name, self.storage)
        self._number = int(go.number)
        self._started = datetime.datetime.fromisoformat(go.datetime_start) if go.datetime_start else None
        self._distributions = {name: json_to_distribution(text) for name, text in go.distributions.items()}
        self._params = dict(go.params)
        self._user_attrs = dict(go.user_attrs)
        self._constraints: dict[str, float] = dict(go.constraints)
        self._reported = {int(step) for step in go.reported}
        self._go = go
        self._run: RemoteRun | None = None

    @property
    def search_run(self) -> RemoteRun:
        """What ``search.run`` gives; from then on the worker knows that this function can go on."""
        self._run = self._run or RemoteRun(self._line, self._go)
        return self._run

    @property
    def was_stopped(self) -> bool:
        """Whether the function was told to stop before it had ended by itself."""
        return self._run is not None and self._run.ended is not None

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        value = self._line.ask(Suggest(name, distribution_to_json(distribution)))
        if isinstance(distribution, CategoricalDistribution):
            value = distribution.to_external_repr(distribution.to_internal_repr(value))
        self._params[name] = value
        self._distributions[name] = distribution
        return value

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return float(self._suggest(name, FloatDistribution(low, high, log=log, step=step)))

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        return self.suggest_float(name, low, high, step=q)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return int(self._suggest(name, IntDistribution(low, high, log=log, step=step)))

    def suggest_categorical(self, name: str, choices: Sequence[CategoricalChoiceType]) -> Any:
        return self._suggest(name, CategoricalDistribution(choices))

    def report(self, value: float, step: int) -> None:
        value, step = float(value), int(step)
        if step < 0:
            raise ValueError(f"The `step` argument is {step} but cannot be negative.")
        if step not in self._reported:
            self._reported.add(step)
            self._line.send(Report(value, step))

    def should_prune(self) -> bool:
        return bool(self._line.ask(ShouldPrune()))

    def set_user_attr(self, key: str, value: Any) -> None:
        self._line.send(UserAttr(key, as_json(key, value)))
        self._user_attrs[key] = value

    def set_constraint(self, key: str, value: float) -> None:
        value = float(value)
        if math.isnan(value):
            raise ValueError(f"the constraint {key!r} is NaN, which is not allowed")
        self._line.send(Constraint(key, value))
        self._constraints[key] = value

    @property
    def relative_params(self) -> dict[str, Any]:
        raise UnsupportedError("the objective reads relative_params, which only the worker has. Take it out")

    @property
    def _cached_frozen_trial(self) -> FrozenTrial:  # type: ignore[override]
        return self.storage.get_trial(self._trial_id)

    @property
    def params(self) -> dict[str, Any]:
        return dict(self._params)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        return dict(self._distributions)

    @property
    def user_attrs(self) -> dict[str, Any]:
        return dict(self._user_attrs)

    @property
    def constraints(self) -> dict[str, float]:
        return dict(self._constraints)

    @property
    def datetime_start(self) -> datetime.datetime | None:
        return self._started

    @property
    def number(self) -> int:
        return self._number
