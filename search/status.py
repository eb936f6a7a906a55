"""What a database says of its studies, as plain data. Reads Optuna's tables by name: importing Optuna takes longer."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from search.errors import SearchError, unknown_study
from search.tables import FILES, LEASES, clock

_STUDIES = sa.text(
    "SELECT s.study_id, s.study_name, a.value_json FROM studies s "
    "JOIN study_user_attributes a ON a.study_id = s.study_id WHERE a.key = 'search' ORDER BY s.study_id"
)
_STOPPED = sa.text("SELECT value_json FROM study_user_attributes WHERE study_id = :study AND key = 'stopped'")
_TRIALS = sa.text(
    "SELECT t.trial_id, t.number, t.state, v.value FROM trials t "
    "LEFT JOIN trial_values v ON v.trial_id = t.trial_id AND v.objective = 0 "
    "WHERE t.study_id = :study ORDER BY t.number"
)
_PARAMS = sa.text("SELECT param_name, param_value, distribution_json FROM trial_params WHERE trial_id = :trial")
_CONSTRAINTS = sa.text(
    "SELECT a.trial_id, a.value_json FROM trial_system_attributes a JOIN trials t ON t.trial_id = a.trial_id "
    "WHERE t.study_id = :study AND a.key LIKE 'constraints:%'"
)
_ATTRIBUTES = sa.text("SELECT key, value_json FROM trial_user_attributes WHERE trial_id = :trial")
_REPORTS = sa.text(
    "SELECT step, intermediate_value FROM trial_intermediate_values WHERE trial_id = :trial ORDER BY step"
)

Status = dict[str, Any]


def studies(engine: sa.Engine) -> list[Status]:
    """Every study of ours, oldest first, each refit under its study's ``refit``."""
    with engine.connect() as connection:
        found = [
            _study(connection, row.study_id, row.study_name, json.loads(row.value_json))
            for row in connection.execute(_STUDIES)
        ]
    by_name = {status["study"]: status for status in found}
    for status in found:
        searched = status.pop("_refit_of")
        if searched in by_name:
            by_name[searched]["refit"] = status
    refits = {id(status["refit"]) for status in found if status["refit"]}
    return [status for status in found if id(status) not in refits]


def study(engine: sa.Engine, name: str) -> Status:
    """One study, or SearchError with the names that there are."""
    found = studies(engine)
    every = found + [status["refit"] for status in found if status["refit"]]
    wanted: Status | None = next((status for status in every if status["study"] == name), None)
    if wanted is not None:
        return wanted
    raise unknown_study(name, [status["study"] for status in every])


def _study(connection: sa.Connection, study_id: int, name: str, record: Mapping[str, Any]) -> Status:
    definition, refit = record["definition"], record["refit"]
    key = record["key"]
    query = sa.select(LEASES, clock().label("now")).where(LEASES.c.study_key == key).order_by(LEASES.c.number)
    leases = [dict(row._mapping) for row in connection.execute(query)]
    trials = {row.trial_id: row for row in connection.execute(_TRIALS, {"study": study_id})}
    broken = {
        row.trial_id
        for row in connection.execute(_CONSTRAINTS, {"study": study_id})
        if json.loads(row.value_json) > 0.0
    }
    lease_of = {lease["trial_id"]: lease["number"] for lease in leases}
    feasible = [row for row in trials.values() if row.trial_id not in broken]
    stopped = connection.execute(_STOPPED, {"study": study_id}).scalar_one_or_none()
    stopped_why = (json.loads(stopped) or {}).get("why") if stopped else None
    epochs = definition["size"]["refit_epochs" if refit else "epochs"]
    counts = Counter(_state(lease) for lease in leases)
    pruned = [lease for lease in leases if lease["state"] == "pruned"]
    return {
        "study": name,
        "objective": record["objective"],
        "size": record["size_name"],
        "state": _study_state(counts, stopped_why),
        "stopped": stopped_why,
        "budget": len(leases),
        "metric": "accuracy on the training images" if refit else definition["metric"],
        "direction": definition["direction"],
        "trials": {state: counts[state] for state in ("complete", "pruned", "fail", "running", "waiting")},
        "best": _best(connection, feasible, lease_of, definition["direction"]),
        "epochs": {
            "run": sum(lease["epoch"] + lease["repeated"] for lease in leases),
            "saved_by_pruning": sum(max(0, epochs - lease["epoch"]) for lease in pruned),
            "repeated": sum(lease["repeated"] for lease in leases),
            "whole_trial": epochs,
        },
        "leases": [_lease(lease, trials) for lease in leases if lease["trial_id"] is not None or lease["token"]],
        "source": definition.get("source"),
        "refit": None,
        "_refit_of": refit["study"] if refit else None,
    }


