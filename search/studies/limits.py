"""The limits of a study beside its budget of trials; changed by who goes on with it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from search.database.optuna_tables import STUDY_ATTRIBUTES
from search.database.study_attributes import is_set, text_of
from search.errors import SearchError
from search.studies.attributes import named
from search.studies.study import Study

if TYPE_CHECKING:  # for status, which does without Optuna
    from search.database.fence import FencedStorage

LIMITS = named("limits")
"""The study attribute."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """None: there is none of this kind."""

    hours: float | None = None
    """Of all machines together: the seconds that leases were held for training, as they are recorded at each epoch."""
    until: float | None = None
    """A complete trial with this value, or a better one."""
    trial_timeout: float | None = None
    """Seconds of one trial, on all machines that it was on."""
    max_params: float | None = None
    max_flops: float | None = None
    """Of the network, for one example."""
    endless: bool = False
    """The budget grows as long as hours are left."""
    budget_is_given: bool = False
    """Somebody said how many trials, or hours: a size's ``patience`` adds none."""

    @property
    def of_the_network(self) -> dict[str, float]:
        """By what a trial says of it."""
        both = {"parameters": self.max_params, "flops": self.max_flops}
        return {name: limit for name, limit in both.items() if limit is not None}


def limits_of(engine: sa.Engine, study: Study) -> Limits:
    """As they are now."""
    with engine.connect() as connection:
        return limits_in(connection, study)


def limits_in(connection: sa.Connection, study: Study) -> Limits:
    """A field that is newer than this version is left out."""
    return _parsed(text_of(connection, study.study_id, LIMITS))


def growing(engine: sa.Engine) -> set[int]:
    """The ids of the studies whose budget grows as long as hours are left."""
    query = sa.select(STUDY_ATTRIBUTES.c.study_id, STUDY_ATTRIBUTES.c.value_json).where(
        STUDY_ATTRIBUTES.c.key == LIMITS
    )
    with engine.connect() as connection:
        return {row.study_id for row in connection.execute(query) if json.loads(row.value_json).get("endless")}


def change_limits(storage: FencedStorage, study: Study, given: Mapping[str, Any], *, trials: int | None) -> None:
    """``given``: fields of Limits, None to lift one; the others stay. A number of trials ends what had none.

    SearchError for a limit on the network of a plain function, which says nothing of one.
    """
    if study.is_plain and (given.get("max_params") or given.get("max_flops")):
        raise SearchError(
            f"{study.objective} is a plain function, which says nothing of its network's size. "
            "Go on without MAX_PARAMS and MAX_FLOPS, and raise optuna.TrialPruned where a network is too large."
        )
    until = given.get("until")
    if until is not None and study.definition.get("metric_is_share") and not 0 <= until <= 1:
        raise SearchError(
            f"UNTIL={until:g} is no value of {study.shown_metric}, a share. Give one from 0 to 1, or UNTIL=none."
        )

    before = limits_of(storage.engine, study)
    if changed_limits(before, given, trials=trials).endless and not before.endless:
        # Before the limits: a budget that grows with units that nobody is to begin would stop growing.
        storage.leases.reopen_unused(study.key)
    _change(storage.engine, study, lambda now: changed_limits(now, given, trials=trials))


def changed_limits(before: Limits, given: Mapping[str, Any], *, trials: int | None) -> Limits:
    """What they are once somebody has asked for these, and for so many trials."""
    after = dataclasses.replace(before, **given)
    begins = after.hours is not None and before.hours is None
    return dataclasses.replace(
        after,
        endless=trials is None and after.hours is not None and (before.endless or begins),
        budget_is_given=before.budget_is_given or trials is not None or begins,
    )


def stop_growing(engine: sa.Engine, study: Study) -> None:
    """Nothing more is to be tried: the budget grows no longer, until somebody gives a number of trials."""
    _change(engine, study, lambda before: dataclasses.replace(before, endless=False))


def _change(engine: sa.Engine, study: Study, changed: Callable[[Limits], Limits]) -> None:
    """Compare and set: of two who change different limits at once, neither undoes what the other did."""
    while True:
        with engine.begin() as connection:
            text = text_of(connection, study.study_id, LIMITS)
            before = _parsed(text)
            after = changed(before)
            wanted = json.dumps(dataclasses.asdict(after))
            if after == before or is_set(connection, study.study_id, LIMITS, text, wanted):
                return


def _parsed(text: str | None) -> Limits:
    known = {field.name for field in dataclasses.fields(Limits)}
    return Limits(**{name: value for name, value in json.loads(text or "{}").items() if name in known})
