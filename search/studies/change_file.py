"""A yes to another content of somebody's own objective file: the study, and its refit, go by it from here on."""

from __future__ import annotations

import json

import sqlalchemy as sa

from search.database.fence import FencedStorage
from search.database.study_attributes import is_set, text_of
from search.errors import SearchError
from search.rules.content import changed, short, stored_hash
from search.studies.study import ATTRIBUTE, OLD_ATTRIBUTE, REFIT, Study, existing, find


def accept_file(storage: FencedStorage, study: Study, sha256: str | None) -> Study:
    """The study as it is stored then. SearchError where somebody says yes to yet another content at the same time."""
    if sha256 is None or stored_hash(study.definition) in {None, sha256}:
        return study
    refit = find(storage.engine, study.name + REFIT)
    for one in (study, refit if refit and refit.refit and refit.refit["key"] == study.key else None):
        if one is not None and stored_hash(one.definition) is not None:
            _store(storage.engine, one, sha256)
    return existing(storage.engine, study.name)


def _store(engine: sa.Engine, study: Study, sha256: str) -> None:
    name = OLD_ATTRIBUTE if study.is_old else ATTRIBUTE
    with engine.begin() as connection:
        text = text_of(connection, study.study_id, name)
        if text is None:
            return  # deleted meanwhile
        record = json.loads(text)
        now = stored_hash(record["definition"])
        if now == sha256:
            return  # somebody has said so already
        wanted = {**record, "definition": changed(record["definition"], sha256)}
        # Compare and set: of two who say yes to different contents, one is told.
        is_ours = now == stored_hash(study.definition)
        if not is_ours or not is_set(connection, study.study_id, name, text, json.dumps(wanted)):
            raise SearchError(
                f"the objective's file of {study.name!r} was changed by somebody else at the same time, here it is "
                f"{short(sha256)}. Agree on one, then type the command again."
            )
