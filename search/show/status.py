"""What a database says of its studies, as plain data."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from search.database.leases import UNUSED, Leases
from search.errors import SearchError
from search.rules.best import best
from search.rules.readable import finite
from search.studies.ended import End, what_ended
from search.studies.epochs import epochs
from search.studies.limits import Limits, limits_of
from search.studies.stop import last_stop
from search.studies.study import REFIT, Study, all_studies, existing, find
from search.studies.trials import (
    TrialRow,
    all_trials,
    attribute_by_trial,
    attributes,
    chosen_trial,
    parameters,
    reports,
)

Status = dict[str, Any]


def studies(engine: sa.Engine) -> list[Status]:
    """Every study of ours, oldest first, each refit under its study's ``refit``; one whose study is gone by itself."""
    found = {study.name: study for study in all_studies(engine)}
    refits = {study.refit["study"] for study in found.values() if study.refit}
    return [
        _with_refit(engine, study, found.get(study.name + REFIT) if study.name in refits else None)
        for study in found.values()
        if not study.refit or study.refit["study"] not in found
    ]


def study(engine: sa.Engine, name: str) -> Status:
    """One study, or SearchError with the names that there are."""
    wanted = existing(engine, name)
    return _with_refit(engine, wanted, None if wanted.refit else find(engine, name + REFIT))


def _with_refit(engine: sa.Engine, wanted: Study, refit: Study | None) -> Status:
    return {**_study(engine, wanted), "refit": _study(engine, refit) if refit else None}


def _study(engine: sa.Engine, wanted: Study) -> Status:
    leases, trials = Leases(engine).rows(wanted.key), all_trials(engine, wanted)
    by_id = {trial.trial_id: trial for trial in trials}
    counts = Counter(_state(lease) for lease in leases)
    reasons = attribute_by_trial(engine, wanted, "reason")
    why = last_stop(engine, wanted).get("why")
    limits = limits_of(engine, wanted)
    ended = what_ended(engine, wanted, limits)
    winner = best(trials, maximize=wanted.maximize)
    chosen = chosen_trial(engine, wanted, trials)
    return {
        "study": wanted.name,
        "objective": wanted.objective,
        "size": "" if wanted.is_plain else wanted.size_name,
        "state": _study_state(counts, why, has_ended=bool(ended), grows=limits.endless) if leases else "unsearched",
        "stopped": why,
        "ended": ended and ended.why,
        "limits": {
            name: value
            for name, value in dataclasses.asdict(limits).items()
            if value is not None and value is not False
        },
        "goes_on_with": _goes_on_with(counts, limits, ended, wanted),
        "budget": len(leases),
        "metric": wanted.shown_metric,
        "direction": wanted.definition["direction"],
        "trials": {state: counts[state] for state in ("complete", "pruned", "fail", "running", "waiting")},
        "left": sum(counts[state] for state in ("running", "waiting", "unbegun")),
        "unused": counts[UNUSED],
        "best": winner
        and {"number": winner.number, "value": finite(winner.value), "params": parameters(engine, winner)},
        "chosen": chosen.number if chosen else None,
        "chosen_params": parameters(engine, chosen) if chosen else None,
        "units": dict(wanted.shown.units),
        "epochs": epochs(engine, wanted, leases),
        "seconds": round(sum(lease["seconds"] for lease in leases), 1),
        **Leases(engine).spent(wanted.key).as_json(),
        "leases": [
            _lease(lease, by_id.get(lease["trial_id"]), reasons.get(lease["trial_id"]))
            for lease in leases
            if lease["trial_id"] is not None or lease["token"]
        ],
        "source": wanted.definition.get("source"),
        "refit": None,
    }


def _goes_on_with(counts: Counter[str], limits: Limits, ended: End | None, wanted: Study) -> str:
    """What to type beside the study's name for more of it."""
    more, budget = [ended.lifted_by] if ended else [], counts.total()
    if not any(counts[state] for state in ("running", "waiting", "unbegun")) and not limits.endless:
        more.append(f"TRIALS={2 * budget or wanted.usual_budget}")
    return " ".join(more)


def _state(lease: Mapping[str, Any]) -> str:
    if lease["state"] != "open":
        return str(lease["state"])
    if lease["expires"] > lease["now"]:
        return "running"
    return "waiting" if lease["trial_id"] is not None else "unbegun"


def _study_state(counts: Mapping[str, int], why_stopped: str | None, *, has_ended: bool, grows: bool) -> str:
    if why_stopped:
        return "stopped"
    if has_ended and not counts.get("running"):
        return "finished"
    if not grows and not any(counts.get(state) for state in ("running", "waiting", "unbegun")):
        return "finished"
    return "running" if counts.get("running") else "open"


def _lease(lease: Mapping[str, Any], its: TrialRow | None, reason: str | None) -> dict[str, Any]:
    live = _state(lease) == "running"
    return {
        "number": lease["number"],
        "trial": its.number if its else None,
        "state": _state(lease),
        "value": finite(its.value) if its else None,
        "holder": lease["holder"] if live else None,
        "host": lease["host"],
        "epoch": lease["epoch"],
        "resumed_from": json.loads(lease["resumed_from"]),
        "attempts": lease["attempts"],
        "seconds": round(lease["seconds"], 1),
        "expires_in": round(lease["expires"] - lease["now"], 1) if live else None,
        "reason": reason or ("a constraint does not hold" if its and not its.feasible else None),
    }


_NO_LEASE = {
    "number": None,
    "holder": None,
    "host": None,
    "epoch": 0,
    "resumed_from": "[]",
    "attempts": 0,
    "seconds": 0.0,
}


def trial(engine: sa.Engine, name: str, number: int) -> Status:
    """One trial: what the study's status says of it, its parameters, reports and attributes."""
    wanted = existing(engine, name)
    row = next((one for one in all_trials(engine, wanted) if one.number == number), None)
    if row is None:
        raise SearchError(f"the study {name!r} has no trial {number}. Its trials: make status STUDY={name}")
    lease = next((one for one in _study(engine, wanted)["leases"] if one["trial"] == number), None)
    if lease is None:  # it was turned down
        reason = attribute_by_trial(engine, wanted, "reason").get(row.trial_id)
        lease = _lease({**_NO_LEASE, "state": row.state}, row, reason)
    return {
        "study": name,
        **lease,
        "params": parameters(engine, row),
        "units": dict(wanted.shown.units),
        "reports": reports(engine, row),
        "attributes": attributes(engine, row),
        "key": wanted.key,
        "files_place": wanted.files_place,
    }
