"""What a search bought: its best trial beside what one would train unsearched, and what pruning may have cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from search.database.leases import Leases
from search.rules.best import best as best_of
from search.rules.noise import interval, rank_correlation
from search.rules.pruning import rungs_before_the_end
from search.studies.attributes import SPARED_AT
from search.studies.epochs import epochs
from search.studies.study import Study, all_studies
from search.studies.trials import (
    TrialRow,
    all_reports,
    all_trials,
    attribute_by_trial,
    best_trial,
    better_by,
    may_be_as_good,
)

ENOUGH = 20
"""Spared trials, for a rate."""


def bought(engine: sa.Engine, study: Study) -> dict[str, Any] | None:
    """As JSON; None where nothing was searched. Leads are positive where the best trial is better."""
    best = best_trial(engine, study)
    if best is None or best.value is None:
        return None
    trials, reports = all_trials(engine, study), all_reports(engine, study)
    feasible = [one for one in trials if one.feasible]
    complete = [one for one in feasible if one.state == "complete"]
    pruned = [one for one in feasible if one.state == "pruned" and one.trial_id in reports]
    first = next((one for one in complete if one.lease == 0), None)
    first = first if study.definition["first"] else None
    competed = len(complete) + len(pruned)
    return {
        "best": best.number,
        "first": first.number if first else None,
        "first_is": study.first_in_words,
        "noise": study.noise(best.value, (first or best).value or 0.0),
        "validated_on": (study.definition.get("data") or {}).get("validation"),
        "competed": competed,
        "in_points": bool(study.definition.get("metric_is_share")),
        **_lead(study, best, first, others=competed - 1),
        "within_noise": _within_noise(study, best, complete),
        "complete": len(complete),
        "epochs": epochs(engine, study, Leases(engine).rows(study.key)),
        "spared": _spared(engine, study, trials, best),
        "spared_of_all": _spared_of_all(engine, study),
        "rungs": _rungs(study, complete, reports),
    }


def _lead(study: Study, best: TrialRow, first: TrialRow | None, others: int) -> dict[str, Any]:
    """``verdict``: nothing to compare with; its first is not complete; the first itself; unknown without noise; better;
    or level. ``others`` are all that competed, those too that a rung left behind: whoever is lucky at a rung is at the
    end too. So a lead is claimed by a higher bar than the choice of what is trained again, which costs nothing where
    all are as good."""
    if first is None:
        verdict = "no first" if study.definition["first"] else "nothing to compare"
        return {"lead": None, "interval": None, "verdict": verdict}
    lead = better_by(study, best, first)
    if first.trial_id == best.trial_id:
        return {"lead": 0.0, "interval": None, "verdict": "first"}
    if (noise := study.noise(best.value or 0.0, first.value or 0.0)) is None:
        return {"lead": lead, "interval": None, "verdict": "unknown"}
    low, high = interval(lead, noise, others=others)
    return {"lead": lead, "interval": [low, high], "verdict": "better" if low > 0 else "level"}


def _within_noise(study: Study, best: TrialRow, complete: Sequence[TrialRow]) -> int | None:
    """How many others may well be as good."""
    if study.noise(best.value or 0.0) is None:
        return None
    return sum(
        may_be_as_good(study, best, one, complete=len(complete)) for one in complete if one.trial_id != best.trial_id
    )


def _spared(engine: sa.Engine, study: Study, trials: Sequence[TrialRow], best: TrialRow) -> dict[str, Any]:
    """Trials that ran on against the pruner: what that took, and how many ended among the best, if noise is known."""
    at = attribute_by_trial(engine, study, SPARED_AT)
    came_to = {row["trial_id"]: row["epoch"] for row in Leases(engine).rows(study.key)}
    complete = sum(one.state == "complete" and one.feasible for one in trials)
    ended = [one for one in trials if one.trial_id in at and one.state in {"complete", "pruned"}]
    good = [
        one
        for one in ended
        if one.state == "complete" and one.feasible and may_be_as_good(study, best, one, complete=complete)
    ]
    is_known = study.noise(best.value or 0.0) is not None
    return {
        "trials": len(ended),
        "among_the_best": len(good) if is_known else None,
        "epochs": sum(max(0, came_to.get(one.trial_id, 0) - at[one.trial_id]) for one in ended),
        "rate": _rate(len(good), len(ended)) if is_known else None,
    }


def _spared_of_all(engine: sa.Engine, study: Study) -> dict[str, Any]:
    """The same counts over all studies of this objective in the database whose trials are as long: one study seldom has
    enough for a rate."""
    counts = []
    for one in all_studies(engine):
        is_alike = one.objective == study.objective and not one.refit and not one.is_plain
        if not is_alike or one.definition["size"].get("epochs") != study.definition["size"].get("epochs"):
            continue
        trials = all_trials(engine, one)
        if (leader := best_of(trials, maximize=one.maximize)) is not None:
            counts.append(_spared(engine, one, trials, leader))
    known = [one for one in counts if one["trials"] and one["among_the_best"] is not None]
    ended, good = (sum(one[name] for one in known) for name in ("trials", "among_the_best"))
    return {"studies": len(known), "trials": ended, "among_the_best": good, "rate": _rate(good, ended)}


def _rate(good: int, trials: int) -> float | None:
    return good / trials if trials >= ENOUGH else None


def _rungs(
    study: Study, complete: Sequence[TrialRow], reports: Mapping[int, Mapping[int, float | None]]
) -> dict[str, Any]:
    """Of each rung: the rank correlation of values there with those at the end, over trials that came so far."""
    found: dict[str, Any] = {}
    for rung in rungs_before_the_end(study.size) if study.epochs else ():
        both = [(reports[one.trial_id].get(rung), one.value) for one in complete if one.trial_id in reports]
        pairs = [(there, end) for there, end in both if there is not None and end is not None]
        correlation = rank_correlation([one for one, _ in pairs], [other for _, other in pairs])
        found[str(rung)] = {"trials": len(pairs), "correlation": correlation}
    return found
