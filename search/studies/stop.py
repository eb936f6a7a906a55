"""A study stops when its objective raises on every worker, instead of burning its budget; mended, it goes on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from search.database.optuna_tables import STUDY_ATTRIBUTES
from search.studies.attributes import named
from search.studies.study import Study

if TYPE_CHECKING:  # for status, which does without Optuna
    from search.database.fence import FencedStorage

STOPPED = named("stopped")
"""The study attribute."""
OLD_STOPPED = "stopped"
"""What version 0.1 called it."""


def last_stop(engine: sa.Engine, study: Study) -> dict[str, Any]:
    """What is known of its last stop: ``why``, until it goes on."""
    query = sa.select(STUDY_ATTRIBUTES.c.key, STUDY_ATTRIBUTES.c.value_json).where(
        STUDY_ATTRIBUTES.c.study_id == study.study_id, STUDY_ATTRIBUTES.c.key.in_((STOPPED, OLD_STOPPED))
    )
    with engine.connect() as connection:
        found = {row.key: json.loads(row.value_json) for row in connection.execute(query)}
    stop = found.get(STOPPED, found.get(OLD_STOPPED) if study.is_old else None)
    return stop if isinstance(stop, dict) else {}


def give_up(storage: FencedStorage, study: Study, holder: str, *, why: str, seconds: float) -> None:
    """This worker leaves the study to the others; the last that does stops it, for this reason, until somebody goes on.

    ``seconds``: who was not seen for so long is no longer there.
    """
    storage.workers.give_up(study.key, holder, why)
    if not storage.workers.others(study.key, holder, seconds):
        stop(storage, study, why)


def stop(storage: FencedStorage, study: Study, why: str) -> None:
    """Nobody begins a trial of it any more, for this reason, until somebody goes on."""
    storage.set_study_user_attr(study.study_id, STOPPED, {"why": why})


def let_go_on(storage: FencedStorage, study: Study) -> None:
    """A study that stopped because its objective raised goes on."""
    if last_stop(storage.engine, study).get("why"):
        storage.leases.forgive(study.key)
        storage.set_study_user_attr(study.study_id, STOPPED, {"why": None})
