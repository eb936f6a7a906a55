"""A study stops because its objective raises, instead of burning its budget; mended, it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from search.database.optuna_tables import STUDY_ATTRIBUTES
from search.rules.failures import count_failed, failures_that_stop
from search.studies.study import Study

if TYPE_CHECKING:  # for status, which does without Optuna
    from search.database.fence import FencedStorage

STOPPED = "stopped"
"""The study attribute."""


def last_stop(engine: sa.Engine, study: Study) -> dict[str, Any]:
    """What is known of its last stop: ``why`` until it goes on, and ``fails``, the failed trials by then."""
    query = sa.select(STUDY_ATTRIBUTES.c.value_json).where(
        STUDY_ATTRIBUTES.c.study_id == study.study_id, STUDY_ATTRIBUTES.c.key == STOPPED
    )
    with engine.connect() as connection:
        found = connection.execute(query).scalar_one_or_none()
    return json.loads(found) or {} if found else {}


def stop_if_broken(storage: FencedStorage, study: Study, *, reason: str, log: Path, at_most: int) -> None:
    """After a trial that raised for this reason, its traceback in this log: the study stops if the rule says so."""
    rows = storage.leases.rows(study.key)
    if failed := failures_that_stop(rows, last_stop(storage.engine, study).get("fails", 0), at_most):
        why = (
            f"the study {study.name!r} is stopped: {failed} trials failed before any finished "
            f"an epoch, last: {reason}. The traceback is in {log}; mend the objective, then type the command again"
        )
        storage.set_study_user_attr(study.study_id, STOPPED, {"why": why, "fails": count_failed(rows)})


def let_go_on(storage: FencedStorage, study: Study) -> None:
    """A study that stopped because its objective raised goes on."""
    known = last_stop(storage.engine, study)
    if known.get("why"):
        storage.set_study_user_attr(study.study_id, STOPPED, {**known, "why": None})
