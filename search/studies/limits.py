"""What ends a study, or one of its trials, before its budget of trials is used up; changed by who goes on with it.

Hours are of all machines together: the seconds that leases were held for training, as they are recorded at each epoch.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from search.database.leases import Leases
from search.database.optuna_tables import STUDY_ATTRIBUTES
from search.errors import SearchError
from search.studies.attributes import named
from search.studies.study import Study
from search.studies.trials import best_trial

if TYPE_CHECKING:  # for status, which does without Optuna
    from search.database.fence import FencedStorage

LIMITS = named("limits")
"""The study attribute."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """None: there is none of this kind."""

    hours: float | None = None
    until: float | None = None
    """A complete trial with this value, or a better one."""
    trial_timeout: float | None = None
    """Seconds of one trial, on all machines that it was on."""
    max_params: float | None = None
    max_flops: float | None = None
    """Of the network, for one example."""
    endless: bool = False
    """The budget grows as long as hours are left."""

    @property
    def of_the_network(self) -> dict[str, float]:
        """By what a trial says of it."""
        both = {"parameters": self.max_params, "flops": self.max_flops}
        return {name: limit for name, limit in both.items() if limit is not None}


def limits_of(engine: sa.Engine, study: Study) -> Limits:
    """A field that is newer than this version is left out."""
    query = sa.select(STUDY_ATTRIBUTES.c.value_json).where(
        STUDY_ATTRIBUTES.c.study_id == study.study_id, STUDY_ATTRIBUTES.c.key == LIMITS
    )
    with engine.connect() as connection:
        text = connection.execute(query).scalar_one_or_none()
    known = {field.name for field in dataclasses.fields(Limits)}
    return Limits(**{name: value for name, value in json.loads(text or "{}").items() if name in known})


def change_limits(storage: FencedStorage, study: Study, given: Mapping[str, Any], *, trials: int | None) -> None:
    """``given``: fields of Limits, None to lift one; the others stay. A number of trials ends what had none.

    SearchError for a limit on the network of a plain function, which says nothing of one.
    """
    if study.is_plain and (given.get("max_params") or given.get("max_flops")):
        raise SearchError(
            f"{study.objective} is a plain function, which says nothing of its network's size. "
            "Go on without MAX_PARAMS and MAX_FLOPS, and raise optuna.TrialPruned where a network is too large."
        )
    before = limits_of(storage.engine, study)
    after = dataclasses.replace(before, **given)
    begins = after.hours is not None and before.hours is None
    after = dataclasses.replace(
        after, endless=trials is None and after.hours is not None and (before.endless or begins)
    )
    if after != before:
        storage.set_study_user_attr(study.study_id, LIMITS, dataclasses.asdict(after))


def stop_growing(storage: FencedStorage, study: Study) -> None:
    """Nothing more is to be tried: the budget grows no longer, until somebody gives a number of trials."""
    now = limits_of(storage.engine, study)
    if now.endless:
        storage.set_study_user_attr(study.study_id, LIMITS, dataclasses.asdict(dataclasses.replace(now, endless=False)))


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
        return End(f"{limits.hours:g} hours are used up", f"HOURS={2 * limits.hours:g}")
    if limits.until is not None:
        best = best_trial(engine, study)
        if best is not None and best.value is not None and _reaches(best.value, limits.until, study):
            return End(f"trial {best.number} has reached {limits.until:g}", "UNTIL=none")
    return None


def nothing_is_complete(engine: sa.Engine, study: Study) -> SearchError:
    """Why there is nothing to train again or to export, and what to type next."""
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