def _state(lease: Mapping[str, Any]) -> str:
    if lease["state"] != "open":
        return str(lease["state"])
    if lease["expires"] > lease["now"]:
        return "running"
    return "waiting" if lease["trial_id"] is not None else "unbegun"


def _study_state(counts: Mapping[str, int], stopped: str | None) -> str:
    if stopped:
        return "stopped"
    if not any(counts.get(state) for state in ("running", "waiting", "unbegun")):
        return "finished"
    return "running" if counts.get("running") else "open"


def _lease(lease: Mapping[str, Any], trials: Mapping[int, sa.Row[Any]]) -> dict[str, Any]:
    trial = trials.get(lease["trial_id"])
    live = _state(lease) == "running"
    return {
        "number": lease["number"],
        "trial": trial.number if trial is not None else None,
        "state": _state(lease),
        "value": trial.value if trial is not None else None,
        "holder": lease["holder"] if live else None,
        "host": lease["host"],
        "epoch": lease["epoch"],
        "resumed_from": json.loads(lease["resumed_from"]),
        "attempts": lease["attempts"],
        "seconds": round(lease["seconds"], 1),
        "expires_in": round(lease["expires"] - lease["now"], 1) if live else None,
    }


def _best(connection: sa.Connection, trials: Any, lease: Mapping[int, int], direction: str) -> dict[str, Any] | None:
    complete = [row for row in trials if row.state == "COMPLETE" and row.value is not None]
    if not complete:
        return None
    sign = -1.0 if direction == "maximize" else 1.0
    # Among equals the lowest lease, as for the refit and the export.
    best = min(complete, key=lambda row: (sign * row.value, lease.get(row.trial_id, math.inf), row.number))
    return {"number": best.number, "value": best.value, "params": _params(connection, best.trial_id)}


def _params(connection: sa.Connection, trial_id: int) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for row in connection.execute(_PARAMS, {"trial": trial_id}):
        distribution = json.loads(row.distribution_json)
        kind, attributes = distribution["name"], distribution["attributes"]
        if kind == "CategoricalDistribution":
            params[row.param_name] = attributes["choices"][int(row.param_value)]
        else:
            params[row.param_name] = int(row.param_value) if kind == "IntDistribution" else row.param_value
    return params


def trial(engine: sa.Engine, name: str, number: int) -> Status:
    """One trial: parameters, reports, attributes, and the record of its log, which ``run`` stores when it ends."""
    status = study(engine, name)
    lease = next((one for one in status["leases"] if one["trial"] == number), None)
    if lease is None:
        raise SearchError(f"the study {name!r} has no trial {number}. Its trials: make status STUDY={name}")
    with engine.connect() as connection:
        row = next(row for row in connection.execute(_STUDIES) if row.study_name == name)
        trials = connection.execute(_TRIALS, {"study": row.study_id})
        trial_id = next(one.trial_id for one in trials if one.number == number)
        attributes = {
            one.key: json.loads(one.value_json) for one in connection.execute(_ATTRIBUTES, {"trial": trial_id})
        }
        reports = {one.step: one.intermediate_value for one in connection.execute(_REPORTS, {"trial": trial_id})}
        params = _params(connection, trial_id)
        record = json.loads(row.value_json)
        own = (FILES.c.study_key == record["key"], FILES.c.number == lease["number"], FILES.c.kind == "log")
        log = connection.execute(sa.select(FILES).where(*own)).first()
    return {
        "study": name,
        **lease,
        "params": params,
        "reports": reports,
        "attributes": attributes,
        "key": record["key"],
        "files_place": record["files_place"],
        "log": log,
    }
