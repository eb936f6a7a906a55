"""The trials of a study as plain rows, and the best of them. Reads without Optuna."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from search.database.optuna_tables import PARAMS, REPORTS, SYSTEM_ATTRIBUTES, TRIAL_ATTRIBUTES, TRIALS, VALUES
from search.database.tables import LEASES
from search.rules.best import best, is_feasible
from search.rules.noise import is_tie
from search.rules.pruning import too_large
from search.studies.attributes import NETWORK, OTHER_FILE, PRUNED_BY, named, own
from search.studies.limits import limits_in
from search.studies.study import REFIT, Study, find

_LOOKED_AT = 50
"""So many of the best are read; more only where none of them is feasible."""
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

    @property
    def has_ended(self) -> bool:
        return self.state in {"complete", "pruned", "fail"}


def all_trials(engine: sa.Engine, study: Study) -> list[TrialRow]:
    """By number."""
    with engine.connect() as connection:
        rows = connection.execute(_trials(study).order_by(TRIALS.c.number)).all()
        return _as_rows(rows, _broken(connection, study))


def best_trial(engine: sa.Engine, study: Study) -> TrialRow | None:
    """The best complete trial of a study, or None. Of thousands only those are read that may be it."""
    value = VALUES.c.value.desc() if study.maximize else VALUES.c.value.asc()
    complete = (
        _complete(study)
        # In the order in which ``best`` decides. An infinite one is stored as a type, without a number.
        .order_by(_infinity(study.maximize), value, LEASES.c.number.is_(None), LEASES.c.number, TRIALS.c.number)
        .limit(_LOOKED_AT)
    )
    with engine.connect() as connection:
        rows = connection.execute(complete).all()
        found = _as_rows(rows, _broken(connection, study, [row.trial_id for row in rows]))
    feasible = best(found, maximize=study.maximize)
    if feasible is None and len(rows) == _LOOKED_AT:
        return best(all_trials(engine, study), maximize=study.maximize)
    return feasible


def chosen_trial(engine: sa.Engine, study: Study, trials: Sequence[TrialRow] | None = None) -> TrialRow | None:
    """The one to be trained again: the best, or where that may well be chance what one would train unsearched.

    What was trained again already stays the choice if it is in the tie too. ``trials``: all, if they were read already.
    """
    leader = best_trial(engine, study) if trials is None else best(trials, maximize=study.maximize)
    if leader is None or leader.value is None or leader.lease == 0 or not study.definition["first"]:
        return leader
    trials = all_trials(engine, study) if trials is None else trials
    complete = [one for one in trials if one.state == "complete" and one.feasible]
    unsearched = next((one for one in complete if one.lease == 0), None)
    if unsearched is None or not may_be_as_good(study, leader, unsearched, complete=len(complete)):
        return leader
    number = _trained_again(engine, study)
    again = next((one for one in complete if one.number == number), None)
    return again if again and may_be_as_good(study, leader, again, complete=len(complete)) else unsearched


def better_by(study: Study, one: TrialRow, other: TrialRow) -> float:
    """How far one complete trial is ahead of another; negative where it is behind."""
    lead = (one.value or 0.0) - (other.value or 0.0)
    return lead if study.maximize else -lead


def may_be_as_good(study: Study, leader: TrialRow, other: TrialRow, *, complete: int) -> bool:
    """Whether the leader of so many is ahead by no more than noise; where none is known, whether it is not ahead."""
    lead, noise = better_by(study, leader, other), study.noise(leader.value or 0.0, other.value or 0.0)
    return lead <= 0 or (noise is not None and is_tie(lead, noise, others=complete - 1))


def _trained_again(engine: sa.Engine, study: Study) -> int | None:
    """The number of the trial whose refit is complete."""
    refit = find(engine, study.name + REFIT)
    if refit is None or not refit.refit or refit.refit["key"] != study.key:
        return None
    is_complete = any(one.state == "complete" for one in all_trials(engine, refit))
    return refit.refit["trial"] if is_complete else None


def _infinity(maximize: bool) -> sa.ColumnElement[int]:
    """Where an infinite value comes: before the finite ones, or behind them."""
    first, last = ("INF_POS", "INF_NEG") if maximize else ("INF_NEG", "INF_POS")
    kind = sa.cast(VALUES.c.value_type, sa.String)
    return sa.case((kind == first, 0), (kind == last, 2), else_=1)


def _trials(study: Study) -> sa.Select[Any]:
    return (
        sa.select(
            TRIALS.c.trial_id,
            TRIALS.c.number,
            TRIALS.c.state,
            VALUES.c.value,
            VALUES.c.value_type,
            LEASES.c.number.label("lease"),
        )
        .outerjoin(VALUES, sa.and_(VALUES.c.trial_id == TRIALS.c.trial_id, VALUES.c.objective == 0))
        .outerjoin(LEASES, sa.and_(LEASES.c.trial_id == TRIALS.c.trial_id, LEASES.c.study_key == study.key))
        .where(TRIALS.c.study_id == study.study_id)
    )


def _complete(study: Study) -> sa.Select[Any]:
    return _trials(study).where(sa.cast(TRIALS.c.state, sa.String) == "COMPLETE")


def _broken(connection: sa.Connection, study: Study, among: Sequence[int] | None = None) -> set[int]:
    """The ids of trials, all or ``among`` these, of which a constraint does not hold. What a network may be is what the
    study's limits say now, whatever they were when it was built."""
    query = (
        sa.select(SYSTEM_ATTRIBUTES.c.trial_id, SYSTEM_ATTRIBUTES.c.value_json)
        .join(TRIALS, TRIALS.c.trial_id == SYSTEM_ATTRIBUTES.c.trial_id)
        .where(TRIALS.c.study_id == study.study_id, SYSTEM_ATTRIBUTES.c.key.like("constraints%"))
        .where(SYSTEM_ATTRIBUTES.c.key.not_like(f"constraints:{named('')}%"))
    )
    if among is not None:
        query = query.where(SYSTEM_ATTRIBUTES.c.trial_id.in_(among))
    broken = {row.trial_id for row in connection.execute(query) if not _holds(json.loads(row.value_json))}
    return broken | _too_large(connection, study, among)


