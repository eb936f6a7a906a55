"""What has ended a study before its budget of trials was used up, and what to type to go on."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from search.database.leases import Leases
from search.errors import SearchError
from search.studies.limits import Limits, limits_of
from search.studies.study import Study
from search.studies.trials import all_trials, best_trial


@dataclass(frozen=True)
class End:
    """Of a study whose budget may not be used up."""

    why: str
    lifted_by: str
    """What to type beside the study's name to go on."""


def what_ended(engine: sa.Engine, study: Study, limits: Limits | None = None) -> End | None:
    """Why nothing more of this study is trained; None: no limit says so.

    ``limits``: the study's, if they were read already.
    """
    limits = limits or limits_of(engine, study)
    if limits.hours is not None and Leases(engine).seconds_spent(study.key) >= 3600 * limits.hours:
        return End(f"the time of HOURS={limits.hours:g} is used up", f"HOURS={2 * limits.hours:g}")
    if limits.until is not None:
        best = best_trial(engine, study)
        if best is not None and best.value is not None and _reaches(best.value, limits.until, study):
            return End(f"trial {best.number} has reached {limits.until:g}", "UNTIL=none")
    return None


def nothing_is_complete(engine: sa.Engine, study: Study) -> SearchError:
    """Why there is nothing to train again or to export, and what to type next."""
    if any(one.state == "complete" for one in all_trials(engine, study)):
        return SearchError(
            f"of no complete trial of {study.name!r} all constraints hold, so there is nothing to export. "
            f"See which: make status STUDY={study.name}"
        )
    if ended := what_ended(engine, study):
        return SearchError(
            f"{ended.why} before a trial of {study.name!r} was complete. "
            f"Give more: make search STUDY={study.name} {ended.lifted_by}"
        )
    return SearchError(
        f"no trial of {study.name!r} was completed, so there is nothing to export. "
        f"See why: make status STUDY={study.name}"
    )


def _reaches(value: float, until: float, study: Study) -> bool:
    return value >= until if study.maximize else value <= until
