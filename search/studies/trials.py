"""The trials of a study as plain rows, and the best of them. Reads without Optuna."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from search.database.leases import Leases
from search.database.optuna_tables import PARAMS, REPORTS, SYSTEM_ATTRIBUTES, TRIAL_ATTRIBUTES, TRIALS, VALUES
from search.rules.best import best, is_feasible
from search.studies.attributes import PRUNED_BY, named
from search.studies.study import Study

_INFINITE = {"INF_POS": math.inf, "INF_NEG": -math.inf}


@dataclass(frozen=True)
class TrialRow:
    """A trial: Optuna's number and id, its state in small letters, and the lease it was run under, if it has one."""

    trial_id: int
    number: int
    state: str
    value: float | None
    feasible: bool
    lease: int | None


def all_trials(engine: sa.Engine, study: Study) -> list[TrialRow]:
    """By number."""
    query = (
        sa.select(TRIALS.c.trial_id, TRIALS.c.number, TRIALS.c.state, VALUES.c.value, VALUES.c.value_type)
        .outerjoin(VALUES, sa.and_(VALUES.c.trial_id == TRIALS.c.trial_id, VALUES.c.objective == 0))
        .where(TRIALS.c.study_id == study.study_id)
        .order_by(TRIALS.c.number)
    )
    constraints = (
        sa.select(SYSTEM_ATTRIBUTES.c.trial_id, SYSTEM_ATTRIBUTES.c.value_json)
        .join(TRIALS, TRIALS.c.trial_id == SYSTEM_ATTRIBUTES.c.trial_id)
        .where(TRIALS.c.study_id == study.study_id, SYSTEM_ATTRIBUTES.c.key.like("constraints%"))
    )
    lease_of = {row["trial_id"]: row["number"] for row in Leases(engine).rows(study.key)}
    with engine.connect() as connection:
        rows = connection.execute(query).all()
        broken = {row.trial_id for row in connection.execute(constraints) if not _holds(json.loads(row.value_json))}
    return [
        TrialRow(
            trial_id=row.trial_id,
            number=row.number,
            state=str(row.state).lower(),
            value=_INFINITE.get(str(row.value_type), row.value),
            feasible=row.trial_id not in broken,
            lease=lease_of.get(row.trial_id),
        )
        for row in rows
    ]


def _holds(stored: Any) -> bool:
    """A constraint of its own (``constraints:NAME``) or all that a sampler's ``constraints_func`` gave, in a list."""
    return is_feasible(stored if isinstance(stored, list) else [stored])


def best_trial(engine: sa.Engine, study: Study) -> TrialRow | None:
    """The best complete trial of a study, or None."""
    return best(all_trials(engine, study), maximize=study.maximize)


def parameters(engine: sa.Engine, trial: TrialRow) -> dict[str, Any]:
    """Its hyperparameters, as they were suggested."""
    query = sa.select(PARAMS).where(PARAMS.c.trial_id == trial.trial_id).order_by(PARAMS.c.param_id)
    with engine.connect() as connection:
        return {row.param_name: _external(row) for row in connection.execute(query)}


def _external(row: Any) -> Any:
    distribution = json.loads(row.distribution_json)
    if distribution["name"] == "CategoricalDistribution":
        return distribution["attributes"]["choices"][int(row.param_value)]
    return int(row.param_value) if distribution["name"] == "IntDistribution" else row.param_value


def attributes(engine: sa.Engine, trial: TrialRow) -> dict[str, Any]:
    """Its user attributes."""
    query = sa.select(TRIAL_ATTRIBUTES).where(TRIAL_ATTRIBUTES.c.trial_id == trial.trial_id)
    with engine.connect() as connection:
        return {row.key: json.loads(row.value_json) for row in connection.execute(query)}


def not_by_the_pruner(engine: sa.Engine, study: Study) -> set[int]:
    """The ids of those trials that were pruned by something else: out of memory, NaN, their own function."""
    query = (
        sa.select(TRIAL_ATTRIBUTES.c.trial_id, TRIAL_ATTRIBUTES.c.value_json)
        .join(TRIALS, TRIALS.c.trial_id == TRIAL_ATTRIBUTES.c.trial_id)
        .where(TRIALS.c.study_id == study.study_id, TRIAL_ATTRIBUTES.c.key == named(PRUNED_BY))
    )
    with engine.connect() as connection:
        return {row.trial_id for row in connection.execute(query) if json.loads(row.value_json) != "pruner"}


def reports(engine: sa.Engine, trial: TrialRow) -> dict[int, float | None]:
    """Value by step."""
    query = sa.select(REPORTS).where(REPORTS.c.trial_id == trial.trial_id).order_by(REPORTS.c.step)
    with engine.connect() as connection:
        return {row.step: row.intermediate_value for row in connection.execute(query)}