def _too_large(connection: sa.Connection, study: Study, among: Sequence[int] | None) -> set[int]:
    """The ids of those whose network is larger than is wanted by now."""
    limits = limits_in(connection, study).of_the_network
    if not limits:
        return set()
    query = _attribute(study, named(NETWORK))
    rows = connection.execute(query if among is None else query.where(TRIALS.c.trial_id.in_(among)))
    return {row.trial_id for row in rows if too_large(json.loads(row.value_json), limits)}


def _as_rows(rows: Sequence[Any], broken: set[int]) -> list[TrialRow]:
    return [
        TrialRow(
            trial_id=row.trial_id,
            number=row.number,
            state=str(row.state).lower(),
            value=_INFINITE.get(str(row.value_type), row.value),
            feasible=row.trial_id not in broken,
            lease=row.lease,
        )
        for row in rows
    ]


def _holds(stored: Any) -> bool:
    """A constraint of its own (``constraints:NAME``) or all that a sampler's ``constraints_func`` gave, in a list."""
    return is_feasible(stored if isinstance(stored, list) else [stored])


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


def history(engine: sa.Engine, study: Study, trial: TrialRow) -> dict[str, list[float | None]]:
    """What it reported, by name: an entry an epoch from 1, None where nothing was. Empty: it reported no epochs."""
    return own(attributes(engine, trial), "epochs", old=study.is_old) or {}


def not_by_the_pruner(engine: sa.Engine, study: Study) -> set[int]:
    """The ids of those trials that were pruned by something else: out of memory, NaN, their own function."""
    return {trial_id for trial_id, by in attribute_by_trial(engine, study, PRUNED_BY).items() if by != "pruner"}


def of_another_file(engine: sa.Engine, study: Study) -> dict[int, str]:
    """By number those that ran other content of the objective's own file than the study was created with: which."""
    with engine.connect() as connection:
        rows = list(connection.execute(_attribute(study, named(OTHER_FILE)).order_by(TRIALS.c.number)))
    return {row.number: json.loads(row.value_json) for row in rows}


def attribute_by_trial(engine: sa.Engine, study: Study, name: str) -> dict[int, Any]:
    """The values of our attribute of this name, by the ids of the trials that have it."""
    attributes: dict[int, dict[str, Any]] = {}
    with engine.connect() as connection:
        for row in connection.execute(_attribute(study, named(name), *([name] if study.is_old else []))):
            attributes.setdefault(row.trial_id, {})[row.key] = json.loads(row.value_json)
    values = {trial_id: own(found, name, old=study.is_old) for trial_id, found in attributes.items()}
    return {trial_id: value for trial_id, value in values.items() if value is not None}


def all_reports(engine: sa.Engine, study: Study) -> dict[int, dict[int, float | None]]:
    """Of all trials, by their ids: value by step."""
    query = sa.select(REPORTS).join(TRIALS, TRIALS.c.trial_id == REPORTS.c.trial_id)
    found: dict[int, dict[int, float | None]] = {}
    with engine.connect() as connection:
        for row in connection.execute(query.where(TRIALS.c.study_id == study.study_id)):
            found.setdefault(row.trial_id, {})[row.step] = row.intermediate_value
    return found


def _attribute(study: Study, *keys: str) -> sa.Select[Any]:
    return (
        sa.select(TRIAL_ATTRIBUTES.c.trial_id, TRIALS.c.number, TRIAL_ATTRIBUTES.c.key, TRIAL_ATTRIBUTES.c.value_json)
        .join(TRIALS, TRIALS.c.trial_id == TRIAL_ATTRIBUTES.c.trial_id)
        .where(TRIALS.c.study_id == study.study_id, TRIAL_ATTRIBUTES.c.key.in_(keys))
    )


def reports(engine: sa.Engine, trial: TrialRow) -> dict[int, float | None]:
    """Value by step."""
    query = sa.select(REPORTS).where(REPORTS.c.trial_id == trial.trial_id).order_by(REPORTS.c.step)
    with engine.connect() as connection:
        return {row.step: row.intermediate_value for row in connection.execute(query)}
